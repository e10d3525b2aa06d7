"""Work of the extension in a process of its own, so that Blender's window stays alive.

`python -m synth.blender.task` reads one line of JSON from standard input, the job: `kind` and what
that kind needs (the functions below). It writes lines to standard output that start with `PREFIX`
and hold JSON: `{"done", "total", "text"}` as it goes, then `{"result"}`, or `{"error"}` before it
ends with status 1. Other lines are Blender's own. It ends at once when its standard input closes,
so that nothing outlives the Blender that started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bioface.errors import BiofaceError, InputError

PREFIX = "bioface-task "

Progress = Callable[[int, int, str], None]


def main() -> int:
    """Do the job on standard input; see the module's text."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        result = KINDS[job.pop("kind")](**job, progress=_show)
    except BiofaceError as error:
        _say({"error": str(error)})
        return 1
    except Exception as error:
        traceback.print_exc()
        _say({"error": f"{type(error).__name__}: {error}", "unexpected": True})
        return 1
    _say({"result": result})
    return 0


def generate_dataset(
    folder: str, settings: dict[str, Any], *, progress: Progress
) -> dict[str, str | int]:
    """Render a dataset, or go on with it, and draw its contact sheet.

    Parameters
    ----------
    settings
        Keyword arguments of `synth.generate.Settings`.

    Returns
    -------
    `rendered` (samples that are new) and `sheet` (path of the picture).
    """
    from synth.dataset.inspect import write_contact_sheet
    from synth.dataset.read import Dataset
    from synth.generate import Settings, generate

    rendered = generate(
        folder,
        Settings(**settings),
        progress=lambda done, total: progress(done, total, "rendering"),
    )
    return {"rendered": rendered, "sheet": str(write_contact_sheet(Dataset(folder)))}


def render_scene_truth(
    blend: str,
    scene: str,
    path: str,
    samples: int,
    *,
    scripts: bool,
    blocked: bool,
    progress: Progress,
) -> dict[str, str]:
    """Open a .blend file and write the ground truth of one of its scenes; returns `path`.

    Parameters
    ----------
    scripts
        Whether Python inside the file, such as that of drivers, may run.
    blocked
        Whether it was blocked where the file comes from, so that nobody misses it here.
    """
    from synth.blender.compat import import_bpy
    from synth.blender.ground_truth import render_ground_truth, write_ground_truth

    bpy = import_bpy()
    progress(0, 1, "rendering")
    bpy.ops.wm.open_mainfile(filepath=blend, load_ui=False, use_scripts=scripts)
    if bpy.app.autoexec_fail and not blocked:
        raise InputError(
            f"{scene}: Python of the file ({bpy.app.autoexec_fail_message}) may not run beside "
            "Blender; switch on Auto Run Python Scripts in the preferences, under Save & Load"
        )
    truth = render_ground_truth(
        bpy, bpy.data.scenes[scene], samples=samples, scratch=Path(blend).parent
    )
    write_ground_truth(path, truth)
    return {"path": path}


def read_albedo(photo: str, folder: str, *, progress: Progress) -> dict[str, str]:
    """Read the maps of an albedo texture into `folder`; returns the `path` of the EXR."""
    from bioface.photo.albedo import write_albedo_maps

    progress(0, 1, "reading the texture")
    return {"path": str(write_albedo_maps(photo, folder, overwrite=True))}


def estimate_photo(
    photo: str,
    folder: str,
    *,
    weights: str | None,
    face_box: list[float] | None,
    progress: Progress,
) -> dict[str, Any]:
    """Read the maps of a photo's faces into `folder` by onnxruntime.

    Parameters
    ----------
    weights
        ONNX file of `bioface export onnx`; None: the weights of the package.
    face_box
        x, y and side of the square around the face, in pixels; None: it is looked for.

    Returns
    -------
    `path` of the EXR, and the `face_box` of the largest face as it is given.
    """
    from bioface.photo.files import read_photo
    from bioface.photo.network import load_network
    from bioface.photo.read import faces_in, read_faces
    from bioface.photo.result import write_estimate

    progress(0, 4, "loading the network")
    network = load_network(weights, "onnx")
    progress(1, 4, "looking for the face")
    srgb = read_photo(photo)
    try:
        faces = faces_in(srgb, photo, network, None if face_box is None else [_square(face_box)])
    except InputError as error:
        if face_box is not None:
            raise
        raise InputError(f"{photo}: no face found; draw its box with Draw Face Box") from error
    progress(2, 4, "reading the skin")
    result = read_faces(srgb, faces, network)
    progress(3, 4, "writing the maps")
    path = write_estimate(folder, Path(photo).stem, result, None, overwrite=True)
    (x, y), side = faces[0].centre, faces[0].size
    return {"path": str(path), "face_box": [x - side / 2, y - side / 2, side]}


KINDS: dict[str, Callable[..., dict[str, Any]]] = {
    "dataset": generate_dataset,
    "ground_truth": render_scene_truth,
    "albedo": read_albedo,
    "photo": estimate_photo,
}
"""Kind of job to what does it."""


def _square(values: list[float]) -> tuple[float, float, float]:
    x, y, side = values
    return x, y, side


def _show(done: int, total: int, text: str) -> None:
    _say({"done": done, "total": total, "text": text})


def _say(line: dict[str, Any]) -> None:
    print(f"\n{PREFIX}{json.dumps(line)}", flush=True)


def _end_with_parent() -> None:
    # Not through sys.stdin: its lock, held by this thread, would abort Python's own shutdown.
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
