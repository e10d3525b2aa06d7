"""Carry a change of skin on to the skin between and around the hairs of brows.

The mask hardly counts it, as it cannot tell it from the hairs. Left as it was it would show as a
rim around the brows.
"""

from __future__ import annotations

import itertools

import numpy as np

from bioface.photo.face import FaceBox
from bioface.photo.resample import blocks, sample, softened

_BROWS = (slice(17, 22), slice(22, 27))
_NEAR = (0.045, 0.085)  # distance from the brows' line, of the face's size: whole, and gone
_BRIGHTER = (1.8, 2.4)  # green over that of the skin around: no brow is so bright, and none at all
_CELL = 0.01  # of the face's size, on which the change is spread
_SPREADS = 40  # times that neighbouring cells are averaged: about 4.5 cells
_LEAST = 1e-3  # share of skin that a change can be told from
_FLOOR = 1e-3  # linear light: what is darker has no ratio


def surroundings(
    face: FaceBox, landmarks: np.ndarray, shape: tuple[int, int]
) -> tuple[slice, slice]:
    """Rows and columns of a photo of `shape` (H, W) that `continued` changes or looks at."""
    reach = 3 * _NEAR[1] * face.size
    brows = landmarks[17:27]
    rows, columns = (
        slice(max(int(low - reach), 0), max(min(int(high + reach) + 1, length), 0))
        for low, high, length in zip(
            brows.min(axis=0)[::-1], brows.max(axis=0)[::-1], shape, strict=True
        )
    )
    return rows, columns


def continued(
    before: np.ndarray,
    after: np.ndarray,
    mask: np.ndarray,
    size: float,
    landmarks: np.ndarray,
) -> np.ndarray:
    """Change the surroundings of brows by the factor that the skin beside them was changed by.

    Parameters
    ----------
    before, after
        (H, W, 3) linear colours of the `surroundings`, and of the same with the skin changed.
    mask
        (H, W) share of each pixel that was changed, 0-1; where it is 0 nothing changes.
    size, landmarks
        Of the face: its size and its 68 points (68, 2), pixels of these images.

    Returns
    -------
    (H, W, 3): `after`, wholly changed near brows where the mask is small.
    """
    if not mask.any():
        return after
    ratio = np.log(np.maximum(after, _FLOOR) / np.maximum(before, _FLOOR))
    factor = max(round(_CELL * size), 1)
    green = before[..., 1]
    grid = blocks(np.dstack([mask[..., None] * ratio, mask * green, mask]), factor)
    grid = softened(grid, _SPREADS)
    shape = (mask.shape[0], mask.shape[1])
    scale = np.array([[1 / factor, 0, 0], [0, 1 / factor, 0]])
    around = sample(grid[..., :4] / np.maximum(grid[..., 4:], _LEAST), scale, shape)
    where = (mask > 0) * _fading(green / np.maximum(around[..., 3], _FLOOR), _BRIGHTER)
    where = where * _near_brows(landmarks, shape, size)
    changed: np.ndarray = after * np.exp(around[..., :3] * (where * (1 - mask))[..., None])
    return changed


def _near_brows(points: np.ndarray, shape: tuple[int, int], size: float) -> np.ndarray:
    """(h, w) 0-1 of 68 points (68, 2)."""
    rows, columns = (np.arange(length, dtype=np.float32) + 0.5 for length in shape)
    away = [_distance(points[brow], rows, columns) for brow in _BROWS]
    return _fading(np.minimum(*away) / size, _NEAR)


def _fading(distance: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """1 up to the first distance, falling smoothly to 0 at the second."""
    share = np.clip((ends[1] - distance) / (ends[1] - ends[0]), 0, 1)
    return share * share * (3 - 2 * share)


def _distance(line: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Distance (h, w) of pixels from a line through points (N, 2)."""
    nearest = np.full((len(rows), len(columns)), np.inf, np.float32)
    for start, end in itertools.pairwise(line.astype(np.float32)):
        x, y = columns[None] - start[0], rows[:, None] - start[1]
        along = end - start
        share = np.clip((x * along[0] + y * along[1]) / max(float(along @ along), 1e-6), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - share * along[0], y - share * along[1]))
    return nearest
