"""Eyes, mouth and lashes: reflectance as coefficients of four Bernstein spectra."""

from __future__ import annotations

from typing import Any

import numpy as np

from synth.sample.fields import smooth_noise, smoothstep
from synth.sample.layout import Layout
from synth.scene import REGIONS

# Bernstein coefficients: roughly the reflectance at 400, 507, 613 and 720 nm.
_SCLERA = (0.48, 0.58, 0.64, 0.68)
_IRISES = {
    "dark_brown": ((0.020, 0.024, 0.040, 0.075), 0.45),
    "brown": ((0.030, 0.045, 0.090, 0.140), 0.20),
    "hazel": ((0.040, 0.090, 0.110, 0.130), 0.12),
    "green": ((0.080, 0.150, 0.110, 0.110), 0.08),
    "grey": ((0.160, 0.170, 0.150, 0.140), 0.05),
    "blue": ((0.260, 0.220, 0.120, 0.100), 0.10),
}
_TEETH = (0.30, 0.52, 0.62, 0.66)
_GUMS = (0.22, 0.10, 0.32, 0.50)
_LASHES = (0.015, 0.016, 0.020, 0.028)

_IRIS_RADIUS = 0.6
_PUPIL_RADII = (0.16, 0.32)
_TEETH_TILE = 3


def sample_not_skin(
    rng: np.random.Generator, layout: Layout, melanin_u: float
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Draw the parts of the mesh that are not skin.

    Parameters
    ----------
    melanin_u
        Median melanin of the face in u: dark skin mostly goes with brown eyes.

    Returns
    -------
    reflectance
        (V, 4) Bernstein coefficients in 0-1; 0 on skin.
    roughness
        (V,) 0-1; 0 on skin.
    record
        What was drawn.
    """
    points, region = layout.canonical, layout.region
    reflectance = np.zeros((len(points), 4))
    roughness = np.zeros(len(points))
    weight = np.array([share for _, share in _IRISES.values()])
    weight[2:] *= min(max(0.02, 1 - 1.6 * melanin_u), 1.0)
    colour = list(_IRISES)[rng.choice(len(weight), p=weight / weight.sum())]
    iris = np.array(_IRISES[colour][0]) * np.exp(0.2 * rng.standard_normal())
    pupil = float(rng.uniform(*_PUPIL_RADII))
    sclera = np.array(_SCLERA) * rng.uniform(0.75, 1.15)
    for side in (-1, 1):
        eye = np.flatnonzero((region == REGIONS.index("eye")) & (points[:, 0] * side > 0))
        if len(eye):
            reflectance[eye] = _eyeball(rng, points[eye], sclera, iris, pupil)
            roughness[eye] = 0.08
    mouth = region == REGIONS.index("mouth")
    teeth = mouth & (layout.tile == _TEETH_TILE)
    reflectance[mouth] = np.array(_GUMS) * rng.uniform(0.5, 1.0)
    reflectance[teeth] = np.array(_TEETH) * rng.uniform([0.6, 0.8, 0.9, 0.9], 1.1)
    roughness[mouth] = 0.35
    roughness[teeth] = 0.2
    lashes = region == REGIONS.index("lashes")
    reflectance[lashes] = np.array(_LASHES) * rng.uniform(1.0, 2.5)
    roughness[lashes] = 0.6
    return np.clip(reflectance, 0, 1), roughness, {"iris": colour, "pupil_cm": pupil}


def _eyeball(
    rng: np.random.Generator,
    points: np.ndarray,
    sclera: np.ndarray,
    iris: np.ndarray,
    pupil: float,
) -> np.ndarray:
    """Coefficients (N, 4) by distance from the gaze axis, which is +Z on the mean head."""
    low, high = points.min(0), points.max(0)
    centre = (low + high) / 2
    size = (high[0] - low[0]) / 3.0
    across = np.hypot(*(points[:, :2] - centre[:2]).T) / size
    front = points[:, 2] > centre[2]
    pink = smoothstep(across, 0.8, 1.6)[:, None] * np.array([0.06, 0.12, 0.04, 0.0])
    fibres = 1 + 0.25 * smooth_noise(rng, points, 0.12)
    limbus = 1 - 0.6 * smoothstep(across, 0.42, _IRIS_RADIUS)
    inside = smoothstep(across, _IRIS_RADIUS + 0.05, _IRIS_RADIUS - 0.05) * front
    hole = (smoothstep(across, pupil + 0.03, pupil - 0.03) * front)[:, None]
    ring = iris * np.clip(fibres * limbus, 0.2, 2.0)[:, None]
    out = sclera - pink + (ring - sclera + pink) * inside[:, None]
    return out + (0.004 - out) * hole
