"""Several processes training together, and what one of them does of the work."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from bioface.errors import InputError
from bioface.learn.tensors import map_tensors


def is_first() -> bool:
    """Whether this process writes files and speaks: the only one, or the first of several."""
    return getattr(rank_zero_only, "rank", 0) == 0


def own_device() -> torch.device:
    """The GPU of this process, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def drawing_device(workers: int) -> torch.device:
    """Where batches are drawn: by worker processes on the CPU, else where they are learned from."""
    return torch.device("cpu") if workers else own_device()


def check_devices(devices: int, batch: int, argument: str = "--batch") -> None:
    """Refuse numbers of processes that there is no device or no equal share of a batch for.

    `argument` is what the batch is called on the command line.

    Raises
    ------
    InputError
        Names the argument and what is possible.
    """
    if batch % devices:
        raise InputError(
            f"--devices {devices}: {argument} {batch} cannot be shared equally; choose a multiple"
        )
    if torch.cuda.is_available() and devices > torch.cuda.device_count():
        raise InputError(f"--devices {devices}: there are {torch.cuda.device_count()} GPUs")


def empty_for_loader(shape: Sequence[int], device: torch.device) -> Tensor:
    """Uninitialised float32: in the worker of a loader, memory that it need not copy to hand over.

    Every page of new shared memory costs about as much as drawing what goes there: few, large
    tensors that are filled in place are the fastest way out of a worker.
    """
    if get_worker_info() is None or device.type != "cpu":
        return torch.empty(*shape, device=device)
    count = math.prod(shape)
    storage = torch.UntypedStorage._new_shared(4 * count)  # as torch's own collate does
    return torch.empty(0).set_(storage, 0, (count,), (1,)).view(*shape)


class Shares(IterableDataset):
    """One process's share of every batch: photos `rank`, `rank + world`, ... of it.

    Every process draws whole batches, so that any number of them sees the same photos.
    """

    def __init__(self, batches: Iterable[Any], rank: int, world: int) -> None:
        super().__init__()
        self.batches = batches
        self.rank = rank
        self.world = world

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            yield share(batch, self.rank, self.world)


def share(batch: Any, rank: int, world: int) -> Any:
    """Every `world`-th row from `rank` of all tensors of a batch."""
    return map_tensors(batch, lambda tensor: tensor[rank::world])
