"""Gloss and relief of the skin: roughness, specular level, pores and lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.sample.config import SampleConfig
from synth.sample.fields import layered_noise, smooth_noise
from synth.sample.layout import Layout


@dataclass(frozen=True)
class Surface:
    """Per skin vertex (N,): `roughness` and `specular` (IOR level) in 0-1, `bump` in cm."""

    roughness: np.ndarray
    specular: np.ndarray
    bump: np.ndarray
    record: dict[str, Any]


def sample_surface(rng: np.random.Generator, config: SampleConfig, layout: Layout) -> Surface:
    """Draw the surface of one person's skin: forehead, nose and chin are oilier."""
    points, sites = layout.points, layout.sites
    roughness, specular = rng.uniform(*config.roughness), rng.uniform(*config.specular)
    oil = float(rng.random())
    zone = np.clip(sites["forehead"] + sites["nose"] + sites["chin"], 0, 1)
    uneven = layered_noise(rng, points, (2.0, 0.7))
    relief = float(np.exp(rng.uniform(*np.log(config.bump))))
    age = float(rng.random())
    bump = relief * layered_noise(rng, points, (0.25, 0.5), decay=1.0)
    bump = bump + 0.03 * age**2 * _lines(rng, layout)
    return Surface(
        roughness=np.clip(roughness - 0.15 * oil * zone + 0.04 * uneven, 0.15, 0.9),
        specular=np.clip(specular + 0.2 * oil * zone + 0.05 * uneven, 0.05, 1.0),
        bump=bump,
        record={
            "roughness": float(roughness),
            "specular": float(specular),
            "oil": oil,
            "relief": relief,
            "lines": age,
        },
    )


def _lines(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """Depth (N,), about -1 to 0, of forehead lines and of the folds beside the nose."""
    spacing = 1.1 * layout.anatomy.unit
    wave = layout.points[:, 1] / spacing + 0.35 * smooth_noise(rng, layout.points, 2.5)
    forehead = -layout.sites["forehead"] * np.maximum(np.cos(2 * np.pi * wave), 0) ** 2
    return forehead - np.exp(-((layout.folds / 0.3) ** 2))
