"""Reading photo maps at points of a head, with how well each point was seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bioface.errors import InputError
from bioface.spectral.units import MELANIN_RANGE, to_unit
from synth.project.camera import Fit
from synth.project.raster import rasterise
from synth.scene import HeadMesh

MAPS = ("melanin", "haemoglobin")
_GRAZING, _FRONTAL = 0.15, 0.5
"""Cosines between normal and view: unseen below the first, fully seen above the second."""
_BIAS = 0.4
"""cm behind the nearest surface at which a point still counts as seen."""
_BUFFER = 512
"""Longest side of the depth buffer over the head, in pixels."""
_FEATHER = 0.02
"""Width of the soft border inside the skin mask, as a part of the head's size in the photo."""
_HAIR_BAND, _HAIR_BLUR, _HAIR_EXCESS = 0.12, 0.015, 0.22
"""Hair reaching over the mask's border: how far in it is looked for and how widely melanin is
averaged (parts of the head's size), and the excess over the face's median, in u, that tells it."""


class PhotoReader:
    """Samples skin maps through a fitted camera.

    Parameters
    ----------
    triangles
        (T, 3) vertex indices of the skin, which hides what lies behind it.
    maps
        `melanin`, `haemoglobin` and `mask`, (H, W).
    reduce
        Whole factor by which the maps are averaged first, where texels are coarser than pixels.

    Raises
    ------
    InputError
        A map is missing or has another shape.
    """

    def __init__(
        self,
        head: HeadMesh,
        triangles: np.ndarray,
        fit: Fit,
        maps: Mapping[str, np.ndarray],
        reduce: int = 1,
    ) -> None:
        absent = [name for name in (*MAPS, "mask") if name not in maps]
        if absent:
            raise InputError(f"the estimate holds no {absent[0]} map")
        if len({maps[name].shape for name in (*MAPS, "mask")}) != 1:
            raise InputError("the estimate's maps differ in shape")
        reduce = min(reduce, max(maps["mask"].shape))
        self._fit, self._reduce = fit, reduce
        extent = float(np.ptp(fit.points[triangles].reshape(-1, 2), axis=0).max())
        valid = _without_hair((maps["mask"] >= 0.5).astype(np.float64), maps["melanin"], extent)
        soft = _blur(valid, max(round(_FEATHER * extent), 1))
        planes = [valid, *(valid * maps[name] for name in MAPS), np.clip(2 * soft - 1, 0, 1)]
        self._planes = _reduced(np.stack(planes, 2), reduce)
        self._depth_buffer(fit.points[triangles], fit.depth[triangles], extent)

    def _depth_buffer(self, points: np.ndarray, depth: np.ndarray, extent: float) -> None:
        self._origin = points.min((0, 1))
        self._scale = _BUFFER / extent
        side = np.ceil((points.max((0, 1)) - self._origin) * self._scale).astype(int) + 1
        index, weights = rasterise(
            (points - self._origin) * self._scale, (int(side[1]), int(side[0])), depth
        )
        nearest = (depth[index] * weights).sum(2)
        self._nearest = np.where(index >= 0, nearest, np.inf)

    def read(
        self, points: np.ndarray, depth: np.ndarray, normals: np.ndarray, positions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sample the maps bilinearly at `points` (N, 2) photo pixels.

        `depth` (N,), `normals` and `positions` (N, 3, head coordinates) say how each was seen.

        Returns
        -------
        values
            (N, 2) melanin and haemoglobin; 0 where nothing was seen.
        weight
            (N,) in [0, 1]: 1 seen from the front, inside the mask, with nothing before it.
        """
        sample = _bilinear(self._planes, points / self._reduce)
        covered = sample[:, 0]
        values = sample[:, 1:3] / np.maximum(covered, 1e-6)[:, None]
        view = self._fit.position - positions
        cosine = (normals * view).sum(1) / np.maximum(
            np.linalg.norm(view, axis=1) * np.linalg.norm(normals, axis=1), 1e-12
        )
        facing = np.clip((cosine - _GRAZING) / (_FRONTAL - _GRAZING), 0, 1)
        pixel = np.floor((points - self._origin) * self._scale).astype(int)
        height, width = self._nearest.shape
        x, y = np.clip(pixel[:, 0], 0, width - 1), np.clip(pixel[:, 1], 0, height - 1)
        hidden = np.clip((depth - self._nearest[y, x]) / _BIAS - 1, 0, 1)
        weight = np.where(covered > 0.5, sample[:, 3], 0) * facing * (1 - hidden)
        return np.where(weight[:, None] > 0, values, 0), weight


def _without_hair(valid: np.ndarray, melanin: np.ndarray, extent: float) -> np.ndarray:
    """`valid` (H, W) less what is far darker than the face near the mask's border.

    Face outlines are drawn across fringes and beards, which a reader of skin takes for melanin.
    Moles and freckles, being small or further in, stay.
    """
    if not valid.any():
        return valid
    mean = _blur(np.stack([valid, valid * melanin], 2), max(round(_HAIR_BLUR * extent), 1))
    tone = to_unit(mean[..., 1] / np.maximum(mean[..., 0], 1e-6), MELANIN_RANGE)
    inside = _blur(valid, max(round(_HAIR_BAND * extent), 1)) > 0.999
    excess = tone - np.median(tone[valid > 0])
    return valid * (inside | (excess < _HAIR_EXCESS))


def _bilinear(planes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(H, W, C) at (N, 2) pixel positions; 0 outside the image."""
    height, width = planes.shape[:2]
    position = np.clip(points - 0.5, -2, [width + 1, height + 1])
    corner = np.floor(position).astype(int)
    fraction = position - corner
    out = np.zeros((len(points), planes.shape[2]))
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = corner[:, 0] + dx, corner[:, 1] + dy
            weight = np.abs(1 - dx - fraction[:, 0]) * np.abs(1 - dy - fraction[:, 1])
            weight = weight * ((x >= 0) & (x < width) & (y >= 0) & (y < height))
            pixel = planes[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
            out += weight[:, None] * pixel
    return out


def _reduced(planes: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor x factor blocks; the incomplete last ones are filled up with zeros."""
    if factor == 1:
        return planes
    height, width = (-(-side // factor) for side in planes.shape[:2])
    padded = np.zeros((height * factor, width * factor, planes.shape[2]))
    padded[: planes.shape[0], : planes.shape[1]] = planes
    return padded.reshape(height, factor, width, factor, -1).mean((1, 3))


def _blur(image: np.ndarray, radius: int) -> np.ndarray:
    """Box mean of (H, W, ...) over (2 radius + 1)^2 pixels; outside the image counts as 0."""
    for axis in (0, 1):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (radius + 1, radius)
        total = np.cumsum(np.pad(image, pad), axis=axis)
        high = np.take(total, np.arange(2 * radius + 1, total.shape[axis]), axis)
        low = np.take(total, np.arange(image.shape[axis]), axis)
        image = (high - low) / (2 * radius + 1)
    return image
