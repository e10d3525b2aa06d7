"""Hold a rendered set against what it was made from: the authored pigments, and its own passes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, to_unit
from synth.compare import sure_skin
from synth.dataset.authored import authored_pigment
from synth.dataset.read import Dataset
from synth.dataset.schema import LOG_FILE, sample_id
from synth.heads import HeadProvider
from synth.sample.config import SampleConfig
from synth.sample.scene import sample_scene
from synth.scene import Scene

_RECOMPOSITION = re.compile(r" (\d{6,}): .*?recomposition error ([^\s,]+)")
_ROUNDING = 1e-5  # records keep six decimals of some values
_RANGES = {"melanin": MELANIN_RANGE, "haemoglobin": HAEMOGLOBIN_RANGE}


@dataclass(frozen=True)
class PigmentError:
    """How far stored pigments are from the authored ones, in u, over P pixels of sure skin.

    Attributes
    ----------
    filtered, centre
        Pigment to (P,) absolute differences from the authored field under the renderer's pixel
        filter, and at pixel centres.
    mask
        (Q,) absolute differences of the mask from the filtered authored one over all pixels.
    samples
        The samples compared.
    """

    filtered: dict[str, np.ndarray]
    centre: dict[str, np.ndarray]
    mask: np.ndarray
    samples: tuple[int, ...]


def redraw(dataset: Dataset, index: int, provider: HeadProvider) -> Scene:
    """Draw a sample's scene again from the set's settings, seed and index.

    Raises
    ------
    InputError
        `provider` has not the heads of the set, or the samplers have changed since.
    """
    info = dataset.info
    if provider.asset_hash != info.heads["asset_hash"]:
        raise InputError(f"{dataset.folder}: it shows {info.heads['name']}; give those heads")
    rng = np.random.default_rng(np.random.SeedSequence([info.seed, index]))
    scene = sample_scene(rng, SampleConfig.from_dict(info.config["sampling"]), provider)
    stored = dataset.record(index)
    changed = [name for name, value in scene.record.items() if not _same(stored.get(name), value)]
    if changed:
        raise InputError(
            f"{dataset.folder}: sample {index} is drawn otherwise by this version "
            f"({changed[0]!r} differs); use the version that generated it"
        )
    return scene


def _same(stored: Any, drawn: Any) -> bool:
    """Whether two parts of a record are equal but for rounding, which differs between machines."""
    if isinstance(stored, dict) and isinstance(drawn, dict):
        return stored.keys() == drawn.keys() and all(_same(stored[k], drawn[k]) for k in drawn)
    if isinstance(stored, list) and isinstance(drawn, list):
        return len(stored) == len(drawn) and all(map(_same, stored, drawn))
    if isinstance(stored, float) and isinstance(drawn, float):
        return math.isclose(stored, drawn, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    return bool(stored == drawn)


def pigment_error(dataset: Dataset, provider: HeadProvider, count: int) -> PigmentError:
    """Compare up to `count` samples spread over those seen through a pinhole.

    Raises
    ------
    InputError
        As `redraw`; `count` is below 1; or every picture was taken through a lens, or those
        compared show no sure skin.
    """
    from tqdm import tqdm

    if count < 1:
        raise InputError(f"{count} samples to compare: must be at least 1")
    sharp = [i for i in dataset.indices if not dataset.record(i)["view"]["aperture_cm"]]
    if not sharp:
        raise InputError(f"{dataset.folder}: holds no picture without defocus to compare")
    count = min(count, len(sharp))
    chosen = [sharp[i * len(sharp) // count] for i in range(count)]
    found: dict[str, dict[str, list[np.ndarray]]] = {"filtered": {}, "centre": {}}
    masks = []
    for index in tqdm(chosen, unit="image", desc="authored fields", disable=None):
        channels = dataset.channels(index)
        skin = sure_skin(channels)
        filtered, centre = authored_pigment(redraw(dataset, index, provider), skin.shape[0])
        for kind, maps in (("filtered", filtered), ("centre", centre)):
            for name, limits in _RANGES.items():
                stored = to_unit(channels[name][skin].astype(np.float64), limits)
                difference = np.abs(stored - to_unit(getattr(maps, name)[skin], limits))
                found[kind].setdefault(name, []).append(difference)
        masks.append(np.abs(channels["mask"] - filtered.mask).ravel())
    if not sum(map(len, found["centre"]["melanin"])):
        raise InputError(f"{dataset.folder}: no picture of those compared shows enough skin")
    joined = {
        kind: {name: np.concatenate(values) for name, values in errors.items()}
        for kind, errors in found.items()
    }
    return PigmentError(mask=np.concatenate(masks), samples=tuple(chosen), **joined)


def recomposition_errors(dataset: Dataset) -> np.ndarray:
    """(N,) largest relative difference of the summed passes from Combined, from `run.log`.

    Raises
    ------
    InputError
        The log is missing or lacks a sample, or holds what is no figure.
    """
    path = dataset.folder / LOG_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    lines = (_RECOMPOSITION.search(line) for line in text.splitlines())
    try:
        found = {line[1]: float(line[2]) for line in lines if line}
        return np.array([found[sample_id(index)] for index in dataset.indices])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: has no recomposition error of a sample: {error}") from error


def describe(error: PigmentError) -> Iterable[str]:
    """Lines of text for a person to read."""
    yield f"stored against authored pigments, {len(error.samples)} samples, u on sure skin:"
    for kind, title in (("filtered", "under the pixel filter"), ("centre", "at pixel centres")):
        for name, values in getattr(error, kind).items():
            yield f"  {name}, {title}: {_spread(values)} ({len(values)} pixels)"
    yield f"  mask, under the pixel filter: {_spread(error.mask)}"


def _spread(values: np.ndarray) -> str:
    middle, high, highest = np.percentile(values, (50, 99, 100))
    return f"median {middle:.2g}, 99 % {high:.2g}, largest {highest:.2g}"
