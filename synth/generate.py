"""Generate a dataset: batches of samples, each rendered by a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bioface import SkinModel
from bioface.errors import BiofaceError, InputError
from synth.blender.compat import require_bpy
from synth.dataset.schema import DatasetInfo, sample_id
from synth.dataset.write import DatasetWriter
from synth.heads import load_provider
from synth.sample.config import SampleConfig

SIZE_RANGE = (16, 4096)
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
    size, samples, seed, heads, sampling, skin_model
        As in `generate`.
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
    threads: int


@dataclass(frozen=True)
class Settings:
    """What to generate; see `configure` for the meaning of each.

    `sampling` holds everything the samplers draw from.
    """

    count: int
    size: int = 128
    seed: int = 0
    heads: str = "procedural"
    samples: int = 64
    workers: int = 1
    batch: int = 16
    skin_model: str = "calibrated"
    sampling: SampleConfig = field(default_factory=SampleConfig)

    def __post_init__(self) -> None:
        lowest = {"count": 1, "size": SIZE_RANGE[0], "seed": 0, "samples": 1}
        for name, low in {**lowest, "workers": 1, "batch": 1}.items():
            if getattr(self, name) < low:
                raise InputError(f"--{name} {getattr(self, name)}: must be at least {low}")
        if self.size > SIZE_RANGE[1]:
            raise InputError(f"--size {self.size}: must be at most {SIZE_RANGE[1]}")

    def info(self) -> DatasetInfo:
        """The description of the dataset, from which a sample's bytes follow.

        Raises
        ------
        InputError
            The head provider is not known or not installed.
        MissingDependencyError
            Blender is missing, or this is another Python than it needs.
        """
        provider = load_provider(self.heads)
        model = SkinModel.load(self.skin_model)
        return DatasetInfo(
            config={
                "size": self.size,
                "samples": self.samples,
                "sampling": self.sampling.to_dict(),
            },
            seed=self.seed,
            skin_model={"name": model.name, "constants": dict(model.constants)},
            heads={"name": provider.name, "asset_hash": provider.asset_hash},
            bpy=require_bpy(),
        )


def generate(
    folder: str | Path,
    settings: Settings,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Render the samples 0 to `count` - 1 that `folder` does not hold yet; returns their number.

    Parameters
    ----------
    progress
        Called with (finished, wanted) at the start and after each sample.

    Raises
    ------
    BiofaceError
        The folder is in use, cannot be written or belongs to other settings; a render failed.
    """
    with DatasetWriter(folder, settings.info()) as writer:
        missing = [i for i in range(settings.count) if i not in writer.finished]
        writer.log(f"start: {len(missing)} of {settings.count} samples to render")
        done = settings.count - len(missing)
        if progress:
            progress(done, settings.count)
        for line in run_jobs(make_jobs(writer.partial, missing, settings), settings.workers):
            publish(writer, line)
            done += 1
            if progress:
                progress(done, settings.count)
        writer.sort_manifest()
        writer.log("end")
    return len(missing)


def make_jobs(partial: Path, indices: list[int], settings: Settings) -> list[Job]:
    """Batches of at most `settings.batch` samples, no fewer than workers while there are enough."""
    batch = min(settings.batch, -(-len(indices) // settings.workers) or 1)
    return [
        Job(
            partial=str(partial.resolve()),
            indices=indices[start : start + batch],
            size=settings.size,
            samples=settings.samples,
            seed=settings.seed,
            heads=_absolute(settings.heads),
            sampling=settings.sampling.to_dict(),
            skin_model=settings.skin_model,
            threads=max(1, _cores() // settings.workers),
        )
        for start in range(0, len(indices), batch)
    ]


def publish(writer: DatasetWriter, report: dict[str, Any]) -> None:
    """Put a rendered sample in place and log what it took."""
    line = dict(report)
    seconds, error = line.pop("seconds"), line.pop("recomposition_error")
    writer.publish(line)
    writer.log(f"{sample_id(line['index'])}: {seconds:.2f} CPU s, recomposition error {error:.1e}")


class RenderProcess:
    """A running child; `pending` are the samples it has not reported."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.pending = deque(job.indices)
        self._buffer = b""
        self._log = Path(job.partial, f"render-{job.indices[0]:06d}.log")
        read_end, write_end = os.pipe()
        self.reports = read_end
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "synth.blender.child"),
                    *(str(write_end), str(os.getpid())),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[write_end],
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
        return f"status {status}; {text.splitlines()[-1]}" if text else f"status {status}"

    def close(self) -> None:
        """Kill the child if it still runs, and forget it."""
        self.process.kill()
        self.process.wait()
        os.close(self.reports)
        self._log.unlink(missing_ok=True)


def run_jobs(jobs: list[Job], workers: int) -> Iterator[dict[str, Any]]:
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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _absolute(heads: str) -> str:
    """A path among head names made absolute: render processes may run elsewhere."""
    return str(Path(heads).resolve()) if Path(heads).suffix and Path(heads).exists() else heads


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bioface-synth generate`."""
    default = Settings(count=1)
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="dataset folder; resumed if it exists"
    )
    parser.add_argument(
        "--count", required=True, type=int, metavar="N", help="samples it shall hold"
    )
    parser.add_argument(
        "--size", type=int, default=default.size, help="pixels a side (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=default.seed, help="(%(default)s)")
    parser.add_argument(
        "--heads",
        default=default.heads,
        metavar="NAME|PATH",
        help="procedural, ict-facekit, or a file (%(default)s)",
    )
    parser.add_argument(
        "--samples", type=int, default=default.samples, help="samples per pixel (%(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=default.workers, help="render processes (%(default)s)"
    )
    parser.add_argument(
        "--batch", type=int, default=default.batch, help="samples a process renders (%(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """`bioface-synth generate`."""
    from tqdm import tqdm

    names = ("count", "size", "seed", "heads", "samples", "workers", "batch")
    settings = Settings(**{name: getattr(options, name) for name in names})
    started = time.monotonic()
    with tqdm(total=settings.count, unit="image", desc="render", disable=None) as bar:

        def show(done: int, wanted: int) -> None:
            if bar.n == 0 and done:
                bar.initial = done  # what was there before does not count towards the rate
            bar.update(done - bar.n)

        rendered = generate(options.out, settings, progress=show)
    seconds = time.monotonic() - started
    print(f"{options.out}: {settings.count} samples, {rendered} of them new, {seconds:.0f} s")
    return 0
