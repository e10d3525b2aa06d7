"""Find the face of a portrait with the network's skin mask alone, where MediaPipe is missing.

The network looks at windows of the photo of several sizes and its masks are averaged: it was taught
on faces alone and sees one in every window, but what is no skin is seen elsewhere in the next
window, and averages away. The place where the average is most like a face is then looked at
again, moved and scaled until its own mask fits best. That finds one upright face that looks to the
camera, with a box of a fifth of the photo's shorter side or more; several, small, turned and
profile faces are not for it, and its box errs by a tenth of the face's size where MediaPipe's errs
by a hundredth (docs/photos.md).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from bioface.photo.crop import FRAMING, Crop
from bioface.photo.face import FaceBox
from bioface.photo.network import Network
from bioface.photo.resample import shrink
from bioface.spectral.colour import srgb_decode, srgb_encode

_SIDE = 64  # pixels a side of the windows that the network looks at
_SHORTER = 160  # pixels of the photo's shorter side that is looked at
_WINDOWS = (1.2, 0.9, 0.68, 0.5)  # sides of the windows over the photo's shorter side
_STRIDE = 0.25  # of a window's side
_BATCH = 32

_CELLS = 32  # a side of the pattern
_BOXES = np.geomspace(0.2, 0.75, 10)  # sides of faces over the photo's shorter side
_LARGER = 1.15  # by which the averaged masks, which are blurred, show a face too large
_CENTRED = 0.3  # what is taken off for lying at the photo's edge instead of its middle
_LEAST_SPREAD = 0.08
_STEPS = (0.08, 0.04)  # of a window's side, by which it is moved to fit
_ENOUGH = 0.73
"""Likeness of the network's mask and the pattern from which there may be a face, -1 to 1.

With the shipped weights 37 of 39 portraits had 0.75 and more, scikit-image's astronaut 0.78; but
noise had 0.82, a ramp 0.755: the network sees the face it expects where nothing speaks against it.
"""

_FOLLOWS = 0.25
"""By how much that likeness falls, on average, where the window moves by `_AWAY` from a face.

What is seen of a face stays with it, what is only expected moves on with the window. With the
shipped weights 34 of 39 portraits had 0.26 and more, all where MediaPipe finds the face; two of
the others were a third of its size away. The astronaut had 0.28; noise 0.10 and 0.16, a cat 0.24,
a grey wall 0. Round things pass (a cup of coffee 0.31, a retina 0.51).
"""

_DETAIL = 0.1
"""Spread of a face's brightness about a quadratic surface, over its mean, at least.

A ramp, in which the network sees a face that follows (0.28), and a wall that darkens towards its
corners have next to none; of 39 portraits the plainest had over 0.2.
"""

_DARKEST = 1e-3
_AWAY = 0.2  # of the window's side


def locate_face(srgb: np.ndarray, network: Network) -> FaceBox | None:
    """The most face-like place of a photo (H, W, 3) of sRGB floats; None where nothing is."""
    height, width = srgb.shape[:2]
    scale = max(min(height, width) / _SHORTER, 1.0)
    size = (round(height / scale), round(width / scale))
    linear = shrink(np.asarray(srgb_decode(np.asarray(srgb, np.float32))), size)
    small = np.clip(np.asarray(srgb_encode(linear), np.float32), 0, 1)
    window = _most_like(_votes(small, network))
    likeness = -1.0
    for step in _STEPS:
        window, likeness = _fitted(small, window, step, network)
    if likeness < _ENOUGH or likeness - _likeness_beside(small, window, network) < _FOLLOWS:
        return None
    if _detail(small, window) < _DETAIL:
        return None
    half = window.side / FRAMING / 2
    x, y = window.centre
    left, top, right, bottom = (v * scale for v in (x - half, y - half, x + half, y + half))
    return FaceBox((left, top, right, bottom))


def _votes(srgb: np.ndarray, network: Network) -> np.ndarray:
    """(H, W) mean mask over windows of all sizes; in each its middle counts most."""
    shape = (srgb.shape[0], srgb.shape[1])
    windows = [
        Crop((x, y), side, 0.0, _SIDE)
        for side in (share * min(shape) for share in _WINDOWS)
        for y in _middles(shape[0], side)
        for x in _middles(shape[1], side)
    ]
    total, count = np.zeros(shape), np.full(shape, 1e-6)
    for window, mask in zip(windows, _masks(srgb, windows, network), strict=True):
        place = window.window(shape)
        placed = window.place(mask[..., None], place)[..., 0]
        down, across = (np.linspace(-1, 1, length) for length in placed.shape)
        weight = np.exp(-(down[:, None] ** 2) - across[None] ** 2)
        total[place] += weight * placed
        count[place] += weight
    return total / count


def _middles(length: int, side: float) -> np.ndarray:
    """Where windows of `side` are centred along `length`, so that a face may touch its ends."""
    margin = min(side / FRAMING / 2, length / 2)
    count = int(np.ceil((length - 2 * margin) / (_STRIDE * side))) + 1
    return np.linspace(margin, length - margin, count)


def _masks(srgb: np.ndarray, windows: list[Crop], network: Network) -> np.ndarray:
    parts = [windows[i : i + _BATCH] for i in range(0, len(windows), _BATCH)]
    return np.concatenate(
        [network.skin_masks(np.stack([window.extract(srgb) for window in part])) for part in parts]
    )


def _most_like(votes: np.ndarray) -> Crop:
    """The window in which the averaged masks are most like a face."""
    best, found = -np.inf, Crop((0.0, 0.0), 1.0, 0.0, _SIDE)
    height, width = votes.shape
    for box in _LARGER * _BOXES * min(votes.shape):
        cell = FRAMING * box / _CELLS
        size = (max(round(height / cell), 1), max(round(width / cell), 1))
        grid = shrink(votes, size) if cell > 1 else _stretched(votes, size)
        margin = round(_CELLS * (1 - 1 / FRAMING) / 2)
        padded = np.pad(grid, margin, mode="edge")
        if min(padded.shape) < _CELLS:
            continue
        patches = np.lib.stride_tricks.sliding_window_view(padded, (_CELLS, _CELLS))
        likeness, contrast = _compared(patches, _pattern(_CELLS, blurred=True))
        y, x = (
            (np.arange(n) + _CELLS / 2 - margin) / g
            for n, g in zip(likeness.shape, grid.shape, strict=True)
        )
        away = (y[:, None] - 0.5) ** 2 + (x[None] - 0.5) ** 2
        score = likeness * np.sqrt(np.maximum(contrast, 0)) - _CENTRED * away
        row, column = np.unravel_index(score.argmax(), score.shape)
        if score[row, column] > best:
            best = float(score[row, column])
            centre = (float(x[column]) * width, float(y[row]) * height)
            found = Crop(centre, FRAMING * box / _LARGER, 0.0, _SIDE)
    return found


def _stretched(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The nearest pixels of a plane at a larger size."""
    rows, columns = (
        ((np.arange(n) + 0.5) * length / n).astype(int)
        for n, length in zip(size, plane.shape, strict=True)
    )
    return plane[rows][:, columns]


