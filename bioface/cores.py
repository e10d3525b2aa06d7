"""How many processor cores there are to use, and work shared among them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")

_MOST_THREADS = 8


def usable_cores() -> int:
    """Cores this process may run on, at least 1; macOS and Windows tell only how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """`work` of each part, in order, on the usable cores: for numpy, which frees the interpreter.

    An exception of any part is raised once all have ended.
    """
    chunks: list[Any] = list(parts)
    workers = min(usable_cores(), _MOST_THREADS, len(chunks))
    if workers <= 1:
        return [work(chunk) for chunk in chunks]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, chunks))
