"""Colour: white balance, XYZ, sRGB, tone, L*a*b*, CIEDE2000 and the skin-tone angle ITA.

Section 2.2 of Alotaibi & Smith 2019 (eq. 3-7), with one correction: the white of every image is
D65, so a perfect white diffuser is sRGB (1, 1, 1).
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from bioface.spectral.backend import Array, as_array, common, like, table_like
from bioface.spectral.tables import read_table

SRGB_TO_XYZ = np.array(
    [
        [0.4123907993, 0.3575843394, 0.1804807884],
        [0.2126390059, 0.7151686788, 0.0721923154],
        [0.0193308187, 0.1191947798, 0.9505321522],
    ]
)
"""Linear sRGB to XYZ from the primaries and white of IEC 61966-2-1 (unrounded)."""

XYZ_TO_SRGB = np.linalg.inv(SRGB_TO_XYZ)

WHITE_XYZ = SRGB_TO_XYZ @ np.ones(3)
"""(3,) the D65 white of sRGB, Y = 1: what a perfect white diffuser maps to everywhere."""


def white_balance(raw: Any, white: Any) -> Array:
    """Divide raw responses (..., 3) by those of a white diffuser under the same light (eq. 3).

    In the balanced space the white is (1, 1, 1) whatever the light and the camera.
    """
    raw, white = common(as_array(raw), as_array(white))
    return raw / white


def xyz_to_linear_srgb(xyz: Any) -> Array:
    """XYZ (..., 3), white `WHITE_XYZ`, to linear sRGB, unclipped."""
    xyz = as_array(xyz)
    return xyz @ like(xyz, XYZ_TO_SRGB.T)


def linear_srgb_to_xyz(rgb: Any) -> Array:
    """Linear sRGB (..., 3) to XYZ."""
    rgb = as_array(rgb)
    return rgb @ like(rgb, SRGB_TO_XYZ.T)


def srgb_encode(linear: Any) -> Array:
    """The sRGB curve (IEC 61966-2-1) of linear values >= 0; negative ones go on linearly."""
    linear = as_array(linear)
    xp = array_namespace(linear)
    power = xp.clip(linear, 0.0031308, None) ** (1 / 2.4)
    return xp.where(linear <= 0.0031308, 12.92 * linear, 1.055 * power - 0.055)


def srgb_decode(encoded: Any) -> Array:
    """The inverse of `srgb_encode`."""
    encoded = as_array(encoded)
    xp = array_namespace(encoded)
    power = ((xp.clip(encoded, 0.04045, None) + 0.055) / 1.055) ** 2.4
    return xp.where(encoded <= 0.04045, encoded / 12.92, power)


def log_chroma(linear: Any, darkest: float) -> Array:
    """Log ratios (..., 2) of red and of blue to green of linear (..., 3), at least `darkest`."""
    linear = as_array(linear)
    xp = array_namespace(linear)
    logs = xp.log(xp.clip(linear, darkest, None))
    red, green, blue = (logs[..., k] for k in range(3))
    return xp.stack([red - green, blue - green], axis=-1)


def _tone(values: Array, tone: Any) -> tuple[Array, Array]:
    """Exponent and contrast of `tone` (*batch, 2), shaped to broadcast over (*batch, ..., 3)."""
    tone = like(values, as_array(tone))
    xp = array_namespace(tone)
    tail = values.ndim - (tone.ndim - 1)
    shape = tone.shape[:-1] + (1,) * tail
    return xp.exp(xp.reshape(tone[..., 0], shape)), xp.reshape(tone[..., 1], shape)


def apply_tone(linear: Any, tone: Any) -> Array:
    """Linear sRGB to the encoded values of a photo, through its tone curve.

    The clipped, sRGB-encoded value v goes through v <- v^exp(g), then v <- v + k v (1-v) (2v-1).

    Parameters
    ----------
    linear
        (*batch, ..., 3) linear sRGB; clipped to 0-1.
    tone
        (*batch, 2) or (2,): log gamma g and contrast k, k in [-0.9, 0.9]; (0, 0) is the sRGB
        curve alone.

    Returns
    -------
    (*batch, ..., 3) encoded sRGB, 0-1.
    """
    linear = as_array(linear)
    xp = array_namespace(linear)
    exponent, contrast = _tone(linear, tone)
    # The floor keeps the slope of v^exp(g) at black finite.
    v = srgb_encode(xp.clip(linear, 1e-6, 1.0)) ** exponent
    return v + contrast * v * (1 - v) * (2 * v - 1)


def remove_tone(encoded: Any, tone: Any) -> Array:
    """The inverse of `apply_tone`: encoded sRGB (*batch, ..., 3), clipped to 0-1, to linear.

    The cubic is inverted by Newton's method, monotone from where it starts.
    """
    encoded = as_array(encoded)
    xp = array_namespace(encoded)
    exponent, contrast = _tone(encoded, tone)
    target = xp.clip(encoded, 0.0, 1.0) - 0.5
    slope = 1 + contrast / 2
    s = xp.clip(target / slope, -0.5, 0.5)
    for _ in range(8):
        value = slope * s - 2 * contrast * s**3
        s = xp.clip(s - (value - target) / (slope - 6 * contrast * s * s), -0.5, 0.5)
    return srgb_decode(xp.clip(s + 0.5, 1e-9, 1.0) ** (1 / exponent))


@cache
def observer() -> np.ndarray:
    """(33, 3) colour-matching functions of the CIE 1931 2 degree observer."""
    table = read_table("cie")
    return np.stack([table[f"{c}_bar"] for c in "xyz"], -1)


@cache
def reflectance_weights() -> np.ndarray:
    """(33, 3): reflectance to XYZ under D65, CIE 1931 2 degree; a white diffuser is `WHITE_XYZ`.

    Summing at 10 nm differs from ASTM E308 on skin by CIEDE2000 0.04.
    """
    weights = read_table("cie")["D65"][:, None] * observer()
    return weights / weights.sum(0) * WHITE_XYZ


def reflectance_to_xyz(reflectance: Any) -> Array:
    """Reflectance spectra (..., 33) to XYZ (..., 3) under D65, CIE 1931 2 degree, white Y = 1."""
    reflectance = as_array(reflectance)
    return reflectance @ table_like(reflectance, reflectance_weights())


def reflectance_to_linear_srgb(reflectance: Any) -> Array:
    """The albedo of diffuse reflectance spectra (..., 33): linear sRGB under D65, unclipped."""
    return xyz_to_linear_srgb(reflectance_to_xyz(reflectance))


def xyz_to_lab(xyz: Any, white: Any = WHITE_XYZ) -> Array:
    """XYZ (..., 3) to CIE 1976 L*a*b* (CIE 15:2004)."""
    xyz = as_array(xyz)
    xp = array_namespace(xyz)
    t = xyz / like(xyz, white)
    delta = 6 / 29
    cube_root = xp.clip(t, delta**3, None) ** (1 / 3)
    f = xp.where(t > delta**3, cube_root, t / (3 * delta**2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return xp.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ciede2000(lab1: Any, lab2: Any) -> Array:
    """Colour difference CIEDE2000 of L*a*b* (..., 3), k_L = k_C = k_H = 1 (Sharma et al. 2005)."""
    first, second = common(as_array(lab1), as_array(lab2))
    xp = array_namespace(first)
    l1, a1, b1 = (first[..., k] for k in range(3))
    l2, a2, b2 = (second[..., k] for k in range(3))
    mean7 = ((xp.sqrt(a1**2 + b1**2) + xp.sqrt(a2**2 + b2**2)) / 2) ** 7
    g = 0.5 * (1 - xp.sqrt(mean7 / (mean7 + 25.0**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = xp.sqrt(a1**2 + b1**2), xp.sqrt(a2**2 + b2**2)
    turn = 2 * math.pi
    h1, h2 = xp.atan2(b1, a1) % turn, xp.atan2(b2, a2) % turn
    coloured = c1 * c2 > 0
    dh = (h2 - h1 + math.pi) % turn - math.pi
    dh = xp.where(coloured, dh, 0 * dh)
    far = xp.abs(h1 - h2) > math.pi
    h = (h1 + h2) / 2 + xp.where(far, xp.where(h1 + h2 < turn, math.pi, -math.pi) + 0 * h1, 0 * h1)
    h = xp.where(coloured, h, h1 + h2)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * xp.cos(h - math.pi / 6)
        + 0.24 * xp.cos(2 * h)
        + 0.32 * xp.cos(3 * h + math.pi / 30)
        - 0.20 * xp.cos(4 * h - math.radians(63))
    )
    s_l = 1 + 0.015 * (lightness - 50) ** 2 / xp.sqrt(20 + (lightness - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    d_l, d_c = (l2 - l1) / s_l, (c2 - c1) / s_c
    d_h = 2 * xp.sqrt(c1 * c2) * xp.sin(dh / 2) / s_h
    spread = math.radians(30) * xp.exp(-(((h * (180 / math.pi) - 275) / 25) ** 2))
    r_c = 2 * xp.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    return xp.sqrt(d_l**2 + d_c**2 + d_h**2 - xp.sin(2 * spread) * r_c * d_c * d_h)


ITA_CLASSES = ("very light", "light", "intermediate", "tan", "brown", "dark")
ITA_EDGES = (55.0, 41.0, 28.0, 10.0, -30.0)
"""Degrees between the six classes (Chardon et al. 1991; Del Bino & Bernerd 2013)."""


def ita(lab: Any) -> Array:
    """Individual typology angle in degrees of L*a*b* (..., 3): atan((L* - 50) / b*)."""
    lab = as_array(lab)
    xp = array_namespace(lab)
    return xp.atan2(lab[..., 0] - 50, lab[..., 2]) * (180 / math.pi)


def ita_class(degrees: Any) -> Array:
    """Index into `ITA_CLASSES` of angles (...) in degrees: 0 the lightest, 5 the darkest."""
    degrees = as_array(degrees)
    xp = array_namespace(degrees)
    edges = like(degrees, np.array(ITA_EDGES))
    return xp.sum(xp.astype(degrees[..., None] <= edges, xp.int64), axis=-1)
