"""Hair that hides skin: scalp hair as a shell, brows, beard and stubble as coverage.

`synth.sample.strands` grows strands out of it.
"""

from __future__ import annotations

from dataclasses import dataclass

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


# Style and its weight; the ranges of the strands are in `synth.sample.strands`.
_STYLES = {
    "cropped": 0.17,
    "short": 0.27,
    "side": 0.13,
    "back": 0.07,
    "bun": 0.07,
    "bob": 0.06,
    "long": 0.08,
    "curly": 0.09,
}
_RECEDING = ("cropped", "short", "side", "back")


@dataclass(frozen=True)
class Hair(Cover):
    """The painted layer, and what strands need to grow from it.

    Attributes
    ----------
    scalp, brows, beard
        (N,) 0-1 coverage of each alone.
    colour
        (4,) Bernstein coefficients of a strand.
    style
        `none`, or one of the names in `synth.sample.strands.STYLES`.
    beard_length
        cm; 0 without a beard.
    """

    scalp: np.ndarray
    brows: np.ndarray
    beard: np.ndarray
    colour: np.ndarray
    style: str
    beard_length: float


def sample_hair(
    rng: np.random.Generator, config: SampleConfig, layout: Layout, melanin_u: float
) -> Hair:
    """Draw the hair of one person whose median melanin in u is `melanin_u`."""
    dark = min(max(melanin_u, 0.0), 1.0)
    weights = np.array([a + (b - a) * dark for _, a, b in _COLOURS.values()])
    colour = list(_COLOURS)[rng.choice(len(_COLOURS), p=weights / weights.sum())]
    reflectance = np.array(_COLOURS[colour][0]) * np.exp(0.2 * rng.standard_normal())
    streak = layered_noise(rng, layout.points, (1.5, 0.5, 0.3))
    bare = 1 - layout.ears
    scalp, thickness, style, receding = _scalp(rng, config, layout, dark)
    scalp = scalp * bare
    brows = _brows(rng, config, layout)
    beard, beard_thickness, beard_length = _beard(rng, config, layout)
    beard = beard * bare
    shade = np.exp(rng.uniform(0.1, 0.45) * streak)
    return Hair(
        coverage=1 - (1 - scalp) * (1 - brows) * (1 - beard),
        thickness=thickness * scalp + beard_thickness * beard,
        reflectance=np.maximum(reflectance, 0.005) * shade[:, None],
        roughness=0.5,
        specular=0.35,
        record={
            "colour": colour,
            "style": style,
            "receding": receding,
            "beard": bool(beard.max() > 0),
        },
        scalp=scalp,
        brows=brows,
        beard=beard,
        colour=np.maximum(reflectance, 0.005),
        style=style,
        beard_length=beard_length,
    )


def _scalp(
    rng: np.random.Generator, config: SampleConfig, layout: Layout, dark: float
) -> tuple[np.ndarray, np.ndarray, str, bool]:
    """Coverage and thickness in cm of the scalp hair, its style, and whether it recedes."""
    shown = rng.random() < config.hair_share
    weights = np.array(list(_STYLES.values()))
    weights[list(_STYLES).index("curly")] *= 0.4 + 2.5 * dark
    style = list(_STYLES)[rng.choice(len(weights), p=weights / weights.sum())]
    amount = rng.random()
    receding = bool(rng.random() < 0.2 and style in _RECEDING)
    points, anatomy = layout.points, layout.anatomy
    height = layout.hairline + 0.25 * layered_noise(rng, points, (1.2, 0.5))
    height = height - rng.uniform(-0.8, 1.0) - receding * _recession(rng, layout)
    bulk = 1 + 0.3 * smooth_noise(rng, points, 3.0)
    if not shown:
        return np.zeros(len(points)), np.zeros(len(points)), "none", False
    if style == "cropped":
        density = 0.3 + 0.6 * amount
        return density * smoothstep(height, 0.0, 0.9), np.full(len(points), 0.05), style, receding
    most = {"curly": 2.2, "bun": 0.3, "back": 0.7}.get(style, 1.3)
    thick = (0.15 + most * amount**1.5) * np.maximum(bulk, 0.2) * smoothstep(height, 0.0, 2.5)
    return smoothstep(height, -0.1, 0.7), thick * anatomy.unit, style, receding


def _recession(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """(N,) cm by which the hairline has gone up: over the temples, and a thin crown."""
    angle = layout.anatomy.azimuth(layout.points)
    temples = rng.uniform(1.0, 4.5) * np.exp(-(((angle - 35) / 18) ** 2))
    middle = rng.uniform(0.0, 3.0) * np.exp(-((angle / 30) ** 2))
    crown = layout.anatomy.axis + layout.anatomy.unit * np.array([0.0, 9.0, -3.5])
    near = ((layout.points - crown) ** 2).sum(1) / (
        rng.uniform(2.0, 4.5) * layout.anatomy.unit
    ) ** 2
    return temples + middle + (rng.random() < 0.5) * 12.0 * np.exp(-(near**2))


def _brows(rng: np.random.Generator, config: SampleConfig, layout: Layout) -> np.ndarray:
    """Coverage of the brows: a noisy stroke along the brow landmarks, thinner outside."""
    shown = rng.random() < config.brow_share
    density, half = rng.uniform(0.25, 0.8), rng.uniform(0.18, 0.38)
    rough = layered_noise(rng, layout.points, (0.6, 0.3))
    outer = float(layout.anatomy.landmarks[26, 0])
    taper = 1 - 0.5 * smoothstep(np.abs(layout.points[:, 0]), 0.5 * outer, outer)
    stroke = smoothstep(layout.brows / (half * taper) + 0.3 * rough, 1.4, 0.5)
    return shown * density * stroke


def _beard(
    rng: np.random.Generator, config: SampleConfig, layout: Layout
) -> tuple[np.ndarray, float, float]:
    """Coverage of beard or stubble, its thickness and length in cm; zeros when there is none."""
    shown = rng.random() < config.beard_share
    length = rng.random()
    cut = rng.uniform(0.1, 0.45)
    patch = 0.12 * layered_noise(rng, layout.points, (1.2, 0.5))
    density = 0.25 + 0.7 * length
    coverage = shown * density * smoothstep(layout.beard + patch, cut, cut + 0.3)
    return coverage, 0.45 * length**2, shown * 2.2 * length**2
