"""Illuminants: A, daylight of any temperature, F1-F12 and, as an option, the CIE LED series.

The illuminant of a photo is a convex mixture (Alotaibi & Smith 2019, eq. 11)

    e = w_A e_A + w_D e_D(t) + sum_k w_Fk e_Fk,    w >= 0,  sum w = 1,

where every basis spectrum sums to 1 over the grid, and so does e. With LEDs the sum goes on over
the nine CIE LED illuminants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from bioface.errors import InputError
from bioface.spectral.backend import Array, as_array, common, table_like
from bioface.spectral.grid import BANDS, WAVELENGTHS
from bioface.spectral.tables import read_table

NAMES = ("A", "D", *(f"F{k}" for k in range(1, 13)))
"""The 14 basis illuminants of the paper, in the order of the weights."""

LED_NAMES = (*(f"LED-B{k}" for k in range(1, 6)), "LED-BH1", "LED-RGB1", "LED-V1", "LED-V2")
"""The CIE LED illuminants (CIE 15:2018), optional weights after the 14."""

DAYLIGHT_RANGE = (4000.0, 25000.0)
"""K: where the CIE defines the daylight phases."""


@cache
def _basis(name: str) -> np.ndarray:
    column = read_table("cie")[name]
    return column / column.sum()


def illuminant(name: str) -> np.ndarray:
    """The spectrum (33,) of a named illuminant, float64, sum 1: A, D65, F1-F12, LED-B1-LED-V2.

    Raises
    ------
    InputError
        The name is not known.
    """
    known = (*(n for n in NAMES if n != "D"), "D65", *LED_NAMES)
    if name not in known:
        raise InputError(f"illuminant {name!r} is not known; choose one of {', '.join(known)}")
    return _basis(name).copy()


def _daylight_chromaticity(kelvin: Array) -> tuple[Array, Array]:
    """CIE 15:2004 eq. 3.2-3.3; the two cubics, which differ by 5e-7 at 7000 K, are blended there.

    The blend (a smoothstep over 6900-7100 K) makes x once continuously differentiable.
    """
    xp = array_namespace(kelvin)
    r = 1000 / kelvin
    warm = ((-4.6070 * r + 2.9678) * r + 0.09911) * r + 0.244063
    cool = ((-2.0064 * r + 1.9018) * r + 0.24748) * r + 0.237040
    s = xp.clip((kelvin - 6900) / 200, 0.0, 1.0)
    x = warm + (cool - warm) * s * s * (3 - 2 * s)
    return x, (-3 * x + 2.87) * x - 0.275


def daylight(kelvin: Any, *, validate: bool = True) -> Array:
    """CIE daylight D(t), sum 1, differentiable in t.

    Parameters
    ----------
    kelvin
        (...) correlated colour temperature, 4000-25000 K.
    validate
        Refuse temperatures outside the range; inside a training loop leave it off, the formula
        goes on smoothly a little beyond both ends.

    Returns
    -------
    (..., 33) in the namespace, dtype and device of `kelvin`.

    Raises
    ------
    InputError
        A temperature is not a number or outside 4000-25000 K.
    """
    t = as_array(kelvin)
    xp = array_namespace(t)
    lo, hi = DAYLIGHT_RANGE
    if validate and not bool(xp.all((t >= lo) & (t <= hi))):
        raise InputError(f"daylight temperature must be {lo:g}-{hi:g} K, not {kelvin}")
    x, y = _daylight_chromaticity(t)
    denominator = 0.0241 + 0.2562 * x - 0.7341 * y
    m1 = (-1.3515 - 1.7703 * x + 5.9114 * y) / denominator
    m2 = (0.0300 - 31.4424 * x + 30.0717 * y) / denominator
    table = read_table("cie")
    s0, s1, s2 = (table_like(t, table[name]) for name in ("S0", "S1", "S2"))
    spd = s0 + m1[..., None] * s1 + m2[..., None] * s2
    return spd / xp.sum(spd, axis=-1, keepdims=True)


@cache
def _fixed(names: tuple[str, ...]) -> np.ndarray:
    """(N, 33) spectra of named illuminants; zeros for D, which has a temperature."""
    return np.stack([np.zeros(BANDS) if name == "D" else _basis(name) for name in names])


def mix(weights: Any, daylight_kelvin: Any, *, validate: bool = True) -> Array:
    """The mixture of eq. 11.

    Parameters
    ----------
    weights
        (..., 14) in the order of `NAMES`, or (..., 23) with `LED_NAMES` after them; >= 0, sum 1.
    daylight_kelvin
        (...) temperature of the D component, 4000-25000 K.
    validate
        Check the weights and the temperature.

    Returns
    -------
    (..., 33) spectral power distribution, sum 1.

    Raises
    ------
    InputError
        Wrong number of weights; negative weights, weights that do not sum to 1, or a temperature
        out of range.
    """
    w, t = common(as_array(weights), as_array(daylight_kelvin))
    xp = array_namespace(w)
    names = {len(NAMES): NAMES, len(NAMES) + len(LED_NAMES): NAMES + LED_NAMES}.get(w.shape[-1])
    if names is None:
        raise InputError(f"an illuminant takes 14 weights, or 23 with LEDs, not {w.shape[-1]}")
    if validate and not bool(xp.all(w >= 0) & xp.all(xp.abs(xp.sum(w, axis=-1) - 1) < 1e-4)):
        raise InputError("illuminant weights must be >= 0 and sum to 1")
    return w @ table_like(w, _fixed(names)) + w[..., 1:2] * daylight(t, validate=validate)


@dataclass(frozen=True)
class Illuminant:
    """Weights of the basis illuminants and the daylight temperature, as predicted or chosen.

    Attributes
    ----------
    weights
        (..., 14), or (..., 23) with LEDs.
    daylight_kelvin
        (...) K.
    """

    weights: Array
    daylight_kelvin: Array

    @classmethod
    def named(cls, name: str, daylight_kelvin: float = 6504.0) -> Illuminant:
        """One basis illuminant by name; `D65`, `D50` or `D5500K`-like names are daylight.

        Raises
        ------
        InputError
            The name is not known, or the temperature outside 4000-25000 K.
        """
        names, kind = NAMES + LED_NAMES, name
        digits = name[1:].removesuffix("K")
        if name.startswith("D") and digits.isascii() and digits.isdigit():
            # CIE names give hundreds of kelvin on the radiation constant of 1964 (D65: 6504 K).
            short = int(digits) * 100 * 1.4388 / 1.438
            kind, daylight_kelvin = "D", short if len(digits) == 2 else float(digits)
        if kind not in names:
            known = ", ".join("D65, D5000 (daylight)" if n == "D" else n for n in names)
            raise InputError(f"illuminant {name!r} is not known; choose one of {known}")
        lo, hi = DAYLIGHT_RANGE
        if not lo <= daylight_kelvin <= hi:
            raise InputError(f"illuminant {name!r}: daylight has {lo:g}-{hi:g} K")
        weights = np.zeros(len(names if kind in LED_NAMES else NAMES))
        weights[names.index(kind)] = 1
        return cls(weights, np.asarray(daylight_kelvin, np.float64))

    @property
    def spd(self) -> Array:
        """(..., 33) spectral power distribution, sum 1."""
        return mix(self.weights, self.daylight_kelvin, validate=False)

    @property
    def cct_kelvin(self) -> Array:
        """(...) K: the correlated colour temperature of the mixture."""
        return cct(self.spd)

    def named_weights(self) -> Mapping[str, float]:
        """Weights of one illuminant keyed by name, as written to the JSON of an estimate."""
        return {
            name: float(value) for name, value in zip(NAMES + LED_NAMES, self.weights, strict=False)
        }


_MIRED_STEP = 5.0
_MIRED = np.arange(25.0, 1005.0, _MIRED_STEP)


def _uv(spd: Array) -> tuple[Array, Array]:
    """CIE 1960 chromaticity of spectra (..., 33)."""
    table = read_table("cie")
    x, y, z = (spd @ table_like(spd, table[name]) for name in ("x_bar", "y_bar", "z_bar"))
    denominator = x + 15 * y + 3 * z
    return 4 * x / denominator, 6 * y / denominator


@cache
def _planckian_locus() -> tuple[np.ndarray, np.ndarray]:
    metres = WAVELENGTHS * 1e-9
    kelvin = 1e6 / _MIRED[:, None]
    return _uv(metres**-5 / np.expm1(1.4388e-2 / (metres * kelvin)))


def cct(spd: Any) -> Array:
    """Correlated colour temperature in K of spectra (..., 33) of any scale, 1000-40000 K.

    The nearest point of the Planckian locus in CIE 1960 uv: the squared distance to a table in
    reciprocal temperature is interpolated with a parabola about its minimum (in the manner of
    Ohno, Leukos 10, 2014), so the result is differentiable. A light bluer or redder than these
    temperatures has none, and the result, which may even be negative, means only that.
    """
    e = as_array(spd)
    xp = array_namespace(e)
    u, v = _uv(e)
    locus_u, locus_v = (table_like(e, values) for values in _planckian_locus())
    distance = (u[..., None] - locus_u) ** 2 + (v[..., None] - locus_v) ** 2
    nearest = xp.clip(xp.argmin(distance, axis=-1, keepdims=True), 1, len(_MIRED) - 2)
    before, at, after = (
        xp.take_along_axis(distance, nearest + k, axis=-1)[..., 0] for k in (-1, 0, 1)
    )
    offset = 0.5 * (before - after) / (before - 2 * at + after)
    mired = _MIRED[0] + _MIRED_STEP * (xp.astype(nearest[..., 0], e.dtype) + offset)
    return 1e6 / mired
