"""Where a face's skin is: what the network says, held to the face, and to skin that joins it.

Within the face (its mesh; or, of a face known by its box alone, an ellipse) the network's mask
counts as it is. Beyond, on forehead, ears and neck, it counts where the colour is that of the face
and the skin is joined to it: networks take a beige shirt or wall for skin more easily than that.
"""

from __future__ import annotations

import numpy as np

from bioface.photo.crop import Crop
from bioface.photo.face import Face, FaceBox
from bioface.photo.landmarks import skin_region
from bioface.photo.resample import blocks, sample, softened

REACH = 0.08
"""How far beyond the crop skin is taken to go on, as a part of the crop's side; it fades there."""

_GRID = 256  # the longer side on which skin beyond the face is looked for, at most
_SURE = 0.9  # mask within the face from which pixels show the colour of its skin
_ALIKE = (2.0, 3.5)  # distances of log chroma, in spreads, that count wholly and no longer
_LEAST_SPREAD = 0.06
_DARKEST = 1e-3
_FLOOR = 0.01  # added to linear light: what is nearly black has no colour
_LIT = (0.05, 0.1)  # green over the face's median, from none to wholly: darker is cloth or hair
_OF_BROWS = 0.1  # skin shines through brows: it hardly counts, but is known to be there
_JOINED = 0.25  # what is at least so surely skin carries on to its neighbours
_THREAD = 2  # cells that are worn off either side of what carries on
_SOFT = 4  # times that the edge of what goes on is averaged, over a few cells: no steps
_RIM = 5  # cells around a hole whose softness goes with it
_ELLIPSE = (0.5, 0.62, -0.06)  # of the box's size: half axes, and how far up its middle lies


def skin_mask(
    face: FaceBox,
    crop: Crop,
    window: tuple[slice, slice],
    network_mask: np.ndarray,
    linear: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """How surely each pixel of a window of the photo is skin of the face, and is in the face.

    Parameters
    ----------
    face
        In pixels of the photo.
    crop
        What the network saw; no skin is further than `REACH` beyond it.
    window
        Rows and columns of the photo.
    network_mask
        (h, w) probability of skin in the window.
    linear
        (h, w, 3) linear colours there.

    Returns
    -------
    (h, w) float32 in 0-1, twice: the mask, and the part of the window that is face (without eyes,
    brows and mouth where a mesh tells them).
    """
    corner = np.array([window[1].start, window[0].start], np.float64)
    shape = (network_mask.shape[0], network_mask.shape[1])
    if isinstance(face, Face):
        mesh = face.mesh - corner
        core, whole = skin_region(mesh, shape), skin_region(mesh, shape, holes=False)
        brows = np.maximum(skin_region(mesh, shape, brows=True) - core, 0)
    else:
        core = whole = _ellipse(face, corner, shape)
        brows = np.zeros_like(core)
    factor = -(-max(shape) // _GRID)
    grid = blocks(np.dstack([network_mask, core, whole, linear]), factor)
    beyond = _beyond(grid[..., 0], grid[..., 1], grid[..., 2], grid[..., 3:])
    places = _centres(beyond.shape, factor) + corner
    beyond = beyond * _within(crop, places)
    scale = np.array([[1 / factor, 0, 0], [0, 1 / factor, 0]])
    around = sample(beyond[..., None], scale, shape)[..., 0]
    mask = network_mask * (core + _OF_BROWS * brows + (1 - whole) * around)
    return np.clip(mask, 0, 1).astype(np.float32), core


def _beyond(
    mask: np.ndarray, core: np.ndarray, whole: np.ndarray, linear: np.ndarray
) -> np.ndarray:
    """0-1 over a grid: whether skin that the network sees beyond the face is the face's own."""
    sure = mask * core > _SURE
    if sure.sum() < 20:
        return np.zeros(mask.shape, np.float32)
    chroma = np.log(np.maximum(linear, 0) + _FLOOR)
    chroma = chroma[..., [0, 2]] - chroma[..., 1:2]
    middle = np.median(chroma[sure], axis=0)
    spread = 1.48 * np.median(np.abs(chroma[sure] - middle), axis=0)
    away = np.hypot(*np.moveaxis((chroma - middle) / np.maximum(spread, _LEAST_SPREAD), -1, 0))
    near, far = _ALIKE
    alike = np.clip((far - away) / (far - near), 0, 1)
    dark, lit = _LIT
    bright = linear[..., 1] / max(float(np.median(linear[sure][:, 1])), _DARKEST)
    alike *= np.clip((bright - dark) / (lit - dark), 0, 1)
    own = alike * _joined(whole > 0.5, (mask * alike > _JOINED) | (whole > 0.5))
    return softened(np.maximum(own, _enclosed(own > 0.5)), _SOFT)


def _joined(start: np.ndarray, passable: np.ndarray) -> np.ndarray:
    """What of `passable` (h, w) is joined to `start` by more than a thread; and its edge."""
    broad = passable
    for _ in range(_THREAD):
        broad = ~_grown(~broad)
    reached = start & passable
    count = -1
    while count != (count := int(reached.sum())):
        reached = start | (_grown(reached) & broad)
    for _ in range(_THREAD):
        reached = _grown(reached) & passable
    return _grown(reached)


def _enclosed(region: np.ndarray) -> np.ndarray:
    """Holes (h, w) of a region, such as highlights whose colour is the light's, and their rims."""
    outside = ~region
    outside[1:-1, 1:-1] = False
    count = -1
    while count != (count := int(outside.sum())):
        outside = _grown(outside) & ~region
    holes = ~region & ~outside
    for _ in range(_RIM):
        holes = _grown(holes) & ~outside
    return holes


def _grown(region: np.ndarray) -> np.ndarray:
    grown = region.copy()
    grown[1:] |= region[:-1]
    grown[:-1] |= region[1:]
    grown[:, 1:] |= region[:, :-1]
    grown[:, :-1] |= region[:, 1:]
    return grown


def _centres(shape: tuple[int, ...], factor: int) -> np.ndarray:
    """(h, w, 2) x and y of the middles of squares of `factor` pixels."""
    rows, columns = (factor * (np.arange(length) + 0.5) for length in shape[:2])
    return np.stack(np.meshgrid(columns, rows), axis=-1)


def _within(crop: Crop, places: np.ndarray) -> np.ndarray:
    """1 in the crop, falling to 0 over `REACH` beyond its edge."""
    at = crop.from_photo(places) / crop.size
    share = np.clip(np.minimum(at, 1 - at).min(axis=-1) / REACH + 1, 0, 1)
    return share * share * (3 - 2 * share)


def _ellipse(face: FaceBox, corner: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A soft-edged ellipse that the face of a box fills, (h, w)."""
    across, down, up = (part * face.size for part in _ELLIPSE)
    rows, columns = (np.arange(length, dtype=np.float32) + 0.5 for length in shape)
    x = (columns + corner[0] - face.centre[0]) / across
    y = (rows + corner[1] - face.centre[1] - up) / down
    return np.clip((1.08 - np.hypot(x[None], y[:, None])) / 0.16, 0, 1).astype(np.float32)
