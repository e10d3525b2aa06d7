"""Meshes of polygons as arrays, and Wavefront OBJ files read into them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioface.errors import InputError


@dataclass(frozen=True)
class PolygonMesh:
    """What a mesh file holds.

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
        The file cannot be read or a vertex line holds fewer than three numbers.
    """
    rows = [_words(line)[1:4] for line in _lines(path) if line.startswith("v ")]
    try:
        values = np.array(rows, np.float64).reshape(len(rows), 3)
        if not np.isfinite(values).all():
            raise ValueError("not finite")
    except ValueError as error:
        raise InputError(f"{path}: damaged OBJ file, vertex lines without three numbers") from error
    return values


def read_obj(path: Path, material_only: bool = False) -> PolygonMesh:
    """Read vertices, UVs, faces and names; normals, curves and materials are ignored.

    With `material_only` a part is named by its material alone.

    Raises
    ------
    InputError
        The file cannot be read, holds no faces, a line is damaged, or a face refers to vertices
        or UVs that are not there.
    """
    vertices = read_vertices(path)
    read = 0  # vertices above the current line, from which negative indices count back
    uvs: list[list[float]] = []
    polygons: list[list[tuple[int, int]]] = []
    part: list[int] = []
    names = {"o": "", "g": "", "usemtl": ""}
    known: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        keyword, _, rest = line.partition(" ")
        if keyword in names:
            names[keyword] = rest.strip()
        elif keyword == "v":
            read += 1
        elif keyword == "vt":
            try:
                uvs.append(_uv(rest))
            except ValueError as error:
                raise InputError(f"{path}: damaged UV on line {number}") from error
        elif keyword == "f":
            try:
                polygons.append(_polygon([_corner(w, read, len(uvs)) for w in _words(rest)]))
            except ValueError as error:
                raise InputError(f"{path}: damaged face on line {number}") from error
            name = names["usemtl"] if material_only else "/".join(names.values())
            part.append(known.setdefault(name, len(known)))
    if not polygons:
        raise InputError(f"{path}: this OBJ file holds no faces")
    mesh = polygon_mesh(
        vertices, polygons, np.array(uvs, np.float64).reshape(-1, 2), part, tuple(known)
    )
    if mesh.faces.max() >= len(vertices) or mesh.uv_indices.max() >= len(uvs):
        raise InputError(f"{path}: faces refer to vertices or UVs that the file does not hold")
    return mesh


def polygon_mesh(
    vertices: np.ndarray,
    polygons: Sequence[Sequence[tuple[int, int]]],
    uvs: np.ndarray,
    part: Sequence[int],
    parts: tuple[str, ...],
) -> PolygonMesh:
    """A `PolygonMesh` of polygons given as (vertex, UV) indices of their corners.

    `part` is the index into `parts` of every polygon; there must be a polygon.
    """
    quads = [_quads(polygon) for polygon in polygons]
    corners = np.array([quad for some in quads for quad in some])
    return PolygonMesh(
        vertices,
        corners[..., 0],
        corners[..., 1],
        uvs,
        np.repeat(np.array(part), [len(some) for some in quads]),
        parts,
    )


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        return text.replace("\t", " ").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _words(line: str) -> list[str]:
    return line.partition("#")[0].split()


def _uv(text: str) -> list[float]:
    """`u v [w]`; v is 0 where it is left out."""
    u, v, *_ = [*map(float, _words(text)), 0.0]
    if not (math.isfinite(u) and math.isfinite(v)):
        raise ValueError(text)
    return [u, v]


def _corner(word: str, vertices: int, uvs: int) -> tuple[int, int]:
    """Zero-based vertex and UV index of `v`, `v/vt`, `v/vt/vn` or `v//vn`; no UV is -1.

    `vertices` and `uvs` are how many were read so far: negative indices count back from there.
    """
    vertex, uv, *_ = [*word.split("/"), ""]
    return _index(vertex, vertices), _index(uv, uvs) if uv else -1


def _index(text: str, count: int) -> int:
    number = int(text)
    index = number - 1 if number > 0 else count + number
    if number == 0 or index < 0:
        raise ValueError(text)
    return index


def _polygon(corners: list[tuple[int, int]]) -> list[tuple[int, int]]:
    if len(corners) < 3:
        raise ValueError(corners)
    return corners


def _quads(polygon: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    if len(polygon) == 4:
        return [list(polygon)]
    return [[polygon[0], polygon[k], polygon[k + 1], (-1, -1)] for k in range(1, len(polygon) - 1)]
