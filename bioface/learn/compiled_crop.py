"""Crops of packed samples on a processor as compiled loops (numba).

What `bioface.learn.planes` does with torch operations on a batch is done here sample by sample,
straight from the half floats of the memory map, in memory that stays in the cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bioface.learn.loops import compiled

_F = np.float32
_U = np.uint64  # an index that might be negative would keep a loop from becoming vectors
_ZERO, _ONE, _HALF = _F(0), _F(1), _F(0.5)
_LEAST_SHARE = _F(1e-3)
_LEAST_LENGTH = _F(1e-6)
_SMALLEST_CUBE = _F(1e-18)
_THREE, _ROOT_BIAS = np.int32(3), np.int32(0x2A5137A0)

_NORMAL_HALF = np.uint32(0x400)  # bits from which a half float is not denormal
_REBIAS = np.uint32((127 - 15) << 23)
_SMALLEST_HALF = _F(2.0**-24)

# The order of `bioface.learn.planes.CHANNELS` and `INDIRECT_CHANNELS`.
_SHADING, _PIGMENTS, _MASK, _COVERAGE, _REFLECTANCE, _LIPS = 0, 6, 8, 9, 10, 14
_NORMALS, _INDIRECT, _END = 15, 18, 20

ABSENT = -1
"""Instead of the number of a channel that a pack does not have."""

_BEFORE, _BEHIND = 1, 2
"""Zeros around a plane, so that pixels outside need no exception."""


class Pack(NamedTuple):
    """What the channels of a pack are.

    Attributes
    ----------
    channels
        (20,) where `bioface.learn.planes.CHANNELS` and `INDIRECT_CHANNELS` are, or `ABSENT`.
    lowest, rise
        (2,) cube roots of the fractions of melanin and haemoglobin at u = 0, and their rise to 1.
    lips
        Number of the region.
    """

    channels: np.ndarray
    lowest: np.ndarray
    rise: np.ndarray
    lips: np.float32


@compiled
def _widen(halves: np.ndarray, out: np.ndarray) -> None:
    """Bits of half floats (n,) to float32; not for infinities."""
    for i in range(_U(len(halves))):
        bits = np.uint32(halves[i])
        magnitude = np.uint32(bits & np.uint32(0x7FFF))
        normal = np.uint32((magnitude << np.uint32(13)) + _REBIAS).view(np.float32)
        value = normal if magnitude >= _NORMAL_HALF else _F(np.int32(magnitude)) * _SMALLEST_HALF
        out[i] = value if bits == magnitude else -value


@compiled
def _cube_root(x: np.float32) -> np.float32:
    """Two of Halley's steps from a third of the exponent; to 1e-6, x >= 0."""
    x = _SMALLEST_CUBE if x < _SMALLEST_CUBE else x
    y = np.int32(np.float32(x).view(np.int32) // _THREE + _ROOT_BIAS).view(np.float32)
    for _ in range(2):
        cube = y * y * y
        y *= (cube + x + x) / (cube + cube + x)
    return y


@compiled
def _load(halves: np.ndarray, pack: Pack, planes: np.ndarray) -> None:
    """Channels of a sample (C, S, S) into the middle of planes (20, S + 3, S + 3), 0 at first."""
    size = halves.shape[1]
    for k in range(_END):
        channel = pack.channels[k]
        if channel != ABSENT:
            for y in range(size):
                _widen(halves[channel, y], planes[k, _BEFORE + y, _BEFORE : _BEFORE + size])


@compiled
def _weigh(planes: np.ndarray, pack: Pack) -> None:
    """`bioface.learn.planes.weigh` of one sample in the middle of its planes."""
    last = planes.shape[1] - _BEHIND
    for y in range(_BEFORE, last):
        coverage, mask = planes[_COVERAGE, y, _BEFORE:last], planes[_MASK, y, _BEFORE:last]
        count = _U(len(mask))
        for k in range(_SHADING, _PIGMENTS):
            row = planes[k, y, _BEFORE:last]
            for i in range(count):
                row[i] *= coverage[i]
        for k in range(2):
            row = planes[_PIGMENTS + k, y, _BEFORE:last]
            lowest, scale = pack.lowest[k], _ONE / pack.rise[k]
            for i in range(count):
                row[i] = (_cube_root(row[i]) - lowest) * scale * mask[i]
        for k in range(_REFLECTANCE, _LIPS):
            row = planes[k, y, _BEFORE:last]
            for i in range(count):
                rest = coverage[i] - mask[i]
                row[i] *= _ZERO if rest < _ZERO else rest
        row = planes[_LIPS, y, _BEFORE:last]
        for i in range(count):
            row[i] = mask[i] if row[i] == pack.lips else _ZERO
        for k in range(_NORMALS, _INDIRECT):
            row = planes[k, y, _BEFORE:last]
            for i in range(count):
                row[i] *= mask[i]
        for k in range(_INDIRECT, _END):
            row = planes[k, y, _BEFORE:last]
            for i in range(count):
                row[i] *= coverage[i]


@compiled
def _place(coordinate: np.float32, size: np.float32) -> np.float32:
    """From -1..1 of `grid_sample` to pixels from the border of zeros on, and no farther."""
    place = (coordinate + _ONE) * size * _HALF + _HALF
    place = _ZERO if place < _ZERO else place
    return size + _ONE if place > size + _ONE else place


@compiled
def _resample(planes: np.ndarray, affine: np.ndarray, out: np.ndarray) -> None:
    """`bioface.learn.planes.move` of one sample."""
    pitch = planes.shape[1]
    extent = _F(pitch - _BEFORE - _BEHIND)
    size = out.shape[1]
    flat = planes.reshape(_END, pitch * pitch)
    index = np.empty(size, np.uint32)
    across = np.empty(size, np.float32)
    down = np.empty(size, np.float32)
    below = _U(pitch)
    for y in range(size):
        row_axis = _F(2 * y + 1) / _F(size) - _ONE
        from_x = affine[0, 1] * row_axis + affine[0, 2]
        from_y = affine[1, 1] * row_axis + affine[1, 2]
        for i in range(_U(size)):
            axis = _F(2 * np.int32(i) + 1) / _F(size) - _ONE
            x_place = _place(affine[0, 0] * axis + from_x, extent)
            y_place = _place(affine[1, 0] * axis + from_y, extent)
            column, row = np.int32(x_place), np.int32(y_place)
            index[i] = np.uint32(row * np.int32(pitch) + column)
            across[i], down[i] = x_place - _F(column), y_place - _F(row)
        for k in range(_END):
            source, target = flat[k], out[k, y]
            for i in range(_U(size)):
                at = _U(index[i])
                upper = source[at] + across[i] * (source[at + _U(1)] - source[at])
                at += below
                lower = source[at] + across[i] * (source[at + _U(1)] - source[at])
                target[i] = upper + down[i] * (lower - upper)
        for k in range(_END):
            if _MASK <= k < _INDIRECT:
                continue
            on_skin = _PIGMENTS <= k < _MASK
            target, weights = out[k, y], out[_MASK if on_skin else _COVERAGE, y]
            for i in range(_U(size)):
                weight = weights[i]
                target[i] /= _LEAST_SHARE if weight < _LEAST_SHARE else weight


@compiled
def _turn(affine: np.ndarray, out: np.ndarray) -> None:
    """`bioface.learn.planes.turned` of one sample, in place."""
    determinant = affine[0, 0] * affine[1, 1] - affine[0, 1] * affine[1, 0]
    scale = _ONE / np.sqrt(np.abs(determinant))
    xx, xy = scale * affine[0, 0], -scale * affine[1, 0]
    yx, yy = -scale * affine[0, 1], scale * affine[1, 1]
    for y in range(out.shape[1]):
        mask = out[_MASK, y]
        first, second, third = out[_NORMALS, y], out[_NORMALS + 1, y], out[_NORMALS + 2, y]
        for i in range(_U(len(mask))):
            across = xx * first[i] + xy * second[i]
            up = yx * first[i] + yy * second[i]
            length = np.sqrt(across * across + up * up + third[i] * third[i])
            share = _ONE / (_LEAST_LENGTH if length < _LEAST_LENGTH else length)
            share = share if mask[i] > _HALF else _ZERO
            first[i] = across * share
            second[i] = up * share
            third[i] *= share


@compiled
def crop(
    halves: np.ndarray,
    chosen: np.ndarray,
    pack: Pack,
    weighted: bool,
    affine: np.ndarray,
    out: np.ndarray,
) -> None:
    """Planes of samples, cropped, rolled and mirrored.

    Parameters
    ----------
    halves
        (N, C, S, S) uint16, the bits of half floats.
    chosen
        (n,) samples.
    pack, weighted
        What the channels are, and whether they are weighted already.
    affine
        (n, 2, 3) as for `bioface.learn.planes.move`.
    out
        (n, 20, size, size), written.
    """
    pitch = halves.shape[2] + _BEFORE + _BEHIND
    planes = np.zeros((_END, pitch, pitch), np.float32)
    for number in range(len(chosen)):
        _load(halves[chosen[number]], pack, planes)
        if not weighted:
            _weigh(planes, pack)
        _resample(planes, affine[number], out[number])
        _turn(affine[number], out[number])
