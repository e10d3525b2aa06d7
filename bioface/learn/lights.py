"""Illuminants of drawn photos, and how the 14 weights of a prediction come closest to them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import nnls

from bioface.errors import InputError
from bioface.learn.conditions import RelightConfig
from bioface.spectral.illuminant import (
    DAYLIGHT_RANGE,
    LED_NAMES,
    NAMES,
    daylight,
    illuminant,
)

ALL_NAMES = NAMES + LED_NAMES
LIGHT_KINDS = ("tungsten", "daylight", "fluorescent", "LED")
_FLUORESCENT = NAMES[2:]
_MOSTLY = 0.75
_D65_KELVIN = (5800, 700)  # mean and sd of the daylight of most photos
_NEAR_D65 = 0.4


@dataclass(frozen=True)
class DrawnLights:
    """Two illuminants of each photo, of which most use but the first.

    Attributes
    ----------
    weights
        (B, 2, 23) over `ALL_NAMES`, convex.
    kelvin
        (B,) temperature of the daylight in both.
    second
        (B, 3) 1 where a light group has the second illuminant.
    """

    weights: np.ndarray
    kelvin: np.ndarray
    second: np.ndarray


class LightSampler:
    """Draws illuminants among some of A, D, F1-F12 and the CIE LEDs.

    Raises
    ------
    InputError
        No names, or one that is not known.
    """

    def __init__(self, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in ALL_NAMES]
        if unknown or not names:
            raise InputError(
                f"illuminant {unknown[0]!r} cannot be drawn; choose from {', '.join(ALL_NAMES)}"
                if unknown
                else "no illuminants to draw from"
            )
        self.names = tuple(names)
        classes = (("A",), ("D",), _FLUORESCENT, LED_NAMES)
        self._classes = [
            np.array([ALL_NAMES.index(n) for n in members if n in names], int)
            for members in classes
        ]
        self._allowed = np.array([ALL_NAMES.index(n) for n in self.names])

    def draw(self, config: RelightConfig, count: int, rng: np.random.Generator) -> DrawnLights:
        """Lights of `count` photos."""
        shares = np.array(config.lights) * [len(members) > 0 for members in self._classes]
        if not shares.any():
            shares = np.array([float(len(members)) for members in self._classes])
        kind = rng.choice(4, (count, 2), p=shares / shares.sum())
        pick = rng.random((count, 2))
        chosen = np.zeros((count, 2), int)
        for k, members in enumerate(self._classes):
            if len(members):
                picked = members[(pick * len(members)).astype(int)]
                chosen = np.where(kind == k, picked, chosen)
        single = np.eye(len(ALL_NAMES))[chosen]
        mixture = np.zeros_like(single)
        concentration = np.full(len(self._allowed), 0.2)
        mixture[..., self._allowed] = rng.dirichlet(concentration, (count, 2))
        mixed = rng.random((count, 2)) < config.mixtures
        low, high = DAYLIGHT_RANGE
        kelvin = 1e6 / rng.uniform(1e6 / high, 1e6 / low, count)
        common = rng.normal(*_D65_KELVIN, count).clip(low, high)
        kelvin = np.where(rng.random(count) < _NEAR_D65, common, kelvin)
        two = rng.random(count) < config.two_lights
        return DrawnLights(
            weights=np.where(mixed[..., None], mixture, single),
            kelvin=kelvin,
            second=np.eye(3)[rng.integers(0, 3, count)] * two[:, None],
        )


@cache
def led_mixtures() -> tuple[np.ndarray, np.ndarray]:
    """Each LED as the nearest mixture of the 14: weights (9, 14), their daylight in K (9,).

    Non-negative least squares of the spectra with weights of sum 1, over temperatures.
    """
    fixed = np.stack([np.zeros(33) if n == "D" else illuminant(n) for n in NAMES], 1)
    best = [(np.inf, np.zeros(len(NAMES)), 0.0)] * len(LED_NAMES)
    for kelvin in 1e6 / np.linspace(1e6 / 10000, 1e6 / DAYLIGHT_RANGE[0], 13):
        basis = fixed.copy()
        basis[:, 1] = daylight(float(kelvin))
        rows = np.concatenate([basis, np.full((1, len(NAMES)), 1e3)])
        for k, name in enumerate(LED_NAMES):
            weights, _ = nnls(rows, np.append(illuminant(name), 1e3))
            weights /= weights.sum()
            error = float(np.square(basis @ weights - illuminant(name)).sum())
            if error < best[k][0]:
                best[k] = (error, weights, float(kelvin))
    return np.stack([b[1] for b in best]), np.array([b[2] for b in best])


def kind_shares(weights: np.ndarray) -> np.ndarray:
    """Shares (B, 4) of `LIGHT_KINDS` in lights (B, 23) over `ALL_NAMES`."""
    ends = (0, 1, 2, len(NAMES), len(ALL_NAMES))
    return np.stack([weights[:, a:b].sum(1) for a, b in itertools.pairwise(ends)], 1)


def light_kind(shares: np.ndarray) -> str:
    """Which of `LIGHT_KINDS` three quarters of a light (4,) come from, or `mixed`."""
    largest = int(np.argmax(shares))
    return LIGHT_KINDS[largest] if shares[largest] > _MOSTLY else "mixed"


def nearest_weights(weights: np.ndarray, kelvin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lights over the 23 names in terms of the 14 of `NAMES`.

    Parameters
    ----------
    weights
        (B, 23), convex.
    kelvin
        (B,) of their daylight.

    Returns
    -------
    Weights (B, 14), convex, and daylight temperature (B,). A light with LEDs in it is only
    approximated by the nearest mixture.
    """
    led = weights[:, len(NAMES) :]
    mixtures, led_kelvin = led_mixtures()
    near = weights[:, : len(NAMES)] + led @ mixtures
    daylights = np.concatenate([weights[:, 1:2], led * mixtures[:, 1]], 1)
    mired = 1e6 / np.concatenate([kelvin[:, None], np.broadcast_to(led_kelvin, led.shape)], 1)
    total = daylights.sum(1)
    mean = (daylights * mired).sum(1) / np.maximum(total, 1e-12)
    of_mean = np.clip(1e6 / np.maximum(mean, 1), *DAYLIGHT_RANGE)  # a mean may round out of it
    return near, np.where(total > 1e-6, of_mean, kelvin)
