"""How loops are compiled: numba without what would change results from run to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

ENABLED = not numba.config.DISABLE_JIT
"""Whether numba compiles: without, loops would run in Python."""


def compiled(function: Callable[..., Any]) -> Any:
    """The function compiled at its first call, and kept where numba may keep it.

    numba looks at the file of the function alone to tell whether kept code still holds: what it
    calls, and constants, belong into the same file.
    """
    # Without nnan and ninf: what is not a number stays so.
    options = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    }
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to keep the compiled code
        return numba.njit(**options)(function)
