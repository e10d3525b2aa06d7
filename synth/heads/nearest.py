"""The nearest of many points: scipy's tree, or numpy alone where scipy is missing (in Blender)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_PAIRS = 4_000_000
"""Distances looked at together: bounds the memory of the way without scipy."""


def nearest_finder(points: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function from places (S, 3) to the index (S,) of the nearest of `points` (V, 3)."""
    try:
        from scipy.spatial import cKDTree
    except ImportError:
        return _Exhaustive(points)
    tree = cKDTree(points)
    return lambda places: tree.query(places)[1]


class _Exhaustive:
    """Compares every place with every point."""

    def __init__(self, points: np.ndarray) -> None:
        self._points = np.asarray(points, np.float64)
        self._centre = self._points.mean(0)
        self._points = self._points - self._centre
        self._square = (self._points**2).sum(1)

    def __call__(self, places: np.ndarray) -> np.ndarray:
        found = np.empty(len(places), np.intp)
        step = max(_PAIRS // len(self._points), 1)
        for start in range(0, len(places), step):
            part = places[start : start + step] - self._centre
            # |p - q|^2 less |q|^2, which is the same for every point.
            found[start : start + step] = (self._square - 2 * part @ self._points.T).argmin(1)
        return found
