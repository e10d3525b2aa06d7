"""What hides skin: a layer with its own reflectance over the skin vertices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.sample.config import SampleConfig
from synth.sample.fields import layered_noise, smooth_noise, smoothstep
from synth.sample.layout import Layout

_LEAST = 1e-3
_BERNSTEIN = 4


@dataclass(frozen=True)
class Cover:
    """A layer over the skin vertices (N,) of a layout.

    Attributes
    ----------
    coverage
        (N,) 0-1, the share of skin that it hides; shares too small to matter are 0.
    thickness
        (N,) cm by which it lifts the surface.
    reflectance
        (N, 4) Bernstein coefficients in 0-1, 0 where nothing is hidden.
    roughness, specular
        Of the layer, 0-1.
    record
        What was drawn.
    """

    coverage: np.ndarray
    thickness: np.ndarray
    reflectance: np.ndarray
    roughness: float
    specular: float
    record: dict[str, Any]

    def __post_init__(self) -> None:
        hidden = self.coverage >= _LEAST
        object.__setattr__(self, "coverage", np.where(hidden, np.minimum(self.coverage, 1), 0))
        colour = np.clip(self.reflectance, 0, 1) * hidden[:, None]
        object.__setattr__(self, "reflectance", colour)

    def over(self, below: np.ndarray, value: float | np.ndarray) -> np.ndarray:
        """The field `below` (N,) where it shows through, `value` where the layer hides it."""
        return below + (value - below) * self.coverage


def sample_clothes(rng: np.random.Generator, config: SampleConfig, layout: Layout) -> Cover:
    """A shirt or jumper from a neckline down; nothing in a share of the samples."""
    points, count = layout.points, len(layout.points)
    shown = rng.random() < config.clothes_share
    edge, opening = rng.uniform(3.5, 8.0), rng.uniform(0.0, 4.0)
    front = np.exp(-((points[:, 0] / (3.0 * layout.anatomy.unit)) ** 2)) * (points[:, 2] > 0)
    below = layout.jaw - edge - opening * front
    below = below * (layout.points[:, 1] < layout.anatomy.landmarks[8, 1])
    folds = layered_noise(rng, points, (2.0, 0.8))
    colour = 0.7 * rng.beta(1.2, 2.2) * np.exp(0.45 * rng.standard_normal(_BERNSTEIN))
    pattern = np.exp(rng.uniform(0.0, 0.5) * smooth_noise(rng, points, rng.uniform(0.5, 3.0)))
    roughness = float(rng.uniform(0.5, 0.95))
    coverage = shown * smoothstep(below, 0.0, 0.15)
    thickness = (0.25 + 0.12 * folds) * smoothstep(below, 0.0, 0.8) * shown
    return Cover(
        coverage=coverage,
        thickness=np.maximum(thickness, 0),
        reflectance=np.broadcast_to(np.maximum(colour, 0.01), (count, _BERNSTEIN))
        * pattern[:, None],
        roughness=roughness,
        specular=0.2,
        record={"shown": bool(shown)},
    )
