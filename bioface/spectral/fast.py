"""The fast decoder: the colour of skin as a short polynomial in both pigments.

In x = warp(melanin) and y = warp(haemoglobin) skin reflectance is so smooth that 29 products of
Chebyshev polynomials hold the colour over all fractions from 0 to 1:

    rgb_c(x, y) = sum_pq G_cpq T_p(x) T_q(y),    G_cpq = sum_l Q_lc A_pl B_ql.

For a separable model, R = A(melanin) B(haemoglobin), A_pl and B_ql are two small tables, the
Chebyshev coefficients of A and B in each band; Q is the projection (33, 3) of an image's light and
camera. So the 33 bands are summed once an image instead of once a pixel. Where constants of the
skin model have moved, or carry gradients, the tables (18 spectra) are made anew at each call and
all their 80 products are kept. A model that is not separable is tabulated on the grid of nodes,
with more of them.

Against the exact path the error in linear sRGB of a unit-shaded pixel stays below 6e-4 (mean 1e-4)
for the calibrated model and 2e-3 for the others over all fractions, and with any constant at its
bound below 2e-3 for haemoglobin above 0.0005 (tests hold it there). Fractions outside 0-1 are
clipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj

from bioface.spectral.backend import Array, table_like
from bioface.spectral.skin import SkinModel

NODES = (8, 10)
"""Chebyshev polynomials in melanin and in haemoglobin for a separable model."""

NODES_NOT_SEPARABLE = (12, 20)

LENGTHS = (5, 5, 4, 4, 4, 3, 2, 2)
"""How many polynomials of melanin go with each of haemoglobin, for a model with its own constants:
the products whose coefficients are above 1e-4 in the calibrated model."""

CHUNK = 32768
"""Pixels worked on at once: what keeps the temporaries in a processor's cache."""

MELANIN_KNEE = 0.3
HAEMOGLOBIN_KNEE = 0.0003
MELANIN_SCALE = 2 * MELANIN_KNEE * (1 + MELANIN_KNEE)
HAEMOGLOBIN_SCALE = 2 / math.log1p(1 / HAEMOGLOBIN_KNEE)


def warp_melanin(fraction: Array) -> Array:
    """x = 2 (1 + k) f / (f + k) - 1 in [-1, 1] with k = 0.3, f clipped to 0-1."""
    f = array_namespace(fraction).clip(fraction, 0.0, 1.0)
    return 1 + 2 * MELANIN_KNEE - MELANIN_SCALE / (f + MELANIN_KNEE)


def warp_haemoglobin(fraction: Array) -> Array:
    """y = 2 log(1 + f / k) / log(1 + 1 / k) - 1 in [-1, 1] with k = 0.0003, f clipped to 0-1."""
    xp = array_namespace(fraction)
    f = xp.clip(fraction, 0.0, 1.0)
    return HAEMOGLOBIN_SCALE * xp.log1p(f * (1 / HAEMOGLOBIN_KNEE)) - 1


def warp_melanin_slope(fraction: Array) -> Array:
    """dx / df; outside 0-1 that of the edge, so that a descent finds back inside."""
    f = array_namespace(fraction).clip(fraction, 0.0, 1.0)
    return MELANIN_SCALE / (f + MELANIN_KNEE) ** 2


def warp_haemoglobin_slope(fraction: Array) -> Array:
    """dy / df; outside 0-1 that of the edge, so that a descent finds back inside."""
    f = array_namespace(fraction).clip(fraction, 0.0, 1.0)
    return HAEMOGLOBIN_SCALE / (f + HAEMOGLOBIN_KNEE)


def unwarp_melanin(x: Array) -> Array:
    """The fraction at the coordinate x: the inverse of `warp_melanin`."""
    share = (x + 1) / (2 + 2 * MELANIN_KNEE)
    return MELANIN_KNEE * share / (1 - share)


def unwarp_haemoglobin(y: Array) -> Array:
    """The fraction at the coordinate y: the inverse of `warp_haemoglobin`."""
    scaled = array_namespace(y).expm1((y + 1) / HAEMOGLOBIN_SCALE)
    return HAEMOGLOBIN_KNEE * scaled


def chebyshev(x: Array, count: int) -> Array:
    """T_0 ... T_(count-1) of x (..., n), stacked as (..., count, n)."""
    xp = array_namespace(x)
    rows, twice = [xp.ones_like(x), x], 2 * x
    while len(rows) < count:
        rows.append(twice * rows[-1] - rows[-2])
    return xp.stack(rows, axis=-2)


def products(x: Array, y: Array, lengths: tuple[int, ...]) -> Array:
    """T_p(x) T_q(y) for p < lengths[q], q after q: (..., n) and (..., n) to (..., K, n)."""
    xp = array_namespace(x)
    blocks = [chebyshev(x, lengths[0])]
    y = y[..., None, :]
    for q, length in enumerate(lengths[1:], start=1):
        before = blocks[-1][..., :length, :]
        block = y * before if q == 1 else 2 * y * before - blocks[-2][..., :length, :]
        blocks.append(block)
    return xp.concat(blocks, axis=-2)


