"""Memory that is kept: glibc hands every large array back to the system as soon as it is freed."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h
_KEPT = 1 << 30
_GROWTH = 1 << 26


def keep_freed_memory() -> bool:
    """Let this process reuse the memory of freed arrays instead of asking the system for new pages.

    A training step on a processor allocates and frees hundreds of megabytes; clearing fresh pages
    takes a quarter of its time otherwise. The process then stays as large as it once was.

    Returns
    -------
    Whether it could be done: on Linux with glibc.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _KEPT, _TOP_PAD: _GROWTH}
    return all([mallopt(option, value) == 1 for option, value in wanted.items()])
