"""Generate a dataset: batches of samples, each rendered by a process of its own."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bioface import SkinModel
from bioface.cores import usable_cores
from bioface.errors import BiofaceError, InputError
from synth.blender.compat import require_bpy
from synth.blender.device import DEVICES, Device
from synth.dataset.code import code_hash
from synth.dataset.read import read_manifest
from synth.dataset.schema import KINDS, DatasetInfo, sample_id
from synth.dataset.write import DatasetWriter, file_hash
from synth.heads import NAMES, load_provider
from synth.presets import PRESETS
from synth.processes import Job, connect, find_device, run_jobs, run_jobs_on_cluster
from synth.sample.config import SampleConfig
from synth.sample.skin import Residuals, Skin

SIZE_RANGE = (16, 4096)

MOST_FAILED = 10
"""Samples of one run that may fail their checks before it stops."""


@dataclass(frozen=True)
class Settings:
    """What to generate; see `configure` for the meaning of each.

    `sampling` holds everything the samplers draw from; `scheduler` is None for this machine;
    `kind` is one of `schema.KINDS`, and `spectra` the file of measured spectra of off-model sets;
    `device` is one of `synth.blender.device.DEVICES`.
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
    indirect: bool = False
    kind: str = "transport"
    spectra: str | None = None
    device: str = "cpu"
    sampling: SampleConfig = field(default_factory=SampleConfig)

    def __post_init__(self) -> None:
        lowest = {"count": 1, "size": SIZE_RANGE[0], "seed": 0, "samples": 1}
        for name, low in {**lowest, "workers": 1, "batch": 1}.items():
            if getattr(self, name) < low:
                raise InputError(f"--{name} {getattr(self, name)}: must be at least {low}")
        if self.size > SIZE_RANGE[1]:
            raise InputError(f"--size {self.size}: must be at most {SIZE_RANGE[1]}")
        if self.kind not in KINDS:
            raise InputError(f"unknown kind of set {self.kind!r}: choose one of {', '.join(KINDS)}")
        if self.device not in DEVICES:
            raise InputError(f"unknown device {self.device!r}: choose one of {', '.join(DEVICES)}")
        if (self.kind == "off-model") != (self.spectra is not None):
            raise InputError("the off-model kind, and no other, needs a file of measured spectra")

    def info(self) -> DatasetInfo:
        """The description of the dataset, from which a sample's bytes follow.

        `device` must be what is used, not `auto`; see `synth.processes.find_device`.

        Raises
        ------
        InputError
            The head provider is not known or not installed, the measured spectra cannot be used,
            or the skin model has no dermis of its own, which spectral kinds need.
        MissingDependencyError
            Blender is missing, or this is another Python than it needs.
        """
        provider = load_provider(self.heads)
        model = SkinModel.load(self.skin_model)
        if self.kind != "transport":
            Skin(model).blur(np.zeros(1))
        config: dict[str, Any] = {}
        if self.spectra is not None:
            Residuals.load(self.spectra, model)
            config["spectra"] = file_hash(self.spectra)
        return DatasetInfo(
            config={
                **config,
                "kind": self.kind,
                "size": self.size,
                "samples": self.samples,
                "sampling": self.sampling.to_dict(),
                "code": code_hash(),
                "occlusion": self.occlusion,
                "indirect": self.indirect,
                "device": self.device,
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
        The folder is in use, cannot be written or belongs to other settings; a render failed;
        there is no such device; the scheduler does not answer; or, once all others are in place,
        samples failed their checks.
    """
    device = find_device(settings.device, settings.scheduler)
    settings = replace(settings, device=device.kind)
    info = settings.info()
    cluster = connect(settings.scheduler) if settings.scheduler else nullcontext()
    try:
        with cluster as client, DatasetWriter(folder, info) as writer:
            return _fill(writer, info, settings, device, client, progress)
    except OSError as error:
        raise BiofaceError(
            f"{folder}: cannot be written ({error.strerror or error}); "
            "run the same command again to continue"
        ) from error


def _fill(
    writer: DatasetWriter,
    info: DatasetInfo,
    settings: Settings,
    device: Device,
    client: Any,
    progress: Callable[[int, int], None] | None,
) -> int:
    missing = [i for i in range(settings.count) if i not in writer.finished]
    writer.log(f"start: {len(missing)} of {settings.count} samples to render on {device}")
    done = settings.count - len(missing)
    if progress:
        progress(done, settings.count)
    jobs = make_jobs(writer.partial, missing, settings, versions_of(info))
    if client is not None:
        reports = run_jobs_on_cluster(jobs, client)
    else:
        reports = run_jobs(jobs, settings.workers)
    failed: dict[int, str] = {}
    with closing(reports):  # ends the render processes before their folder goes
        for report in reports:
            if "failed" in report:
                _give_up(writer, report, failed)
            else:
                publish(writer, report)
            done += 1
            if progress:
                progress(done, settings.count)
    writer.sort_manifest()
    writer.log("end")
    if failed:
        names = ", ".join(f"{sample_id(index)} ({failed[index]})" for index in sorted(failed))
        raise BiofaceError(
            f"{writer.folder}: {len(failed)} of {settings.count} samples failed their checks and "
            f"are left out: {names}; the others are in place, and a larger --count makes up for "
            "them"
        )
    return len(missing)


def _give_up(writer: DatasetWriter, report: dict[str, Any], failed: dict[int, str]) -> None:
    """Log a sample that failed its checks and add it to `failed`, as long as such are rare."""
    index, reason = report["index"], report["failed"]
    writer.log(f"{sample_id(index)}: failed its checks and is left out: {reason}")
    failed[index] = reason
    if len(failed) == MOST_FAILED:
        raise BiofaceError(
            f"{writer.folder}: {MOST_FAILED} samples failed their checks, the last for this: "
            f"{reason}; that is no accident of a scene: see run.log"
        )


def versions_of(info: DatasetInfo) -> dict[str, str]:
    """What render processes shall have, too; `Job.versions`."""
    found = {"code": info.config["code"], "bpy": info.bpy, "heads": info.heads["asset_hash"]}
    if "spectra" in info.config:
        found["spectra"] = info.config["spectra"]
    return found


def make_jobs(
    partial: Path, indices: list[int], settings: Settings, versions: dict[str, str]
) -> list[Job]:
    """Batches of at most `settings.batch` samples, no fewer than workers while there are enough.

    The workers share the cores; on a cluster each task has one, as Dask counts them. `versions`
    as in `Job`.
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
            heads=settings.heads if settings.heads in NAMES else _absolute(settings.heads),
            sampling=settings.sampling.to_dict(),
            skin_model=settings.skin_model,
            occlusion=settings.occlusion,
            indirect=settings.indirect,
            kind=settings.kind,
            spectra=settings.spectra and _absolute(settings.spectra),
            device=settings.device,
            versions=versions,
            threads=threads,
        )
        for start in range(0, len(indices), batch)
    ]


