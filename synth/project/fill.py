"""Plausible values where the photo saw no skin: the mirrored side, the region, the neighbours."""

from __future__ import annotations

import numpy as np

from synth.project.raster import triangulate
from synth.scene import HeadMesh

_MIRROR_REACH = 0.6
"""cm within which a vertex of the other side stands for a mirrored one."""
_MIRROR_WEIGHT, _REGION_WEIGHT = 0.3, 0.01
"""Pull of the mirrored value and of the region's median, against 1 for a seen value."""
_SWEEPS = 300


def fill_vertices(
    head: HeadMesh, faces: np.ndarray, values: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """Spread seen per-vertex values smoothly over the rest of the skin.

    Minimises a screened Laplacian energy on the mesh (so texture seams do not show): seen vertices
    pull to their own value with weight `seen`, the others to the value of their mirror image where
    that was seen, and faintly to the median of their region.

    Parameters
    ----------
    faces
        (F,) bool, the faces that are skin.
    values
        (V, C); ignored where `seen` is 0.
    seen
        (V,) weights in [0, 1].

    Returns
    -------
    (V, C) filled values; vertices off the skin keep the overall median.
    """
    weld, count = _weld(head.vertices)
    corners, owner = triangulate(head.faces[faces])
    triangles = weld[np.take_along_axis(head.faces[faces][owner], corners, 1)]
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)

    own = np.bincount(weld, seen, count)
    known = np.stack([np.bincount(weld, seen * column, count) for column in values.T], 1)
    known = known / np.maximum(own, 1e-9)[:, None]
    weight = np.clip(own, 0, 1)
    canonical = np.zeros((count, 3))
    canonical[weld] = head.canonical
    reliable = weight > 0.5
    if not reliable.any():
        reliable = weight > 0
    overall = np.median(known[reliable], 0)

    region = np.zeros(count, np.int64)
    region[triangles.ravel()] = np.repeat(head.region[faces][owner], 3)
    median = np.broadcast_to(overall, known.shape).copy()
    for label in np.unique(region):
        part = reliable & (region == label)
        if part.sum() >= 8:
            median[region == label] = np.median(known[part], 0)

    skin = np.zeros(count, bool)
    skin[triangles.ravel()] = True
    mirrored, pull = _mirror(canonical, known, reliable, skin & (weight < 0.5))
    numerator = weight[:, None] * known + pull[:, None] * mirrored + _REGION_WEIGHT * median
    denominator = weight + pull + _REGION_WEIGHT
    ends = np.concatenate([edges, edges[:, ::-1]])
    degree = np.bincount(ends[:, 0], minlength=count)
    filled = numerator / denominator[:, None]
    for _ in range(_SWEEPS):
        around = np.stack(
            [np.bincount(ends[:, 0], column[ends[:, 1]], count) for column in filled.T], 1
        )
        filled = (numerator + around) / (denominator + degree)[:, None]
    filled[~skin] = overall
    return filled[weld]


def _weld(vertices: np.ndarray) -> tuple[np.ndarray, int]:
    """Index of each vertex among the distinct positions (to 1 um), and their number."""
    distinct, index = np.unique(
        np.round(vertices.astype(np.float64), 4), axis=0, return_inverse=True
    )
    return index.reshape(-1), len(distinct)


def _mirror(
    canonical: np.ndarray, values: np.ndarray, seen: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Value at the nearest seen vertex to each wanted vertex's mirror image, and its pull."""
    mirrored, pull = np.zeros_like(values), np.zeros(len(values))
    targets, sources = np.flatnonzero(wanted), np.flatnonzero(seen)
    if not len(sources):
        return mirrored, pull
    position = canonical[sources]
    for start in range(0, len(targets), 1024):
        part = targets[start : start + 1024]
        reflected = canonical[part] * [-1, 1, 1]
        square = (reflected**2).sum(1)[:, None] + (position**2).sum(1) - 2 * reflected @ position.T
        nearest = square.argmin(1)
        distance = np.maximum(square[np.arange(len(part)), nearest], 0)
        mirrored[part] = values[sources[nearest]]
        pull[part] = _MIRROR_WEIGHT * np.exp(-distance / _MIRROR_REACH**2)
    return mirrored, pull


def dilate(image: np.ndarray, filled: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Grow `image` (H, W, C) into its empty texels by the mean of filled neighbours, `steps` times.

    Texture filtering at the border of a UV island then reads skin, not background.
    """
    image, filled = image.copy(), filled.copy()
    for _ in range(steps):
        total = np.zeros_like(image)
        number = np.zeros(filled.shape, image.dtype)
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            there = np.roll(filled, shift, axis)
            edge = [slice(None), slice(None)]
            edge[axis] = slice(0, 1) if shift == 1 else slice(-1, None)
            there[tuple(edge)] = False
            total += np.roll(image, shift, axis) * there[..., None]
            number += there
        grown = ~filled & (number > 0)
        image[grown] = total[grown] / number[grown][:, None]
        filled |= grown
    return image, filled
