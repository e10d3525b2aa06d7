"""Detail at the photo's resolution: each pixel's most probable skin, given the network's maps.

The network works on a small crop; its maps, enlarged, are smooth. With light, camera and tone held
at what the network says, every pixel of the photo is then explained anew (maximum a posteriori):
minimise over x = (log diffuse shading, melanin, haemoglobin, specular shading)

    sum_c (rgb_c - f_c(x))^2 / noise_c^2  +  sum_k (x_k - prior_k)^2 / spread_k^2,

with f the decoder (`bioface.spectral.formation`), rgb the photo's linear colour and the prior the
enlarged maps. A few Gauss-Newton steps, each a closed 3x3 solve, do it. Brightness detail thus goes
mostly to shading, colour detail to the pigments, and what the physics cannot explain stays in the
residual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bioface.cores import in_threads
from bioface.spectral.colour import XYZ_TO_SRGB, reflectance_weights
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, UNIT_RANGE, from_unit

SPREAD_LOG_DIFFUSE = 0.2
SPREAD_MELANIN = 0.035
SPREAD_HAEMOGLOBIN = 0.05
SPREAD_SPECULAR = (0.005, 0.2)
"""Spread of the specular shading: a constant plus a share of the prior's value."""

NOISE = 0.03
"""Noise and model error n: sigma = n sqrt(.15 + L) on linear L."""

CLIPPED = (0.96, 1.0)
"""Encoded values over which a channel ceases to bound the brightness from above, and the pixel's
colour to say anything of its pigments."""

_NOISE_CLIPPED = 0.3
_NODES = 97
_STEPS = 5
_SOFT = 0.1  # in linear light, over which a clipped channel comes to bind
_LONGEST_STEP = 0.4  # of a step in log diffuse shading
_CHUNK = 1 << 15


@dataclass(frozen=True)
class Pixels:
    """Maps of N pixels, float32 (N,): pigments in u, shadings linear."""

    melanin_u: np.ndarray
    haemoglobin_u: np.ndarray
    diffuse_shading: np.ndarray
    specular_shading: np.ndarray

    def __getitem__(self, part: slice) -> Pixels:
        return Pixels(
            self.melanin_u[part],
            self.haemoglobin_u[part],
            self.diffuse_shading[part],
            self.specular_shading[part],
        )


@dataclass(frozen=True)
class SkinColours:
    """Colour of skin at unit shading, tabulated over the pigments for one light and camera.

    Attributes
    ----------
    table
        (97, 97, 6) float32 over melanin and haemoglobin in u, evenly over `UNIT_RANGE`: linear
        sRGB in the photo, then the albedo (D65) in linear sRGB.
    white
        (3,) linear sRGB of a white diffuser: the colour of the specular shading.
    """

    table: np.ndarray
    white: np.ndarray

    @classmethod
    def of(cls, skin: SkinModel, projection: np.ndarray) -> SkinColours:
        """Tabulate `skin` for `Camera.projection(spd)` (33, 3)."""
        units = np.linspace(*UNIT_RANGE, _NODES)
        reflectance = skin.reflectance(
            from_unit(units, MELANIN_RANGE)[:, None],
            from_unit(units, HAEMOGLOBIN_RANGE)[None, :],
            validate=False,
        )
        reference = reflectance_weights() @ XYZ_TO_SRGB.T
        table = reflectance @ np.concatenate([projection, reference], axis=1)
        return cls(table.astype(np.float32), np.asarray(projection).sum(axis=0).astype(np.float32))

    def look_up(
        self, melanin_u: np.ndarray, haemoglobin_u: np.ndarray, channels: slice
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bilinear values (C, N) and their derivatives by melanin and by haemoglobin in u."""
        low, high = UNIT_RANGE
        scale = np.float32((_NODES - 1) / (high - low))
        x = np.clip((melanin_u - low) * scale, 0, _NODES - 1.001)
        y = np.clip((haemoglobin_u - low) * scale, 0, _NODES - 1.001)
        column, row = x.astype(np.int32), y.astype(np.int32)
        x = (x - column).astype(np.float32)
        y = (y - row).astype(np.float32)
        flat = np.ascontiguousarray(self.table[..., channels].reshape(_NODES * _NODES, -1).T)
        first = column * _NODES + row
        v00, v01 = flat[:, first], flat[:, first + 1]
        v10, v11 = flat[:, first + _NODES], flat[:, first + _NODES + 1]
        low_edge = v00 + (v01 - v00) * y
        rise = v10 + (v11 - v10) * y - low_edge
        by_haemoglobin = (v01 - v00) + (v11 - v10 - v01 + v00) * x
        return low_edge + rise * x, rise * scale, by_haemoglobin * scale

    def albedo(self, pixels: Pixels) -> np.ndarray:
        """Albedo (N, 3): linear sRGB under D65, unclipped."""

        def work(part: slice) -> np.ndarray:
            some = pixels[part]
            return self.look_up(some.melanin_u, some.haemoglobin_u, slice(3, 6))[0].T

        return _by_parts(work, len(pixels.melanin_u))

    def render(self, pixels: Pixels) -> np.ndarray:
        """The decoder's linear sRGB (N, 3)."""

        def work(part: slice) -> np.ndarray:
            some = pixels[part]
            skin = self.look_up(some.melanin_u, some.haemoglobin_u, slice(0, 3))[0]
            return (some.diffuse_shading * skin + some.specular_shading * self.white[:, None]).T

        return _by_parts(work, len(pixels.melanin_u))


def _by_parts(work: Callable[[slice], np.ndarray], count: int) -> np.ndarray:
    """`work` of every chunk of `count` pixels, one after the other: (N, 3)."""
    parts = in_threads(work, _parts(count))
    return np.concatenate(parts) if parts else np.zeros((0, 3), np.float32)


def _parts(count: int) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, count, _CHUNK)]


