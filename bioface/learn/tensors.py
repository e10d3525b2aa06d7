"""Batches as nested tuples and dataclasses of tensors. Imports torch alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor


def sent(tensor: Tensor, reference: Tensor) -> Tensor:
    """A tensor of the host in the dtype and on the device of another, without waiting for a GPU."""
    if not reference.is_cuda:
        return tensor.to(reference)
    return tensor.to(reference.dtype).pin_memory().to(reference.device, non_blocking=True)


def map_tensors(batch: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Apply `function` to every tensor in nested tuples and dataclasses.

    What is neither, None or a name, holds for the whole batch and stays. Lists, which are what
    pinning makes of tuples, become tuples again.
    """
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, tuple | list):
        return tuple(map_tensors(part, function) for part in batch)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        return type(batch)(
            **{
                field.name: map_tensors(getattr(batch, field.name), function)
                for field in dataclasses.fields(batch)
            }
        )
    return batch
