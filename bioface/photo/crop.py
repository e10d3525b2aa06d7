"""The upright square around a face that the encoder sees, and the way back to the photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioface.photo.landmarks import bounding_box, eye_centres

FRAMING = 1.8
"""Side of the crop over the larger side of the upright box of the 68 landmarks."""


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
        import cv2

        fold = int(np.clip(np.ceil(self.side / self.size), 1, 32))
        fine = Crop(self.centre, self.side, self.roll, self.size * fold)
        out = cv2.warpAffine(
            np.ascontiguousarray(image),
            _affine(fine.to_photo),
            (fine.size, fine.size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if fold > 1:
            out = cv2.resize(out, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return out

    def window(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the photo of `shape` (H, W) that the turned square touches."""
        corners = self.to_photo(
            np.array([[0, 0], [self.size, 0], [0, self.size], [self.size, self.size]], np.float64)
        )
        left, top, right, bottom = bounding_box(corners)
        rows = slice(max(int(np.floor(top)), 0), min(int(np.ceil(bottom)), shape[0]))
        columns = slice(max(int(np.floor(left)), 0), min(int(np.ceil(right)), shape[1]))
        return rows, columns

    def place(self, planes: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
        """Resample planes (size, size, C) of the crop at the photo's pixels in `window`.

        Returns (h, w, C) float32: bicubic, each value kept within the range of its plane; beyond
        the crop its last pixel is repeated.
        """
        import cv2

        rows, columns = window
        height, width = rows.stop - rows.start, columns.stop - columns.start
        corner = np.array([columns.start, rows.start], np.float64)
        matrix = _affine(lambda points: self.from_photo(points + corner))
        out = np.empty((height, width, planes.shape[-1]), np.float32)
        for channel in range(planes.shape[-1]):
            plane = np.ascontiguousarray(planes[..., channel], np.float32)
            placed = cv2.warpAffine(
                plane,
                matrix,
                (width, height),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            out[..., channel] = np.clip(placed, plane.min(), plane.max())
        return out


def _rotation(angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def _affine(mapping) -> np.ndarray:  # noqa: ANN001
    """The 2x3 matrix OpenCV wants, whose pixel centres lie at whole numbers, of a point mapping."""
    base = mapping(np.array([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5]])) - 0.5
    return np.stack([base[1] - base[0], base[2] - base[0], base[0]], axis=1)


def fill_outside(planes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Replace what lies where `weight` is low by a smooth continuation from where it is high.

    Push-pull: weighted means on ever coarser grids, blended back from coarse to fine. Where the
    weight is 1 the planes are unchanged.

    Parameters
    ----------
    planes
        (h, w, C) float32.
    weight
        (h, w), 0-1.
    """
    import cv2

    height, width = weight.shape
    weight = np.clip(weight, 0, 1)[..., None].astype(np.float32)
    if min(height, width) <= 2:
        total = weight.sum()
        mean = (planes * weight).sum(axis=(0, 1)) / total if total > 0 else planes.mean((0, 1))
        coarse = np.broadcast_to(mean, planes.shape)
    else:
        half = (max((width + 1) // 2, 1), max((height + 1) // 2, 1))
        small_weight = _shrink(weight, half)
        small = _shrink(planes * weight, half) / np.maximum(small_weight, 1e-6)
        filled = fill_outside(small, np.minimum(small_weight[..., 0] * 4, 1))
        coarse = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
        coarse = coarse.reshape(planes.shape)
    return (weight * planes + (1 - weight) * coarse).astype(np.float32)


def _shrink(planes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    out = cv2.resize(planes, size, interpolation=cv2.INTER_AREA)
    return out.reshape(size[1], size[0], planes.shape[-1])
