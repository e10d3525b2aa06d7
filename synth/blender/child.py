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
    from synth.blender.render import render
    from synth.dataset.write import stage_sample
    from synth.heads import load_provider
    from synth.sample.config import SampleConfig
    from synth.sample.scene import sample_scene
    from synth.sample.view import image_truth

    provider = load_provider(job["heads"])
    config = SampleConfig.from_dict(job["sampling"])
    for index in job["indices"]:
        started = time.process_time()
        sequence = np.random.SeedSequence([job["seed"], index])
        scene = sample_scene(np.random.default_rng(sequence), config, provider)
        rendering = render(
            scene,
            job["size"],
            job["samples"],
            int(sequence.generate_state(1)[0]) & 0x7FFFFFFF,
            threads=job["threads"],
            skin_model=job["skin_model"],
            occlusion=job["occlusion"],
            scratch=job["partial"],
        )
        truth = image_truth(scene.view, scene.record["landmarks"], job["size"])
        record = {**scene.record, **truth}
        line = stage_sample(job["partial"], index, rendering.channels, record)
        cost = {
            "seconds": time.process_time() - started,
            "recomposition_error": rendering.recomposition_error,
        }
        _report(reports, {**line, **cost})


def _report(reports: IO[str], line: dict[str, Any]) -> None:
    reports.write(json.dumps(line) + "\n")
    reports.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
