"""Strands growing out of a surface: a deterministic builder for hair, beards and brows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synth.heads.nearest import nearest_finder
from synth.heads.shapes import unit_vectors


class Surface:
    """What strands grow from and do not enter: points (V, 3) cm with outward unit normals."""

    def __init__(self, points: np.ndarray, normals: np.ndarray) -> None:
        self._points, self._normals = points, normals
        self._nearest = nearest_finder(points)

    def along(self, points: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """`directions` (S, 3) without what points away from the surface below `points` (S, 3)."""
        normal = self._normals[self._nearest(points)]
        return directions - np.maximum((directions * normal).sum(-1, keepdims=True), 0.0) * normal

    def outside(self, points: np.ndarray, clearance: np.ndarray) -> np.ndarray:
        """`points` (S, 3), those nearer than `clearance` (S,) or inside pushed out."""
        near = self._nearest(points)
        normal = self._normals[near]
        height = ((points - self._points[near]) * normal).sum(-1)
        return points + np.maximum(clearance - height, 0.0)[:, None] * normal


def roots_on(
    vertices: np.ndarray, faces: np.ndarray, chosen: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points (S, 3) on faces `chosen` (S,) and the weights (S, 4) of their corners.

    Parameters
    ----------
    faces
        (F, 4), -1 pads triangles.
    inside
        (S, 2) in 0-1, where on the face.
    """
    corner = faces[chosen]
    corner = np.where(corner < 0, corner[:, 2:3], corner)
    u, v = inside[:, 0], inside[:, 1]
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], -1)
    return (vertices[corner] * weights[..., None]).sum(1), weights


def grow(
    roots: np.ndarray,
    steer: Callable[[np.ndarray, float], np.ndarray],
    length: np.ndarray,
    steps: int,
    surface: Surface,
    clearance: np.ndarray,
) -> np.ndarray:
    """Paths (S, steps + 1, 3) from `roots` (S, 3).

    Parameters
    ----------
    steer
        Gives directions (S, 3), of any length, at points (S, 3) and a share 0-1 of the length.
    length
        (S,) cm.
    clearance
        (S,) cm that the tips keep from the surface; nearer the root less.
    """
    paths = [roots]
    stride = (length / steps)[:, None]
    for step in range(steps):
        share = (step + 1) / steps
        point = paths[-1] + stride * unit_vectors(steer(paths[-1], share - 0.5 / steps))
        paths.append(surface.outside(point, clearance * min(1.0, 2.5 * share)))
    return np.stack(paths, 1)
