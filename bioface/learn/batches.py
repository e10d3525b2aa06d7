"""Endless batches of drawn photos."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset

from bioface.errors import InputError
from bioface.learn.relight import Relighter, Targets
from bioface.learn.splits import split, split_samples

__all__ = ["RelitBatches", "split", "split_samples"]


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