def refine(
    linear: np.ndarray,
    encoded: np.ndarray,
    prior: Pixels,
    trust: np.ndarray,
    colours: SkinColours,
) -> Pixels:
    """Explain each pixel's colour near the network's maps.

    Parameters
    ----------
    linear
        (N, 3) float32 linear sRGB of the photo, tone removed.
    encoded
        (N, 3) float32 the same as it stands in the photo, 0-1: tells which channels are clipped.
    prior
        The network's maps, N pixels.
    trust
        (N,) 0-1: how surely the pixel is skin; scales the spread of pigments and gloss, so that
        hair at the mask's edge does not read as pigment.
    colours
        Tabulated skin colours under the photo's light and camera.
    """

    def work(part: slice) -> Pixels:
        return _refine(linear[part], encoded[part], prior[part], trust[part], colours)

    parts = in_threads(work, _parts(len(linear)))
    if not parts:
        return prior
    return Pixels(*(np.concatenate(planes) for planes in zip(*map(_planes, parts), strict=True)))


def _planes(pixels: Pixels) -> tuple[np.ndarray, ...]:
    return (
        pixels.melanin_u,
        pixels.haemoglobin_u,
        pixels.diffuse_shading,
        pixels.specular_shading,
    )


def _refine(
    linear: np.ndarray,
    encoded: np.ndarray,
    prior: Pixels,
    trust: np.ndarray,
    colours: SkinColours,
) -> Pixels:
    photo = np.ascontiguousarray(linear.T, np.float32)
    clipped = np.clip((encoded.T - CLIPPED[0]) / (CLIPPED[1] - CLIPPED[0]), 0, 1)
    excess = ((_NOISE_CLIPPED * clipped) ** 2).astype(np.float32)
    base = NOISE**2 * (0.15 + np.maximum(photo, 0))
    coloured = trust * (1 - clipped.max(axis=0))
    spread = (
        np.full_like(trust, SPREAD_LOG_DIFFUSE),
        SPREAD_MELANIN * coloured,
        SPREAD_HAEMOGLOBIN * coloured,
        (SPREAD_SPECULAR[0] + SPREAD_SPECULAR[1] * prior.specular_shading) * trust,
    )
    start = (
        np.log(np.maximum(prior.diffuse_shading, 1e-4)),
        np.clip(prior.melanin_u, *UNIT_RANGE),
        np.clip(prior.haemoglobin_u, *UNIT_RANGE),
        prior.specular_shading,
    )
    log_diffuse, melanin, haemoglobin, specular = start
    white = colours.white[:, None]
    # Begin at the photo's brightness: from far away the linearised decoder misleads.
    skin = colours.look_up(melanin, haemoglobin, slice(0, 3))[0]
    left = np.maximum(
        (photo - specular * white).sum(axis=0), 0.1 * np.abs(photo).sum(axis=0) + 1e-3
    )
    log_diffuse = np.log(left / np.maximum(skin.sum(axis=0), 1e-3))
    for _ in range(_STEPS):
        skin, by_melanin, by_haemoglobin = colours.look_up(melanin, haemoglobin, slice(0, 3))
        diffuse = np.exp(log_diffuse)
        slopes = (diffuse * skin, diffuse * by_melanin, diffuse * by_haemoglobin, white)
        columns = [slope * s for slope, s in zip(slopes, spread, strict=True)]
        now = (log_diffuse, melanin, haemoglobin, specular)
        residual = photo - slopes[0] - specular * white
        # A clipped channel says "at least": it binds only what would be darker than the photo.
        noise = base + excess * np.clip(0.5 - residual / _SOFT, 0, 1)
        target = residual
        for slope, x, x0 in zip(slopes, now, start, strict=True):
            target = target + slope * (x - x0)
        solved = _solve(columns, noise, target)
        steps = [(column * solved).sum(axis=0) for column in columns]
        goals = [x0 + width * step for x0, width, step in zip(start, spread, steps, strict=True)]
        length = np.abs(goals[0] - log_diffuse)
        share = _LONGEST_STEP / np.maximum(length, _LONGEST_STEP)
        log_diffuse, melanin, haemoglobin, specular = (
            x + share * (goal - x) for x, goal in zip(now, goals, strict=True)
        )
        melanin = np.clip(melanin, *UNIT_RANGE)
        haemoglobin = np.clip(haemoglobin, *UNIT_RANGE)
        specular = np.maximum(specular, 0)
    return Pixels(melanin, haemoglobin, np.exp(log_diffuse), specular)


def _solve(columns: list[np.ndarray], noise: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(sum_k c_k c_k^T + diag(noise))^-1 target for (3, N) columns, noise and target: (3, N)."""

    def entry(i: int, j: int) -> np.ndarray:
        return sum((column[i] * column[j] for column in columns), np.zeros_like(target[0]))

    a, d, f = entry(0, 0) + noise[0], entry(1, 1) + noise[1], entry(2, 2) + noise[2]
    b, c, e = entry(0, 1), entry(0, 2), entry(1, 2)
    # Square-root-free Cholesky (LDL^T), stable in float32 where the determinant is not.
    l10, l20 = b / a, c / a
    d1 = d - l10 * b
    l21 = (e - l20 * b) / d1
    d2 = f - l20 * c - l21 * l21 * d1
    y0 = target[0]
    y1 = target[1] - l10 * y0
    y2 = target[2] - l20 * y0 - l21 * y1
    x2 = y2 / d2
    x1 = y1 / d1 - l21 * x2
    x0 = y0 / a - l10 * x1 - l20 * x2
    return np.stack([x0, x1, x2])