@cache
def derivatives(lengths: tuple[int, ...]) -> np.ndarray:
    """(2, K, K): coefficients c of a series become c D_x and c D_y, those of its derivatives."""
    order = max(len(lengths), lengths[0])
    single = np.zeros((order, order))
    for k in range(1, order):
        single[k, :k] = np.polynomial.chebyshev.chebder(np.eye(k + 1)[k])
    p, q = _terms(lengths)
    by_x = single[np.ix_(p, p)] * (q[:, None] == q)
    by_y = single[np.ix_(q, q)] * (p[:, None] == p)
    return np.stack([by_x, by_y])


def _terms(lengths: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Degrees p and q of the K products."""
    p = np.concatenate([np.arange(length) for length in lengths])
    return p, np.repeat(np.arange(len(lengths)), lengths)


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
    """The colour of skin as a sum of products of polynomials.

    Attributes
    ----------
    table
        G (*batch, 3, K).
    lengths
        Which products: see `products`.
    """

    table: Array
    lengths: tuple[int, ...]


def colour_series(skin: SkinModel, projection: Array, *, short: bool = True) -> Series:
    """The series of a skin model under light and camera of a projection (*batch, 33, 3).

    Without `short` all products are kept: about ten times closer, and slower.
    """
    xp = array_namespace(projection)
    counts = NODES if skin.separable else NODES_NOT_SEPARABLE
    moved = _moved(skin)
    short = short and skin.separable and not moved
    lengths = LENGTHS if short else (counts[0],) * counts[1]
    if moved:
        spectra = _spectra(skin, projection, counts, lengths)
    else:
        spectra = table_like(projection, _shipped_spectra(skin.name, counts, lengths))
    channels = xp.matrix_transpose(projection)
    flat = xp.reshape(channels, (-1, channels.shape[-1])) @ xp.matrix_transpose(spectra)
    return Series(xp.reshape(flat, (*channels.shape[:-1], -1)), lengths)


def _moved(skin: SkinModel) -> bool:
    """Whether any constant is a tensor, or another number than the model was loaded with."""
    shipped = SkinModel.load(skin.name).constants
    return any(
        is_array_api_obj(v) or v != shipped.get(name, 0.0) for name, v in skin.constants.items()
    )


@cache
def _shipped_spectra(name: str, counts: tuple[int, int], lengths: tuple[int, ...]) -> np.ndarray:
    return _spectra(SkinModel.load(name), np.empty(0), counts, lengths)


def _spectra(
    skin: SkinModel, reference: Array, counts: tuple[int, int], lengths: tuple[int, ...]
) -> Array:
    """The Chebyshev coefficients (K, 33) of reflectance, from its values at P by Q nodes."""
    xp = array_namespace(reference)
    melanin, haemoglobin = (table_like(reference, f) for f in node_fractions(*counts))
    to_p, to_q = (table_like(reference, _to_coefficients(count)) for count in counts)
    if skin.separable:
        a = to_p @ skin.epidermis(melanin, validate=False)
        b = to_q @ skin.dermis(haemoglobin, validate=False)
        table = a[:, None, :] * b
    else:
        values = skin.reflectance(melanin[:, None], haemoglobin[None, :], validate=False)
        partial = to_p @ xp.reshape(values, (counts[0], -1))
        table = to_q @ xp.reshape(partial, (*counts, -1))
    p, q = _terms(lengths)
    index = xp.asarray(p * counts[1] + q, device=device(table))
    return xp.take(xp.reshape(table, (-1, table.shape[-1])), index, axis=0)


def chunks(batch: int, pixels: int, size: int = CHUNK) -> Iterator[tuple[slice, slice]]:
    """Slices of (batch, pixels) that hold about `size` pixels and cover everything."""
    images = max(1, size // max(1, pixels))
    for first in range(0, batch, images):
        for start in range(0, pixels, size):
            yield slice(first, first + images), slice(start, start + size)


def evaluate(series: Series, melanin: Array, haemoglobin: Array) -> Array:
    """Colour (B, 3, n) of one chunk of fractions (B, n); G (B or 1, 3, K)."""
    x, y = warp_melanin(melanin), warp_haemoglobin(haemoglobin)
    return series.table @ products(x, y, series.lengths)


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
        That of `colour_series`, its table (B or 1, 3, K).
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
    if 0 in shape:
        return xp.zeros((*shape, 3), dtype=maps[0].dtype, device=device(maps[0]))
    series = colour_series(skin, projection)
    table, white = series.table, xp.sum(projection, axis=-2)
    batch = math.prod(shape[: len(leading)])
    count = 1
    if math.prod(leading) > 1:
        full, count = shape[: len(leading)], batch
        table = xp.broadcast_to(table, (*full, *table.shape[-2:]))
        white = xp.broadcast_to(white, (*full, 3))
    series = series._replace(table=xp.reshape(table, (count, *table.shape[-2:])))
    arrays = [xp.reshape(a, (batch, -1)) for a in maps]
    rgb = _renderer(xp)(series, xp.reshape(white, (count, 3)), *arrays)
    return xp.reshape(xp.moveaxis(rgb, 1, -1), (*shape, 3))
