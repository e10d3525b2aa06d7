"""The fast decoder: reflectance as a short, low-rank Chebyshev series in each pigment.

In x = warp(melanin) and y = warp(haemoglobin) skin reflectance is so smooth that P = 8 by Q = 10
Chebyshev polynomials hold it over all fractions from 0 to 1. A separable model,
R = A(melanin) B(haemoglobin), is carried by two small tables (P, 33) and (Q, 33) of A and B at the
Chebyshev nodes, and these by I = 4 and J = 5 functions a_i(x), b_j(y) of low rank. With the
projection (33, 3) of an image's light and camera

    rgb_c(x, y) = sum_ij a_i(x) b_j(y) G_cij,    G_cij = sum_l Q_lc A_il B_jl:

the 33 bands are summed once an image instead of once a pixel.

Where constants of the skin model are tensors, which may carry gradients, the rank is not reduced
(a_i and b_j are the polynomials themselves): its best functions move with the constants, the
polynomials do not. A model that is not separable is tabulated on the grid of nodes, with more of
them.

Against the exact path the error in linear sRGB of a unit-shaded pixel stays below 6e-4 (mean 6e-5)
for the calibrated model and 2e-3 for `alotaibi2019` over all fractions, and with any constant at
its bound below 2e-3 for haemoglobin above 0.0005 (tests hold it there). Fractions outside 0-1 are
clipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

from bioface.spectral.backend import Array, like
from bioface.spectral.colour import XYZ_TO_SRGB, reflectance_weights
from bioface.spectral.skin import SkinModel

NODES = (8, 10)
"""Chebyshev polynomials in melanin and in haemoglobin for a separable model."""

NODES_NOT_SEPARABLE = (12, 20)

RANK = (4, 5)
"""Functions of melanin and of haemoglobin that a separable model with fixed constants needs."""

ORDERS = (7, 9)
"""Polynomials kept of each such function."""

CHUNK = 65536
"""Pixels worked on at once: what keeps the temporaries in a processor's cache."""

_MELANIN_KNEE = 0.3
_HAEMOGLOBIN_KNEE = 0.0003
_MELANIN_SCALE = 2 * _MELANIN_KNEE * (1 + _MELANIN_KNEE)
_HAEMOGLOBIN_SCALE = 2 / math.log1p(1 / _HAEMOGLOBIN_KNEE)


def warp_melanin(fraction: Array) -> Array:
    """x = 2 (1 + k) f / (f + k) - 1 in [-1, 1] with k = 0.3, f clipped to 0-1."""
    f = array_namespace(fraction).clip(fraction, 0.0, 1.0)
    return 1 + 2 * _MELANIN_KNEE - _MELANIN_SCALE / (f + _MELANIN_KNEE)


def warp_haemoglobin(fraction: Array) -> Array:
    """y = 2 log(1 + f / k) / log(1 + 1 / k) - 1 in [-1, 1] with k = 0.0003, f clipped to 0-1."""
    xp = array_namespace(fraction)
    f = xp.clip(fraction, 0.0, 1.0)
    return _HAEMOGLOBIN_SCALE * xp.log1p(f * (1 / _HAEMOGLOBIN_KNEE)) - 1


def warp_melanin_slope(fraction: Array) -> Array:
    """dx / df; outside 0-1 that of the edge, so that a descent finds back inside."""
    f = array_namespace(fraction).clip(fraction, 0.0, 1.0)
    return _MELANIN_SCALE / (f + _MELANIN_KNEE) ** 2


def warp_haemoglobin_slope(fraction: Array) -> Array:
    """dy / df; outside 0-1 that of the edge, so that a descent finds back inside."""
    f = array_namespace(fraction).clip(fraction, 0.0, 1.0)
    return _HAEMOGLOBIN_SCALE / (f + _HAEMOGLOBIN_KNEE)


