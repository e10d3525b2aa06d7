"""What the array API leaves open: tables and numbers brought to the caller's arrays."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj, is_torch_array

Array = Any
"""A numpy array, torch tensor or any other array of the array API."""


def as_array(value: Any) -> Array:
    """`value` as a floating-point array: arrays stay, lists and numbers become float64 numpy."""
    if not is_array_api_obj(value) or isinstance(value, np.generic):
        value = np.asarray(value)
    xp = array_namespace(value)
    if not xp.isdtype(value.dtype, "real floating"):
        value = xp.astype(value, xp.float64)
    return value


def like(reference: Array, value: Any) -> Array:
    """`value` in the namespace, dtype and device of `reference`; gradients flow through."""
    xp = array_namespace(reference)
    scalar = isinstance(value, np.generic)
    if is_array_api_obj(value) and not scalar and array_namespace(value) is xp:
        value = value if value.dtype == reference.dtype else xp.astype(value, reference.dtype)
        same = device(value) == device(reference)
        return value if same else xp.asarray(value, device=device(reference))
    if isinstance(reference, np.ndarray):
        return np.asarray(value, dtype=reference.dtype)
    # A copy: torch warns about sharing read-only tables.
    return xp.asarray(np.array(value), dtype=reference.dtype, device=device(reference))


_BROUGHT: dict[tuple[int, Any, Any], Array] = {}


def table_like(reference: Array, table: np.ndarray) -> Array:
    """`like` for a table that nobody writes to: torch gets it once for each dtype and device.

    A GPU that is handed a table by the host first finishes all that it was told to do. What torch
    got lives as long as the table.
    """
    if not is_torch_array(reference) or type(reference).__name__ != "Tensor":
        return like(reference, table)
    key = (id(table), reference.dtype, reference.device)
    if key not in _BROUGHT:
        brought = like(reference, table)
        if brought.is_inference():
            return brought
        _BROUGHT[key] = brought
        weakref.finalize(table, _BROUGHT.pop, key, None)
    return _BROUGHT[key]


def common(*values: Any) -> tuple[Array, ...]:
    """Bring `values` to one namespace, dtype and device: those of the first that is no numpy array.

    Where all are numpy (or plain numbers), they take the widest floating dtype among the arrays
    given, so that a plain number never widens float32.
    """
    arrays = [v for v in values if is_array_api_obj(v) and not isinstance(v, np.generic)]
    foreign = [v for v in arrays if not isinstance(v, np.ndarray)]
    if foreign:
        reference = as_array(foreign[0])
    elif arrays:
        dtype = np.result_type(*(as_array(v).dtype for v in arrays))
        reference = np.empty(0, dtype)
    else:
        reference = np.empty(0)
    return tuple(like(reference, v) for v in values)
