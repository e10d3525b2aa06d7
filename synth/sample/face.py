"""Geometry of a sample: a head of the provider, and hair as a shell over its scalp."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synth.scene import HeadMesh


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3), area-weighted, of quads (F, 4); -1 pads triangles."""
    triangle = faces[:, 3] < 0
    first, second, third = (vertices[faces[:, k]] for k in range(3))
    fourth = vertices[np.where(triangle, faces[:, 2], faces[:, 3])]
    # The diagonals of a quad; of a triangle, whose last two corners are one, two edges.
    area = np.cross(third - first, fourth - second)
    corner = np.where(faces < 0, len(vertices), faces)
    normals = np.empty((len(vertices), 3))
    for axis in range(3):
        sums = np.bincount(corner.ravel(), np.repeat(area[:, axis], 4), len(vertices) + 1)
        normals[:, axis] = sums[:-1]
    length = np.sqrt((normals**2).sum(1, keepdims=True))
    return normals / np.maximum(length, 1e-12)


def grow_shell(head: HeadMesh, where: np.ndarray, thickness: np.ndarray) -> HeadMesh:
    """`head` with the vertices `where` (N,) pushed out along their normals by `thickness` cm."""
    if not thickness.any():
        return head
    normals = vertex_normals(head.vertices.astype(np.float64), head.faces)
    vertices = head.vertices.astype(np.float64)
    vertices[where] += normals[where] * thickness[:, None]
    return replace(head, vertices=vertices.astype(np.float32))
