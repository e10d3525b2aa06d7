"""The equations behind `bioface.SkinModel`: an absorbing epidermis over a diffusing dermis.

Functions take `xp`, an array namespace (array-api-compat), and constants as 0-d arrays of it, so
that gradients flow through every constant. Wavelength is the last axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from bioface.spectral.chromophores import blood_absorption, extinction
from bioface.spectral.grid import WAVELENGTHS

REFERENCE_WAVELENGTH = 500.0
"""nm at which melanosome absorption and scattering are held (DESIGN, Pigment scale)."""

EPIDERMIS_THICKNESS = 60e-4
"""cm."""

MELANOSOME_ABSORPTION = 6.6e11 * REFERENCE_WAVELENGTH**-3.33
"""1/cm at 500 nm (S. L. Jacques, "Optical properties of biological tissues", 2013)."""

REDUCED_SCATTERING = 46.0
"""1/cm at 500 nm (Jacques 2013, skin)."""

INTERNAL_REFLECTION = 2.95
"""Boundary parameter (1 + r) / (1 - r) of diffuse light inside tissue, r = 0.493 at n = 1.4."""

VESSEL_BLOOD = (0.02, 0.002)
"""Blood fraction at which `vessel_radius` is stated, and the fraction left when vessels empty."""

CURVE_TERMS = 3
"""Coefficients of each smooth correction of a global curve."""


@cache
def grid_tables() -> dict[str, np.ndarray]:
    """Everything fixed on the grid: blood absorption (1/cm), log wavelength, correction curves."""
    oxygenated, deoxygenated = blood_absorption()
    position = (WAVELENGTHS - WAVELENGTHS[0]) / np.ptp(WAVELENGTHS)
    held = (REFERENCE_WAVELENGTH - WAVELENGTHS[0]) / np.ptp(WAVELENGTHS)
    order = np.pi * np.arange(1, CURVE_TERMS + 1)[:, None]
    return {
        "oxygenated": oxygenated,
        "deoxygenated": deoxygenated,
        "log_wavelength": np.log(WAVELENGTHS / REFERENCE_WAVELENGTH),
        "curves": np.cos(order * position) - np.cos(order * held),
    }


def smooth_correction(c: Mapping[str, Any], tables: Mapping[str, Any], name: str) -> Any:
    """Log correction (33,) of a curve: a sum of cosines over 400-720 nm that is 0 at 500 nm."""
    return sum(c[f"{name}_curve_{k + 1}"] * tables["curves"][k, :] for k in range(CURVE_TERMS))


def calibrated_epidermis(
    xp: Any, c: Mapping[str, Any], tables: Mapping[str, Any], melanin: Any
) -> Any:
    """Two-way transmission of the epidermis (..., 33) for melanosome fractions (..., 1).

    `(1 + s^2 t)^(-1/s^2)` with the optical depth `t = 2 d m mu(w)`: Beer's law averaged over a
    gamma distribution of melanin density and path length with coefficient of variation s.
    """
    exponent = -c["melanin_power"] * tables["log_wavelength"]
    absorption = MELANOSOME_ABSORPTION * xp.exp(exponent + smooth_correction(c, tables, "melanin"))
    depth = 2 * EPIDERMIS_THICKNESS * melanin * absorption
    spread = c["melanin_spread"] ** 2
    return xp.exp(-xp.log1p(spread * depth) / spread)


def dermis_coefficients(
    xp: Any,
    c: Mapping[str, Any],
    tables: Mapping[str, Any],
    haemoglobin: Any,
    oxygenation: Any,
    scattering: Any,
) -> tuple[Any, Any]:
    """Absorption and reduced scattering of the dermis, 1/cm; arguments broadcast against (..., 1).

    `haemoglobin` is the volume fraction of blood, `oxygenation` the oxygenated share of it and
    `scattering` a factor on reduced scattering (1: the model's own). A fixed number of vessels
    widens to hold more blood, so their radius goes with the square root of its fraction.
    """
    log_w = tables["log_wavelength"]
    blood = oxygenation * tables["oxygenated"] + (1 - oxygenation) * tables["deoxygenated"]
    stated, empty = VESSEL_BLOOD
    widening = xp.sqrt((haemoglobin + empty) / (stated + empty))
    blood = packaged(xp, blood, 1e-4 * c["vessel_radius"] * widening)
    baseline = c["baseline"] * xp.exp(
        -c["baseline_power"] * log_w + smooth_correction(c, tables, "baseline")
    )
    absorption = haemoglobin * blood + (1 - haemoglobin) * baseline
    rayleigh = c["rayleigh_fraction"]
    shape = rayleigh * xp.exp(-4 * log_w) + (1 - rayleigh) * xp.exp(-c["mie_power"] * log_w)
    shape = shape * xp.exp(smooth_correction(c, tables, "scattering"))
    return absorption, REDUCED_SCATTERING * scattering * shape


def calibrated_dermis(
    xp: Any,
    c: Mapping[str, Any],
    tables: Mapping[str, Any],
    haemoglobin: Any,
    oxygenation: Any,
    scattering: Any,
) -> Any:
    """Diffuse reflectance of the dermis (..., 33); arguments as for `dermis_coefficients`."""
    absorption, reduced = dermis_coefficients(xp, c, tables, haemoglobin, oxygenation, scattering)
    reflectance = diffuse_reflectance(xp, absorption, reduced, INTERNAL_REFLECTION)
    if "colouration_curve_1" not in c:
        return reflectance
    return reflectance * xp.exp(smooth_correction(c, tables, "colouration"))


def diffusion_length(xp: Any, absorption: Any, scattering: Any) -> Any:
    """Diffuse mean free path (cm) in a medium of absorption and reduced scattering (1/cm).

    `1 / sqrt(3 mu (mu + s))`, the distance over which diffuse light decays by e: H. W. Jensen,
    S. R. Marschner, M. Levoy and P. Hanrahan, "A practical model for subsurface light transport",
    SIGGRAPH 2001.
    """
    return 1 / xp.sqrt(3 * absorption * (absorption + scattering))


def packaged(xp: Any, absorption: Any, radius: Any) -> Any:
    """Effective absorption of blood held in vessels of `radius` cm instead of spread out.

    `(1 - exp(-2 mu r)) / (2 r)`: R. L. P. van Veen, W. Verkruysse and H. J. C. M. Sterenborg,
    "Diffuse-reflectance spectroscopy from 500 to 1060 nm by correction for inhomogeneously
    distributed absorbers", Optics Letters 27 (2002) 246-248.
    """
    return -xp.expm1(-2 * absorption * radius) / (2 * radius)


def diffuse_reflectance(xp: Any, absorption: Any, scattering: Any, boundary: Any) -> Any:
    """Total diffuse reflectance of a semi-infinite medium by diffusion theory, in (0, 1].

    `a / (1 + 2 k (1 - a) + (1 + 2 k / 3) sqrt(3 (1 - a)))` with the transport albedo
    `a = s / (s + mu)` of reduced scattering s and absorption mu (1/cm), and the boundary
    parameter `k = (1 + r) / (1 - r)` of the internal reflectance r (1: matched indices, about 3
    at n = 1.4): S. T. Flock, M. S. Patterson, B. C. Wilson and D. R. Wyman, "Monte Carlo modeling
    of light propagation in highly scattering tissues I", IEEE Trans. Biomed. Eng. 36 (1989)
    1162-1168.
    """
    loss = absorption / (absorption + scattering)
    return (1 - loss) / (1 + 2 * boundary * loss + (1 + 2 * boundary / 3) * xp.sqrt(3 * loss))


@cache
def published_tables() -> dict[str, np.ndarray]:
    """The curves of the published code on the grid (33,), 1/cm except `melanin` (per 0.02 cm)."""
    return {
        "melanin": 0.02
        * (0.61 * 80 * extinction("eumelanin") + 0.39 * 12 * extinction("pheomelanin")),
        "oxygenated": 0.75 * 2.303 * 150 * extinction("hbo2") / 66500,
        "deoxygenated": 0.25 * 2.303 * 150 * extinction("hb") / 66500,
        "baseline": 0.0244 + 8.53 * np.exp(-(WAVELENGTHS - 154) / 66.2),
        "scattering": 2e12 * WAVELENGTHS**-4.0 + 2e5 * WAVELENGTHS**-1.5,
    }


def published_reflectance(
    xp: Any, tables: Mapping[str, Any], melanin: Any, haemoglobin: Any
) -> Any:
    """Reflectance (..., 33) of the published code, for fractions (..., 1).

    S. Alotaibi and W. A. P. Smith, "BioFaceNet: Deep biophysical face image interpretation",
    BMVC 2019, arXiv 1908.10578, as its code computes it: the epidermis holds a quarter of the
    blood; the dermis is a Kubelka-Munk layer of 0.3 cm.
    """
    oxygenated, deoxygenated = tables["oxygenated"], tables["deoxygenated"]
    baseline = tables["baseline"]
    quarter = haemoglobin / 4
    transmission = xp.exp(
        -(
            tables["melanin"] * melanin
            + quarter * (0.75 * oxygenated + 0.25 * deoxygenated)
            + baseline * (1 - melanin - quarter)
        )
    )
    absorption = haemoglobin * (oxygenated + deoxygenated) + (1 - haemoglobin) * baseline
    total = absorption + 2 * tables["scattering"]
    beta = xp.sqrt(absorption / total)
    decay = xp.exp(-2 * 0.3 * xp.sqrt(absorption * total))
    dermis = (1 - beta**2) * (1 - decay) / ((1 + beta) ** 2 - (1 - beta) ** 2 * decay)
    return transmission**2 * dermis
