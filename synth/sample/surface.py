"""Gloss and relief of the skin: roughness, specular level, pores and lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.heads.anatomy import Anatomy
from synth.sample.config import SampleConfig
from synth.sample.fields import layered_noise, smooth_noise


@dataclass(frozen=True)
class Surface:
    """Per skin vertex (N,): `roughness` and `specular` (IOR level) in 0-1, `bump` in cm."""

    roughness: np.ndarray
    specular: np.ndarray
    bump: np.ndarray
    record: dict[str, Any]


def sample_surface(
    rng: np.random.Generator,
    config: SampleConfig,
    points: np.ndarray,
    anatomy: Anatomy,
    sites: dict[str, np.ndarray],
) -> Surface:
    """Draw the surface of one person's skin at points (N, 3) of the mean head.

    `sites` are `synth.sample.pigment.site_weights`: forehead, nose and chin are oilier.
    """
    roughness, specular = rng.uniform(*config.roughness), rng.uniform(*config.specular)
    oil = float(rng.random())
    zone = np.clip(sites["forehead"] + sites["nose"] + sites["chin"], 0, 1)
    uneven = layered_noise(rng, points, (2.0, 0.7))
    relief = float(np.exp(rng.uniform(*np.log(config.bump))))
    age = float(rng.random())
    bump = relief * layered_noise(rng, points, (0.25, 0.5), decay=1.0)
    bump = bump + 0.03 * age**2 * _lines(rng, points, anatomy, sites)
    return Surface(
        roughness=np.clip(roughness - 0.18 * oil * zone + 0.04 * uneven, 0.15, 0.9),
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


def _lines(
    rng: np.random.Generator,
    points: np.ndarray,
    anatomy: Anatomy,
    sites: dict[str, np.ndarray],
) -> np.ndarray:
    """Depth (N,), about -1 to 0, of forehead lines and of the folds beside the nose."""
    marks, unit = anatomy.landmarks, anatomy.unit
    wave = points[:, 1] / (1.1 * unit) + 0.35 * smooth_noise(rng, points, 2.5)
    forehead = -sites["forehead"] * np.maximum(np.cos(2 * np.pi * wave), 0) ** 2
    folds = np.zeros(len(points))
    for side in (-1.0, 1.0):
        start = marks[35] * [side, 1, 1] + unit * np.array([side * 0.5, 0.3, -0.2])
        end = marks[54] * [side, 1, 1] + unit * np.array([side * 0.8, -0.2, -0.2])
        along = np.clip((points - start) @ (end - start) / ((end - start) ** 2).sum(), 0, 1)
        gap = np.linalg.norm(points - start - along[:, None] * (end - start), axis=1) / unit
        folds -= np.exp(-((gap / 0.3) ** 2))
    return forehead + folds
