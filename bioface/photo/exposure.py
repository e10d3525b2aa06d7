"""The brightness at which a network is shown a face.

Exposure belongs to the photographer as much as to the skin. A face is shown to the network at a
brightness drawn part of the way, in log light, from the photo's own to the usual one; the shading
that is read is taken back by the same factor.
"""

from __future__ import annotations

from array_api_compat import array_namespace

from bioface.spectral.backend import Array
from bioface.spectral.colour import srgb_decode, srgb_encode

USUAL = 0.25
"""Linear green of the middle of a face as photos usually show it."""

SHARE = 0.15
"""How much of the way, in log light."""

_DARKEST = 1e-3


def middle_half(planes: Array) -> Array:
    """The middle of (..., H, W), half its height and width: of a crop around a face, its skin."""
    height, width = planes.shape[-2:]
    rows, columns = height // 4, width // 4
    return planes[..., rows : height - rows, columns : width - columns]


def factor_to_usual(srgb: Array) -> Array:
    """By how much the light of crops (B, 3, H, W) of sRGB in 0-1 is multiplied: (B,).

    The median of green over the middle of a crop (`middle_half`) is how bright it is.
    """
    xp = array_namespace(srgb)
    middle = middle_half(srgb[:, 1, ...])
    values = xp.sort(xp.reshape(middle, (middle.shape[0], -1)), axis=-1)
    level = srgb_decode(values[:, values.shape[1] // 2])
    return (USUAL / xp.clip(level, _DARKEST, None)) ** SHARE


def relit(srgb: Array, factor: Array) -> Array:
    """Crops (B, 3, H, W) of sRGB in 0-1 with their light multiplied by `factor` (B,)."""
    xp = array_namespace(srgb)
    return xp.clip(srgb_encode(srgb_decode(srgb) * factor[:, None, None, None]), 0.0, 1.0)
