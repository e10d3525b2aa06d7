"""Skin to start from: the means of the measured groups of `bioface.spectral.population`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from bioface.spectral.colour import (
    ITA_CLASSES,
    ita,
    ita_class,
    linear_srgb_to_xyz,
    reflectance_to_linear_srgb,
    xyz_to_lab,
)
from bioface.spectral.population import Population
from bioface.spectral.skin import SkinModel


@dataclass(frozen=True)
class SkinPreset:
    """The mean skin of one measured group.

    Attributes
    ----------
    group
        Its code in the International Skin Spectra Archive.
    tone
        ITA class of its colour, such as `tan`.
    melanin, haemoglobin
        Volume fractions: geometric mean and cubed mean cube root over people and sites.
    people
        How many were measured.
    """

    group: str
    tone: str
    melanin: float
    haemoglobin: float
    people: int

    @property
    def label(self) -> str:
        """What a menu shows."""
        return (
            f"{self.group}, {self.tone}: "
            f"melanin {100 * self.melanin:.0f} %, blood {100 * self.haemoglobin:.1f} %"
        )

    @property
    def description(self) -> str:
        """What its tooltip says."""
        return (
            f"Mean of {self.people} people of group {self.group} in the International Skin "
            f"Spectra Archive: melanin {100 * self.melanin:.1f} %, "
            f"haemoglobin {100 * self.haemoglobin:.2f} % of the volume"
        )


@cache
def skin_presets() -> tuple[SkinPreset, ...]:
    """One preset for each measured group, from the least melanin to the most."""
    population, model = Population.load(), SkinModel.load()
    melanin = np.exp(population.mean[..., 0].mean(1))
    haemoglobin = population.mean[..., 1].mean(1) ** 3
    albedo = np.asarray(reflectance_to_linear_srgb(model.reflectance(melanin, haemoglobin)))
    tones = ita_class(ita(xyz_to_lab(linear_srgb_to_xyz(albedo))))
    made = (
        SkinPreset(group, ITA_CLASSES[int(tone)], float(m), float(h), int(people))
        for group, tone, m, h, people in zip(
            population.groups, tones, melanin, haemoglobin, population.count, strict=True
        )
    )
    return tuple(sorted(made, key=lambda preset: preset.melanin))
