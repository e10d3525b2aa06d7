"""Meshes of things people wear and grow: tubes, sheets and ribbons as patches. Lengths in cm."""

from __future__ import annotations

import numpy as np

from synth.heads.parts import Patch, grid_faces

_TUBE_SIDES = 6


def tube(
    path: np.ndarray, axis: np.ndarray, half: tuple[float, float], *, closed: bool = False
) -> Patch:
    """A tube of elliptical section along `path` (K, 3).

    Parameters
    ----------
    axis
        (3,) never parallel to the path: the section's second axis lies along it.
    half
        Half widths of the section across and along `axis`.
    closed
        The path's end joins its start.
    """
    looped = np.concatenate([path[-1:], path, path[:1]]) if closed else path
    along = np.gradient(looped, axis=0)[1:-1] if closed else np.gradient(looped, axis=0)
    across = unit_vectors(np.cross(along, axis))
    up = unit_vectors(np.cross(across, along))
    turn = 2 * np.pi * np.arange(_TUBE_SIDES) / _TUBE_SIDES
    offset = (
        half[0] * np.cos(turn)[:, None] * across[:, None]
        + half[1] * np.sin(turn)[:, None] * up[:, None]
    )
    rows = path[:, None] + offset
    if closed:
        rows = np.concatenate([rows, rows[:1]])
    return sheet(rows, closed=True)


def sheet(rows: np.ndarray, *, closed: bool = False) -> Patch:
    """A surface through a grid of points (rows, columns, 3); `closed` joins the columns."""
    faces = grid_faces(rows.shape[0], rows.shape[1], closed=closed)
    return Patch(rows.reshape(-1, 3), faces, np.zeros((len(faces), 4, 2)))


def fan(outline: np.ndarray, centre: np.ndarray) -> Patch:
    """Triangles from `centre` (3,) to a closed outline (K, 3)."""
    count = len(outline)
    first = np.arange(count)
    ends = [np.full(count, count), first, np.roll(first, -1), np.full(count, -1)]
    return Patch(
        np.concatenate([outline, centre[None]]), np.stack(ends, -1), np.zeros((count, 4, 2))
    )


def ribbons(paths: np.ndarray, sides: np.ndarray, width: np.ndarray) -> Patch:
    """Flat strips along `paths` (S, K, 3).

    Parameters
    ----------
    sides
        (S, 3) or (S, K, 3): roughly where the strip extends across its path.
    width
        (S, K) full width at every point.
    """
    count, steps = paths.shape[:2]
    along = unit_vectors(np.gradient(paths, axis=1))
    across = np.broadcast_to(sides[:, None] if sides.ndim == 2 else sides, paths.shape)
    across = unit_vectors(across - (across * along).sum(-1, keepdims=True) * along)
    half = across * width[..., None] / 2
    vertices = np.stack([paths - half, paths + half], 2).reshape(-1, 3)
    strip = grid_faces(steps, 2)
    faces = (strip + (2 * steps * np.arange(count))[:, None, None]).reshape(-1, 4)
    return Patch(vertices, faces, np.zeros((len(faces), 4, 2)))


def join(patches: list[Patch]) -> Patch:
    """The patches as one."""
    starts = np.cumsum([0, *(len(patch.vertices) for patch in patches[:-1])])
    return Patch(
        np.concatenate([patch.vertices for patch in patches]),
        np.concatenate(
            [
                np.where(patch.faces < 0, -1, patch.faces + start)
                for patch, start in zip(patches, starts, strict=True)
            ]
        ),
        np.concatenate([patch.uv for patch in patches]),
    )


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """`vectors` (..., 3) scaled to length 1; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(length, 1e-9)


def polar_angle(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """`np.arctan2`, to the bit the same wherever its arguments lie in memory.

    Of columns of a matrix numpy 1.26 takes one of two paths, which differ in the last bit,
    depending on how far from them the result happens to be allocated.
    """
    return np.arctan2(np.ascontiguousarray(y), np.ascontiguousarray(x))
