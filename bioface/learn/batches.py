"""Endless batches of drawn photos, and which samples are kept out of training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset

from bioface.errors import InputError
from bioface.learn.relight import Relighter, Targets
from bioface.packed import PackedDataset


def split(names: list[str], held_out: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and indices held out, by the hash of each name.

    A name is always on the same side however many others there are, except that at least one is
    held out when there are two or more; a single one is on both sides.
    """
    share = np.array([int(hashlib.sha256(n.encode()).hexdigest()[:8], 16) / 2**32 for n in names])
    if len(names) == 1:
        return np.zeros(1, int), np.zeros(1, int)
    out = share < held_out
    if not out.any():
        out[share.argmin()] = True
    if out.all():
        out[share.argmax()] = False
    return np.flatnonzero(~out), np.flatnonzero(out)


def split_samples(packed: PackedDataset) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a packed file to train on and held out, by the hash of their number."""
    return split([f"{index:06d}" for index in range(len(packed))])


class RelitBatches(IterableDataset):
    """Endless batches of (photo, targets); batch k depends only on (seed, k).

    Resuming at step `start` therefore continues exactly where a run was interrupted.
    """

    def __init__(
        self, relighter: Relighter, indices: np.ndarray, batch: int, seed: int, start: int = 0
    ) -> None:
        super().__init__()
        if len(indices) == 0:
            raise InputError(f"{relighter.packed.path}: no samples left to train on; generate more")
        self.relighter = relighter
        self.indices = np.asarray(indices)
        self.batch = batch
        self.seed = seed
        self.start = start

    def __iter__(self) -> Iterator[tuple[Tensor, Targets]]:
        step = self.start
        while True:
            yield self.at(step)
            step += 1

    def at(self, step: int) -> tuple[Tensor, Targets]:
        """Batch number `step`."""
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, step]))
        return self.relighter.draw(rng.choice(self.indices, self.batch), rng)
