"""The published skin code's own colours: D65, 2 degree."""

import numpy as np
import pytest

from bioface.spectral.colour import reflectance_to_xyz, xyz_to_lab
from bioface.spectral.skin import SkinModel


@pytest.mark.parametrize(
    ("melanin", "haemoglobin", "lab"),
    [
        (0.013, 0.02, (57, 35, 37)),
        (0.013, 0.07, (38, 66, 55)),
        (0.10, 0.03, (34, 47, 44)),
        (0.43, 0.07, (3.6, 22, 6)),
    ],
)
def test_published_colours(melanin, haemoglobin, lab):
    spectrum = SkinModel.load("alotaibi2019").reflectance(melanin, haemoglobin)
    np.testing.assert_allclose(xyz_to_lab(reflectance_to_xyz(spectrum)), lab, atol=1)
