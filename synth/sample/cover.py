"""What hides skin: a layer with its own reflectance over the skin vertices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_LEAST = 1e-3


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
