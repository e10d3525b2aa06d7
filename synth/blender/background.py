"""The other end of `synth.blender.task`: start a job, hear from it, cancel it."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from bioface.errors import BiofaceError
from synth.blender.task import PREFIX
from synth.launcher import child_environment, python_command

_LAST_LINES = 40


@dataclass
class Progress:
    """How far a task is: `done` of `total` steps (0 of 0 before it says), and what it does."""

    done: int = 0
    total: int = 0
    text: str = "starting"

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.done / self.total if self.total else 0.0


class Task:
    """A running job; every method returns at once except `wait` and `close`.

    Threads only carry lines from the process into a queue: nothing of Blender is touched outside
    the thread that calls `poll`.

    Attributes
    ----------
    progress
        The last that the process said.
    """

    def __init__(self, kind: str, **job: Any) -> None:
        self.progress = Progress()
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._printed: deque[str] = deque(maxlen=_LAST_LINES)
        self._result: dict[str, Any] | None = None
        self._home = tempfile.mkdtemp(prefix="bioface-")
        self._process = subprocess.Popen(
            python_command("-m", "synth.blender.task"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=child_environment(self._home),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._listen, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()
        with suppress(BrokenPipeError):  # it died at once; poll says so
            self._process.stdin.write(json.dumps({"kind": kind, **job}) + "\n")
            self._process.stdin.flush()

    def poll(self) -> dict[str, Any] | None:
        """The result once the job is done, None before.

        Raises
        ------
        BiofaceError
            The job failed with a message for the user.
        RuntimeError
            It ended in another way; the text holds what it printed last.
        """
        while self._result is None:
            try:
                line = self._said.get_nowait()
            except queue.Empty:
                return None
            if line is None:
                status = self._process.wait()
                raise RuntimeError(f"the process ended with status {status}\n{self._tail()}")
            if "error" in line:
                if line.get("unexpected"):
                    raise RuntimeError(f"{line['error']}\n{self._tail()}")
                raise BiofaceError(line["error"])
            if "result" in line:
                self._result = line["result"]
            else:
                self.progress = Progress(**line)
        return self._result

    def wait(self) -> dict[str, Any]:
        """`poll`, waiting for the end."""
        self._reader.join()
        result = self.poll()
        assert result is not None
        return result

    def close(self) -> None:
        """End the process if it still runs, and everything that belongs to it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            if line.startswith(PREFIX):
                self._said.put(json.loads(line.removeprefix(PREFIX)))
            elif line.strip():
                self._printed.append(line.rstrip())
        self._said.put(None)

    def _tail(self) -> str:
        return "\n".join(self._printed)
