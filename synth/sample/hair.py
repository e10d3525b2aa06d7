"""Hair that hides skin: scalp hair as a shell, brows, beard and stubble as coverage."""

from __future__ import annotations

import numpy as np

from synth.sample.config import SampleConfig
from synth.sample.cover import Cover
from synth.sample.fields import layered_noise, smooth_noise, smoothstep
from synth.sample.layout import Layout

# Reflectance of hair as Bernstein coefficients, and its weight at melanin u = 0 and u = 1.
_COLOURS = {
    "black": ((0.015, 0.016, 0.018, 0.025), 0.15, 0.80),
    "dark_brown": ((0.022, 0.026, 0.045, 0.085), 0.25, 0.12),
    "brown": ((0.035, 0.050, 0.095, 0.160), 0.20, 0.02),
    "blond": ((0.080, 0.150, 0.270, 0.360), 0.15, 0.00),
    "red": ((0.030, 0.050, 0.170, 0.280), 0.07, 0.00),
    "grey": ((0.190, 0.200, 0.210, 0.220), 0.12, 0.05),
    "white": ((0.420, 0.450, 0.470, 0.480), 0.06, 0.01),
}


def sample_hair(
    rng: np.random.Generator, config: SampleConfig, layout: Layout, melanin_u: float
) -> Cover:
    """Draw the hair of one person whose median melanin in u is `melanin_u`."""
    dark = min(max(melanin_u, 0.0), 1.0)
    weights = np.array([a + (b - a) * dark for _, a, b in _COLOURS.values()])
    colour = list(_COLOURS)[rng.choice(len(_COLOURS), p=weights / weights.sum())]
    reflectance = np.array(_COLOURS[colour][0]) * np.exp(0.2 * rng.standard_normal())
    streak = layered_noise(rng, layout.points, (1.5, 0.5, 0.3))
    scalp, thickness, style = _scalp(rng, config, layout)
    brows = _brows(rng, config, layout)
    beard, beard_thickness = _beard(rng, config, layout)
    bare = 1 - layout.ears
    shade = np.exp(rng.uniform(0.1, 0.45) * streak)
    return Cover(
        coverage=1 - (1 - scalp * bare) * (1 - brows) * (1 - beard * bare),
        thickness=(thickness * scalp + beard_thickness * beard) * bare,
        reflectance=np.maximum(reflectance, 0.005) * shade[:, None],
        roughness=0.5,
        specular=0.35,
        record={"colour": colour, "style": style, "beard": bool(beard.max() > 0)},
    )


def _scalp(
    rng: np.random.Generator, config: SampleConfig, layout: Layout
) -> tuple[np.ndarray, np.ndarray, str]:
    """Coverage, thickness in cm and style of the scalp hair."""
    kind = rng.random()
    amount = rng.random()
    points = layout.points
    height = layout.hairline + 0.25 * layered_noise(rng, points, (1.2, 0.5))
    lift = rng.uniform(-0.8, 1.2)
    bulk = 1 + 0.3 * smooth_noise(rng, points, 3.0)
    if kind > config.hair_share:
        return np.zeros(len(points)), np.zeros(len(points)), "none"
    if kind < 0.2 * config.hair_share:
        density = 0.3 + 0.6 * amount
        return density * smoothstep(height - lift, 0.0, 0.8), np.full(len(points), 0.05), "cropped"
    cap = smoothstep(height - lift, 0.0, 0.5)
    return cap, (0.2 + 1.6 * amount**2) * bulk * smoothstep(height - lift, 0.0, 2.5), "cap"


def _brows(rng: np.random.Generator, config: SampleConfig, layout: Layout) -> np.ndarray:
    """Coverage of the brows: a noisy stroke along the brow landmarks, thinner outside."""
    shown = rng.random() < config.brow_share
    density, half = rng.uniform(0.35, 0.95), rng.uniform(0.18, 0.42)
    rough = layered_noise(rng, layout.points, (0.6, 0.3))
    outer = float(layout.anatomy.landmarks[26, 0])
    taper = 1 - 0.5 * smoothstep(np.abs(layout.points[:, 0]), 0.5 * outer, outer)
    stroke = smoothstep(layout.brows / (half * taper) + 0.3 * rough, 1.4, 0.5)
    return shown * density * stroke


def _beard(
    rng: np.random.Generator, config: SampleConfig, layout: Layout
) -> tuple[np.ndarray, float]:
    """Coverage and thickness in cm of beard or stubble; zeros when there is none."""
    shown = rng.random() < config.beard_share
    length = rng.random()
    cut = rng.uniform(0.1, 0.45)
    patch = 0.12 * layered_noise(rng, layout.points, (1.2, 0.5))
    density = 0.25 + 0.7 * length
    return shown * density * smoothstep(layout.beard + patch, cut, cut + 0.3), 0.6 * length**2
