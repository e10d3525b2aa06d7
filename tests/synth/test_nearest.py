"""Nearest points with and without scipy."""

import sys

import numpy as np

from synth.heads import nearest


def test_numpy_alone_finds_the_same_points(monkeypatch):
    rng = np.random.default_rng(0)
    points, places = rng.normal(size=(300, 3)) + 50, rng.normal(size=(200, 3)) + 50
    with_scipy = nearest.nearest_finder(points)(places)
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    monkeypatch.setattr(nearest, "_PAIRS", 1000)
    np.testing.assert_array_equal(nearest.nearest_finder(points)(places), with_scipy)
