"""Melanin and haemoglobin over the skin: who the person is, sites, spots and noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bioface.spectral.population import UNIFORM, Population
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit, to_unit
from synth.sample.config import SampleConfig
from synth.sample.fields import layered_noise, smooth_noise, smoothstep, spots
from synth.sample.layout import Layout

_U_LIMITS = (-0.4, 1.35)
_MEDIAN_LIMITS = (-0.15, 1.15)

# Sites of a layout and those whose measured spectra tell their difference from the face.
_MEASURED = {
    "forehead": ("forehead",),
    "nose": ("nose",),
    "cheeks": ("cheek", "cheekbone"),
    "chin": ("chin",),
}

# The rest of what tells a measured spot from the face is local: the noise below stands for it.
_SITE_SHARE = 0.5

# Mean and deviation, in u relative to the face's median, of each site that was not measured.
_OTHER_SITES = {
    "under_eye": ((0.05, 0.04), (0.05, 0.06)),
    "eyelids": ((0.04, 0.03), (0.04, 0.05)),
    "ears": ((-0.01, 0.03), (0.09, 0.07)),
    "neck": ((0.02, 0.04), (-0.07, 0.05)),
    "scalp": ((-0.03, 0.04), (-0.02, 0.04)),
}


def sample_pigment(
    rng: np.random.Generator, config: SampleConfig, layout: Layout
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Draw the pigments of one person.

    Returns
    -------
    melanin, haemoglobin
        (N,) volume fractions inside (0, 1), for the skin vertices of the layout.
    record
        Medians in u, the group of the population (or `uniform`) and what was switched on.
    """
    base, differences, group = sample_person(rng, config)
    points, sites, face = layout.points, layout.sites, layout.face
    lips = smoothstep(layout.lips, -0.12, 0.12)
    fields = []
    spreads = []
    for pigment, limits in enumerate((config.melanin_spread, config.haemoglobin_spread)):
        field = 0.045 * (1 + pigment) * layered_noise(rng, points, (4.0, 1.5, 0.6))
        for name, difference in differences.items():
            field = field + sites[name] * difference[pigment]
        spread = float(np.exp(rng.uniform(*np.log(limits))))
        field = field - np.median(field[face])
        fields.append(base[pigment] + field * spread / max(float(field[face].std()), 1e-6))
        spreads.append(spread)
    melanin, haemoglobin = fields
    haemoglobin = haemoglobin + rng.uniform(0.0, 0.25) * rng.random() * sites["cheeks"]
    melanin = melanin + rng.uniform(0.0, 0.12) * _melasma(rng, points, sites)
    freckles = rng.random() < config.freckle_share * np.clip(1.6 - 1.2 * base[0], 0, 2)
    melanin = melanin + freckles * _freckles(rng, points, sites, base[0])
    melanin = melanin + _moles(rng, points, face)
    haemoglobin = haemoglobin + _blemishes(rng, points, face)
    haemoglobin = haemoglobin + lips * rng.uniform(0.25, 0.6)
    melanin = melanin * (1 - lips) + lips * (base[0] * rng.uniform(0.4, 0.9) - 0.03)
    record = {
        "group": group,
        "melanin_u": float(base[0]),
        "haemoglobin_u": float(base[1]),
        "melanin_spread": spreads[0],
        "haemoglobin_spread": spreads[1],
        "freckles": bool(freckles),
    }
    return (
        from_unit(np.clip(melanin, *_U_LIMITS), MELANIN_RANGE),
        from_unit(np.clip(haemoglobin, *_U_LIMITS), HAEMOGLOBIN_RANGE),
        record,
    )


