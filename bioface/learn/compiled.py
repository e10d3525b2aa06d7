"""The fast decoder on a processor as compiled loops (numba), forward and backward.

What `bioface.learn.fused` does with torch operations on chunks that fit the cache is done here on
tiles of 256 pixels that fit the innermost one, with nothing in between written to memory. Every
loop over pixels is a sum of products of rows of one flat workspace at constant distances: the shape
that the compiler turns into vector instructions. numba is imported with this module and compiles at
the first call (the result is kept where numba keeps its cache, if it may write there).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bioface.learn.loops import ENABLED as ENABLED
from bioface.learn.loops import compiled as _compiled
from bioface.spectral import fast

TILE = 256
"""Pixels worked on at once."""

STRIDE = 4
"""Terms summed at once; coefficients are padded to a multiple of it."""

_F = np.float32
WARPS = (
    (_F(fast.MELANIN_KNEE), _F(fast.MELANIN_SCALE)),
    (_F(fast.HAEMOGLOBIN_KNEE), _F(fast.HAEMOGLOBIN_SCALE)),
)
"""Knee and scale of `fast.warp_melanin` and `fast.warp_haemoglobin`, an argument of the kernels: a
constant would stay in code kept from before it changed."""

Warps = tuple[tuple[np.float32, np.float32], tuple[np.float32, np.float32]]
Maps = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Part = tuple[int, int, int, int]

_ZERO, _ONE, _TWO = _F(0), _F(1), _F(2)
_LOG_2 = _F(np.log(2))
_ROOT_HALF = np.int32(0x3F3504F3)  # the bits of sqrt(1 / 2)
_ATANH_3, _ATANH_5, _ATANH_7 = _F(2 / 3), _F(2 / 5), _F(2 / 7)

# Rows of the workspace: coordinates and their slopes, gradients of the three channels,
# nine weighted sums (colour, and its slopes in x and y), then the terms T_p(x) T_q(y).
_U = np.uint64  # an index that might be negative would keep a loop from becoming vectors
_ROW, _TWO_ROWS, _THREE_ROWS = (_U(rows * TILE) for rows in (1, 2, 3))
_X, _Y, _SLOPE_X, _SLOPE_Y, _G0, _G1, _G2 = (_U(row * TILE) for row in range(7))
_SUMS, _TERMS = 7, 16


@_compiled
def _workspace(terms: int) -> np.ndarray:
    return np.zeros((_TERMS + terms) * TILE, np.float32)


@_compiled
def _row(number: int) -> Any:
    """Where a row of the workspace begins."""
    return _U(number * TILE)


@_compiled
def _load_coordinates(
    warps: Warps, melanin: np.ndarray, haemoglobin: np.ndarray, count: int, w: np.ndarray
) -> None:
    """`fast.warp_melanin` and `fast.warp_haemoglobin` of the fractions, and their slopes."""
    knee, scale = warps[0]
    top = _ONE + _TWO * knee
    for i in range(_U(count)):
        f = melanin[i]
        f = _ZERO if f < _ZERO else f
        f = _ONE if f > _ONE else f
        inverse = _ONE / (f + knee)
        w[_X + i] = top - scale * inverse
        w[_SLOPE_X + i] = scale * inverse * inverse
    knee, scale = warps[1]
    rise = _ONE / knee
    for i in range(_U(count)):
        f = haemoglobin[i]
        f = _ZERO if f < _ZERO else f
        f = _ONE if f > _ONE else f
        value = np.float32(_ONE + f * rise)
        # log(2^e m) = e log 2 + 2 atanh((m - 1) / (m + 1)), m within a factor 1.42 of 1.
        bits = value.view(np.int32)
        exponent = np.int32((bits - _ROOT_HALF) >> 23)
        m = np.int32(bits - (exponent << 23)).view(np.float32)
        t = (m - _ONE) / (m + _ONE)
        s = t * t
        series = t * (_TWO + s * (_ATANH_3 + s * (_ATANH_5 + s * _ATANH_7)))
        log = _F(exponent) * _LOG_2 + series
        log = log if value == value else value
        w[_Y + i] = scale * log - _ONE
        w[_SLOPE_Y + i] = scale / (f + knee)


@_compiled
def _load_terms(lengths: np.ndarray, count: int, w: np.ndarray) -> None:
    """`fast.products` of the coordinates, by the recurrence T_k+1 = 2 x T_k - T_k-1."""
    for i in range(_U(count)):
        w[_row(_TERMS) + i] = _ONE
    for p in range(1, lengths[0]):
        row = _row(_TERMS + p)
        if p == 1:
            for i in range(_U(count)):
                w[row + i] = w[_X + i]
        else:
            for i in range(_U(count)):
                w[row + i] = _TWO * w[_X + i] * w[row - _ROW + i] - w[row - _ROW - _ROW + i]
    before, last, number = _TERMS, _TERMS, _TERMS + lengths[0]
    for q in range(1, len(lengths)):
        first = number
        for p in range(lengths[q]):
            row, one, two = _row(number), _row(last + p), _row(before + p)
            if q == 1:
                for i in range(_U(count)):
                    w[row + i] = w[_Y + i] * w[one + i]
            else:
                for i in range(_U(count)):
                    w[row + i] = _TWO * w[_Y + i] * w[one + i] - w[two + i]
            number += 1
        before, last = last, first


@_compiled
def _sum_terms(coefficients: np.ndarray, count: int, w: np.ndarray) -> None:
    """The weighted sums: coefficients (3 or 9, K), three rows and four terms at a time."""
    for r in range(0, coefficients.shape[0], 3):
        out = _row(_SUMS + r)
        for i in range(_U(count)):
            w[out + i] = _ZERO
            w[out + _ROW + i] = _ZERO
            w[out + _TWO_ROWS + i] = _ZERO
        for k in range(0, coefficients.shape[1], STRIDE):
            term = _row(_TERMS + k)
            a0, a1 = coefficients[r, k], coefficients[r, k + 1]
            a2, a3 = coefficients[r, k + 2], coefficients[r, k + 3]
            b0, b1 = coefficients[r + 1, k], coefficients[r + 1, k + 1]
            b2, b3 = coefficients[r + 1, k + 2], coefficients[r + 1, k + 3]
            c0, c1 = coefficients[r + 2, k], coefficients[r + 2, k + 1]
            c2, c3 = coefficients[r + 2, k + 2], coefficients[r + 2, k + 3]
            for i in range(_U(count)):
                t0, t1 = w[term + i], w[term + _ROW + i]
                t2, t3 = w[term + _TWO_ROWS + i], w[term + _THREE_ROWS + i]
                w[out + i] += a0 * t0 + a1 * t1 + a2 * t2 + a3 * t3
                w[out + _ROW + i] += b0 * t0 + b1 * t1 + b2 * t2 + b3 * t3
                w[out + _TWO_ROWS + i] += c0 * t0 + c1 * t1 + c2 * t2 + c3 * t3


@_compiled
def _gather_table(of_table: np.ndarray, count: int, w: np.ndarray) -> None:
    """Add sum_i g_ci t_ki to of_table (3, K): four terms at a time."""
    for k in range(0, of_table.shape[1], STRIDE):
        term = _row(_TERMS + k)
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = _ZERO
        for i in range(_U(count)):
            t0, t1 = w[term + i], w[term + _ROW + i]
            t2, t3 = w[term + _TWO_ROWS + i], w[term + _THREE_ROWS + i]
            a, b, c = w[_G0 + i], w[_G1 + i], w[_G2 + i]
            a0 += a * t0
            a1 += a * t1
            a2 += a * t2
            a3 += a * t3
            b0 += b * t0
            b1 += b * t1
            b2 += b * t2
            b3 += b * t3
            c0 += c * t0
            c1 += c * t1
            c2 += c * t2
            c3 += c * t3
        of_table[0, k] += a0
        of_table[0, k + 1] += a1
        of_table[0, k + 2] += a2
        of_table[0, k + 3] += a3
        of_table[1, k] += b0
        of_table[1, k + 1] += b1
        of_table[1, k + 2] += b2
        of_table[1, k + 3] += b3
        of_table[2, k] += c0
        of_table[2, k + 1] += c1
        of_table[2, k + 2] += c2
        of_table[2, k + 3] += c3


@_compiled
def _dot(w: np.ndarray, row: Any, i: Any) -> Any:
    """Sum over the channels of the gradient times three rows, at pixel i."""
    total = w[_G0 + i] * w[row + i] + w[_G1 + i] * w[row + _ROW + i]
    return total + w[_G2 + i] * w[row + _TWO_ROWS + i]


@_compiled
def _gather_white(specular: np.ndarray, of_white: np.ndarray, count: int, w: np.ndarray) -> None:
    """Add sum_i g_ci s_i to of_white (3,)."""
    a = b = c = _ZERO
    for i in range(_U(count)):
        s = specular[i]
        a += w[_G0 + i] * s
        b += w[_G1 + i] * s
        c += w[_G2 + i] * s
    of_white[0] += a
    of_white[1] += b
    of_white[2] += c


@_compiled
def forward(
    warps: Warps,
    lengths: np.ndarray,
    coefficients: np.ndarray,
    white: np.ndarray,
    maps: Maps,
    out: np.ndarray,
    part: Part,
) -> None:
    """Linear sRGB of the pixels in a part of the maps.

    Parameters
    ----------
    warps
        `WARPS`.
    lengths
        (Q,) which products: see `fast.products`.
    coefficients
        (B or 1, 3, K) of the series, K padded to a multiple of `STRIDE`.
    white
        (B or 1, 3) colour of a white diffuser.
    maps
        Melanin, haemoglobin, diffuse and specular shading (B, n).
    out
        (B, 3, n), written.
    part
        First image, the one behind the last, first pixel, the one behind the last.
    """
    w = _workspace(coefficients.shape[2])
    for image in range(part[0], part[1]):
        own = image if len(coefficients) > 1 else 0
        melanin, haemoglobin = maps[0][image], maps[1][image]
        diffuse, specular = maps[2][image], maps[3][image]
        for start in range(part[2], part[3], TILE):
            stop = min(start + TILE, part[3])
            count = stop - start
            _load_coordinates(warps, melanin[start:stop], haemoglobin[start:stop], count, w)
            _load_terms(lengths, count, w)
            _sum_terms(coefficients[own], count, w)
            d, s = diffuse[start:stop], specular[start:stop]
            for channel in range(3):
                target, level = out[image, channel, start:stop], white[own, channel]
                row = _row(_SUMS + channel)
                for i in range(_U(count)):
                    target[i] = d[i] * w[row + i] + level * s[i]


@_compiled
def backward(
    warps: Warps,
    lengths: np.ndarray,
    coefficients: np.ndarray,
    white: np.ndarray,
    maps: Maps,
    gradient: np.ndarray,
    of_maps: Maps,
    of_table: np.ndarray,
    of_white: np.ndarray,
    part: Part,
) -> None:
    """Gradients of `forward`.

    Parameters
    ----------
    warps, lengths, white, maps, part
        As for `forward`.
    coefficients
        (B or 1, 9, K): those of the series, then of its derivatives in x and in y.
    gradient
        (B, 3, n) of the colour.
    of_maps
        Four (B, n), written.
    of_table, of_white
        float64 (b or 1, 3, K) and (b or 1, 3), added to: of the images of this part.
    """
    w = _workspace(coefficients.shape[2])
    for image in range(part[0], part[1]):
        own, sums = (image, image - part[0]) if len(coefficients) > 1 else (0, 0)
        melanin, haemoglobin = maps[0][image], maps[1][image]
        diffuse, specular = maps[2][image], maps[3][image]
        for start in range(part[2], part[3], TILE):
            stop = min(start + TILE, part[3])
            count = stop - start
            _load_coordinates(warps, melanin[start:stop], haemoglobin[start:stop], count, w)
            _load_terms(lengths, count, w)
            _sum_terms(coefficients[own], count, w)
            for channel in range(3):
                source, row = gradient[image, channel, start:stop], _G0 + _row(channel)
                for i in range(_U(count)):
                    w[row + i] = source[i]
            _gather_white(specular[start:stop], of_white[sums], count, w)
            red, green, blue = white[own, 0], white[own, 1], white[own, 2]
            target = of_maps[3][image, start:stop]
            for i in range(_U(count)):
                target[i] = w[_G0 + i] * red + w[_G1 + i] * green + w[_G2 + i] * blue
            target = of_maps[2][image, start:stop]
            for i in range(_U(count)):
                target[i] = _dot(w, _row(_SUMS), i)
            d = diffuse[start:stop]
            for i in range(_U(count)):
                w[_G0 + i] *= d[i]
                w[_G1 + i] *= d[i]
                w[_G2 + i] *= d[i]
            target = of_maps[0][image, start:stop]
            for i in range(_U(count)):
                target[i] = w[_SLOPE_X + i] * _dot(w, _row(_SUMS + 3), i)
            target = of_maps[1][image, start:stop]
            for i in range(_U(count)):
                target[i] = w[_SLOPE_Y + i] * _dot(w, _row(_SUMS + 6), i)
            _gather_table(of_table[sums], count, w)
