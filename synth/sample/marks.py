"""Marks on skin: what makes its pigments uneven at small scales, each in u over a layout's skin."""

from __future__ import annotations

import numpy as np

from synth.sample.fields import layered_noise, smooth_noise, smoothstep, spots
from synth.sample.layout import Layout

_LINE = 0.16  # half width, in deviations of the noise, of the lines of a network


def scatter(
    rng: np.random.Generator, points: np.ndarray, weight: np.ndarray, count: int
) -> np.ndarray:
    """`count` of the points (N, 3), drawn by `weight` (N,)."""
    total = weight.sum()
    if count == 0 or total <= 0:
        return points[:0]
    return points[rng.choice(len(points), size=count, p=weight / total)]


def freckles(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """Melanin (N,) of 30 to 220 freckles, most on nose and cheeks; 0.04-0.22 each."""
    sites = layout.sites
    weight = 0.08 + sites["nose"] + sites["cheeks"] + 0.3 * sites["forehead"]
    weight = weight * (sites["scalp"] < 0.5) * (sites["neck"] < 0.5)
    centres = scatter(rng, layout.points, weight, int(rng.integers(30, 220)))
    radii = rng.uniform(0.1, 0.22, len(centres))
    return spots(layout.points, centres, radii, rng.uniform(0.04, 0.22, len(centres)))


def moles(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """Melanin (N,) of about two moles or age spots, 0.15-0.6 each."""
    weight = (layout.face | (layout.sites["neck"] > 0.5)).astype(float)
    centres = scatter(rng, layout.points, weight, int(rng.poisson(2.0)))
    radii = rng.uniform(0.12, 0.3, len(centres))
    return spots(layout.points, centres, radii, rng.uniform(0.15, 0.6, len(centres)))


def blemishes(rng: np.random.Generator, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Melanin and blood (N,) of pimples, and of the brown marks that some leave behind."""
    count = int(rng.poisson(3.0)) + (int(rng.integers(5, 25)) if rng.random() < 0.15 else 0)
    centres = scatter(rng, layout.points, layout.face.astype(float), count)
    radii = rng.uniform(0.15, 0.45, count)
    fresh = rng.uniform(0.0, 1.0, count)
    heights = rng.uniform(0.05, 0.3, count)
    brown = spots(layout.points, centres, radii, 0.4 * heights * (1 - fresh))
    return brown, spots(layout.points, centres, radii, heights * fresh)


def melasma(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """Patches (N,) in 0-1 with sharp edges on cheeks, forehead and upper lip."""
    patch = smoothstep(smooth_noise(rng, layout.points, 0.9), 0.7, 1.1)
    return patch * np.clip(layout.sites["cheeks"] + layout.sites["forehead"], 0, 1)


def birthmark(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """One patch (N,) in 0-1 of 0.6-2 cm radius with a ragged, sharp edge."""
    centre = scatter(rng, layout.points, layout.face.astype(float), 1)
    radius = rng.uniform(0.6, 2.0)
    ragged = 0.35 * radius * layered_noise(rng, layout.points, (1.0, 0.4))
    distance = np.linalg.norm(layout.points - centre, axis=1)
    return smoothstep(distance + ragged, radius + 0.12, radius - 0.12)


def veins(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """Winding lines (N,) in 0-1 at temples and below the eyes, blurred by the skin above them."""
    marks, unit = layout.anatomy.landmarks, layout.anatomy.unit
    temple = marks[26] + unit * np.array([1.2, 1.0, -2.0])
    side = np.abs(layout.points * [1.0, 0.0, 0.0]) + layout.points * [0.0, 1.0, 1.0]
    where = np.exp(-((side - temple) ** 2).sum(1) / (2.2 * unit) ** 2)
    where = np.clip(where + 0.7 * layout.sites["under_eye"], 0, 1)
    return where * _network(rng, layout.points, 1.6)


def spider_veins(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """Fine red lines (N,) in 0-1 on nose and cheeks."""
    where = np.clip(layout.sites["nose"] + 0.6 * layout.sites["cheeks"], 0, 1)
    patchy = smoothstep(smooth_noise(rng, layout.points, 1.5), -0.2, 1.0)
    return where * patchy * _network(rng, layout.points, 0.6)


def _network(rng: np.random.Generator, points: np.ndarray, scale: float) -> np.ndarray:
    """Lines (N,) in 0-1 where smooth noise changes sign."""
    return np.exp(-((smooth_noise(rng, points, scale) / _LINE) ** 2))


def stubble_shadow(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """Density (N,) in 0-1 of the hair roots under shaven skin."""
    patch = 1 + 0.25 * layered_noise(rng, layout.points, (1.2, 0.5))
    grain = 1 + 0.15 * smooth_noise(rng, layout.points, 0.3)
    return smoothstep(layout.beard * patch, 0.1, 0.55) * grain


def tan_line(rng: np.random.Generator, layout: Layout) -> tuple[np.ndarray, str]:
    """Where the sun did not reach (N,) in 0-1, below a `collar`, `glasses` or a `cap`."""
    kind = str(rng.choice(["collar", "glasses", "cap"]))
    points, marks, unit = layout.points, layout.anatomy.landmarks, layout.anatomy.unit
    soft = rng.uniform(0.1, 0.5)
    if kind == "collar":
        return smoothstep(layout.jaw - rng.uniform(2.5, 5.0), -soft, soft), kind
    if kind == "cap":
        middle = marks[[19, 24], 1].mean()
        edge = middle + unit * rng.uniform(1.5, 4.0) - 0.03 * points[:, 0] ** 2 / unit
        return smoothstep(points[:, 1] - edge, -soft, soft), kind
    side = np.abs(points * [1.0, 0.0, 0.0]) + points * [0.0, 1.0, 1.0]
    half = unit * np.array([rng.uniform(2.4, 3.2), rng.uniform(1.6, 2.4), 4.0])
    away = np.sqrt((((side - marks[42:48].mean(0)) / half) ** 4).sum(1)) ** 0.5
    arm = np.abs(points[:, 1] - marks[45, 1]) / unit + 9 * (side[:, 0] < marks[45, 0])
    edge = soft / (2 * unit)
    return np.maximum(smoothstep(away, 1 + edge, 1 - edge), smoothstep(arm, 0.4, 0.2)), kind
