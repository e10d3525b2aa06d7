"""Run batches of samples in render processes, on this machine or on a Dask cluster."""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import selectors
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bioface.errors import BiofaceError, InputError, MissingDependencyError, install_advice
from synth.blender.device import Device
from synth.dataset.schema import sample_id
from synth.dataset.write import file_hash
from synth.launcher import child_environment, python_command

CHILD = ("-m", "synth.blender.child")
"""Arguments of Python that start a render process."""

SEARCH = ("-m", "synth.blender.device")
"""Arguments of Python that start a search for a device."""

Reports = Generator[dict[str, Any], None, None]

_FAREWELL = ("Blender quit",)
_UNREADABLE = "Error during deserialization"  # what Dask's scheduler says without our modules
_ATTEMPTS = 2  # processes that may die on one sample before the run stops


@dataclass(frozen=True)
class Job:
    """A batch for one render process; JSON-ready.

    Attributes
    ----------
    partial
        Absolute path of the folder that takes the finished files.
    indices
        Samples to render, in this order.
    size, samples, seed, heads, sampling, skin_model, occlusion, indirect, kind,
    spectra
        As in `synth.generate.Settings`.
    device
        Kind of device: `cpu` or one of `synth.blender.device.GPUS`.
    versions
        What the render process shall have, too: hash of the `code`, version of `bpy`, hash of the
        `heads` and, off-model, of the file of `spectra`.
    threads
        Render threads; 0 uses all cores.
    """

    partial: str
    indices: list[int]
    size: int
    samples: int
    seed: int
    heads: str
    sampling: dict[str, Any]
    skin_model: str
    occlusion: bool
    indirect: bool
    kind: str
    spectra: str | None
    device: str
    versions: dict[str, str]
    threads: int


class RenderProcess:
    """A running child; `pending` are the samples it has not reported.

    Raises
    ------
    BiofaceError
        The file of measured spectra is not the one of the dataset.
    """

    def __init__(self, job: Job) -> None:
        _check_spectra(job)
        self.job = job
        self.pending = deque(job.indices)
        self._buffer = b""
        self._log = Path(job.partial, f"render-{job.indices[0]:06d}.log")
        # A user folder of its own: when Blender is reset to factory settings, it removes the wheels
        # of the extensions that the user has enabled.
        self._home = tempfile.mkdtemp(prefix="blender-", dir=job.partial)
        read_end, write_end = os.pipe()
        self.reports = read_end
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                python_command(*CHILD, str(write_end), str(os.getpid())),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[write_end],
                # idle threads of numpy would spin, and its sums depend on their number
                env={**child_environment(self._home), "OPENBLAS_NUM_THREADS": "1"},
            )
        os.close(write_end)
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(asdict(job)).encode())
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it died at once; its exit status says so below

    def read(self) -> list[dict[str, Any]] | None:
        """Reports that have arrived (waits for some), or None after the last.

        Raises
        ------
        BiofaceError
            The child reports an error.
        """
        data = os.read(self.reports, 65536)
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        reports = [json.loads(line) for line in lines]
        for report in reports:
            if "error" in report:
                raise BiofaceError(f"sample {sample_id(self.pending[0])}: {report['error']}")
            self.pending.remove(report["index"])
        return reports

    def last_words(self) -> str:
        """The exit status and the last line that the child printed."""
        status = self.process.wait()
        text = self._log.read_text(errors="replace").strip() if self._log.exists() else ""
        lines = [line for line in text.splitlines() if line and line not in _FAREWELL]
        named = [line for line in lines if re.match(r"\w+(Error|Exception)\b", line)]
        return f"status {status}; {(named or lines)[-1]}" if lines else f"status {status}"

    def close(self) -> None:
        """Kill the child if it still runs, and forget it."""
        self.process.kill()
        self.process.wait()
        os.close(self.reports)
        self._log.unlink(missing_ok=True)
        shutil.rmtree(self._home, ignore_errors=True)


def run_jobs(jobs: list[Job], workers: int) -> Reports:
    """Render on this machine, `workers` processes at a time; yields reports as they come.

    A process that dies (out of memory, killed) is followed by a fresh one for what it left; when
    a second one dies on the same sample, the run stops.

    Raises
    ------
    BiofaceError
        A render failed, or processes keep dying.
    """
    waiting = deque(jobs)
    deaths: dict[int, int] = {}
    running: set[RenderProcess] = set()
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    child = RenderProcess(waiting.popleft())
                    running.add(child)
                    selector.register(child.reports, selectors.EVENT_READ, child)
                for key, _ in selector.select():
                    child = key.data
                    reports = child.read()
                    if reports is not None:
                        yield from reports
                        continue
                    if child.pending:
                        waiting.appendleft(_after_death(child, deaths))
                    selector.unregister(child.reports)
                    running.remove(child)
                    child.close()
        finally:
            for child in running:
                child.close()


