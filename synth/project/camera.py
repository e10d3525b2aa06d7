"""Where a head stands in a photo: pose and focal length from 68 landmarks, then a smooth warp.

The head is somebody else's (a mean head), so a camera alone leaves the features a few per cent
off. The remaining difference at the landmarks is spread over the surface by a biharmonic spline
in head coordinates; after it, every landmark vertex lies exactly on its landmark.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioface.errors import InputError
from synth.scene import HeadMesh

LANDMARKS = 68
_JAW = 17
_JAW_WEIGHT = 0.3
"""The jaw's points slide along the outline between annotators and people."""
_SPREAD = 0.02
"""Expected misfit of a landmark, as a part of the face's size: another person's proportions."""
_DISTANCE, _DISTANCE_SPREAD = 90.0, 0.4
"""Prior of the camera's distance: median cm, spread of its logarithm."""
_YAWS = (0.0, -0.7, 0.7)


@dataclass(frozen=True)
class Fit:
    """A head placed in a photo.

    Attributes
    ----------
    rotation
        (3, 3) head to camera axes (right, up, backward).
    position
        (3,) the camera, head coordinates, cm.
    focal
        Focal length in pixels; the optical axis goes through the photo's centre.
    points
        (V, 2) x, y of every vertex in the photo's pixels (y down, first centre at 0.5), after the
        warp.
    depth
        (V,) distance along the optical axis, cm.
    residual
        Root mean square distance in pixels of the landmarks before the warp.
    """

    rotation: np.ndarray
    position: np.ndarray
    focal: float
    points: np.ndarray
    depth: np.ndarray
    residual: float


def fit_head(head: HeadMesh, landmarks: np.ndarray, shape: tuple[int, int]) -> Fit:
    """Place `head` in a photo of `shape` (H, W) so that it explains `landmarks` (68, 2) pixels.

    A perspective camera with free pose, distance and focal length is fitted by iteratively
    reweighted least squares (Huber), from three starting yaws, with a log-normal prior on the
    distance (a face alone says little about it); then the warp of the module's docstring. The
    head's axes may be turned by quarters: its landmarks tell where it looks.

    Raises
    ------
    InputError
        The landmarks are not 68 finite points, or span no area.
    """
    observed = np.asarray(landmarks, np.float64)
    if observed.shape != (LANDMARKS, 2) or not np.isfinite(observed).all():
        raise InputError(f"landmarks must be {LANDMARKS} finite points, got {observed.shape}")
    size = float(np.sqrt(np.prod(np.ptp(observed, axis=0))))
    if size < 4:
        raise InputError("landmarks span less than 4 pixels; use a larger photo")
    turn = _facing(head)
    vertices = np.asarray(head.vertices, np.float64) @ turn.T
    anchors = vertices[head.landmarks]
    centre = np.array([shape[1] / 2, shape[0] / 2])
    pivot = anchors.mean(0)
    fits = [_solve(anchors - pivot, observed - centre, size, yaw) for yaw in _YAWS]
    parameters = min(fits, key=lambda fit: fit[1])[0]
    rotation, translation, focal = _unpack(parameters)
    seen = _transform(parameters, vertices - pivot)
    depth = -seen[:, 2]
    points = _perspective(seen, focal) + centre
    difference = observed - points[head.landmarks]
    return Fit(
        rotation @ turn,
        (pivot - translation @ rotation) @ turn,
        focal,
        points + _spline(anchors, difference, vertices),
        depth,
        float(np.sqrt((difference**2).sum(1).mean())),
    )


def fit_box(head: HeadMesh, box: tuple[float, float, float, float], shape: tuple[int, int]) -> Fit:
    """Place `head`, looking into the camera, so that its landmarks fill `box`: a rough fit.

    For photos whose landmarks are not known. The distance is the prior's median.

    Parameters
    ----------
    box
        (left, top, right, bottom) around brows and chin, ear to ear, in pixels.
    shape
        (H, W) of the photo.

    Raises
    ------
    InputError
        The box is smaller than 4 pixels.
    """
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    if not side >= 4:
        raise InputError(f"face box {box}: smaller than 4 pixels")
    turn = _facing(head)
    vertices = np.asarray(head.vertices, np.float64) @ turn.T
    anchors = vertices[head.landmarks]
    pivot = (anchors.min(0) + anchors.max(0)) / 2
    scale = side / np.ptp(anchors[:, :2], axis=0).max()
    centre = np.array([shape[1], shape[0]]) / 2
    offset = np.array([left + right, top + bottom]) / 2 - centre
    parameters = np.array([0, 0, 0, *offset, np.log(_DISTANCE), np.log(scale)])
    rotation, translation, focal = _unpack(parameters)
    seen = _transform(parameters, vertices - pivot)
    points = _perspective(seen, focal) + centre
    position = (pivot - translation @ rotation) @ turn
    return Fit(rotation @ turn, position, focal, points, -seen[:, 2], 0.0)


