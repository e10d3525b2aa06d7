"""Turn dataset folders into one memory-mapped training file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.packed import write_packed
from synth.dataset.read import Dataset
from synth.dataset.schema import INDIRECT_CHANNELS, PACKED_CHANNELS
from synth.presets import TEST_SEED


def pack(folders: str | Path | Sequence[str | Path], file: str | Path) -> int:
    """Write the samples of one dataset or several to `file`; returns their number.

    The header (`bioface.packed`) holds each sample's JSON with its `index` and the `seed` of its
    dataset, and under `dataset` the description of the dataset; of several, under `datasets`, a
    list of theirs in the order of the samples, each with its `count`. The channels are
    `schema.PACKED_CHANNELS`, and `INDIRECT_CHANNELS` of sets that have them.

    Raises
    ------
    InputError
        A folder is not a dataset, or a sample is missing, damaged or lacks a channel; or several
        do not belong in one file: another size or other channels, the same seed and so the same
        people, or one for tests among them; or `file` is a folder.
    BiofaceError
        The file cannot be written.
    """
    if Path(file).is_dir():
        raise InputError(f"{file}: a folder; name the packed file after the datasets")
    folders = [folders] if isinstance(folders, str | Path) else folders
    datasets = [Dataset(folder) for folder in folders]
    first = datasets[0]
    names = _names(first)
    for k, dataset in enumerate(datasets[1:], start=1):
        _check_alike(dataset, datasets[:k])
    size = first.info.config["size"]
    described = [{**asdict(dataset.info), "hash": dataset.info.hash} for dataset in datasets]
    about: dict[str, Any] = {"dataset": described[0]}
    if len(datasets) > 1:
        counts = [{"count": len(dataset)} for dataset in datasets]
        about = {"datasets": [a | b for a, b in zip(described, counts, strict=True)]}
    write_packed(
        file,
        names,
        chain.from_iterable(_images(dataset, names) for dataset in datasets),
        [_about(dataset, index) for dataset in datasets for index in dataset.indices],
        (size, size),
        **about,
    )
    return sum(map(len, datasets))


def _about(dataset: Dataset, index: int) -> dict[str, Any]:
    return {**dataset.record(index), "index": index, "seed": dataset.info.seed}


def _names(dataset: Dataset) -> tuple[str, ...]:
    # Sets of earlier versions do not say whether they hold indirect light.
    indirect = dataset.info.config.get("indirect", False)
    return (*PACKED_CHANNELS, *(INDIRECT_CHANNELS if indirect else ()))


def _check_alike(dataset: Dataset, before: Sequence[Dataset]) -> None:
    """Refuse to pack `dataset` behind those before it."""
    first = before[0]
    size, wanted = (d.info.config["size"] for d in (dataset, first))
    if size != wanted:
        raise InputError(
            f"{dataset.folder}: {size} px, but {first.folder} has {wanted}; pack them apart"
        )
    if _names(dataset) != _names(first):
        raise InputError(
            f"{dataset.folder}: one of it and {first.folder} lacks indirect light; generate both "
            "with --indirect"
        )
    for other in before:
        if other.info.seed == dataset.info.seed:
            raise InputError(
                f"{dataset.folder}: has the seed {other.info.seed} of {other.folder} and so the "
                "same people; generate one of them with another --seed"
            )
    for one in (first, dataset):
        if one.info.seed >= TEST_SEED:
            raise InputError(
                f"{one.folder}: a test set (seed {TEST_SEED} or more); pack it by itself"
            )


def _images(dataset: Dataset, names: Sequence[str]) -> Iterator[np.ndarray]:
    from tqdm import tqdm

    for index in tqdm(dataset.indices, unit="image", desc="pack", disable=None):
        channels = dataset.channels(index)
        missing = [name for name in names if name not in channels]
        if missing:
            raise InputError(
                f"{dataset.folder}: sample {index} has no channel {missing[0]}; "
                "run the command that generated it again"
            )
        yield np.stack([channels[name] for name in names]).astype(np.float16)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bioface-synth pack`."""
    parser.add_argument(
        "folders", metavar="DIR", nargs="+", help="dataset folder; several go into one file"
    )
    parser.add_argument("file", metavar="FILE", help="packed file to write or replace")


def run(options: argparse.Namespace) -> int:
    """`bioface-synth pack`."""
    count = pack(options.folders, options.file)
    print(f"{options.file}: {count} samples, {Path(options.file).stat().st_size / 1e6:.0f} MB")
    return 0
