"""A shading proxy for real photos: a mean face fitted to landmarks, lit by spherical harmonics.

Alotaibi & Smith (BMVC 2019, section 4.3) supervise diffuse shading, up to scale, by the shading of
a model fitted to the face. Here a mean head (`scripts/derive_face_shape`) is posed by weak
perspective, warped onto the 68 landmarks, and its normals explain the face's luminance by nine
spherical harmonics (Ramamoorthi & Hanrahan 2001).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.interpolate import LinearNDInterpolator, RBFInterpolator
from scipy.ndimage import gaussian_filter
from scipy.spatial import ConvexHull

from bioface.npz import read_npz
from bioface.spectral.tables import DATA

_JAW = 17
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_SMOOTHING = 1.0
_ROUNDS = 4
_BLUR = 0.012


@cache
def _face() -> dict[str, np.ndarray]:
    arrays = read_npz(DATA / "face_shape.npz", _PARTS, "install bioface again")
    return {name: array.astype(np.float64) for name, array in arrays.items()}


_PARTS = ("points", "normals", "landmarks")


def fit_pose(landmarks: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Weak perspective of the mean face: scale (pixels per cm), rotation (3, 3), shift (2,).

    `landmarks` (68, 2) are in pixels, y down; a point X of the face is seen at
    `scale * (rotation @ X)[:2] * (1, -1) + shift`. The jaw line, which slides along the contour as
    the head turns, has no say.
    """
    model = _face()["landmarks"][_JAW:]
    seen = landmarks[_JAW:] * np.array([1, -1])
    model_mean, seen_mean = model.mean(0), seen.mean(0)
    affine = np.linalg.lstsq(model - model_mean, seen - seen_mean, rcond=None)[0].T
    left, singular, right = np.linalg.svd(affine, full_matrices=False)
    scale = float(singular.mean())
    two = left @ right
    rotation = np.stack([two[0], two[1], np.cross(two[0], two[1])])
    shift = (seen_mean - scale * two @ model_mean) * np.array([1, -1])
    return scale, rotation, shift


def fitted_normals(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Unit normals (size, size, 3) of the fitted face in camera space (+X right, +Y up, +Z to the
    viewer); 0 where there is no face.

    `landmarks` (68, 2) are in pixels of the crop.
    """
    face = _face()
    scale, rotation, shift = fit_pose(landmarks)

    def project(points: np.ndarray) -> np.ndarray:
        return scale * (points @ rotation.T)[:, :2] * np.array([1, -1]) + shift

    normals = face["normals"] @ rotation.T
    visible = normals[:, 2] > 0.02
    posed = project(face["landmarks"])[_JAW:]
    warp = RBFInterpolator(
        posed, landmarks[_JAW:] - posed, kernel="thin_plate_spline", smoothing=_SMOOTHING
    )
    points = project(face["points"][visible])
    points = points + warp(points)
    y, x = np.mgrid[:size, :size] + 0.5
    pixels = np.stack([x, y], -1)
    # Looking up points outside the hull would take nearly all the time.
    sides = ConvexHull(points).equations
    within = (pixels @ sides[:, :2].T + sides[:, 2] < 0).all(-1)
    seen = np.zeros((size, size, 3))
    seen[within] = LinearNDInterpolator(points, normals[visible], fill_value=0.0)(pixels[within])
    inside = (np.abs(seen).sum(2) > 0)[..., None]
    smooth = gaussian_filter(seen, (_BLUR * size, _BLUR * size, 0))
    length = np.linalg.norm(smooth, axis=2, keepdims=True)
    return np.where(inside, smooth / np.maximum(length, 1e-6), 0.0)


def harmonics(normals: np.ndarray) -> np.ndarray:
    """The nine second-order harmonics (..., 9) of unit normals (..., 3), unnormalised."""
    x, y, z = np.moveaxis(normals, -1, 0)
    one = np.ones_like(x)
    return np.stack([one, x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], -1)


def shading_proxy(linear: np.ndarray, mask: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Diffuse shading up to a factor (H, W) >= 0, mean 1 over the face; 0 where unknown.

    Least squares of luminance over skin, reweighted a few times so that shadows, gloss, beards and
    make-up do not bend it.

    Parameters
    ----------
    linear
        (H, H, 3) linear sRGB crop.
    mask
        (H, H) skin, 0-1.
    landmarks
        (68, 2) in pixels of the crop.
    """
    normals = fitted_normals(landmarks, len(linear))
    known = (np.abs(normals).sum(2) > 0) & (mask > 0.5) & (linear.max(2) < 0.98)
    if known.sum() < 50:
        return np.zeros(mask.shape, np.float32)
    basis = harmonics(normals)
    luminance = linear @ _LUMINANCE
    a, b = basis[known], luminance[known]
    ridge = 1e-3 * len(b) * np.eye(9)
    ridge[0, 0] = 0.0
    weight = np.ones(len(b))
    for _ in range(_ROUNDS):
        weighted = a * weight[:, None]
        light = np.linalg.solve(weighted.T @ a + ridge, weighted.T @ b)
        error = (a @ light - b) / max(float(np.median(b)), 1e-3)
        weight = 1 / (1 + (error / 0.15) ** 2)
    shading = np.clip(basis @ light, 0, None) * (np.abs(normals).sum(2) > 0)
    return (shading / max(float(shading[known].mean()), 1e-6)).astype(np.float32)