def run_jobs_on_cluster(jobs: list[Job], client: Any) -> Reports:
    """Render on a Dask cluster that shares the dataset's folder; yields reports batch by batch.

    A task renders one batch in a child process; a lost worker costs only its batch, which Dask
    gives to another. `client` is one of `connect`, inside whose block the reports are read.

    Raises
    ------
    BiofaceError
        A render failed.
    """
    from distributed import as_completed

    for future in as_completed(client.map(render_batch, jobs, pure=False)):
        yield from future.result()


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """A client of the Dask scheduler at `address`; what is lost in the block, in one line.

    Raises
    ------
    BiofaceError
        The scheduler does not answer, was lost or lacks bioface, or workers keep dying.
    MissingDependencyError
        `distributed` is not installed.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise MissingDependencyError(
            f"--scheduler needs Dask, run: {install_advice('cluster')}"
        ) from error
    with _unsaid("distributed", "distributed.client"):
        try:
            client = Client(address)
        except (OSError, ValueError) as error:
            raise BiofaceError(f"--scheduler {address}: no Dask scheduler answers there") from error
        with client:
            try:
                yield client
            except KilledWorker as error:
                raise BiofaceError(
                    f"--scheduler {address}: workers keep dying on one batch, out of memory "
                    "perhaps; see their logs, then run the same command again"
                ) from error
            except CancelledError as error:
                raise BiofaceError(
                    f"--scheduler {address}: the scheduler was lost; start it, then run the same "
                    "command again"
                ) from error
            except RuntimeError as error:
                if _UNREADABLE not in str(error):
                    raise
                raise BiofaceError(
                    f"--scheduler {address}: the scheduler cannot read what it is asked; install "
                    "this version of bioface where it and its workers run"
                ) from error


@contextmanager
def _unsaid(*names: str) -> Iterator[None]:
    """Keep tracebacks that a library logs off the terminal, where one line says what they mean."""
    loggers = [logging.getLogger(name) for name in names]
    former = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, former, strict=True):
            logger.setLevel(level)


def render_batch(job: Job) -> list[dict[str, Any]]:
    """Render one job in a child process; its reports.

    Raises
    ------
    BiofaceError
        As `run_jobs`; or this machine does not share the dataset's folder.
    """
    try:
        return list(run_jobs([job], 1))
    except OSError as error:
        raise BiofaceError(
            f"{platform.node()}: {job.partial}: cannot be written ({error.strerror or error}); "
            "workers of a scheduler must share the dataset's folder"
        ) from error


def _check_spectra(job: Job) -> None:
    """Raise unless the measured spectra are those that the command was started with."""
    if job.spectra is None:
        return
    try:
        same = file_hash(job.spectra) == job.versions["spectra"]
    except OSError as error:
        raise InputError(
            f"{platform.node()}: {job.spectra}: cannot be read ({error.strerror})"
        ) from error
    if not same:
        raise BiofaceError(
            f"{platform.node()}: {job.spectra}: is not the file that the command was started with; "
            "have the same everywhere and run it again"
        )


def find_device(wanted: str, scheduler: str | None = None) -> Device:
    """The device that `wanted` (of `synth.blender.device.DEVICES`) stands for where renders run.

    That is this machine, or whichever worker of the cluster answers first.

    Raises
    ------
    BiofaceError
        There is none, or the search failed.
    MissingDependencyError
        As `connect`.
    """
    if wanted == "cpu":
        return Device("cpu")
    if scheduler is None:
        return _search_device(wanted)
    with connect(scheduler) as client:
        return client.submit(_search_device, wanted, pure=False).result()


def _search_device(wanted: str) -> Device:
    with tempfile.TemporaryDirectory(prefix="blender-") as home:
        search = subprocess.run(
            python_command(*SEARCH, wanted),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=child_environment(home),
        )
    lines = search.stdout.splitlines()
    try:
        answer = json.loads(next(line for line in lines if line.startswith("{")))
    except StopIteration as error:
        last = (search.stderr.strip() or "no output").splitlines()[-1]
        raise BiofaceError(
            f"--device {wanted}: the search for devices ended with status {search.returncode} "
            f"({last}); use --device cpu, or update the graphics driver"
        ) from error
    if "error" in answer:
        raise BiofaceError(answer["error"])
    return Device(answer["kind"], tuple(answer["names"]))


def _after_death(child: RenderProcess, deaths: dict[int, int]) -> Job:
    """The job for what a dead child left; BiofaceError when that is hopeless."""
    first = child.pending[0]
    deaths[first] = deaths.get(first, 0) + 1
    if deaths[first] >= _ATTEMPTS:
        raise BiofaceError(
            f"sample {sample_id(first)}: the render process ended {deaths[first]} times without "
            f"a result ({child.last_words()}); run the same command again to continue"
        )
    return Job(**{**asdict(child.job), "indices": list(child.pending)})