def unwarp_melanin(x: Array) -> Array:
    """The fraction at the coordinate x: the inverse of `warp_melanin`."""
    share = (x + 1) / (2 + 2 * _MELANIN_KNEE)
    return _MELANIN_KNEE * share / (1 - share)


def unwarp_haemoglobin(y: Array) -> Array:
    """The fraction at the coordinate y: the inverse of `warp_haemoglobin`."""
    scaled = array_namespace(y).expm1((y + 1) / _HAEMOGLOBIN_SCALE)
    return _HAEMOGLOBIN_KNEE * scaled


def chebyshev(x: Array, count: int) -> Array:
    """T_0 ... T_(count-1) of x (..., n), stacked as (..., count, n)."""
    xp = array_namespace(x)
    rows, twice = [xp.ones_like(x), x], 2 * x
    while len(rows) < count:
        rows.append(twice * rows[-1] - rows[-2])
    return xp.stack(rows, axis=-2)


@cache
def chebyshev_derivative(count: int) -> np.ndarray:
    """D (count, count): the coefficients c of a series become c D, those of its derivative."""
    rows = np.zeros((count, count))
    for k in range(1, count):
        rows[k, :k] = np.polynomial.chebyshev.chebder(np.eye(k + 1)[k])
    return rows


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


class Series(NamedTuple):
    """The colour of skin as a bilinear form of functions of either pigment.

    Attributes
    ----------
    table
        G (*batch, 3, I, J).
    melanin, haemoglobin
        (I, P) and (J, Q): Chebyshev coefficients of a_i and b_j.
    """

    table: Array
    melanin: Array
    haemoglobin: Array


def colour_series(skin: SkinModel, projection: Array, *, low_rank: bool = True) -> Series:
    """The series of a skin model under light and camera of a projection (*batch, 33, 3).

    Without `low_rank` it is that of all the polynomials: about ten times closer, and slower.
    """
    xp = array_namespace(projection)
    channels = xp.matrix_transpose(projection)
    if not skin.separable:
        return _dense_series(skin, channels)
    moving = any(is_array_api_obj(value) for value in skin.constants.values())
    if moving or not low_rank:
        a, b = _chebyshev_tables(skin, projection)
        bases = [like(projection, np.eye(count)) for count in NODES]
    else:
        factors = _low_rank(skin.name, tuple(sorted(skin.constants.items())))
        a, b, *bases = (like(projection, factor) for factor in factors)
    return Series((channels[..., None, :] * a) @ xp.matrix_transpose(b), *bases)


def _chebyshev_tables(skin: SkinModel, reference: Array) -> list[Array]:
    """Chebyshev coefficients (P, 33) and (Q, 33) of the factors of a separable model."""
    melanin, haemoglobin = (like(reference, f) for f in node_fractions(*NODES))
    values = (skin.epidermis(melanin, validate=False), skin.dermis(haemoglobin, validate=False))
    return [like(reference, _to_coefficients(len(v))) @ v for v in values]


@lru_cache(maxsize=16)
def _low_rank(name: str, constants: tuple[tuple[str, float], ...]) -> tuple[np.ndarray, ...]:
    """Spectra (I, 33), (J, 33) and coefficients (I, P), (J, Q) of the best low-rank factors.

    Best in the mean square over the warped fraction, each band weighted with what it does to
    colour.
    """
    skin = SkinModel.load(name).with_constants(**dict(constants))
    weight = np.sqrt(((reflectance_weights() @ XYZ_TO_SRGB.T) ** 2).sum(1))
    weight = weight / weight.max() + 0.05
    spectra, coefficients = [], []
    tables = _chebyshev_tables(skin, np.empty(0))
    for table, rank, order in zip(tables, RANK, ORDERS, strict=True):
        weighted = (table * weight)[:order]
        values = chebyshev(np.linspace(-1, 1, 400), order).T @ weighted
        rows = np.linalg.svd(values, full_matrices=False)[2][:rank]
        spectra.append(rows / weight)
        coefficients.append((weighted @ rows.T).T)
    return (*spectra, *coefficients)


