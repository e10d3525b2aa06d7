"""Melanin and haemoglobin over the skin: who the person is, sites, spots and noise."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

from bioface.spectral.colour import ita, reflectance_to_xyz, xyz_to_lab
from bioface.spectral.population import UNIFORM, Population
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit, to_unit
from synth.sample import marks
from synth.sample.config import SampleConfig
from synth.sample.fields import layered_noise, smoothstep
from synth.sample.layout import Layout
from synth.scene import HeadMesh

_TONES = (-45.0, -30.0, 10.0, 28.0, 41.0, 55.0, 60.0)
"""ITA, in degrees, between the classes that evenly drawn people come from, dark to very light."""

_ATTEMPTS = 50  # very light skin cannot hold much blood, the darkest not show little

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
    rng: np.random.Generator, config: SampleConfig, layout: Layout, evenness: float = 0.0
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Draw the pigments of one person.

    Parameters
    ----------
    evenness
        0-1, by how much foundation takes the face's variation away: the pigments are those of
        the look, since the light that reaches us has met the foundation too.

    Returns
    -------
    melanin, haemoglobin
        (N,) volume fractions inside (0, 1), for the skin vertices of the layout.
    record
        Medians in u, the group of the population (or `uniform`) and the strength in u of every
        kind of mark, 0 where there is none.
    """
    base, differences, group = sample_person(rng, config)
    points, sites, face = layout.points, layout.sites, layout.face
    fields = []
    spreads = []
    for pigment, limits in enumerate((config.melanin_spread, config.haemoglobin_spread)):
        field = 0.045 * (1 + pigment) * layered_noise(rng, points, (4.0, 1.5, 0.6, 0.3))
        for name, difference in differences.items():
            field = field + sites[name] * difference[pigment]
        spread = float(np.exp(rng.uniform(*np.log(limits))))
        field = field - np.median(field[face])
        fields.append(field * spread / max(float(field[face].std()), 1e-6))
        spreads.append(spread)
    added, strengths = _marks(rng, config, layout, float(base[0]))
    covered = 1 - evenness * (face & (layout.lips < 0))
    melanin, haemoglobin = (
        level + (field + mark) * covered
        for level, field, mark in zip(base, fields, added, strict=True)
    )
    lips = smoothstep(layout.lips, -0.12, 0.12)
    haemoglobin = haemoglobin + lips * rng.uniform(0.28, 0.65)
    share = rng.uniform(0.4, 0.85) + 0.3 * float(np.clip(base[0], 0, 1))  # dark lips stay dark
    melanin = melanin * (1 - lips) + lips * (base[0] * share - 0.03)
    record = {
        "group": group,
        "melanin_u": float(base[0]),
        "haemoglobin_u": float(base[1]),
        "melanin_spread": spreads[0],
        "haemoglobin_spread": spreads[1],
        "evenness": evenness,
        **strengths,
    }
    return (
        from_unit(np.clip(melanin, *_U_LIMITS), MELANIN_RANGE),
        from_unit(np.clip(haemoglobin, *_U_LIMITS), HAEMOGLOBIN_RANGE),
        record,
    )


