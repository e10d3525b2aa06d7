"""How melanin and haemoglobin are distributed over people and over the sites of their faces.

A random-effects model of the parameters fitted to measured facial spectra: with x = (log melanin,
cube root of haemoglobin),

    x(person, site) = mean(group, site) + person effect + site effect,

the person effect normal with a covariance of its group, the site effect normal with a covariance
of its site. Written by `scripts/derive_population`; groups are those of the International Skin
Spectra Archive (Lu et al., Scientific Data 2025, doi 10.1038/s41597-025-04857-5).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.spectral.tables import DATA
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

SITES = ("cheek", "cheekbone", "chin", "forehead", "nose")

UNIFORM = "uniform"
"""Name of the draws that cover the ranges of unit u evenly, whatever the population."""

OXYGENATION = (0.6, 0.92)
"""Range of the oxygenated share of blood; 68 % of the fits of `calibrated+scattering` to measured
spectra lie in it."""

SCATTERING_LOG_SD = 0.3
"""Standard deviation of the log of the factor on reduced scattering; cut at two."""

_LIMITS = {"melanin": (0.01, 0.95), "haemoglobin": (2e-4, 0.15)}


@dataclass(frozen=True)
class PopulationSample:
    """N people drawn from a population.

    Attributes
    ----------
    melanin, haemoglobin
        (N, S) volume fractions at S sites.
    group
        (N,) the group each person was drawn from, or `UNIFORM`.
    sites
        The S sites.
    """

    melanin: np.ndarray
    haemoglobin: np.ndarray
    group: np.ndarray
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Population:
    """The distribution; load it with `Population.load`.

    Attributes
    ----------
    groups
        Names of the G groups.
    mean
        (G, 5, 2) mean of x by group and site.
    person
        (G, 2, 2) covariance of the person effect.
    site
        (5, 2, 2) covariance of the site effect.
    count
        (G,) people measured.
    """

    groups: tuple[str, ...]
    mean: np.ndarray
    person: np.ndarray
    site: np.ndarray
    count: np.ndarray

    @staticmethod
    def load() -> Population:
        """The committed population of `bioface/data/population.json`."""
        return _load()

    def sample(
        self,
        rng: np.random.Generator,
        count: int,
        *,
        group: str | None = None,
        uniform_share: float = 0.0,
        sites: Sequence[str] = SITES,
    ) -> PopulationSample:
        """Draw people.

        Parameters
        ----------
        rng
            Random generator; the only source of randomness.
        count
            Number of people N.
        group
            One of `groups`; None draws each person's group evenly among them.
        uniform_share
            Share in [0, 1] of people drawn instead evenly over the ranges of unit u
            (`bioface.spectral.units`), independently in both pigments, so that no skin is rare.
        sites
            Any of `SITES`.

        Raises
        ------
        InputError
            An unknown group or site, or a share outside [0, 1].
        """
        if group is not None and group not in self.groups:
            raise InputError(f"unknown group {group!r}: choose one of {', '.join(self.groups)}")
        unknown = [s for s in sites if s not in SITES]
        if unknown:
            raise InputError(f"unknown site {unknown[0]!r}: choose from {', '.join(SITES)}")
        if not 0 <= uniform_share <= 1:
            raise InputError(f"uniform_share is {uniform_share}; it must lie in [0, 1]")
        drawn = rng.integers(len(self.groups), size=count)
        chosen = drawn if group is None else np.full(count, self.groups.index(group))
        even = rng.random(count) < uniform_share
        effect = np.einsum(
            "nij,nj->ni", np.linalg.cholesky(self.person)[chosen], rng.standard_normal((count, 2))
        )
        x = self.mean[chosen] + effect[:, None, :]
        u = rng.random((count, 2))
        centre = np.stack(
            [
                np.log(from_unit(u[:, 0], MELANIN_RANGE)),
                np.cbrt(from_unit(u[:, 1], HAEMOGLOBIN_RANGE)),
            ],
            axis=-1,
        )
        pattern = self.mean - self.mean.mean(axis=1, keepdims=True)
        x = np.where(even[:, None, None], centre[:, None, :] + pattern.mean(axis=0), x)
        x = x + np.einsum(
            "sij,nsj->nsi", np.linalg.cholesky(self.site), rng.standard_normal((count, 5, 2))
        )
        x = x[:, [SITES.index(s) for s in sites]]
        names = np.array([*self.groups, UNIFORM])
        return PopulationSample(
            melanin=np.clip(np.exp(x[..., 0]), *_LIMITS["melanin"]),
            haemoglobin=np.clip(np.maximum(x[..., 1], 0.0) ** 3, *_LIMITS["haemoglobin"]),
            group=names[np.where(even, len(self.groups), chosen)],
            sites=tuple(sites),
        )


@cache
def _load() -> Population:
    content: dict[str, Any] = json.loads((DATA / "population.json").read_text(encoding="utf-8"))
    groups = content["groups"]
    return Population(
        groups=tuple(groups),
        mean=np.array([[g["mean"][s] for s in SITES] for g in groups.values()]),
        person=np.array([g["person_covariance"] for g in groups.values()]),
        site=np.array([content["site_covariance"][s] for s in SITES]),
        count=np.array([g["people"] for g in groups.values()]),
    )
