"""The upright square around a face that the encoder sees, and the way back to the photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bioface.photo.landmarks import bounding_box, eye_centres
from bioface.photo.resample import blocks, enlarge, sample

FRAMING = 1.8
"""Side of the crop over the larger side of the upright box of the 68 landmarks."""

SIZES = (32, 1024)
"""Least and most pixels a side of what the encoder sees."""

_FINEST = 8  # times that a crop is enlarged by cubics; what is left is linear


@dataclass(frozen=True)
class Crop:
    """A square of the photo, turned so that the face in it is upright.

    Attributes
    ----------
    centre
        (x, y) in pixels of the photo.
    side
        Length of a side in pixels of the photo.
    roll
        Angle in radians by which the face is turned clockwise in the photo.
    size
        Pixels a side of the cropped image.
    """

    centre: tuple[float, float]
    side: float
    roll: float
    size: int

    @classmethod
    def around(cls, landmarks: np.ndarray, size: int, framing: float = FRAMING) -> Crop:
        """The crop centred on the upright box of 68 landmarks, `framing` times its larger side."""
        right_eye, left_eye = eye_centres(landmarks)
        across = left_eye - right_eye
        roll = float(np.arctan2(across[1], across[0]))
        upright = landmarks @ _rotation(roll)
        left, top, right, bottom = bounding_box(upright)
        middle = _rotation(roll) @ np.array([(left + right) / 2, (top + bottom) / 2])
        side = framing * max(right - left, bottom - top)
        return cls((float(middle[0]), float(middle[1])), side, roll, size)

    @classmethod
    def around_box(cls, box: tuple[float, float, float, float], size: int) -> Crop:
        """The crop around an upright face's (left, top, right, bottom) box of 68 landmarks."""
        left, top, right, bottom = box
        side = FRAMING * max(right - left, bottom - top)
        return cls(((left + right) / 2, (top + bottom) / 2), side, 0.0, size)

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) in pixels of the crop to pixels of the photo."""
        scale = self.side / self.size
        return (points - self.size / 2) * scale @ _rotation(self.roll).T + np.array(self.centre)

    def from_photo(self, points: np.ndarray) -> np.ndarray:
        """The inverse of `to_photo`."""
        scale = self.size / self.side
        return (points - np.array(self.centre)) @ _rotation(self.roll) * scale + self.size / 2

    def extract(self, image: np.ndarray) -> np.ndarray:
        """Cut the crop out of an image (H, W) or (H, W, C): (size, size[, C]), the same dtype.

        Each pixel is the mean over the area it covers, so shrinking does not alias. Beyond the
        photo's edge its last pixel is repeated.
        """
        rows, columns = self.window((image.shape[0], image.shape[1]))
        scale = self.side / self.size
        factor = max(int(scale / 2), 1)
        part = np.atleast_3d(image[rows.start : rows.stop + factor, columns.start :])
        part = part[:, : columns.stop - columns.start + factor]
        fold = int(np.ceil(scale / factor))
        fine = Crop(self.centre, self.side, self.roll, self.size * fold)
        corner = np.array([columns.start, rows.start])
        matrix = _affine(lambda points: (fine.to_photo(points) - corner) / factor)
        found = sample(blocks(part, factor), matrix, (fine.size, fine.size))
        found = blocks(found, fold).reshape(self.size, self.size, *image.shape[2:])
        if np.issubdtype(image.dtype, np.integer):
            found = np.round(found)
        return found.astype(image.dtype)

    def window(self, shape: tuple[int, int], beyond: float = 0.0) -> tuple[slice, slice]:
        """Rows and columns of the photo of `shape` (H, W) that the turned square touches.

        `beyond` widens the square on every side by that part of its side.
        """
        ends = np.array([-beyond, 1 + beyond]) * self.size
        corners = self.to_photo(np.stack(np.meshgrid(ends, ends), axis=-1).reshape(4, 2))
        left, top, right, bottom = bounding_box(corners)
        return _clipped(top, bottom, shape[0]), _clipped(left, right, shape[1])

    def place(self, planes: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
        """Resample planes (size, size, C) of the crop at the photo's pixels in `window`.

        Returns (h, w, C) float32: bicubic, each value kept within the range of its plane; beyond
        the crop its last pixel is repeated.
        """
        rows, columns = window
        factor = int(np.clip(np.ceil(self.side / self.size), 1, _FINEST))
        lowest, highest = planes.min(axis=(0, 1)), planes.max(axis=(0, 1))
        fine = np.clip(enlarge(planes, factor), lowest, highest)
        corner = np.array([columns.start, rows.start])
        matrix = _affine(lambda points: self.from_photo(points + corner) * factor)
        return sample(fine, matrix, (rows.stop - rows.start, columns.stop - columns.start))


def _clipped(low: float, high: float, length: int) -> slice:
    """Pixels of a line of `length` between two places; at least one."""
    start = min(max(int(np.floor(low)), 0), length - 1)
    return slice(start, max(min(int(np.ceil(high)), length), start + 1))


def _rotation(angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def _affine(mapping: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The matrix (2, 3) of an affine mapping of points (N, 2)."""
    origin, x, y = mapping(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    return np.stack([x - origin, y - origin, origin], axis=1)
