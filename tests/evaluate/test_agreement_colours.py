"""The plain colour that agreement holds readings against."""

import numpy as np
import pytest

pytest.importorskip("torch")

from bioface.evaluate.agreement import COLOURS, of_photos
from bioface.evaluate.agreement import _colours as colours_of

pytestmark = pytest.mark.torch


def test_colours_are_those_of_the_median_pixel():
    pixels = np.array([[0.8, 0.6, 0.5]] * 3 + [[0, 0, 0], [1, 1, 1]], np.float32)
    found = dict(zip(COLOURS, colours_of(pixels), strict=True))
    # L*a*b* of sRGB (204, 153, 127.5) under D65; ITA = atan((L* - 50) / b*).
    assert found["L*"] == pytest.approx(67.40, abs=0.05)
    assert found["a*"] == pytest.approx(15.70, abs=0.05)
    assert found["b*"] == pytest.approx(20.84, abs=0.05)
    expected = np.degrees(np.arctan2(found["L*"] - 50, found["b*"]))
    assert found["ITA"] == pytest.approx(expected)


def test_without_photos_there_are_no_values():
    found = of_photos([], None)
    assert found.values.shape == (0, 2 + len(COLOURS))