def publish(writer: DatasetWriter, report: dict[str, Any]) -> None:
    """Put a rendered sample in place and log what it took."""
    line = dict(report)
    seconds, error = line.pop("seconds"), line.pop("recomposition_error")
    retried = line.pop("retried", None)
    writer.publish(line)
    again = f", second sampling pattern: {retried}" if retried else ""
    writer.log(
        f"{sample_id(line['index'])}: {seconds:.2f} CPU s, recomposition error {error:.1e}{again}"
    )


def _absolute(path: str) -> str:
    """For render processes, which may run elsewhere; links keep their name and neighbours."""
    return str(Path(path).expanduser().absolute())


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bioface-synth generate`."""
    default = Settings(count=1)

    def option(name: str, kind: type, text: str, metavar: str | None = None) -> None:
        # Left out of the options when not given, so that a preset may say it.
        parser.add_argument(
            f"--{name}", type=kind, metavar=metavar, default=argparse.SUPPRESS, help=text
        )

    parser.add_argument(
        "--out", required=True, metavar="DIR", help="dataset folder; resumed if it exists"
    )
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="; ".join(f"{name}: {_in_words(values)}" for name, values in PRESETS.items())
        + ". Options given beside it override it",
    )
    option("count", int, "samples it shall hold; needed without --preset", "N")
    option("size", int, f"pixels a side ({default.size})")
    option("seed", int, f"({default.seed})")
    option("heads", str, f"procedural, ict-facekit, or a file ({default.heads})", "NAME|PATH")
    option("samples", int, f"samples per pixel ({default.samples})")
    option("workers", int, f"render processes ({default.workers})")
    option("batch", int, f"samples a process renders ({default.batch})")
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default=argparse.SUPPRESS,
        help="what Cycles renders on; each kind gives other bytes. auto: a GPU if there is one "
        f"({default.device})",
    )
    parser.add_argument(
        "--spectral",
        action="store_true",
        help="spectral truth: also render all 33 bands with subsurface scattering (13 times the "
        "time), for validation",
    )
    parser.add_argument(
        "--off-model",
        metavar="SPECTRA",
        help="spectral truth of skin that the model does not describe: with residuals of held-out "
        "people in this npz (wavelength, reflectance, subject), other oxygenation and scattering",
    )
    parser.add_argument(
        "--occlusion",
        action="store_true",
        help="store how much of the sky the head hides, too (a tenth slower)",
    )
    parser.add_argument(
        "--indirect",
        action="store_true",
        help="store which share of the light came by way of other surfaces, too: training then "
        "gives it their colour",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler such as tcp://host:8786 whose workers share DIR (this machine)",
    )


_OPTIONS = ("count", "size", "seed", "heads", "samples", "workers", "batch", "device")


def settings_of(options: argparse.Namespace) -> Settings:
    """What the command line asks for: the preset, overridden by the options that were given.

    Raises
    ------
    InputError
        An option is out of its range, or there is neither `--count` nor `--preset`.
    """
    values: dict[str, Any] = dict(PRESETS[options.preset]) if options.preset else {}
    values |= {name: getattr(options, name) for name in _OPTIONS if hasattr(options, name)}
    if "count" not in values:
        raise InputError("--count N or --preset is needed: how many samples to render")
    if options.spectral:
        values["kind"] = "spectral"
    if options.off_model:
        values |= {"kind": "off-model", "spectra": options.off_model}
    stored = {"occlusion": options.occlusion, "indirect": options.indirect}
    return Settings(**values, **stored, scheduler=options.scheduler)


def _in_words(preset: Mapping[str, Any]) -> str:
    kind = "spectral truth, " if preset.get("kind") == "spectral" else ""
    detail = f"{preset['samples']} spp, seed {preset['seed']}"
    return f"{preset['count']} samples of {preset['size']} px, {kind}{detail}"


def run(options: argparse.Namespace) -> int:
    """`bioface-synth generate`."""
    from tqdm import tqdm

    settings = settings_of(options)
    started = time.monotonic()
    with tqdm(total=settings.count, unit="image", desc="render", disable=None) as bar:

        def show(done: int, wanted: int) -> None:
            if bar.n == 0 and done:
                bar.initial = done  # what was there before does not count towards the rate
            bar.update(done - bar.n)

        rendered = generate(options.out, settings, progress=show)
    seconds = time.monotonic() - started
    held = len(read_manifest(options.out))
    print(f"{options.out}: {held} samples, {rendered} of them new, {seconds:.0f} s")
    return 0
