"""The fast decoder: reflectance as a short Chebyshev series in each pigment.

In x = warp(melanin) and y = warp(haemoglobin) skin reflectance is so smooth that P = 8 by Q = 10
Chebyshev polynomials hold it over all fractions from 0 to 1. For a separable model,
R = A(melanin) B(haemoglobin), two small tables (P, 33) and (Q, 33) of A and B at the Chebyshev
nodes carry everything, and with the projection (33, 3) of an image's light and camera

    rgb_c(x, y) = sum_pq T_p(x) T_q(y) G_cpq,    G_cpq = sum_l Q_lc A_pl B_ql:

the 33 bands are summed once an image instead of once a pixel. Tables are made anew at each call
(18 spectra), so constants of the skin model may move and carry gradients. A model that is not
separable is tabulated on the grid of nodes, with more of them.

Against the exact path the error in linear sRGB of a unit-shaded pixel stays below 1e-4 for the
calibrated model and 2e-3 for `alotaibi2019` over all fractions, and below 2e-3 with any constant
at its bound for haemoglobin above 0.0005 (tests hold it there). Fractions outside 0-1 are clipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from bioface.spectral.backend import Array, like
from bioface.spectral.skin import SkinModel

NODES = (8, 10)
"""Chebyshev polynomials in melanin and in haemoglobin for a separable model."""

NODES_NOT_SEPARABLE = (12, 20)

CHUNK = 65536
"""Pixels worked on at once: what keeps the temporaries in a processor's cache."""

_MELANIN_KNEE = 0.3
_HAEMOGLOBIN_KNEE = 0.0003
_HAEMOGLOBIN_SPAN = math.log1p(1 / _HAEMOGLOBIN_KNEE)


class Coordinate(NamedTuple):
    """A warped fraction in [-1, 1], and its slope by the fraction (0 where that was clipped)."""

    value: Array
    slope: Array


def warp_melanin(fraction: Array) -> Coordinate:
    """x = 2 (1 + k) f / (f + k) - 1 with k = 0.3, f clipped to 0-1."""
    xp = array_namespace(fraction)
    k = _MELANIN_KNEE
    f = xp.clip(fraction, 0.0, 1.0)
    inverse = 1 / (f + k)
    slope = (2 * k * (1 + k)) * inverse * inverse
    return Coordinate(2 * (1 + k) * f * inverse - 1, xp.where(f == fraction, slope, 0 * slope))


def warp_haemoglobin(fraction: Array) -> Coordinate:
    """y = 2 log(1 + f / k) / log(1 + 1 / k) - 1 with k = 0.0003, f clipped to 0-1."""
    xp = array_namespace(fraction)
    f = xp.clip(fraction, 0.0, 1.0)
    scale = 2 / _HAEMOGLOBIN_SPAN
    slope = scale / (f + _HAEMOGLOBIN_KNEE)
    value = scale * xp.log1p(f * (1 / _HAEMOGLOBIN_KNEE)) - 1
    return Coordinate(value, xp.where(f == fraction, slope, 0 * slope))


def unwarp_melanin(x: Array) -> Array:
    """The fraction at the coordinate x: the inverse of `warp_melanin`."""
    share = (x + 1) / (2 + 2 * _MELANIN_KNEE)
    return _MELANIN_KNEE * share / (1 - share)


def unwarp_haemoglobin(y: Array) -> Array:
    """The fraction at the coordinate y: the inverse of `warp_haemoglobin`."""
    scaled = array_namespace(y).expm1((y + 1) * (_HAEMOGLOBIN_SPAN / 2))
    return _HAEMOGLOBIN_KNEE * scaled


def chebyshev(x: Array, count: int) -> Array:
    """T_0 ... T_(count-1) of x (..., n), stacked as (..., count, n)."""
    xp = array_namespace(x)
    rows, twice = [xp.ones_like(x), x], 2 * x
    while len(rows) < count:
        rows.append(twice * rows[-1] - rows[-2])
    return xp.stack(rows, axis=-2)


def chebyshev_slope(x: Array, count: int) -> Array:
    """The derivatives of `chebyshev` by x: T_k' = k U_(k-1), shape (..., count, n)."""
    xp = array_namespace(x)
    second, twice = [xp.zeros_like(x), xp.ones_like(x)], 2 * x
    while len(second) < count:
        second.append(twice * second[-1] - second[-2])
    return xp.stack([k * row for k, row in enumerate(second)], axis=-2)


@cache
def _nodes(count: int) -> np.ndarray:
    return np.cos((2 * np.arange(count) + 1) * np.pi / (2 * count))


@cache
def _to_coefficients(count: int) -> np.ndarray:
    """Values at the nodes to Chebyshev coefficients (count, count)."""
    return np.linalg.inv(chebyshev(_nodes(count), count).T)


