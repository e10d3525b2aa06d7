"""Gloss and relief of the skin: roughness, specular level, pores and lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.heads.shapes import polar_angle
from synth.sample.config import SampleConfig
from synth.sample.fields import layered_noise, smooth_noise, smoothstep, spots
from synth.sample.layout import Layout
from synth.sample.marks import scatter


@dataclass(frozen=True)
class Surface:
    """Per skin vertex (N,): `roughness` and `specular` (IOR level) in 0-1, `bump` in cm."""

    roughness: np.ndarray
    specular: np.ndarray
    bump: np.ndarray
    record: dict[str, Any]


def sample_surface(rng: np.random.Generator, config: SampleConfig, layout: Layout) -> Surface:
    """Draw the surface of one person's skin: forehead, nose and chin are oilier.

    Sweat makes some people glossy where they sweat most (forehead, nose, upper lip, neck), with
    drops in places.
    """
    points, sites = layout.points, layout.sites
    roughness, specular = rng.uniform(*config.roughness), rng.uniform(*config.specular)
    oil = float(rng.random())
    zone = np.clip(sites["forehead"] + sites["nose"] + sites["chin"], 0, 1)
    uneven = layered_noise(rng, points, (2.0, 0.7))
    fine = smooth_noise(rng, points, 0.4)
    relief = float(np.exp(rng.uniform(*np.log(config.bump))))
    age = float(rng.random())
    bump = relief * layered_noise(rng, points, (0.25, 0.5), decay=1.0)
    bump = bump + 0.03 * age**2 * _lines(rng, layout)
    sweats, amount = rng.random() < config.sweat_share, float(rng.uniform(0.3, 1.0))
    wet, drops = _sweat(rng, layout, sweats)
    sweat = amount if sweats else 0.0
    roughness_field = roughness - 0.2 * oil * zone + 0.05 * uneven + 0.03 * fine
    specular_field = specular + 0.2 * oil * zone + 0.06 * uneven + 0.04 * fine
    return Surface(
        roughness=np.clip(roughness_field - 0.3 * sweat * wet, 0.12, 0.9),
        specular=np.clip(specular_field + 0.4 * sweat * wet, 0.05, 1.0),
        bump=bump + sweat * drops,
        record={
            "roughness": float(roughness),
            "specular": float(specular),
            "oil": oil,
            "sweat": sweat,
            "relief": relief,
            "lines": age,
        },
    )


def _sweat(rng: np.random.Generator, layout: Layout, sweats: bool) -> tuple[np.ndarray, np.ndarray]:
    """Wetness (N,) in 0-1, and height (N,) in cm of the drops on it, 0 where nobody sweats."""
    sites = layout.sites
    where = sites["forehead"] + 0.8 * sites["nose"] + 0.6 * sites["chin"] + 0.5 * sites["neck"]
    where = np.clip(where + 0.4 * sites["under_eye"], 0, 1)
    wet = where * smoothstep(smooth_noise(rng, layout.points, 1.5), -1.0, 0.8)
    centres = scatter(rng, layout.points, wet, int(rng.integers(20, 160)))
    radii = rng.uniform(0.2, 0.35, len(centres))  # no smaller than the mesh can show
    heights = rng.uniform(0.06, 0.16) * radii
    if not sweats:
        return np.zeros_like(wet), np.zeros_like(wet)
    return wet, np.minimum(spots(layout.points, centres, radii, heights), 0.1)


def _lines(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """Depth (N,), about -1 to 0, of forehead lines, folds beside the nose and crow's feet."""
    spacing = 1.1 * layout.anatomy.unit
    wave = layout.points[:, 1] / spacing + 0.35 * smooth_noise(rng, layout.points, 2.5)
    forehead = -layout.sites["forehead"] * np.maximum(np.cos(2 * np.pi * wave), 0) ** 2
    return forehead - np.exp(-((layout.folds / 0.3) ** 2)) - _crows_feet(layout)


def _crows_feet(layout: Layout) -> np.ndarray:
    """Depth (N,) in 0-1 of the lines that fan out from the outer corners of the eyes."""
    unit = layout.anatomy.unit
    beside = layout.points * np.where(layout.points[:, :1] < 0, [[-1.0, 1.0, 1.0]], 1.0)
    offset = (beside - layout.anatomy.landmarks[45]) / unit
    out = np.hypot(offset[:, 0], offset[:, 2])
    distance = np.hypot(out, offset[:, 1])
    fan = np.cos(7.0 * polar_angle(offset[:, 1], out)) * (offset[:, 2] < 0)
    return 0.6 * np.maximum(fan, 0) ** 2 * np.exp(-(((distance - 1.4) / 0.6) ** 2))
