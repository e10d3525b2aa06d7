"""The wavelength grid of every spectrum: 400-720 nm every 10 nm."""

from __future__ import annotations

import math

import numpy as np

from bioface.errors import InputError

WAVELENGTHS = np.arange(400.0, 721.0, 10.0)
"""(33,) nm."""

BANDS = len(WAVELENGTHS)


def resample(wavelength: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Linearly interpolate spectra (..., W) given at increasing `wavelength` (W,) nm onto the grid.

    Raises
    ------
    InputError
        The wavelengths do not increase, do not cover 400-720 nm, or differ in number from the
        values.
    """
    wavelength = np.asarray(wavelength, np.float64)
    values = np.asarray(values, np.float64)
    if wavelength.ndim != 1 or not wavelength.size or values.shape[-1:] != wavelength.shape:
        raise InputError(
            f"spectra have {values.shape[-1:]} bands for wavelengths of shape {wavelength.shape}"
        )
    if not (np.diff(wavelength) > 0).all():
        raise InputError("wavelengths must increase")
    if wavelength[0] > WAVELENGTHS[0] or wavelength[-1] < WAVELENGTHS[-1]:
        raise InputError(
            f"wavelengths cover {wavelength[0]:g}-{wavelength[-1]:g} nm; 400-720 nm are needed"
        )
    flat = values.reshape(-1, len(wavelength))
    out = np.array([np.interp(WAVELENGTHS, wavelength, row) for row in flat])
    return out.reshape(*values.shape[:-1], BANDS)


def bernstein_basis(count: int = 4) -> np.ndarray:
    """Smooth basis spectra (count, 33): Bernstein polynomials over the grid.

    They are non-negative and sum to one at every wavelength, so coefficients in [0, 1] are a
    reflectance in [0, 1]. Not-skin parts are stored as such coefficients.
    """
    x = (WAVELENGTHS - WAVELENGTHS[0]) / (WAVELENGTHS[-1] - WAVELENGTHS[0])
    degree = count - 1
    return np.stack([math.comb(degree, k) * x**k * (1 - x) ** (degree - k) for k in range(count)])
