"""Images at other sizes and places, in numpy alone: area means, bilinear and bicubic sampling."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bioface.cores import in_threads

_CUBIC = -0.5  # of Keys (1981): even slopes stay even
_ROWS = 128


def blocks(image: np.ndarray, factor: int) -> np.ndarray:
    """Means over squares of `factor` pixels: (H, W, C) to (ceil(H / factor), ..., C) float32.

    Where the squares reach over the lower or right edge the last pixel is repeated.
    """
    if factor == 1:
        return np.asarray(image, np.float32)
    height, width, channels = image.shape
    missing = (-height % factor, -width % factor)
    if any(missing):
        image = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    rows = image.reshape(-1, factor, image.shape[1] * channels).mean(axis=1, dtype=np.float32)
    return rows.reshape(len(rows), -1, factor, channels).mean(axis=2)


def shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Area means of an image (H, W[, C]) at a smaller `size` (h, w): float32 (h, w[, C])."""
    planes = np.asarray(image, np.float32)
    down = _coverage(planes.shape[0], size[0]) @ planes.reshape(planes.shape[0], -1)
    down = down.reshape(size[0], *planes.shape[1:])
    across = _coverage(planes.shape[1], size[1])
    return np.moveaxis(np.tensordot(across, down, axes=(1, 1)), 0, 1)


def _coverage(length: int, parts: int) -> np.ndarray:
    """(parts, length): share of each pixel in each of `parts` equal parts of a line; rows sum 1."""
    edges = np.linspace(0, length, parts + 1)
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(covered, 0, None) * (parts / length)).astype(np.float32)


def enlarge(planes: np.ndarray, factor: int) -> np.ndarray:
    """Planes (H, W, C) enlarged by a whole factor: bicubic (a = -0.5), float32, edges repeated."""
    if factor == 1:
        return np.asarray(planes, np.float32)
    height, width, _ = planes.shape
    out = np.tensordot(_cubic(height, factor), planes.astype(np.float32), axes=(1, 0))
    return np.moveaxis(np.tensordot(_cubic(width, factor), out, axes=(1, 1)), 0, 1)


def _cubic(length: int, factor: int) -> np.ndarray:
    """(factor * length, length) weights of cubic convolution (Keys 1981)."""
    at = (np.arange(factor * length) + 0.5) / factor - 0.5
    weights = np.zeros((len(at), length), np.float32)
    first = np.floor(at).astype(int) - 1
    rows = np.arange(len(at))
    for tap in range(4):
        x = np.abs(at - (first + tap))
        near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1
        far = _CUBIC * (((x - 5) * x + 8) * x - 4)
        np.add.at(weights, (rows, np.clip(first + tap, 0, length - 1)), np.where(x <= 1, near, far))
    return weights


def softened(grid: np.ndarray, times: int) -> np.ndarray:
    """A grid (H, W[, C]) averaged `times` over neighbours, weights 1-2-1, edges repeated."""
    margins = [(1, 1), (1, 1), *[(0, 0)] * (grid.ndim - 2)]
    for _ in range(times):
        wide = np.pad(grid, margins, mode="edge")
        wide = 0.25 * wide[:-2] + 0.5 * wide[1:-1] + 0.25 * wide[2:]
        grid = 0.25 * wide[:, :-2] + 0.5 * wide[:, 1:-1] + 0.25 * wide[:, 2:]
    return grid


def sample(image: np.ndarray, matrix: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bilinear values of an image (H, W, C) on a grid (h, w) placed in it: float32 (h, w, C).

    Parameters
    ----------
    matrix
        (2, 3): a point (x, y) of the grid lies at `matrix @ (x, y, 1)` of the image, both measured
        from the top left corner (pixel centres at halves). Beyond the image its last pixel counts.
    """
    height, width, channels = image.shape
    flat = np.ascontiguousarray(image, np.float32).reshape(-1, channels)
    out = np.empty((*shape, channels), np.float32)
    columns = np.arange(shape[1]) + 0.5

    def fill(rows: slice) -> None:
        lines = np.arange(rows.start, rows.stop)[:, None] + 0.5
        (left, right), (top, bottom) = (
            _neighbours(line[0] * columns + line[1] * lines + line[2], length)
            for line, length in zip(matrix, (width, height), strict=True)
        )
        x, y = right[1][..., None], bottom[1][..., None]
        upper, lower = top[0] * width, bottom[0] * width
        above = flat[upper + left[0]]
        above += (flat[upper + right[0]] - above) * x
        below = flat[lower + left[0]]
        below += (flat[lower + right[0]] - below) * x
        below -= above
        below *= y
        np.add(above, below, out=out[rows])

    in_threads(fill, _parts(shape[0]))
    return out


def _neighbours(
    at: np.ndarray, length: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Index and weight of the pixels before and after the places `at` along a line of `length`."""
    centred = np.clip(at - 0.5, 0, length - 1)
    before = centred.astype(np.int32)
    share = (centred - before).astype(np.float32)
    after = np.minimum(before + 1, length - 1)
    return (before, 1 - share), (after, share)


def _parts(length: int) -> Iterator[slice]:
    for start in range(0, length, _ROWS):
        yield slice(start, min(start + _ROWS, length))


def fill_outside(planes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Replace what lies where `weight` is low by a smooth continuation from where it is high.

    Push-pull: weighted means on ever coarser grids, blended back from coarse to fine. Where the
    weight is 1 the planes are unchanged.

    Parameters
    ----------
    planes
        (h, w, C) float32.
    weight
        (h, w), 0-1.
    """
    height, width = weight.shape
    weight = np.clip(weight, 0, 1)[..., None].astype(np.float32)
    if min(height, width) <= 2:
        total = weight.sum()
        mean = (planes * weight).sum(axis=(0, 1)) / total if total > 0 else planes.mean((0, 1))
        coarse = np.broadcast_to(mean, planes.shape)
    else:
        small_weight = blocks(weight, 2)
        small = blocks(planes * weight, 2) / np.maximum(small_weight, 1e-6)
        filled = fill_outside(small, np.minimum(small_weight[..., 0] * 4, 1))
        coarse = _double(_double(filled, 0), 1)[:height, :width]
    return (weight * planes + (1 - weight) * coarse).astype(np.float32)


def _double(planes: np.ndarray, axis: int) -> np.ndarray:
    """Twice as long along `axis`, linear between pixel centres."""
    first, last = (np.take(planes, [end], axis) for end in (0, -1))
    length = planes.shape[axis]
    padded = np.concatenate([first, planes, last], axis)
    before, after = (np.take(padded, np.arange(k, k + length), axis) for k in (0, 2))
    pair = np.stack([0.75 * planes + 0.25 * before, 0.75 * planes + 0.25 * after], axis + 1)
    shape = list(planes.shape)
    shape[axis] *= 2
    return pair.reshape(shape)
