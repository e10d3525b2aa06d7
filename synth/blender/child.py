"""The process that renders one batch and exits, so that nothing of Blender accumulates.

`python -m synth.blender.child FD PARENT` reads a job as JSON from standard input (see
`synth.processes.Job`), leaves each sample in the job's `partial` folder and writes one JSON line a
sample to the file descriptor FD: the manifest line with `seconds` (CPU) and
`recomposition_error`, or `{"error": message}` before it ends with status 1.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from typing import IO, Any

import numpy as np

from bioface.errors import BiofaceError
from synth.blender.passes import RenderCheckError

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Render the job on standard input; see the module's text."""
    descriptor, parent = map(int, arguments)
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    job = json.load(sys.stdin)
    with os.fdopen(descriptor, "w", encoding="utf-8") as reports:
        try:
            _render_batch(job, reports)
        except RenderCheckError as error:  # of this seed and index, again and again
            _report(reports, {"error": f"{error}; use another --seed with another --out"})
            return 1
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


def _render_batch(job: dict[str, Any], reports: IO[str]) -> None:
    from bioface import SkinModel
    from synth.blender.render import render, render_bands
    from synth.dataset.write import stage_sample
    from synth.heads import load_provider
    from synth.sample.config import SampleConfig
    from synth.sample.scene import sample_scene
    from synth.sample.skin import Residuals, Skin, sample_off_model
    from synth.sample.view import image_truth

    provider = load_provider(job["heads"])
    config = SampleConfig.from_dict(job["sampling"])
    model, kind = SkinModel.load(job["skin_model"]), job["kind"]
    residuals = Residuals.load(job["spectra"], model) if kind == "off-model" else None
    for index in job["indices"]:
        started = time.process_time()
        sequence = np.random.SeedSequence([job["seed"], index])
        rng = np.random.default_rng(sequence)
        scene = sample_scene(rng, config, provider)
        skin = Skin(model)
        if residuals is not None:
            skin = sample_off_model(rng, scene.record["pigment"]["melanin_u"], residuals, model)
        pattern = int(sequence.generate_state(1)[0]) & 0x7FFFFFFF
        options = {"threads": job["threads"], "skin": skin, "scratch": job["partial"]}
        size, samples = job["size"], job["samples"]
        rendering = render(scene, size, samples, pattern, occlusion=job["occlusion"], **options)
        channels, error = rendering.channels, rendering.recomposition_error
        if kind != "transport":
            bands = render_bands(scene, size, samples, pattern, **options)
            channels |= bands.channels()
            error = max(error, bands.recomposition_error)
        truth = image_truth(scene.view, scene.record["landmarks"], size)
        record = {**scene.record, **truth, "kind": kind, "skin": skin.record}
        line = stage_sample(job["partial"], index, channels, record)
        cost = {
            "seconds": time.process_time() - started,
            "recomposition_error": error,
        }
        _report(reports, {**line, **cost})


def _report(reports: IO[str], line: dict[str, Any]) -> None:
    reports.write(json.dumps(line) + "\n")
    reports.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
