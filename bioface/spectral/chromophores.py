"""Absorption of melanin and of whole blood on the wavelength grid."""

from __future__ import annotations

import numpy as np

from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.tables import read_table

BLOOD_HAEMOGLOBIN = 150.0
"""Haemoglobin in whole blood, g/L (held: DESIGN, Pigment scale)."""

HAEMOGLOBIN_MOLAR_MASS = 64_500.0
"""g/mol (Prahl, OMLC)."""


def extinction(name: str, bandwidth: float = 0.0) -> np.ndarray:
    """One column of `bioface/data/chromophores.csv` on the grid (33,).

    Parameters
    ----------
    name
        `hbo2` or `hb` (1/cm per mol/L), `eumelanin` or `pheomelanin` (1/cm per mg/mL).
    bandwidth
        Full width at half maximum in nm (0 or 4-10) of the triangular band over which the table
        is averaged, as a spectrophotometer does; 0 interpolates.
    """
    table = read_table("chromophores")
    wavelength, values = table["wavelength"], table[name]
    if bandwidth == 0.0:
        return np.interp(WAVELENGTHS, wavelength, values)
    weights = np.maximum(1 - np.abs(WAVELENGTHS[:, None] - wavelength) / bandwidth, 0.0)
    return weights @ values / weights.sum(axis=1)


def blood_absorption(bandwidth: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    """Absorption of whole blood at 150 g/L, 1/cm, fully oxygenated and fully deoxygenated (33,)."""
    scale = np.log(10) * BLOOD_HAEMOGLOBIN / HAEMOGLOBIN_MOLAR_MASS
    return scale * extinction("hbo2", bandwidth), scale * extinction("hb", bandwidth)