def _fitted(srgb: np.ndarray, window: Crop, step: float, network: Network) -> tuple[Crop, float]:
    """The window around `window` whose own mask is most like a face, and how much."""
    moves = (-step, 0.0, step)
    x, y = window.centre
    near = [
        Crop((x + dx * window.side, y + dy * window.side), window.side * (1 + 2 * ds), 0.0, _SIDE)
        for dx in moves
        for dy in moves
        for ds in moves
    ]
    likeness, _ = _compared(_masks(srgb, near, network), _pattern(_SIDE, blurred=False))
    first = int(likeness.argmax())
    return near[first], float(likeness[first])


def _likeness_beside(srgb: np.ndarray, window: Crop, network: Network) -> float:
    """Mean likeness of a face in the windows left, right, above and below."""
    (x, y), away = window.centre, _AWAY * window.side
    beside = [
        Crop((x + across * away, y + down * away), window.side, 0.0, _SIDE)
        for across, down in ((-1, 0), (1, 0), (0, -1), (0, 1))
    ]
    masks = _masks(srgb, beside, network)
    return float(_compared(masks, _pattern(_SIDE, blurred=False))[0].mean())


def _detail(srgb: np.ndarray, window: Crop) -> float:
    """Standard deviation of a window's brightness about a quadratic surface, over its mean."""
    brightness = window.extract(srgb).mean(-1).ravel()
    along = np.linspace(-1, 1, window.size)
    x, y = (axis.ravel() for axis in np.meshgrid(along, along))
    surface = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    rest = brightness - surface @ np.linalg.lstsq(surface, brightness, rcond=None)[0]
    return float(rest.std() / max(float(brightness.mean()), _DARKEST))


def _compared(
    masks: np.ndarray, pattern: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted correlation, -1 to 1, and covariance of masks (..., n, n) with a pattern."""
    face, weight = pattern
    mean = np.einsum("...ij,ij->...", masks, weight)
    square = np.einsum("...ij,...ij,ij->...", masks, masks, weight)
    contrast = np.einsum("...ij,ij->...", masks, face * weight)
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return contrast / np.maximum(spread, _LEAST_SPREAD), contrast


@cache
def _pattern(cells: int, *, blurred: bool) -> tuple[np.ndarray, np.ndarray]:
    """A face's mask in its crop, mean 0 and spread 1 under the weights, and those, sum 1.

    An oval with two holes for the eyes. What is above it and below may be hair, neck or collar and
    counts little.
    """
    at = (np.arange(cells) + 0.5) / cells - 0.5
    x, y = at[None, :], at[:, None]
    edge = 0.3 if blurred else 0.2
    face = np.clip(0.5 - (np.hypot(x / 0.3, (y + 0.03) / 0.43) - 1) / edge, 0, 1)
    weight = np.where((y > -0.32) & (y < 0.26), 1.0, 0.3) + 0 * x
    for side in (-1, 1):
        eye = np.hypot((x - side * 0.14) / 0.055, (y + 0.2) / 0.04)
        hole = np.clip(0.5 - (eye - 1) / 0.6, 0, 1)
        face = face * (1 - (0.35 if blurred else 0.9) * hole)
        weight = weight + (0 if blurred else 2) * np.clip(2 - eye, 0, 1)
    weight /= weight.sum()
    face = face - (face * weight).sum()
    return face / np.sqrt((face**2 * weight).sum()), weight