@cache
def node_fractions(melanin_count: int, haemoglobin_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Volume fractions at the Chebyshev nodes of both coordinates."""
    return unwarp_melanin(_nodes(melanin_count)), unwarp_haemoglobin(_nodes(haemoglobin_count))


def colour_series(skin: SkinModel, projection: Array) -> Array:
    """The Chebyshev coefficients G (*batch, 3, P, Q) of a projection (*batch, 33, 3)."""
    xp = array_namespace(projection)
    counts = NODES if skin.separable else NODES_NOT_SEPARABLE
    melanin, haemoglobin = (like(projection, f) for f in node_fractions(*counts))
    to_p, to_q = (like(projection, _to_coefficients(count)) for count in counts)
    channels = xp.matrix_transpose(projection)
    if skin.separable:
        a = to_p @ skin.epidermis(melanin, validate=False)
        b = to_q @ skin.dermis(haemoglobin, validate=False)
        weighted = channels[..., None, :] * a
        return weighted @ xp.matrix_transpose(b)
    spectra = skin.reflectance(melanin[:, None], haemoglobin[None, :], validate=False)
    values = xp.reshape(spectra, (-1, spectra.shape[-1])) @ xp.matrix_transpose(channels)
    values = xp.reshape(xp.matrix_transpose(values), (*channels.shape[:-1], *counts))
    return to_p @ values @ xp.matrix_transpose(to_q)


def chunks(batch: int, pixels: int, size: int = CHUNK) -> Iterator[tuple[slice, slice]]:
    """Slices of (batch, pixels) that hold about `size` pixels and cover everything."""
    images = max(1, size // max(1, pixels))
    for first in range(0, batch, images):
        for start in range(0, pixels, size):
            yield slice(first, first + images), slice(start, start + size)


def rows_of(series: Array) -> Array:
    """G (B, 3, P, Q) as a matrix (B, 3 P, Q) that multiplies the polynomials of haemoglobin."""
    return array_namespace(series).reshape(series, (series.shape[0], -1, series.shape[-1]))


def evaluate(series: Array, melanin: Array, haemoglobin: Array) -> Array:
    """Colour (B, 3, n) of one chunk of fractions (B, n); G (B or 1, 3, P, Q)."""
    xp = array_namespace(melanin)
    p, q = series.shape[-2:]
    v = chebyshev(warp_melanin(melanin).value, p)
    w = chebyshev(warp_haemoglobin(haemoglobin).value, q)
    t = xp.reshape(rows_of(series) @ w, (w.shape[0], 3, p, -1))
    return xp.sum(t * v[:, None, ...], axis=-2)


def render(
    series: Array,
    white: Array,
    melanin: Array,
    haemoglobin: Array,
    diffuse: Array,
    specular: Array,
) -> Array:
    """Linear sRGB (B, 3, n): diffuse shading times colour plus specular shading times white.

    Parameters
    ----------
    series
        (B or 1, 3, P, Q) of `colour_series`.
    white
        (B or 1, 3) linear sRGB of a white diffuser.
    melanin, haemoglobin, diffuse, specular
        (B, n) maps.
    """
    xp = array_namespace(melanin)
    shared = series.shape[0] == 1
    parts: dict[int, list[Array]] = {}
    for images, pixels in chunks(*melanin.shape):
        own = slice(None) if shared else images
        m, h, d, s = (a[images, pixels] for a in (melanin, haemoglobin, diffuse, specular))
        colour = evaluate(series[own, ...], m, h)
        rgb = d[:, None, :] * colour + s[:, None, :] * white[own, :, None]
        parts.setdefault(images.start, []).append(rgb)
    rows = [row[0] if len(row) == 1 else xp.concat(row, axis=-1) for row in parts.values()]
    return rows[0] if len(rows) == 1 else xp.concat(rows, axis=0)


def _renderer(xp: Any) -> Any:
    """`render`, or for torch the same with gradients written out, which saves the maps alone."""
    if xp.__name__.endswith("torch"):
        from bioface.learn.fused import render as fused

        return fused
    return render


def decode_maps(
    skin: SkinModel, projection: Array, maps: tuple[Array, Array, Array, Array]
) -> Array:
    """`bioface.decode` along the fast path: maps (*batch, ...), projection (*batch or (), 33, 3).

    Returns
    -------
    (*batch, ..., 3), a view of memory in which the channels are apart.
    """
    xp = array_namespace(maps[0])
    shape, leading = maps[0].shape, projection.shape[:-2]
    series = colour_series(skin, projection)
    white = xp.sum(projection, axis=-2)
    batch = math.prod(shape[: len(leading)])
    if math.prod(leading) == 1:
        flat = (1, 3)
    else:
        full = shape[: len(leading)]
        series = xp.broadcast_to(series, (*full, *series.shape[-3:]))
        white = xp.broadcast_to(white, (*full, 3))
        flat = (batch, 3)
    series = xp.reshape(series, (flat[0], *series.shape[-3:]))
    arrays = [xp.reshape(a, (batch, -1)) for a in maps]
    rgb = _renderer(xp)(series, xp.reshape(white, flat), *arrays)
    return xp.reshape(xp.moveaxis(rgb, 1, -1), (*shape, 3))