def _dense_series(skin: SkinModel, channels: Array) -> Series:
    xp = array_namespace(channels)
    counts = NODES_NOT_SEPARABLE
    melanin, haemoglobin = (like(channels, f) for f in node_fractions(*counts))
    to_p, to_q = (like(channels, _to_coefficients(count)) for count in counts)
    spectra = skin.reflectance(melanin[:, None], haemoglobin[None, :], validate=False)
    values = xp.reshape(spectra, (-1, spectra.shape[-1])) @ xp.matrix_transpose(channels)
    values = xp.reshape(xp.matrix_transpose(values), (*channels.shape[:-1], *counts))
    table = to_p @ values @ xp.matrix_transpose(to_q)
    return Series(table, *(like(channels, np.eye(count)) for count in counts))


def chunks(batch: int, pixels: int, size: int = CHUNK) -> Iterator[tuple[slice, slice]]:
    """Slices of (batch, pixels) that hold about `size` pixels and cover everything."""
    images = max(1, size // max(1, pixels))
    for first in range(0, batch, images):
        for start in range(0, pixels, size):
            yield slice(first, first + images), slice(start, start + size)


def evaluate(series: Series, melanin: Array, haemoglobin: Array) -> Array:
    """Colour (B, 3, n) of one chunk of fractions (B, n); G (B or 1, 3, I, J)."""
    xp = array_namespace(melanin)
    rank, order = series.melanin.shape
    a = series.melanin @ chebyshev(warp_melanin(melanin), order)
    b = series.haemoglobin @ chebyshev(warp_haemoglobin(haemoglobin), series.haemoglobin.shape[1])
    t = xp.reshape(matrix_of(series.table) @ b, (b.shape[0], 3, rank, -1))
    return xp.sum(t * a[:, None, ...], axis=-2)


def matrix_of(table: Array) -> Array:
    """G (B, 3, I, J) as matrices (B, 3 I, J)."""
    return array_namespace(table).reshape(table, (table.shape[0], -1, table.shape[-1]))


def render(
    series: Series,
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
        That of `colour_series`, its table (B or 1, 3, I, J).
    white
        (B or 1, 3) linear sRGB of a white diffuser.
    melanin, haemoglobin, diffuse, specular
        (B, n) maps.
    """
    xp = array_namespace(melanin)
    shared = series.table.shape[0] == 1
    parts: dict[int, list[Array]] = {}
    for images, pixels in chunks(*melanin.shape):
        own = slice(None) if shared else images
        m, h, d, s = (a[images, pixels] for a in (melanin, haemoglobin, diffuse, specular))
        colour = evaluate(series._replace(table=series.table[own, ...]), m, h)
        rgb = d[:, None, :] * colour + s[:, None, :] * white[own, :, None]
        parts.setdefault(images.start, []).append(rgb)
    rows = [row[0] if len(row) == 1 else xp.concat(row, axis=-1) for row in parts.values()]
    return rows[0] if len(rows) == 1 else xp.concat(rows, axis=0)


def _renderer(xp: Any) -> Any:
    """`render`, or for torch the same with gradients written out: faster, and sparing of memory."""
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
    table, white = series.table, xp.sum(projection, axis=-2)
    batch = math.prod(shape[: len(leading)])
    count = 1
    if math.prod(leading) > 1:
        full, count = shape[: len(leading)], batch
        table = xp.broadcast_to(table, (*full, *table.shape[-3:]))
        white = xp.broadcast_to(white, (*full, 3))
    series = series._replace(table=xp.reshape(table, (count, *table.shape[-3:])))
    arrays = [xp.reshape(a, (batch, -1)) for a in maps]
    rgb = _renderer(xp)(series, xp.reshape(white, (count, 3)), *arrays)
    return xp.reshape(xp.moveaxis(rgb, 1, -1), (*shape, 3))
