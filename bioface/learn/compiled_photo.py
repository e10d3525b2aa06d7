"""Background, blur, noise and tone of photos on a processor as compiled loops (numba).

What `bioface.learn.degrade` does with torch operations on a batch is done here image by image, in
memory that stays in the cache. Photos are the same up to the rounding of float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bioface.learn.loops import compiled

if TYPE_CHECKING:
    from bioface.learn.degrade import Drawn

_F = np.float32
_U = np.uint64  # an index that might be negative would keep a loop from becoming vectors
_I = np.int32
_ZERO, _ONE, _TWO = _F(0), _F(1), _F(2)
_LOG_2, _LOG2_E = _F(np.log(2)), _F(1 / np.log(2))
_ROOT_HALF = _I(0x3F3504F3)  # the bits of sqrt(1 / 2)
_BIAS, _BIAS_ROUNDED = _I(127), _F(127.5)
_EXP_RANGE = _F(80)
_FACTORIALS = tuple(_F(1 / f) for f in (2, 6, 24, 120, 720))
_ODD = tuple(_F(2 / n) for n in (3, 5, 7))

_RED, _GREEN, _BLUE = _F(0.2126), _F(0.7152), _F(0.0722)
_BRIGHTEST = _F(1.2)
_NOISE_FLOOR = _F(0.15)
_BLACK = _F(1e-6)
_KNEE, _SLOPE, _GAIN, _OFFSET = _F(0.0031308), _F(12.92), _F(1.055), _F(0.055)
_ENCODING = _F(1 / 2.4)
_LEVELS, _HALF = _F(255), _F(0.5)


class Taps(NamedTuple):
    """Linear interpolation of cells to pixels: (n,) first and second cell, weight of the second."""

    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray


def taps(cells: int, size: int, align_corners: bool) -> Taps:
    """As `torch.nn.functional.interpolate(mode="bilinear")` takes them along one axis."""
    pixels = np.arange(size)
    if align_corners:
        place = pixels * ((cells - 1) / max(size - 1, 1))
    else:
        place = np.maximum((pixels + 0.5) * (cells / size) - 0.5, 0)
    first = np.minimum(place.astype(np.int64), cells - 1)
    return Taps(first, np.minimum(first + 1, cells - 1), (place - first).astype(_F))


@compiled
def _exp(x: np.float32) -> np.float32:
    """e^x to 3e-7, x within `_EXP_RANGE`."""
    x = -_EXP_RANGE if x < -_EXP_RANGE else x
    x = _EXP_RANGE if x > _EXP_RANGE else x
    power = _I(x * _LOG2_E + _BIAS_ROUNDED)
    r = x - _F(power - _BIAS) * _LOG_2
    a, b, c, d, e = _FACTORIALS
    series = _ONE + r * (_ONE + r * (a + r * (b + r * (c + r * (d + r * e)))))
    return series * np.int32(power << 23).view(np.float32)


@compiled
def _log(x: np.float32) -> np.float32:
    """log(2^e m) = e log 2 + 2 atanh((m - 1) / (m + 1)), m within a factor 1.42 of 1; x > 0."""
    bits = np.float32(x).view(np.int32)
    exponent = _I((bits - _ROOT_HALF) >> 23)
    m = np.int32(bits - (exponent << 23)).view(np.float32)
    t = (m - _ONE) / (m + _ONE)
    s = t * t
    a, b, c = _ODD
    return _F(exponent) * _LOG_2 + t * (_TWO + s * (a + s * (b + s * c)))


@compiled
def _lay_over_background(
    linear: np.ndarray,
    coverage: np.ndarray,
    drawn: Drawn,
    number: int,
    coarse: tuple[Taps, Taps],
    fine: tuple[Taps, Taps],
    image: np.ndarray,
) -> None:
    """Image (3, H, W) of one photo in front of its background."""
    height, width = coverage.shape
    smooth, texture = drawn.smooth[number], drawn.texture[number, 0]
    variation, roughness = drawn.scales[number]
    cells, corners = texture.shape[1], smooth.shape[2]
    rough = np.zeros(cells, np.float32)
    bent = np.zeros(corners, np.float32)
    grain = np.zeros(width, np.float32)
    for y in range(height):
        if roughness > _ZERO:
            above, below = texture[fine[0].first[y]], texture[fine[0].second[y]]
            weight = fine[0].weight[y]
            for i in range(_U(cells)):
                rough[i] = roughness * (above[i] + weight * (below[i] - above[i]))
            for i in range(_U(width)):
                before, behind = rough[fine[1].first[i]], rough[fine[1].second[i]]
                grain[i] = before + fine[1].weight[i] * (behind - before)
        weight = coarse[0].weight[y]
        covered = coverage[y]
        for channel in range(3):
            above = smooth[channel, coarse[0].first[y]]
            below = smooth[channel, coarse[0].second[y]]
            for i in range(_U(corners)):
                bent[i] = variation * (above[i] + weight * (below[i] - above[i]))
            target, source, colour = image[channel, y], linear[channel, y], drawn.colour[number]
            for i in range(_U(width)):
                before, behind = bent[coarse[1].first[i]], bent[coarse[1].second[i]]
                target[i] = grain[i] + before + coarse[1].weight[i] * (behind - before)
            level = colour[channel]
            for i in range(_U(width)):
                backdrop = level * _exp(target[i])
                backdrop = _BRIGHTEST if backdrop > _BRIGHTEST else backdrop
                target[i] = source[i] + (_ONE - covered[i]) * backdrop


@compiled
def _blur(image: np.ndarray, sigma: np.float32, between: np.ndarray) -> None:
    """Separable 5-tap Gaussian of (3, H, W), edges repeated; `between` (H, W) is overwritten."""
    height, width = between.shape
    near, far = _exp(-_HALF / (sigma * sigma)), _exp(-_TWO / (sigma * sigma))
    total = _ONE + _TWO * (near + far)
    centre, near, far = _ONE / total, near / total, far / total
    for channel in range(3):
        plane = image[channel]
        for y in range(height):
            r0, r1 = plane[max(y - 2, 0)], plane[max(y - 1, 0)]
            r2 = plane[y]
            r3, r4 = plane[min(y + 1, height - 1)], plane[min(y + 2, height - 1)]
            target = between[y]
            for i in range(_U(width)):
                target[i] = centre * r2[i] + near * (r1[i] + r3[i]) + far * (r0[i] + r4[i])
        for y in range(height):
            row, target = between[y], plane[y]
            for x in range(width):
                if 2 <= x < width - 2:
                    continue
                left, right = max(x - 1, 0), min(x + 1, width - 1)
                target[x] = centre * row[x] + near * (row[left] + row[right])
                target[x] += far * (row[max(x - 2, 0)] + row[min(x + 2, width - 1)])
            for i in range(_U(max(width - 4, 0))):
                middle = centre * row[i + _U(2)] + near * (row[i + _U(1)] + row[i + _U(3)])
                target[i + _U(2)] = middle + far * (row[i] + row[i + _U(4)])


@compiled
def _develop(
    image: np.ndarray, noise: np.ndarray, drawn: Drawn, number: int, levels: np.ndarray
) -> None:
    """Noise, saturation and tone of an image (3, H, W), to its levels (H, W, 3)."""
    height, width = image.shape[1:]
    strength = drawn.percent[number] / _F(100)
    saturation = drawn.saturation[number]
    exponent, contrast = _exp(drawn.tone[number, 0]), drawn.tone[number, 1]
    for y in range(height):
        for channel in range(3):
            row, own = image[channel, y], noise[channel, y]
            for i in range(_U(width)):
                v = row[i]
                light = _ZERO if v < _ZERO else v
                row[i] = v + strength * np.sqrt(_NOISE_FLOOR + light) * own[i]
        red, green, blue = image[0, y], image[1, y], image[2, y]
        if saturation != _ONE:
            for i in range(_U(width)):
                grey = _RED * red[i] + _GREEN * green[i] + _BLUE * blue[i]
                red[i] = grey + saturation * (red[i] - grey)
                green[i] = grey + saturation * (green[i] - grey)
                blue[i] = grey + saturation * (blue[i] - grey)
        for channel in range(3):
            row = image[channel, y]
            for i in range(_U(width)):
                v = row[i]
                v = _BLACK if v < _BLACK else v
                v = _ONE if v > _ONE else v
                root = _GAIN * _exp(_ENCODING * _log(v)) - _OFFSET
                v = _SLOPE * v if v <= _KNEE else root
                row[i] = v
            if exponent != _ONE:
                for i in range(_U(width)):
                    row[i] = _exp(exponent * _log(row[i]))
            for i in range(_U(width)):
                v = row[i]
                v += contrast * v * (_ONE - v) * (_TWO * v - _ONE)
                row[i] = _LEVELS * v + _HALF
        target = levels[y]
        for i in range(_U(width)):
            target[i, 0] = np.uint8(red[i])
            target[i, 1] = np.uint8(green[i])
            target[i, 2] = np.uint8(blue[i])


@compiled
def develop(
    linear: np.ndarray,
    coverage: np.ndarray,
    drawn: Drawn,
    coarse: tuple[Taps, Taps],
    fine: tuple[Taps, Taps],
    noise: np.ndarray,
    levels: np.ndarray,
) -> None:
    """Clean linear images to 8-bit photos.

    Parameters
    ----------
    linear, coverage
        (n, 3, H, W) and (n, H, W), as for `degrade`.
    drawn
        What was drawn, as arrays.
    coarse, fine
        Down and across: how `drawn.smooth` and `drawn.texture` become pixels.
    noise
        (n, 3, H, W) standard normal.
    levels
        (n, H, W, 3) uint8, written.
    """
    image = np.empty(linear.shape[1:], np.float32)
    between = np.empty(linear.shape[2:], np.float32)
    for number in range(len(linear)):
        _lay_over_background(linear[number], coverage[number], drawn, number, coarse, fine, image)
        if drawn.sigma[number] > _ZERO:
            _blur(image, drawn.sigma[number], between)
        _develop(image, noise[number], drawn, number, levels[number])
