"""From colour back to pigment: melanin and haemoglobin of every pixel, light and camera known.

Two unknowns against three channels, so least squares: in encoded sRGB, where 8-bit rounding is the
same everywhere, linearised at the observed value (each linear residual is weighted with the slope
of the sRGB curve). A coarse table over colour gives the start, then Gauss-Newton steps walk on a
fine table of colours and slopes over the warped fractions of `bioface.spectral.fast`. numpy only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bioface.errors import InputError
from bioface.spectral import fast
from bioface.spectral.colour import XYZ_TO_SRGB, reflectance_weights
from bioface.spectral.grid import BANDS
from bioface.spectral.skin import SkinModel

NODES = 256
COARSE = 6
"""Every so-manieth node stands in the search for the start."""

START_MELANIN, START_HAEMOGLOBIN = 0.6, 0.1
"""The start is within these fractions: dark skin has a second, false solution in much blood."""

CELLS = 24
"""Cells along each axis of the coarse table over encoded colour."""

STEPS = 4
_PIXELS = 1 << 15


class Inversion(NamedTuple):
    """What `invert` finds.

    Attributes
    ----------
    melanin, haemoglobin
        (...) volume fractions, float32, 0-1.
    residual
        (...) root mean square over channels of what the model leaves unexplained, in encoded
        sRGB (0-1): large where the pixel is not skin.
    """

    melanin: np.ndarray
    haemoglobin: np.ndarray
    residual: np.ndarray


def albedo_projection() -> np.ndarray:
    """(33, 3): the projection that reads an albedo, linear sRGB under D65."""
    return reflectance_weights() @ XYZ_TO_SRGB.T


def invert(
    rgb: Any,
    projection: Any | None = None,
    *,
    diffuse_shading: Any = 1.0,
    specular_shading: Any = 0.0,
    skin: SkinModel | None = None,
    threads: int | None = None,
) -> Inversion:
    """Melanin and haemoglobin of every pixel, given light, camera and shading.

    Parameters
    ----------
    rgb
        (..., 3) linear sRGB, before the tone curve.
    projection
        (33, 3) `Camera.projection(spd)` of the light and camera; None: `rgb` is an albedo (D65).
    diffuse_shading, specular_shading
        Numbers or (...) maps, as in `bioface.decode`. Pixels with no diffuse light come out at
        the start of the search and with a residual of 0.
    skin
        Skin model; the default one when None.
    threads
        Threads to use; all processors when None.

    Returns
    -------
    Inversion, shapes (...).

    Raises
    ------
    InputError
        `rgb` is not (..., 3), the shapes do not broadcast, or anything holds NaN or infinity.
    """
    colour = np.asarray(rgb, np.float32)
    if colour.ndim == 0 or colour.shape[-1] != 3:
        raise InputError(f"colours have shape {colour.shape}; (..., 3) needed")
    matrix = np.asarray(albedo_projection() if projection is None else projection, np.float64)
    if matrix.shape != (BANDS, 3):
        raise InputError(f"the projection has shape {matrix.shape}; (33, 3) needed")
    try:
        diffuse, specular = (
            np.broadcast_to(np.asarray(s, np.float32), colour.shape[:-1]).reshape(-1)
            for s in (diffuse_shading, specular_shading)
        )
    except ValueError as error:
        raise InputError(f"shading does not broadcast to {colour.shape[:-1]}") from error
    pixels = colour.reshape(-1, 3)
    for name, values in (
        ("colours", pixels),
        ("projection", matrix),
        ("diffuse shading", diffuse),
        ("specular shading", specular),
    ):
        if not np.isfinite(values).all():
            raise InputError(f"{name}: holds NaN or infinity; mask those pixels first")
    table = _Table.of(SkinModel.load() if skin is None else skin, matrix)
    out = np.empty((3, len(pixels)), np.float32)

    def work(part: slice) -> None:
        out[:, part] = table.invert(pixels[part].T, diffuse[part], specular[part])

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for _ in pool.map(work, _parts(len(pixels))):
            pass
    return Inversion(*out.reshape(3, *colour.shape[:-1]))


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, _PIXELS):
        yield slice(start, min(start + _PIXELS, count))


@dataclass(frozen=True)
class _Table:
    """Colour and its slopes over a square of warped fractions, for one light and camera.

    Attributes
    ----------
    colour, by_x, by_y
        (3, NODES^2) linear sRGB of unit-shaded skin and its change for one node further.
    start
        (CELLS^3,) the node nearest to each cell of the square root of colour, which stands in for
        the sRGB curve.
    white
        (3,) linear sRGB of a white diffuser.
    """

    colour: np.ndarray
    by_x: np.ndarray
    by_y: np.ndarray
    start: np.ndarray
    white: np.ndarray

    @classmethod
    def of(cls, skin: SkinModel, projection: np.ndarray) -> _Table:
        series = fast.colour_series(skin, projection, short=False)
        x, y = np.meshgrid(np.linspace(-1, 1, NODES), np.linspace(-1, 1, NODES), indexing="ij")
        polynomials = fast.products(x.reshape(-1), y.reshape(-1), series.lengths)
        step = 2 / (NODES - 1)
        colour, by_x, by_y = (
            (table @ polynomials).astype(np.float32)
            for table in (series.table, *(step * series.table @ fast.derivatives(series.lengths)))
        )
        white = projection.sum(0).astype(np.float32)
        return cls(colour, by_x, by_y, cls._starts(colour), white)

    @staticmethod
    def _starts(colour: np.ndarray) -> np.ndarray:
        position = np.linspace(-1, 1, NODES)
        x = np.flatnonzero(fast.unwarp_melanin(position) <= START_MELANIN)[::COARSE]
        y = np.flatnonzero(fast.unwarp_haemoglobin(position) <= START_HAEMOGLOBIN)[::COARSE]
        index = (NODES * x[:, None] + y).reshape(-1)
        known = np.sqrt(np.clip(colour[:, index], 0, None))
        axis = (np.arange(CELLS, dtype=np.float32) + 0.5) / CELLS
        half = 0.5 * (known**2).sum(0)
        start = np.empty(CELLS**3, np.int32)
        for k, red in enumerate(axis):
            plane = np.stack(np.meshgrid(red, axis, axis, indexing="ij"), -1).reshape(-1, 3)
            nearest = (half - plane @ known).argmin(1)
            start[k * CELLS**2 : (k + 1) * CELLS**2] = index[nearest]
        return start

    def invert(self, rgb: np.ndarray, diffuse: np.ndarray, specular: np.ndarray) -> np.ndarray:
        """Melanin, haemoglobin and residual (3, n) of one part of the image, rgb (3, n)."""
        lit = np.maximum(diffuse, 1e-6)
        target = (rgb - specular * self.white[:, None]) / lit
        weight = _encoding_slope(rgb) * diffuse
        node = self.start[self._cell(target)]
        squared = weight * weight
        for _ in range(STEPS):
            x, y = np.divmod(node, NODES)
            colour, by_x, by_y = (t.take(node, axis=1) for t in (self.colour, self.by_x, self.by_y))
            gap = target - colour
            wx, wy = squared * by_x, squared * by_y
            xx, xy, yy = (wx * by_x).sum(0), (wx * by_y).sum(0), (wy * by_y).sum(0)
            gx, gy = (wx * gap).sum(0), (wy * gap).sum(0)
            # Marquardt's term keeps the step finite where a pigment hardly shows.
            xx, yy = xx * np.float32(1.0001) + 1e-12, yy * np.float32(1.0001) + 1e-12
            inverse = 1 / (xx * yy - xy * xy)
            at_x = np.clip(x + (yy * gx - xy * gy) * inverse, 0, NODES - 1)
            at_y = np.clip(y + (xx * gy - xy * gx) * inverse, 0, NODES - 1)
            node = (np.rint(at_x) * NODES + np.rint(at_y)).astype(np.int32)
        left = weight * (gap - by_x * (at_x - x) - by_y * (at_y - y))
        residual = np.sqrt((left * left).sum(0) / 3)
        scale = np.float32(2 / (NODES - 1))
        return np.stack(
            [
                np.minimum(fast.unwarp_melanin(at_x * scale - 1), 1),
                np.minimum(fast.unwarp_haemoglobin(at_y * scale - 1), 1),
                residual,
            ]
        )

    @staticmethod
    def _cell(target: np.ndarray) -> np.ndarray:
        encoded = np.sqrt(np.clip(target, 0, 1))
        red, green, blue = np.minimum(encoded * CELLS, CELLS - 1).astype(np.int32)
        return (red * CELLS + green) * CELLS + blue


def _encoding_slope(linear: np.ndarray) -> np.ndarray:
    """Slope of the sRGB curve, held where the curve is clipped at white."""
    clipped = np.clip(linear, np.float32(0.0031308), np.float32(1))
    slope = np.float32(1.055 / 2.4) * np.power(clipped, np.float32(1 / 2.4 - 1))
    return np.where(linear <= np.float32(0.0031308), np.float32(12.92), slope)