def _facing(head: HeadMesh) -> np.ndarray:
    """(3, 3) rows: the axes of the mesh, or their opposites, nearest to its left, up and front."""
    marks = np.asarray(head.vertices, np.float64)[head.landmarks]
    up = marks[17:27].mean(0) - marks[8]
    left = marks[16] - marks[0]
    rows = np.zeros((3, 3))
    highest = np.abs(up).argmax()
    rows[1, highest] = np.copysign(1, up[highest])
    left[highest] = 0
    widest = np.abs(left).argmax()
    rows[0, widest] = np.copysign(1, left[widest])
    rows[2] = np.cross(rows[0], rows[1])
    return rows


def _unpack(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(rotation vector, offset in px, log distance, log px per cm) to R, t (cm), focal (px)."""
    distance, scale = np.exp(parameters[5]), np.exp(parameters[6])
    translation = np.array([parameters[3] / scale, -parameters[4] / scale, -distance])
    return _rotation(parameters[:3]), translation, float(distance * scale)


def _rotation(vector: np.ndarray) -> np.ndarray:
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / angle if angle > 1e-12 else vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _transform(parameters: np.ndarray, points: np.ndarray) -> np.ndarray:
    rotation, translation, _ = _unpack(parameters)
    return points @ rotation.T + translation


def _perspective(seen: np.ndarray, focal: float) -> np.ndarray:
    """Camera-space points to x right, y down, in pixels from the optical axis."""
    depth = np.maximum(-seen[:, 2:], 1.0)
    return focal * seen[:, :2] * [1, -1] / depth


def _solve(
    anchors: np.ndarray, observed: np.ndarray, size: float, yaw: float
) -> tuple[np.ndarray, float]:
    """Levenberg-Marquardt with Huber weights; returns the parameters and the robust cost."""
    extent = float(np.sqrt(np.prod(np.ptp(anchors[:, :2], axis=0))))
    offset = observed.mean(0)
    parameters = np.array([0, yaw, 0, *offset, np.log(_DISTANCE), np.log(size / extent)])
    weight = np.ones(LANDMARKS)
    weight[:_JAW] = _JAW_WEIGHT
    weight = np.repeat(weight, 2)

    def residuals(values: np.ndarray) -> np.ndarray:
        placed = _perspective(_transform(values, anchors), _unpack(values)[2])
        return (placed - observed).ravel() / (_SPREAD * size)

    def prior(values: np.ndarray) -> float:
        return float((values[5] - np.log(_DISTANCE)) / _DISTANCE_SPREAD)

    def cost(values: np.ndarray) -> float:
        size_of = np.abs(residuals(values))
        huber = np.where(size_of < 2, size_of**2, 4 * size_of - 4)
        return float((weight * huber).sum()) + prior(values) ** 2

    step = np.array([1e-5, 1e-5, 1e-5, 1e-3, 1e-3, 1e-5, 1e-5])
    damping, best = 1e-2, cost(parameters)
    for _ in range(60):
        current = residuals(parameters)
        jacobian = np.stack(
            [
                (residuals(parameters + step * unit) - current) / step[i]
                for i, unit in enumerate(np.eye(len(parameters)))
            ],
            1,
        )
        robust = weight * np.minimum(1, 2 / np.maximum(np.abs(current), 1e-12))
        normal = jacobian.T @ (robust[:, None] * jacobian)
        gradient = jacobian.T @ (robust * current)
        normal[5, 5] += _DISTANCE_SPREAD**-2
        gradient[5] += prior(parameters) / _DISTANCE_SPREAD
        move = np.linalg.solve(normal + damping * np.diag(normal.diagonal()), -gradient)
        move[5] = np.clip(move[5], -0.5, 0.5)
        trial = cost(parameters + move)
        if trial < best:
            converged = best - trial < 1e-9 * best
            parameters, best, damping = parameters + move, trial, damping / 5
            if converged:
                break
        else:
            damping *= 10
            if damping > 1e8:
                break
    return parameters, best


def _spline(anchors: np.ndarray, values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Interpolate `values` (N, 2) at `anchors` (N, 3) to `points` (P, 3): kernel |r|, degree 0.

    The three-dimensional thin-plate (biharmonic) spline; far from the anchors it grows no further.
    """
    count = len(anchors)
    system = np.ones((count + 1, count + 1))
    system[count, count] = 0
    distance = np.linalg.norm(anchors[:, None] - anchors[None], axis=2)
    system[:count, :count] = -distance - 1e-9 * np.eye(count)
    weights = np.linalg.lstsq(system, np.vstack([values, np.zeros((1, 2))]), rcond=None)[0]
    out = np.empty((len(points), 2))
    for start in range(0, len(points), 8192):
        part = points[start : start + 8192]
        kernel = -np.linalg.norm(part[:, None] - anchors[None], axis=2)
        out[start : start + 8192] = kernel @ weights[:count] + weights[count]
    return out
