"""Endless batches of drawn photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from bioface.errors import InputError
from bioface.learn.relight import Relighter, Targets


class Steps(IterableDataset):
    """Endless batches `at(start)`, `at(start + 1)`, ...; a loader's workers share the steps."""

    def __init__(self, at: Callable[[int], Any], start: int) -> None:
        super().__init__()
        self.at = at
        self.start = start

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        step, stride = self.start, 1
        if worker is not None:
            step, stride = self.start + worker.id, worker.num_workers
        while True:
            yield self.at(step)
            step += stride


class RelitBatches(IterableDataset):
    """Endless batches of (photo, targets); batch k depends only on (seed, k).

    Resuming at step `start` therefore continues exactly where a run was interrupted. In a
    `DataLoader` the workers share the steps, and the batches come in the same order and with the
    same bits whatever their number (`batch_size=None`; on a GPU without workers).
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
        return iter(Steps(self.at, self.start))

    def at(self, step: int) -> tuple[Tensor, Targets]:
        """Batch number `step`, made on one thread: sums differ in the last bit between threads."""
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, step]))
        with _one_thread():
            return self.relighter.draw(rng.choice(self.indices, self.batch), rng)


class MixedBatches:
    """Batches of two sources: `share` of them of the second; which depends on (seed, k) alone."""

    def __init__(self, first: RelitBatches, second: RelitBatches, share: float) -> None:
        self.first = first
        self.second = second
        self.share = share

    def at(self, step: int) -> tuple[Tensor, Targets]:
        """Batch number `step`, which is that of the source it is of."""
        rng = np.random.default_rng(np.random.SeedSequence([self.first.seed, step, _WHICH]))
        return (self.second if rng.random() < self.share else self.first).at(step)


_WHICH = 1  # tells these random numbers from those of the batches


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