def sample_person(
    rng: np.random.Generator, config: SampleConfig
) -> tuple[np.ndarray, dict[str, np.ndarray], str]:
    """Draw the level of a person's pigments and how sites differ from it.

    Levels cover the ranges of `config` evenly in a share `config.uniform_share` of the people and
    follow the measured population otherwise; measured sites differ as in the population.

    Returns
    -------
    medians
        (2,) u of melanin and haemoglobin.
    differences
        (2,) in u by site of a layout.
    group
        Of the population, or `UNIFORM`.
    """
    drawn = Population.load().sample(rng, 1)
    spots = np.stack(
        [
            to_unit(drawn.melanin[0], MELANIN_RANGE),
            to_unit(drawn.haemoglobin[0], HAEMOGLOBIN_RANGE),
        ],
        axis=-1,
    )
    level = spots.mean(0)
    differences = {
        name: _SITE_SHARE * (spots[[drawn.sites.index(s) for s in spectra]].mean(0) - level)
        for name, spectra in _MEASURED.items()
    }
    for name, statistics in _OTHER_SITES.items():
        mean, deviation = np.transpose(statistics)
        differences[name] = mean + deviation * rng.standard_normal(2)
    even = _even_medians(rng, config)
    if rng.random() < config.uniform_share:
        return even, differences, UNIFORM
    return np.clip(level, *_MEDIAN_LIMITS), differences, str(drawn.group[0])


def _even_medians(rng: np.random.Generator, config: SampleConfig) -> np.ndarray:
    """Medians of melanin and haemoglobin in u, correlated through normal scores."""
    first, second = rng.standard_normal(2)
    rho = config.pigment_correlation
    second = rho * first + math.sqrt(1 - rho**2) * second
    share = np.array([0.5 * (1 + math.erf(z / math.sqrt(2))) for z in (first, second)])
    low, high = np.log([config.melanin, config.haemoglobin]).T
    melanin, haemoglobin = np.exp(low + share * (high - low))
    return np.array([to_unit(melanin, MELANIN_RANGE), to_unit(haemoglobin, HAEMOGLOBIN_RANGE)])


def _scatter(
    rng: np.random.Generator, points: np.ndarray, weight: np.ndarray, count: int
) -> np.ndarray:
    """`count` of the points, drawn by `weight`."""
    total = weight.sum()
    if count == 0 or total <= 0:
        return points[:0]
    return points[rng.choice(len(points), size=count, p=weight / total)]


def _freckles(
    rng: np.random.Generator, points: np.ndarray, sites: dict[str, np.ndarray], melanin: float
) -> np.ndarray:
    weight = 0.08 + sites["nose"] + sites["cheeks"] + 0.3 * sites["forehead"]
    weight = weight * (sites["scalp"] < 0.5) * (sites["neck"] < 0.5)
    centres = _scatter(rng, points, weight, int(rng.integers(30, 220)))
    radii = rng.uniform(0.1, 0.22, len(centres))
    return spots(points, centres, radii, rng.uniform(0.04, 0.22, len(centres)) * (1.2 - melanin))


def _moles(rng: np.random.Generator, points: np.ndarray, face: np.ndarray) -> np.ndarray:
    centres = _scatter(rng, points, face.astype(float), int(rng.poisson(2.0)))
    radii = rng.uniform(0.12, 0.3, len(centres))
    return spots(points, centres, radii, rng.uniform(0.15, 0.6, len(centres)))


def _blemishes(rng: np.random.Generator, points: np.ndarray, face: np.ndarray) -> np.ndarray:
    centres = _scatter(rng, points, face.astype(float), int(rng.poisson(3.0)))
    radii = rng.uniform(0.15, 0.5, len(centres))
    return spots(points, centres, radii, rng.uniform(0.05, 0.3, len(centres)))


def _melasma(
    rng: np.random.Generator, points: np.ndarray, sites: dict[str, np.ndarray]
) -> np.ndarray:
    """Sharp-edged patches on cheeks and forehead."""
    patch = smoothstep(smooth_noise(rng, points, 0.9), 0.7, 1.1)
    return patch * np.clip(sites["cheeks"] + sites["forehead"], 0, 1)
