"""Turn a dataset folder into one memory-mapped training file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bioface.errors import InputError
from bioface.packed import write_packed
from synth.dataset.read import Dataset
from synth.dataset.schema import INDIRECT_CHANNELS, PACKED_CHANNELS


def pack(folder: str | Path, file: str | Path) -> int:
    """Write the samples of `folder` to `file` (`bioface.packed`); returns their number.

    The header holds the dataset's description under `dataset` and each sample's JSON. The channels
    are `schema.PACKED_CHANNELS`, and `INDIRECT_CHANNELS` of a set that has them.

    Raises
    ------
    InputError
        The folder is not a dataset, or a sample is missing, damaged or lacks a channel.
    BiofaceError
        The file cannot be written.
    """
    dataset = Dataset(folder)
    size = dataset.info.config["size"]
    # Sets of earlier versions do not say.
    indirect = dataset.info.config.get("indirect", False)
    names = (*PACKED_CHANNELS, *(INDIRECT_CHANNELS if indirect else ()))
    write_packed(
        file,
        names,
        _images(dataset, names),
        [dataset.record(index) for index in dataset.indices],
        (size, size),
        dataset={**asdict(dataset.info), "hash": dataset.info.hash},
    )
    return len(dataset)


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
    parser.add_argument("folder", metavar="DIR", help="dataset folder")
    parser.add_argument("file", metavar="FILE", help="packed file to write or replace")


def run(options: argparse.Namespace) -> int:
    """`bioface-synth pack`."""
    count = pack(options.folder, options.file)
    print(f"{options.file}: {count} samples, {Path(options.file).stat().st_size / 1e6:.0f} MB")
    return 0
