"""What is kept out of training: frozen and hashed in `bioface/data/splits.json`.

`scripts/make_splits` writes the file. Cameras and illuminants are named there; photos and rendered
samples are on the side that the hash of their name says; the pigments of test draws follow a stated
law. `Splits.sha256` is of the whole and belongs in every accuracy report.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import BiofaceError, InputError
from bioface.packed import PackedDataset
from bioface.spectral.camera import read_measured
from bioface.spectral.illuminant import LED_NAMES, NAMES
from bioface.spectral.tables import DATA


@dataclass(frozen=True)
class Splits:
    """The frozen splits; load them with `Splits.load`.

    Attributes
    ----------
    held_out_makers, held_out_cameras, training_cameras
        Whole makers are held out; names of cameras as in rawtoaces52.npz.
    held_out_illuminants
        Names of fluorescent and LED illuminants that training never draws.
    photo_share, sample_share
        Share of photos and of rendered samples that their hash holds out (see `is_held_out`).
    test_seed
        Datasets rendered with this seed or a higher one are for tests, whole.
    excluded_regions
        Regions of skin that do not count.
    conditions
        `clean` and `full`: the settings of the test draws (see `bioface.learn.conditions`).
    sha256
        Of the content of the file.
    """

    held_out_makers: tuple[str, ...]
    held_out_cameras: tuple[str, ...]
    training_cameras: tuple[str, ...]
    held_out_illuminants: tuple[str, ...]
    photo_share: float
    sample_share: float
    test_seed: int
    excluded_regions: tuple[str, ...]
    conditions: dict[str, Any]
    sha256: str

    @staticmethod
    def load() -> Splits:
        """The committed splits.

        Raises
        ------
        BiofaceError
            The file was changed by hand: its hash is another.
        """
        return _load()

    @property
    def training_illuminants(self) -> tuple[str, ...]:
        """All basis illuminants and LEDs but those held out."""
        return tuple(n for n in NAMES + LED_NAMES if n not in self.held_out_illuminants)

    @property
    def test_illuminants(self) -> tuple[str, ...]:
        """Those held out, beside A and daylight, of which there is but one kind."""
        return ("A", "D", *self.held_out_illuminants)

    def cameras(self, database: str | os.PathLike[str], side: str = "held_out") -> np.ndarray:
        """Measured sensitivities (N, 33, 3) of one side, `held_out` or `training`.

        Parameters
        ----------
        database
            The measured cameras: see `bioface.spectral.camera.read_measured`.

        Raises
        ------
        InputError
            The file cannot be read or lacks one of the cameras.
        """
        names, sensitivities = read_measured(database)
        wanted = {"held_out": self.held_out_cameras, "training": self.training_cameras}[side]
        missing = [name for name in wanted if name not in names]
        if missing:
            raise InputError(f"{database}: no camera named {missing[0]}; use rawtoaces52.npz")
        return sensitivities[[names.index(name) for name in wanted]]


def digest(content: Any) -> str:
    """sha256 of JSON content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_held_out(name: str, share: float) -> bool:
    """Whether a name is held out: the first 32 bits of its sha256 lie below `share` of 2^32.

    Photos go by their file name without folders, rendered samples by their six-digit number.
    """
    return hash_share(name) < share


def hash_share(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32


def held_out_photos(
    photos: Iterable[str | os.PathLike[str]], share: float | None = None
) -> list[Path]:
    """Those of the photos that are held out, in their order; `share` of `splits.json` if None."""
    share = Splits.load().photo_share if share is None else share
    return [path for path in map(Path, photos) if is_held_out(path.name, share)]


def split(names: Sequence[str], held_out: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and indices held out, by the hash of each name.

    A name is always on the same side however many others there are, except that at least one is
    held out when there are two or more; a single one is on both sides.
    """
    share = np.array([hash_share(name) for name in names])
    if len(names) == 1:
        return np.zeros(1, int), np.zeros(1, int)
    out = share < held_out
    if not out.any():
        out[share.argmin()] = True
    if out.all():
        out[share.argmax()] = False
    return np.flatnonzero(~out), np.flatnonzero(out)


def split_samples(packed: PackedDataset) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a packed file to train on and held out, by the hash of their number.

    Each sample is a person of its own, drawn from (seed, number), so a set rendered with another
    seed shows nobody of this one. The number is that in its dataset (`index` of the header's
    `samples`; the position in files of earlier versions), so that a person stays on one side
    whatever else a file holds. Those with seeds from `Splits.test_seed` on are all held out.
    """
    splits = Splits.load()
    samples, dataset = packed.header["samples"], packed.header.get("dataset", {})
    numbers = [sample.get("index", k) for k, sample in enumerate(samples)]
    seeds = np.array([sample.get("seed", dataset.get("seed", 0)) for sample in samples])
    for_tests = seeds >= splits.test_seed
    if for_tests.all():
        return np.zeros(0, int), np.arange(len(packed))
    train, held_out = split([f"{number:06d}" for number in numbers], splits.sample_share)
    return train[~for_tests[train]], np.union1d(held_out, np.flatnonzero(for_tests))


def samples_to_train_on(packed: PackedDataset) -> tuple[np.ndarray, np.ndarray]:
    """`split_samples` of a file that is trained on.

    Raises
    ------
    InputError
        All of its samples are held out: it is a test set.
    """
    train, held_out = split_samples(packed)
    if len(train) == 0:
        raise InputError(
            f"{packed.path}: a test set (seed {Splits.load().test_seed} or more), whose people are "
            "never trained on; generate one with a lower --seed"
        )
    return train, held_out


@cache
def _load() -> Splits:
    path = DATA / "splits.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    sha256 = content.pop("sha256", None)
    if sha256 != digest(content):
        raise BiofaceError(f"{path}: changed since it was frozen; install bioface again")
    cameras, samples = content["cameras"], content["samples"]
    return Splits(
        held_out_makers=tuple(cameras["held_out_makers"]),
        held_out_cameras=tuple(cameras["held_out"]),
        training_cameras=tuple(cameras["training"]),
        held_out_illuminants=tuple(content["illuminants"]["held_out"]),
        photo_share=content["photos"]["held_out_share"],
        sample_share=samples["held_out_share"],
        test_seed=samples["test_seed"],
        excluded_regions=tuple(content["pigments"]["excluded_regions"]),
        conditions=content["conditions"],
        sha256=sha256,
    )
