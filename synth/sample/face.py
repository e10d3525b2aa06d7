"""Geometry of a sample: a head of the provider, and hair as a shell over its scalp."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synth.scene import HeadMesh


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3), area-weighted, of quads (F, 4); -1 pads triangles."""
    fourth = np.where(faces[:, 3] < 0, faces[:, 2], faces[:, 3])
    corner = [vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]], vertices[fourth]]
    area = np.cross(corner[2] - corner[0], corner[3] - corner[1])
    triangle = faces[:, 3] < 0
    area[triangle] = np.cross(corner[1] - corner[0], corner[2] - corner[0])[triangle]
    normals = np.zeros((len(vertices), 3))
    real = faces >= 0
    index = faces[real]
    for axis in range(3):
        value = np.repeat(area[:, axis], real.sum(1))
        normals[:, axis] = np.bincount(index, weights=value, minlength=len(vertices))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-12)


def grow_shell(head: HeadMesh, where: np.ndarray, thickness: np.ndarray) -> HeadMesh:
    """`head` with the vertices `where` (N,) pushed out along their normals by `thickness` cm."""
    normals = vertex_normals(head.vertices.astype(np.float64), head.faces)
    vertices = head.vertices.astype(np.float64)
    vertices[where] += normals[where] * thickness[:, None]
    return replace(head, vertices=vertices.astype(np.float32))
