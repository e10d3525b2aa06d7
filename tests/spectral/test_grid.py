"""Spectra on other wavelength grids: resampled, or refused clearly."""

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.spectral.grid import WAVELENGTHS, bernstein_basis, resample


@pytest.mark.parametrize("grid", [np.arange(380.0, 781.0, 5.0), np.arange(400.0, 721.0, 20.0)])
def test_straight_lines_survive_another_grid(grid):
    lines = np.array([[1.0], [-2.0]]) * grid + 3
    np.testing.assert_allclose(
        resample(grid, lines), np.array([[1.0], [-2.0]]) * WAVELENGTHS + 3, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("grid", "bands", "message"),
    [
        (np.arange(400.0, 701.0, 10.0), 31, "cover 400-700 nm; 400-720 nm are needed"),
        (np.arange(380.0, 781.0, 5.0)[::-1], 81, "must increase"),
        (np.arange(380.0, 781.0, 5.0), 80, r"\(80,\) bands for wavelengths of shape \(81,\)"),
        (np.zeros(0), 0, r"\(0,\) bands for wavelengths of shape \(0,\)"),
    ],
)
def test_other_grids_are_refused_clearly(grid, bands, message):
    with pytest.raises(InputError, match=message):
        resample(grid, np.ones((2, bands)))


def test_no_spectra_stay_none():
    assert resample(WAVELENGTHS, np.zeros((2, 0, 33))).shape == (2, 0, 33)


@pytest.mark.parametrize("count", [1, 4, 7])
def test_basis_spectra_share_every_wavelength_among_them(count):
    basis = bernstein_basis(count)
    assert basis.shape == (count, len(WAVELENGTHS))
    assert basis.min() >= 0
    np.testing.assert_allclose(basis.sum(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(basis[[0, -1], [0, -1]], 1, rtol=1e-12)
    # A straight line is the sum of its values at even steps.
    if count > 1:
        np.testing.assert_allclose(np.arange(count) @ basis, np.linspace(0, count - 1, 33))
