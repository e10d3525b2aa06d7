"""Packed sets of rendered faces as a stage of training sees them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from bioface.learn.batches import MixedBatches, RelitBatches
from bioface.learn.larger import times_larger
from bioface.learn.relight import Relighter
from bioface.learn.splits import samples_to_train_on
from bioface.packed import PackedDataset, read_packed

LARGER_SHARE = 0.5
"""Share of the batches that shows larger faces, where there are any."""


@dataclass(frozen=True)
class RenderedFaces:
    """A packed set.

    Attributes
    ----------
    packed
        The file.
    training, held_out
        Indices of the samples to learn from, and of the others.
    factor
        How many times as large as what is read of them photos of these faces are.
    """

    packed: PackedDataset
    training: np.ndarray
    held_out: np.ndarray
    factor: int = 1

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, larger_than: int | None = None) -> RenderedFaces:
        """Open a file; with `larger_than`, for photos that are averaged down to that size.

        Raises
        ------
        InputError
            It cannot be read, is a test set, or its samples are not two or more times as large.
        """
        packed = read_packed(path)
        factor = 1 if larger_than is None else times_larger(packed, larger_than)
        return cls(packed, *samples_to_train_on(packed), factor)

    @property
    def counts(self) -> dict[str, int]:
        """How many samples are learned from and held out, for a report."""
        return {"training": len(self.training), "held_out": len(self.held_out)}

    def batches(self, size: int, count: int, seed: int, **options: Any) -> RelitBatches:
        """Batches of `count` crops of the samples to learn from; `options` are the relighter's."""
        relighter = Relighter(self.packed, size, factor=self.factor, **options)
        return RelitBatches(relighter, self.training, count, seed)


def read_larger(path: str | os.PathLike[str] | None, size: int) -> RenderedFaces | None:
    """Faces for photos larger than `size`, if a file of them was given; raises as `read`."""
    return None if path is None else RenderedFaces.read(path, larger_than=size)


def data_settings(faces: RenderedFaces | None, larger: RenderedFaces | None) -> dict[str, Any]:
    """What the settings of a run say of its files."""
    return {
        "data_sha256": faces and faces.packed.sha256,
        "larger_data_sha256": larger and larger.packed.sha256,
    }


def mixed_batches(
    faces: RenderedFaces,
    larger: RenderedFaces | None,
    share: float | None,
    size: int,
    count: int,
    seed: int,
    **options: Any,
) -> RelitBatches | MixedBatches:
    """Batches of `faces`, a `share` of them (`LARGER_SHARE` when None) of `larger` if there are."""
    first = faces.batches(size, count, seed, **options)
    if larger is None:
        return first
    second = larger.batches(size, count, seed, **options)
    return MixedBatches(first, second, LARGER_SHARE if share is None else share)
