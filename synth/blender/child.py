"""The process that renders one batch and exits, so that nothing of Blender accumulates.

`python -m synth.blender.child FD PARENT` reads a job as JSON from standard input (see
`synth.processes.Job`), leaves each sample in the job's `partial` folder and writes one JSON line a
sample to the file descriptor FD: the manifest line with `seconds` (CPU) and
`recomposition_error`; `index` and `failed`, the reason, when the sample fails the checks of every
sampling pattern; or `{"error": message}` before it ends with status 1.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from bioface.errors import BiofaceError
from synth.blender.compat import import_bpy, require_bpy
from synth.blender.passes import RenderCheckError
from synth.dataset.code import code_hash
from synth.sample.skin import Skin
from synth.scene import Scene

_PR_SET_PDEATHSIG = 1
_PATTERNS = 2  # sampling patterns to try before a sample is given up
_VERSIONED = {
    "code": "the code that makes samples",
    "bpy": "the version of Blender",
    "heads": "the head asset",
}


def main(arguments: list[str]) -> int:
    """Render the job on standard input; see the module's text."""
    descriptor, parent = map(int, arguments)
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    job = json.load(sys.stdin)
    with os.fdopen(descriptor, "w", encoding="utf-8") as reports:
        try:
            _render_batch(job, reports)
        except BiofaceError as error:
            _report(reports, {"error": str(error)})
            return 1
    return 0


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


@contextmanager
def _cores(count: int) -> Iterator[None]:
    """Show what is loaded inside only `count` of this process's cores (Linux); 0 shows all.

    Blender starts a worker thread for every core that it finds. Those beyond its render threads
    never sleep while it renders, which doubles the processor time of one render thread on two
    cores.
    """
    usable = sorted(os.sched_getaffinity(0)) if count and sys.platform == "linux" else []
    if count >= len(usable):
        yield
        return
    first = os.getpid() % len(usable)  # not every process on the same
    os.sched_setaffinity(0, (2 * usable)[first : first + count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def _render_batch(job: dict[str, Any], reports: IO[str]) -> None:
    from bioface import SkinModel
    from synth.dataset.write import stage_sample
    from synth.heads import load_provider
    from synth.sample.config import SampleConfig
    from synth.sample.scene import sample_scene
    from synth.sample.skin import Residuals, Skin, sample_off_model
    from synth.sample.view import image_truth

    provider = load_provider(job["heads"])
    _check_versions(job["versions"], provider.asset_hash)
    config = SampleConfig.from_dict(job["sampling"])
    model, kind = SkinModel.load(job["skin_model"]), job["kind"]
    residuals = Residuals.load(job["spectra"], model) if kind == "off-model" else None
    with _cores(job["threads"]):
        import_bpy()
    for index in job["indices"]:
        started = time.process_time()
        sequence = np.random.SeedSequence([job["seed"], index])
        rng = np.random.default_rng(sequence)
        scene = sample_scene(rng, config, provider)
        skin = Skin(model)
        if residuals is not None:
            skin = sample_off_model(rng, scene.record["pigment"]["melanin_u"], residuals, model)
        patterns = (sequence.generate_state(_PATTERNS) & 0x7FFFFFFF).tolist()
        try:
            channels, error, retried = _render_sound(job, scene, skin, patterns)
        except RenderCheckError as reason:
            _report(reports, {"index": index, "failed": str(reason)})
            continue
        truth = image_truth(scene.view, scene.record["landmarks"], job["size"])
        record = {**scene.record, **truth, "kind": kind, "skin": skin.record, **retried}
        line = stage_sample(job["partial"], index, channels, record)
        cost = {
            "seconds": time.process_time() - started,
            "recomposition_error": error,
        }
        _report(reports, {**line, **cost, **retried})


def _render_sound(
    job: dict[str, Any], scene: Scene, skin: Skin, patterns: list[int]
) -> tuple[dict[str, np.ndarray], float, dict[str, str]]:
    """Channels and recomposition error with the first sampling pattern whose render is sound.

    The third value is `{"retried": reason}` if that is not the first of `patterns`.
    """
    *others, last = patterns
    retried: dict[str, str] = {}
    for pattern in others:
        try:
            return *_render_channels(job, scene, skin, pattern), retried
        except RenderCheckError as error:
            retried = {"retried": str(error)}
    return *_render_channels(job, scene, skin, last), retried


def _render_channels(
    job: dict[str, Any], scene: Scene, skin: Skin, pattern: int
) -> tuple[dict[str, np.ndarray], float]:
    from synth.blender.render import render, render_bands

    options = {
        "threads": job["threads"],
        "skin": skin,
        "scratch": job["partial"],
        "device": job["device"],
    }
    size, samples = job["size"], job["samples"]
    stored = {name: job[name] for name in ("occlusion", "indirect")}
    rendering = render(scene, size, samples, pattern, **stored, **options)
    if job["kind"] == "transport":
        return rendering.channels, rendering.recomposition_error
    bands = render_bands(scene, size, samples, pattern, **options)
    return (
        rendering.channels | bands.channels(),
        max(rendering.recomposition_error, bands.recomposition_error),
    )


def _check_versions(asked: dict[str, str], heads: str) -> None:
    """Raise unless this process has what the command that started it has, which may be elsewhere.

    Raises
    ------
    BiofaceError
        Another version of the code that makes samples, of Blender or of the heads: its samples
        would not be those of the dataset.
    """
    mine = {"code": code_hash(), "bpy": require_bpy(), "heads": heads}
    for name, text in _VERSIONED.items():
        if asked[name] != mine[name]:
            raise BiofaceError(
                f"{platform.node()}: {text} is not what the command was started with; "
                "have the same everywhere and run it again"
            )


def _report(reports: IO[str], line: dict[str, Any]) -> None:
    reports.write(json.dumps(line) + "\n")
    reports.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
