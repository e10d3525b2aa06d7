"""Ctrl-C while Blender renders: raised after the render, not lost inside it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def interrupt_after(bpy: Any) -> Iterator[None]:
    """Hold SIGINT back until the block ends, then hand it to the handler that was there before.

    Blender prints and drops what Python raises while it renders. A window's signals are its own,
    and only the main thread gets any: elsewhere this does nothing.
    """
    former = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    if not (bpy.app.background and in_main and callable(former)):  # ignored: it stays so
        yield
        return
    noted = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal noted
        noted = True

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        if noted:
            signal.raise_signal(signal.SIGINT)
