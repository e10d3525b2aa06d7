"""Meshes of GLB and Blender files, read by Blender in a process of its own."""

from __future__ import annotations

import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from bioface.errors import BiofaceError, InputError
from synth.blender.compat import require_bpy
from synth.blender.read_mesh import ERROR
from synth.heads.obj import PolygonMesh, polygon_mesh
from synth.launcher import child_environment, python_command

SUFFIXES = (".glb", ".blend")
"""Files that Blender reads for us."""


@lru_cache(maxsize=4)
def read_with_blender(path: Path, object_name: str, digest: str) -> PolygonMesh:
    """The mesh of a GLB or Blender file, +Y up; see `synth.blender.read_mesh`.

    This process never loads Blender. The last meshes are kept.

    Parameters
    ----------
    path
        A `.glb` or `.blend` file.
    object_name
        The one object of it to take; all visible meshes when empty.
    digest
        What the file holds, so that a changed file is read again.

    Raises
    ------
    InputError
        Blender cannot read the file, or it holds no such mesh.
    MissingDependencyError
        Blender is not installed.
    BiofaceError
        Blender ended without a result.
    """
    require_bpy()
    with tempfile.TemporaryDirectory(prefix="bioface-") as scratch:
        target = Path(scratch, "mesh.npz")
        process = subprocess.run(
            python_command(
                "-m", "synth.blender.read_mesh", str(path.absolute()), object_name, str(target)
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=child_environment(scratch),
        )
        lines = process.stderr.strip().splitlines()
        for line in lines:
            if line.startswith(ERROR):
                raise InputError(line.removeprefix(ERROR))
        try:
            with np.load(target) as archive:
                arrays = dict(archive)
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            last = f"; {lines[-1]}" if lines else ""
            raise BiofaceError(
                f"{path}: Blender ended while reading it (status {process.returncode}{last})"
            ) from error
    return _polygons(arrays)


def to_y_up(points: np.ndarray) -> np.ndarray:
    """Blender's coordinates (..., 3), +Z up and -Y the front, as +Y up and +Z the front."""
    return points[..., [0, 2, 1]] * [1.0, 1.0, -1.0]


def _polygons(arrays: dict[str, np.ndarray]) -> PolygonMesh:
    uvs = arrays["corner_uv"]
    number = np.where(np.isnan(uvs[:, 0]), -1, np.arange(len(uvs)))
    corners = list(zip(arrays["corner_vertex"].tolist(), number.tolist(), strict=True))
    ends = np.cumsum(arrays["polygon_size"]).tolist()
    starts = [0, *ends[:-1]]
    return polygon_mesh(
        to_y_up(arrays["vertices"]),
        [corners[start:end] for start, end in zip(starts, ends, strict=True)],
        uvs,
        arrays["part"].tolist(),
        tuple(arrays["parts"].tolist()),
    )
