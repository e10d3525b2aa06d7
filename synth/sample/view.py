"""Cameras: portrait views around a head, and the projection of points through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from synth.sample.config import SampleConfig
from synth.scene import View

SENSOR_MM = 36.0
_PORTRAIT_FRAME = 2.0  # a head-and-shoulders frame is this many crops wide
_REFINEMENTS = 12


def project(view: View, points: np.ndarray) -> np.ndarray:
    """Image coordinates (..., 2) of points (..., 3): x right, y down, 0-1 over the image."""
    local = (np.asarray(points, np.float64) - view.position) @ view.rotation.T
    scale = view.focal_mm / SENSOR_MM / -local[..., 2]
    return np.stack([0.5 + scale * local[..., 0], 0.5 - scale * local[..., 1]], -1)


def image_truth(view: View, landmarks: Sequence[Sequence[float]], size: int) -> dict[str, Any]:
    """What a sample's JSON says about its picture of `size` pixels a side.

    Pixel (i, j) of a row j covers [i, i + 1) x [j, j + 1); x points right, y down.

    Parameters
    ----------
    landmarks
        (68, 2) in 0-1 over the image.

    Returns
    -------
    `landmarks_px` (68, 2) and `camera`: `size_px`, `focal_px`, `principal_point_px` and
    `world_to_camera` (4, 4), from head coordinates in cm to x right, y up, z backward.
    """
    pose = np.eye(4)
    pose[:3, :3] = view.rotation
    pose[:3, 3] = -view.rotation @ view.position
    return {
        "landmarks_px": (size * np.asarray(landmarks, np.float64)).round(4).tolist(),
        "camera": {
            "size_px": [size, size],
            "focal_px": view.focal_mm / SENSOR_MM * size,
            "principal_point_px": [size / 2, size / 2],
            "world_to_camera": pose.tolist(),
        },
    }


def view_rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Camera axes (3, 3) as in `View`, angles in degrees.

    Positive yaw moves the camera towards +X (it sees the subject's left side), positive pitch
    moves it up, positive roll turns it clockwise as seen from behind it.
    """
    a, b, c = np.radians([yaw, pitch, roll])
    backward = np.array([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)])
    right = np.array([np.cos(a), 0.0, -np.sin(a)])
    up = np.cross(backward, right)
    return np.stack(
        [np.cos(c) * right - np.sin(c) * up, np.sin(c) * right + np.cos(c) * up, backward]
    )


def frame_view(
    landmarks: np.ndarray,
    rotation: np.ndarray,
    focal_mm: float,
    framing: float,
    centre: tuple[float, float] = (0.5, 0.5),
) -> View:
    """The view with `rotation` in which the box of `landmarks` (68, 3) is framed.

    Parameters
    ----------
    focal_mm
        Focal length of the image itself (36 mm wide).
    framing
        Image side over the larger side of the projected box.
    centre
        Where the centre of the box lies in the image, 0-1.
    """
    landmarks = np.asarray(landmarks, np.float64)
    middle = landmarks.mean(0)
    extent = np.ptp(landmarks @ rotation.T, axis=0)[:2].max()
    distance = extent * framing * focal_mm / SENSOR_MM
    shift = np.zeros(2)
    for _ in range(_REFINEMENTS):
        position = middle + rotation.T @ np.array([*shift, distance])
        view = View(position=position, rotation=rotation, focal_mm=focal_mm)
        image = project(view, landmarks)
        low, high = image.min(0), image.max(0)
        distance *= float((high - low).max() * framing)
        error = (low + high) / 2 - np.asarray(centre)
        shift += error * np.array([1.0, -1.0]) * distance * SENSOR_MM / focal_mm
    return view


def sample_view(
    rng: np.random.Generator, config: SampleConfig, landmarks: np.ndarray
) -> tuple[View, dict[str, Any]]:
    """A portrait view of a head with these landmarks (68, 3) cm, and its record."""
    limits = np.array([config.yaw, config.pitch, config.roll])
    yaw, pitch, roll = limits * (2 * rng.beta(3.0, 3.0, 3) - 1)
    equivalent = float(np.exp(rng.uniform(*np.log(config.focal_mm))))
    framing = float(rng.uniform(*config.framing))
    centre = 0.5 + config.jitter * np.clip(rng.standard_normal(2), -2.0, 2.0)
    view = frame_view(
        landmarks,
        view_rotation(yaw, pitch, roll),
        _PORTRAIT_FRAME * equivalent,
        framing,
        (float(centre[0]), float(centre[1])),
    )
    away = (view.position - landmarks[36:48].mean(0)) @ view.rotation[2]
    blurred, f_number = rng.random() < config.defocus_share, rng.uniform(*np.log(config.f_number))
    focus_error = float(rng.uniform(-config.focus_error, config.focus_error))
    if blurred:
        view = replace(
            view, aperture=0.1 * equivalent / float(np.exp(f_number)), focus=away + focus_error
        )
    record = {
        "yaw": float(yaw),
        "pitch": float(pitch),
        "roll": float(roll),
        "focal_mm": view.focal_mm,
        "portrait_focal_mm": equivalent,
        "framing": framing,
        "aperture_cm": view.aperture,
        "focus_cm": float(view.focus) if blurred else None,
        "position": view.position.tolist(),
        "rotation": view.rotation.tolist(),
    }
    return view, record
