"""The dichromatic model of a batch of drawn photos on a processor as compiled loops (numba).

What `bioface.learn.paint` does with torch operations is done here in one pass over the pixels.
"""

from __future__ import annotations

import numpy as np

from bioface.learn.loops import compiled

_U = np.uint64  # an index that might be negative would keep a loop from becoming vectors
_ZERO, _ONE = np.float32(0), np.float32(1)
_TILE = 256
_ROW, _TWO_ROWS = _U(_TILE), _U(2 * _TILE)

# The order of `bioface.learn.planes.CHANNELS` and `INDIRECT_CHANNELS`.
_DIFFUSE, _SPECULAR, _MASK, _COVERAGE, _REFLECTANCE, _END = 0, 3, 8, 9, 10, 14
_INDIRECT = 18


@compiled
def add_light(
    raw: np.ndarray,
    lit: np.ndarray,
    planes: np.ndarray,
    skin: np.ndarray,
    basis: np.ndarray,
    diffuse: np.ndarray,
    specular: np.ndarray,
    indirect: np.ndarray,
) -> None:
    """Add what comes back of one illuminant.

    Parameters
    ----------
    raw
        (n, 3, P) white-balanced raw, added to.
    lit
        (m,) images under this illuminant, of which the other arrays tell.
    planes
        (n, 20, P) of all images.
    skin
        (m, 3, P) raw of the reflectance of skin, by its share of the pixel.
    basis
        (m, 3, 4) raw of the basis of other reflectances.
    diffuse, specular
        (m, 3, 3) that shading is multiplied with: channel, group.
    indirect
        (m, 3, 3) by how much what came by way of other surfaces exceeds what transport gives it:
        channel; scattered by skin, scattered by others, mirrored.
    """
    pixels = planes.shape[2]
    work = np.empty((_END + 2) * _TILE, np.float32)
    for number in range(len(lit)):
        image = lit[number]
        for start in range(0, pixels, _TILE):
            count = _U(min(_TILE, pixels - start))
            for k in range(_END):
                row, source = _U(k * _TILE), planes[image, k, start:]
                for i in range(count):
                    work[row + i] = source[i]
            for k in range(2):
                row, source = _U((_END + k) * _TILE), planes[image, _INDIRECT + k, start:]
                for i in range(count):
                    work[row + i] = source[i]
            lambert, shine = _U(_DIFFUSE * _TILE), _U(_SPECULAR * _TILE)
            other, coverage = _U(_REFLECTANCE * _TILE), _U(_COVERAGE * _TILE)
            scattered, mirrored = _U(_END * _TILE), _U((_END + 1) * _TILE)
            for channel in range(3):
                c0, c1, c2 = diffuse[number, channel]
                g0, g1, g2 = specular[number, channel]
                b0, b1, b2, b3 = basis[number, channel]
                on_skin, on_others, on_gloss = indirect[number, channel]
                target, own = raw[image, channel, start:], skin[number, channel, start:]
                for i in range(count):
                    d, s, o = lambert + i, shine + i, other + i
                    colour = c0 * work[d] + c1 * work[d + _ROW] + c2 * work[d + _TWO_ROWS]
                    gloss = g0 * work[s] + g1 * work[s + _ROW] + g2 * work[s + _TWO_ROWS]
                    others = b0 * work[o] + b1 * work[o + _ROW]
                    o += _TWO_ROWS
                    others += b2 * work[o] + b3 * work[o + _ROW]
                    share, of_gloss = work[scattered + i], work[mirrored + i]
                    reflected = own[i] * (_ONE + on_skin * share)
                    reflected += others * (_ONE + on_others * share)
                    gloss *= _ONE + on_gloss * of_gloss
                    target[i] += colour * reflected + gloss * work[coverage + i]


@compiled
def expose(
    raw: np.ndarray,
    matrix: np.ndarray,
    diffuse: np.ndarray,
    specular: np.ndarray,
    planes: np.ndarray,
    linear: np.ndarray,
    diffuse_shading: np.ndarray,
    specular_shading: np.ndarray,
) -> None:
    """Write linear images (n, 3, P), and shading (n, P), 0 where there is no skin.

    Parameters
    ----------
    raw, planes
        (n, 3, P) and (n, 20, P).
    matrix, diffuse, specular
        (n, 3, 3), (n, 3) and (n, 3) that they are multiplied with.
    linear, diffuse_shading, specular_shading
        Written.
    """
    count = _U(raw.shape[2])
    for image in range(len(raw)):
        red, green, blue = raw[image, 0], raw[image, 1], raw[image, 2]
        for channel in range(3):
            m0, m1, m2 = matrix[image, channel]
            target = linear[image, channel]
            for i in range(count):
                target[i] = m0 * red[i] + m1 * green[i] + m2 * blue[i]
        mask = planes[image, _MASK]
        for first, gains, target in (
            (_DIFFUSE, diffuse[image], diffuse_shading[image]),
            (_SPECULAR, specular[image], specular_shading[image]),
        ):
            key, fill, rest = (
                planes[image, first],
                planes[image, first + 1],
                planes[image, first + 2],
            )
            g0, g1, g2 = gains
            for i in range(count):
                shading = g0 * key[i] + g1 * fill[i] + g2 * rest[i]
                target[i] = shading if mask[i] > _ZERO else _ZERO
