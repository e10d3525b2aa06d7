"""The unit u of networks and scores."""

import numpy as np
import pytest

from bioface.spectral.units import (
    HAEMOGLOBIN_RANGE,
    MELANIN_RANGE,
    from_unit,
    to_unit,
    unit_slope,
)


@pytest.mark.parametrize("bounds", [MELANIN_RANGE, HAEMOGLOBIN_RANGE])
def test_u_is_even_in_cube_roots(bounds):
    u = np.array([-0.2, 0.0, 0.5, 1.0, 1.2])
    fraction = from_unit(u, bounds)
    np.testing.assert_allclose(fraction[[1, 3]], bounds)
    np.testing.assert_allclose(np.cbrt(fraction[2]), np.cbrt(bounds).mean())
    np.testing.assert_allclose(to_unit(fraction, bounds), u, atol=1e-12)
    step = 1e-5
    slope = (from_unit(u + step, bounds) - from_unit(u - step, bounds)) / (2 * step)
    np.testing.assert_allclose(unit_slope(fraction, bounds), slope, rtol=1e-6)
