"""Where a face is: known by its box alone, or with landmarks and mesh."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bioface.errors import InputError
from bioface.photo.landmarks import skin_region

MIN_FACE = 20.0
"""Smallest face that is read: larger side of the 68-landmark box in pixels."""


@dataclass(frozen=True)
class FaceBox:
    """A face of which only the place is known; it is taken to be upright.

    Attributes
    ----------
    box
        (left, top, right, bottom) of the 68 landmarks (brows to chin, ear to ear) in pixels from
        the photo's top left corner.
    """

    box: tuple[float, float, float, float]

    @classmethod
    def square(cls, x: float, y: float, side: float, shape: tuple[int, int]) -> FaceBox:
        """The face in a square of a photo of `shape` (H, W), given its top left corner.

        Raises
        ------
        InputError
            The side is below 20 pixels, or the square's centre lies outside the photo.
        """
        height, width = shape
        text = f"face box {x:g} {y:g} {side:g}"
        if not all(map(math.isfinite, (x, y, side))) or side < MIN_FACE:
            raise InputError(f"{text}: X Y SIDE in pixels, SIDE at least {MIN_FACE:g}")
        if not (0 <= x + side / 2 <= width and 0 <= y + side / 2 <= height):
            raise InputError(f"{text}: its centre lies outside the photo of {width}x{height}")
        return cls((float(x), float(y), float(x + side), float(y + side)))

    @property
    def centre(self) -> tuple[float, float]:
        """Middle (x, y) of the box."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def size(self) -> float:
        """The larger side of the box, pixels."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)


@dataclass(frozen=True)
class Face(FaceBox):
    """A face with its features; pixel coordinates as in `bioface.photo.landmarks`.

    Attributes
    ----------
    landmarks
        (68, 2) float64, iBUG order, pixels (x, y).
    mesh
        (478, 2) float64, MediaPipe's face mesh, pixels.
    shape
        (H, W) of the photo.
    """

    landmarks: np.ndarray
    mesh: np.ndarray
    shape: tuple[int, int]

    @property
    def mask(self) -> np.ndarray:
        """(H, W) float32 in 0-1: the mesh's skin region, `bioface.photo.landmarks.skin_region`."""
        return skin_region(self.mesh, self.shape)
