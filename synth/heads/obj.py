"""Wavefront OBJ files as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioface.errors import InputError


@dataclass(frozen=True)
class ObjMesh:
    """What an OBJ file holds.

    Attributes
    ----------
    vertices
        (V, 3) float64.
    faces
        (F, 4) int64 vertex indices, -1 pads triangles; larger polygons are split into fans.
    uv_indices
        (F, 4) int64 into `uvs`; -1 where a corner has none.
    uvs
        (T, 2) float64.
    part
        (F,) index into `parts`.
    parts
        Distinct `object/group/material` names of faces, in order of appearance.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv_indices: np.ndarray
    uvs: np.ndarray
    part: np.ndarray
    parts: tuple[str, ...]


def read_vertices(path: Path) -> np.ndarray:
    """The vertices (V, 3) float64 of an OBJ file.

    Raises
    ------
    InputError
        The file cannot be read or its vertex lines hold anything but numbers.
    """
    rows = [line[2:] for line in _lines(path) if line.startswith("v ")]
    try:
        values = np.array(" ".join(rows).split(), np.float64).reshape(len(rows), -1)
    except ValueError as error:
        raise InputError(f"{path}: damaged OBJ file, vertex lines without three numbers") from error
    return values[:, :3]


def read_obj(path: Path, material_only: bool = False) -> ObjMesh:
    """Read vertices, UVs, faces and names; normals, curves and materials are ignored.

    With `material_only` a part is named by its material alone.

    Raises
    ------
    InputError
        The file cannot be read, holds no faces, or a face line is damaged.
    """
    vertices = read_vertices(path)
    uvs: list[list[float]] = []
    faces: list[list[int]] = []
    corners: list[list[int]] = []
    part: list[int] = []
    names = {"o": "", "g": "", "usemtl": ""}
    known: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        keyword, _, rest = line.partition(" ")
        if keyword in names:
            names[keyword] = rest.strip()
        elif keyword == "vt":
            uvs.append([float(word) for word in rest.split()[:2]])
        elif keyword == "f":
            try:
                quads = _quads([_corner(word, len(vertices), len(uvs)) for word in rest.split()])
            except ValueError as error:
                raise InputError(f"{path}: damaged face on line {number}") from error
            name = names["usemtl"] if material_only else "/".join(names.values())
            for quad in quads:
                faces.append([corner[0] for corner in quad])
                corners.append([corner[1] for corner in quad])
                part.append(known.setdefault(name, len(known)))
    if not faces:
        raise InputError(f"{path}: this OBJ file holds no faces")
    index = np.array(faces)
    if index.max() >= len(vertices) or np.array(corners).max() >= len(uvs):
        raise InputError(f"{path}: faces refer to vertices or UVs that the file does not hold")
    return ObjMesh(
        vertices,
        index,
        np.array(corners),
        np.array(uvs, np.float64).reshape(-1, 2),
        np.array(part),
        tuple(known),
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _corner(word: str, vertices: int, uvs: int) -> tuple[int, int]:
    """Zero-based vertex and UV index of `v`, `v/vt`, `v/vt/vn` or `v//vn`."""
    fields = word.split("/")
    vertex = int(fields[0])
    uv = int(fields[1]) if len(fields) > 1 and fields[1] else 0
    return (
        vertex - 1 if vertex > 0 else vertices + vertex,
        uv - 1 if uv > 0 else (uvs + uv if uv else -1),
    )


def _quads(polygon: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    if len(polygon) < 3:
        raise ValueError(polygon)
    if len(polygon) == 4:
        return [polygon]
    return [[polygon[0], polygon[k], polygon[k + 1], (-1, -1)] for k in range(1, len(polygon) - 1)]
