"""Which triangle covers which pixel: one vectorised rasteriser for texels and for occlusion."""

from __future__ import annotations

import numpy as np

from synth.scene import REGIONS, SKIN_REGIONS, HeadMesh

_CANDIDATES = 4_000_000
"""Pixel-triangle pairs looked at together: bounds the memory at a few hundred megabytes."""


def triangulate(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split padded quads (F, 4) into triangles.

    Returns
    -------
    corners
        (T, 3) int, the corner 0-3 of its face that each triangle corner is.
    owner
        (T,) int, the face each triangle comes from.
    """
    count = len(faces)
    quads = np.flatnonzero(faces[:, 3] >= 0)
    corners = np.concatenate([np.tile([0, 1, 2], (count, 1)), np.tile([0, 2, 3], (len(quads), 1))])
    return corners, np.concatenate([np.arange(count), quads])


def rasterise(
    triangles: np.ndarray, shape: tuple[int, int], depth: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cover the pixels of an image by triangles.

    Parameters
    ----------
    triangles
        (T, 3, 2) x, y in pixels, y down; the centre of the first pixel is (0.5, 0.5). Either
        orientation counts.
    shape
        (H, W).
    depth
        (T, 3): where triangles overlap, the smallest depth wins. Without it, the last does.

    Returns
    -------
    index
        (H, W) int32, the covering triangle, -1 where there is none.
    barycentric
        (H, W, 3) float32 weights of its corners, 0 where there is none.
    """
    height, width = shape
    index = np.full(height * width, -1, np.int32)
    barycentric = np.zeros((height * width, 3), np.float32)
    nearest = np.full(height * width, np.inf, np.float32)
    triangles = np.asarray(triangles, np.float64)
    limit = np.array([width, height]) - 1
    low = np.clip(np.ceil(triangles.min(1) - 0.5), 0, None).astype(np.int64)
    high = np.minimum(np.floor(triangles.max(1) - 0.5), limit).astype(np.int64)
    extent = np.maximum(high - low + 1, 0)
    origin, first, second = triangles[:, 0], *np.moveaxis(triangles[:, 1:] - triangles[:, :1], 1, 0)
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    counts = extent.prod(1) * (np.abs(area) > 1e-12)
    ends = np.cumsum(counts)
    start = 0
    while start < len(triangles):
        base = ends[start] - counts[start]
        stop = max(int(np.searchsorted(ends, base + _CANDIDATES, "right")), start + 1)
        number = counts[start:stop]
        owner = np.repeat(np.arange(start, stop), number)
        step = np.arange(len(owner)) - np.repeat(ends[start:stop] - number - base, number)
        x = low[owner, 0] + step % np.maximum(extent[owner, 0], 1)
        y = low[owner, 1] + step // np.maximum(extent[owner, 0], 1)
        dx, dy = x + 0.5 - origin[owner, 0], y + 0.5 - origin[owner, 1]
        one = (dx * second[owner, 1] - dy * second[owner, 0]) / area[owner]
        two = (dy * first[owner, 0] - dx * first[owner, 1]) / area[owner]
        weights = np.stack([1 - one - two, one, two], 1)
        inside = (weights >= -1e-9).all(1)
        owner, weights = owner[inside], weights[inside]
        pixel = (y * width + x)[inside]
        if depth is not None:
            distance = (weights * depth[owner]).sum(1)
            order = np.argsort(-distance, kind="stable")
            order = order[distance[order] < nearest[pixel[order]]]
            pixel, owner, weights = pixel[order], owner[order], weights[order]
            nearest[pixel] = distance[order]
        index[pixel] = owner
        barycentric[pixel] = weights
        start = stop
    return index.reshape(shape), barycentric.reshape(height, width, 3)


def skin_faces(head: HeadMesh) -> np.ndarray:
    """(F,) bool: the faces of a head that are skin."""
    wanted = [i for i, name in enumerate(REGIONS) if name in SKIN_REGIONS]
    return np.isin(head.region, wanted)
