"""`bioface-synth heads install`: put a head model where every command finds it."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np

from bioface.atomic import replacing
from bioface.errors import BiofaceError, InputError
from synth.heads.ict_facekit import ARRAYS, array_hash, read_arrays
from synth.heads.obj import read_obj, read_vertices

ICT_HASH = "75c5220c40cfe9edfae9bfa57a87ad2cf8a8090857faad3d59c8b7c59f6f8701"
"""`array_hash` of the ICT-FaceKit arrays that the published weights were trained on."""

_INSTALLABLE = ("ict-facekit",)
_WHERE = (
    "get it with `git clone https://github.com/ICT-VGL/ICT-FaceKit` and run "
    "`bioface-synth heads install ict-facekit --from ICT-FaceKit`"
)
_IDENTITIES = 100


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bioface-synth heads`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser(
        "install",
        help="install a head model",
        description="Install a head model. ICT-FaceKit (MIT licence): " + _WHERE + ".",
    )
    action.add_argument("name", metavar="NAME", choices=_INSTALLABLE, help="ict-facekit")
    action.add_argument(
        "--from",
        dest="source",
        metavar="PATH",
        help="a checkout of ICT-FaceKit, or an npz of its arrays",
    )


def run(options: argparse.Namespace) -> None:
    """Install `options.name` from `options.source` and say where it went."""
    target = install(options.name, options.source)
    print(f"installed {options.name}: {target}")


def folder() -> Path:
    """Where head models are kept: `$XDG_DATA_HOME/bioface/heads`, by default in ~/.local/share."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "bioface" / "heads"


def installed_file(name: str) -> Path:
    """The file of an installed head model.

    Raises
    ------
    InputError
        It is not installed; the message says how to install it.
    """
    path = folder() / f"{name}.npz"
    if not path.is_file():
        raise InputError(f"the head model {name} is not installed: {_WHERE}")
    return path


def install(name: str, source: str | Path | None) -> Path:
    """Verify the arrays of `source` and store them; returns the installed file.

    Parameters
    ----------
    name
        `ict-facekit`.
    source
        A checkout of ICT-FaceKit (the folder that holds `FaceXModel`), or an npz of its arrays.

    Raises
    ------
    InputError
        Unknown name, no source, or a source whose arrays are not the published ones.
    BiofaceError
        The model cannot be stored.
    """
    if name not in _INSTALLABLE:
        raise InputError(f"unknown head model '{name}': {', '.join(_INSTALLABLE)} can be installed")
    if source is None:
        raise InputError(f"--from PATH is missing: {_WHERE}")
    path = Path(source).expanduser()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; {_WHERE}")
    arrays = _read_checkout(path) if path.is_dir() else read_arrays(path)
    if array_hash(arrays) != ICT_HASH:
        raise InputError(
            f"{path}: these are not the published ICT-FaceKit arrays (sha256 {ICT_HASH[:12]}...): "
            "the files are damaged or of another revision"
        )
    target = folder() / f"{name}.npz"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BiofaceError(f"{target.parent}: cannot be made ({error.strerror})") from error
    with replacing(target) as temporary:
        np.savez_compressed(temporary, **{key: arrays[key] for key in (*ARRAYS, "expr_names")})
    return target


def _read_checkout(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `read_arrays` reads from an npz, made from the OBJ files of a checkout."""
    model = path / "FaceXModel" if (path / "FaceXModel").is_dir() else path
    neutral = model / "generic_neutral_mesh.obj"
    if not neutral.is_file():
        raise InputError(f"{path}: no FaceXModel/generic_neutral_mesh.obj; is this ICT-FaceKit?")
    try:
        names = sorted(json.loads((model / "vertex_indices.json").read_text())["expressions"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{model / 'vertex_indices.json'}: no list of expressions") from error
    mesh = read_obj(neutral, material_only=True)
    shapes = {
        "identity": [f"identity{k:03d}" for k in range(_IDENTITIES)],
        "expr": names,
    }
    arrays: dict[str, np.ndarray] = {
        "mean": mesh.vertices.astype(np.float32),
        "faces": mesh.faces.astype(np.uint16),
        "uvidx": mesh.uv_indices.astype(np.int32),
        "vt": mesh.uvs.astype(np.float32),
        "face_mat": mesh.part.astype(np.uint8),
        "expr_names": np.array(names),
    }
    for key, stems in shapes.items():
        targets = np.stack([_same_count(model / f"{stem}.obj", mesh.vertices) for stem in stems])
        arrays[key] = (targets - mesh.vertices).astype(np.float16)
    return arrays


def _same_count(path: Path, like: np.ndarray) -> np.ndarray:
    vertices = read_vertices(path)
    if vertices.shape != like.shape:
        raise InputError(f"{path}: {len(vertices)} vertices where the neutral mesh has {len(like)}")
    return vertices