def painted_pigment(
    head: HeadMesh, vertices: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """The pigments that a head's texture has at some of its vertices; as `sample_pigment`.

    Texels nearest to a vertex count; the renderer reads the texture itself.
    """
    corner = head.faces >= 0
    uv = np.zeros((len(head.vertices), 2))
    uv[head.faces[corner]] = head.uv[corner]
    height, width = head.pigment.shape[:2]
    texel = (uv[vertices] % 1 * [width, height]).astype(int)
    column, row = np.minimum(texel, [width - 1, height - 1]).T  # of -1e-17, % 1 makes 1
    pigment = head.pigment[height - 1 - row, column].astype(np.float64)
    melanin, haemoglobin = np.median(pigment, 0)
    record = {
        "group": "texture",
        "melanin_u": float(to_unit(melanin, MELANIN_RANGE)),
        "haemoglobin_u": float(to_unit(haemoglobin, HAEMOGLOBIN_RANGE)),
    }
    return pigment[:, 0], pigment[:, 1], record


def _marks(
    rng: np.random.Generator, config: SampleConfig, layout: Layout, melanin_u: float
) -> tuple[tuple[np.ndarray, np.ndarray], dict[str, Any]]:
    """Melanin and blood (N,) in u that marks add, and the strength of each kind."""

    def strength(share: float, low: float, high: float) -> float:
        shown, value = rng.random() < share, rng.uniform(low, high)
        return float(value) if shown else 0.0

    fair = float(np.clip(1.2 - melanin_u, 0.2, 1.2))  # marks of melanin show less on dark skin
    brown, red = marks.blemishes(rng, layout)
    melanin = marks.moles(rng, layout) + brown
    haemoglobin = red
    freckles = strength(config.freckle_share * float(np.clip(1.6 - 1.2 * melanin_u, 0, 2)), 0.5, 1)
    melasma = float(rng.uniform(0.0, 0.12))
    stubble = strength(config.stubble_share, 0.03, 0.1)
    tan = strength(config.tan_share, 0.03, 0.1)
    birthmark = strength(config.birthmark_share, 0.08, 0.22)
    stain = bool(rng.random() < 0.5)
    veins = strength(config.vein_share, 0.02, 0.12) * fair
    spiders = strength(config.vein_share, 0.03, 0.15)
    flush = float(rng.uniform(0.0, 0.25) * rng.random())
    melanin = melanin + melasma * marks.melasma(rng, layout)
    if freckles:
        melanin = melanin + freckles * fair * marks.freckles(rng, layout)
    if stubble:
        roots = stubble * marks.stubble_shadow(rng, layout)
        melanin, haemoglobin = melanin + roots, haemoglobin - 0.5 * roots
    tan_kind = "none"
    if tan:
        shade, tan_kind = marks.tan_line(rng, layout)
        melanin = melanin - tan * shade
    if birthmark:
        patch = birthmark * marks.birthmark(rng, layout)
        melanin, haemoglobin = melanin + patch * (not stain), haemoglobin + patch * stain
    if veins:
        lines = veins * marks.veins(rng, layout)
        melanin, haemoglobin = melanin + 0.3 * lines, haemoglobin + lines
    if spiders:
        haemoglobin = haemoglobin + spiders * marks.spider_veins(rng, layout)
    nose = rng.uniform(0.0, 1.0)
    sites = layout.sites
    haemoglobin = haemoglobin + flush * np.maximum(sites["cheeks"], nose * sites["nose"])
    return (melanin, haemoglobin), {
        "freckles": freckles,
        "melasma": melasma,
        "stubble_shadow": stubble,
        "tan_line": {"kind": tan_kind, "strength": tan},
        "birthmark": {"pigment": "haemoglobin" if stain else "melanin", "strength": birthmark},
        "veins": veins,
        "spider_veins": spiders,
        "flush": flush,
    }


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
    """Medians of melanin and haemoglobin in u, the tone even over the classes of ITA."""
    tone = rng.random()
    angle = float(np.interp(tone, np.linspace(0, 1, len(_TONES)), _TONES))
    rho, score = -config.pigment_correlation, NormalDist().inv_cdf(tone)
    low, high = np.log(config.haemoglobin)
    for _ in range(_ATTEMPTS):
        other = rho * score + math.sqrt(1 - rho**2) * rng.standard_normal()
        haemoglobin = math.exp(low + NormalDist().cdf(other) * (high - low))
        melanin = _melanin_of(angle, haemoglobin)
        if config.melanin[0] <= melanin <= config.melanin[1]:
            break
    melanin = float(np.clip(melanin, *config.melanin))
    return np.array([to_unit(melanin, MELANIN_RANGE), to_unit(haemoglobin, HAEMOGLOBIN_RANGE)])


@cache
def _epidermis() -> tuple[np.ndarray, np.ndarray]:
    """Volume fractions of melanin (200,) and what the epidermis with them transmits (200, 33)."""
    melanin = np.geomspace(0.005, 1.0, 200)
    return melanin, SkinModel.load().epidermis(melanin)


def _melanin_of(angle: float, haemoglobin: float) -> float:
    """Volume fraction that gives skin with so much blood an ITA of `angle` degrees."""
    melanin, epidermis = _epidermis()
    reflectance = epidermis * SkinModel.load().dermis(np.float64(haemoglobin))
    # In columns, so that the last bit is the same wherever they lie: see `shapes.polar_angle`.
    angles = ita(np.asfortranarray(xyz_to_lab(reflectance_to_xyz(reflectance))))
    return float(np.interp(-angle, -angles, melanin))
