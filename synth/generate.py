"""Generate a dataset: batches of samples, each rendered by a process of its own."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bioface import SkinModel
from bioface.cores import usable_cores
from bioface.errors import BiofaceError, InputError
from synth.blender.compat import require_bpy
from synth.dataset.code import code_hash
from synth.dataset.schema import DatasetInfo, sample_id
from synth.dataset.write import DatasetWriter
from synth.heads import NAMES, load_provider
from synth.processes import Job, run_jobs, run_jobs_on_cluster
from synth.sample.config import SampleConfig

SIZE_RANGE = (16, 4096)


@dataclass(frozen=True)
class Settings:
    """What to generate; see `configure` for the meaning of each.

    `sampling` holds everything the samplers draw from; `scheduler` is None for this machine.
    """

    count: int
    size: int = 128
    seed: int = 0
    heads: str = "procedural"
    samples: int = 64
    workers: int = 1
    batch: int = 16
    scheduler: str | None = None
    skin_model: str = "calibrated"
    occlusion: bool = False
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
                "code": code_hash(),
                "occlusion": self.occlusion,
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
    info = settings.info()
    try:
        with DatasetWriter(folder, info) as writer:
            return _fill(writer, settings, progress)
    except OSError as error:
        raise BiofaceError(
            f"{folder}: cannot be written ({error.strerror or error}); "
            "run the same command again to continue"
        ) from error


def _fill(
    writer: DatasetWriter, settings: Settings, progress: Callable[[int, int], None] | None
) -> int:
    missing = [i for i in range(settings.count) if i not in writer.finished]
    writer.log(f"start: {len(missing)} of {settings.count} samples to render")
    done = settings.count - len(missing)
    if progress:
        progress(done, settings.count)
    jobs = make_jobs(writer.partial, missing, settings)
    if settings.scheduler:
        reports = run_jobs_on_cluster(jobs, settings.scheduler)
    else:
        reports = run_jobs(jobs, settings.workers)
    with closing(reports):  # ends the render processes before their folder goes
        for report in reports:
            publish(writer, report)
            done += 1
            if progress:
                progress(done, settings.count)
    writer.sort_manifest()
    writer.log("end")
    return len(missing)


def make_jobs(partial: Path, indices: list[int], settings: Settings) -> list[Job]:
    """Batches of at most `settings.batch` samples, no fewer than workers while there are enough.

    The workers share the cores; on a cluster each task has one, as Dask counts them.
    """
    batch = min(settings.batch, -(-len(indices) // settings.workers) or 1)
    threads = 1 if settings.scheduler else max(1, usable_cores() // settings.workers)
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
            occlusion=settings.occlusion,
            threads=threads,
        )
        for start in range(0, len(indices), batch)
    ]


def publish(writer: DatasetWriter, report: dict[str, Any]) -> None:
    """Put a rendered sample in place and log what it took."""
    line = dict(report)
    seconds, error = line.pop("seconds"), line.pop("recomposition_error")
    writer.publish(line)
    writer.log(f"{sample_id(line['index'])}: {seconds:.2f} CPU s, recomposition error {error:.1e}")


def _absolute(heads: str) -> str:
    """A path among head names made absolute: render processes may run elsewhere."""
    return heads if heads in NAMES else str(Path(heads).expanduser().resolve())


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
    parser.add_argument(
        "--occlusion",
        action="store_true",
        help="store how much of the sky the head hides, too (a tenth slower)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler such as tcp://host:8786 whose workers share DIR (this machine)",
    )


def run(options: argparse.Namespace) -> int:
    """`bioface-synth generate`."""
    from tqdm import tqdm

    names = (
        "count",
        "size",
        "seed",
        "heads",
        "samples",
        "workers",
        "batch",
        "occlusion",
        "scheduler",
    )
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
