"""Colours of generated skin against those of measured spectra.

Colours are CIELAB under D65, CIE 1931 2 degree, of diffuse reflectance: the offset that gloss adds
to the measured spectra (the skin model's `specular_offset`) is taken off them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bioface import SkinModel
from bioface.errors import InputError
from bioface.evaluate.validate_skin import read_spectra
from bioface.npz import read_npz
from bioface.spectral.colour import (
    ITA_CLASSES,
    ita,
    ita_class,
    linear_srgb_to_xyz,
    reflectance_weights,
    xyz_to_lab,
)
from bioface.spectral.population import UNIFORM
from synth.compare import sure_skin
from synth.dataset.read import Dataset
from synth.sample.skin import MEASURED, on_grid
from synth.scene import REGIONS

SITES = {
    "forehead": ("forehead",),
    "nose": ("nose",),
    "cheek": ("cheek_left", "cheek_right", "cheek", "cheekbone"),
    "chin": ("chin",),
}
"""Site to what it is called in `REGIONS` and in measurements."""

FEWEST = 20
"""People below which a group is not compared."""

_NAMES = ("subject", "site", "group")
_FEWEST_PIXELS = 20
_DIRECTIONS = 100
_QUANTILES = (np.arange(200) + 0.5) / 200
_SPLITS = 20
_OUTLIERS = 0.01  # share of measured people that count as outside their own cloud


@dataclass(frozen=True)
class SkinColours:
    """Colours of N people.

    Attributes
    ----------
    sites
        Site of `SITES` to its L*a*b* (N, 3), NaN where it was not seen.
    source
        (N,) the group of the population that each comes from, or `UNIFORM`.
    """

    sites: dict[str, np.ndarray]
    source: np.ndarray

    @property
    def face(self) -> np.ndarray:
        """(N, 3) mean L*a*b* of the sites seen."""
        return np.asarray(np.nanmean(np.stack(list(self.sites.values())), 0))

    @property
    def tone(self) -> np.ndarray:
        """(N,) index into `ITA_CLASSES` of `face`."""
        return np.asarray(ita_class(ita(self.face)))

    def where(self, chosen: np.ndarray) -> SkinColours:
        """The people of a mask or of indices."""
        sites = {name: values[chosen] for name, values in self.sites.items()}
        return SkinColours(sites, self.source[chosen])


def measured_colours(path: str | os.PathLike[str]) -> SkinColours:
    """Colours of the people of an npz file of spectra.

    Parameters
    ----------
    path
        Arrays `wavelength` (W,) nm covering 400-700, `reflectance` (N, W) 0-1 with gloss,
        `subject`, `site` and `group` (N,).

    Raises
    ------
    InputError
        The file cannot be used, does not cover 400-700 nm or holds no site of `SITES`.
    """
    wavelength, reflectance = read_spectra(path)
    spectra = on_grid(path, wavelength, reflectance)
    arrays = read_npz(path, _NAMES, f"spectra of people have {', '.join(_NAMES)}, one a spectrum")
    for name in _NAMES:
        if arrays[name].shape != (len(reflectance),):
            raise InputError(
                f"{path}: {name} has shape {arrays[name].shape}; one for each of the "
                f"{len(reflectance)} spectra is needed"
            )
    subject, site, group = (arrays[name] for name in _NAMES)
    weights = reflectance_weights()[: len(MEASURED)]
    lab = xyz_to_lab((spectra - SkinModel.load().specular_offset) @ weights, weights.sum(0))
    people, first, owner = np.unique(subject, return_index=True, return_inverse=True)
    sites = {}
    for name, meant in SITES.items():
        chosen = np.isin(site, meant)
        total = np.zeros((len(people), 3))
        np.add.at(total, owner[chosen], lab[chosen])
        count = np.bincount(owner[chosen], minlength=len(people))[:, None]
        sites[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    colours = SkinColours(sites, group[first])
    seen = ~np.isnan(np.concatenate(list(sites.values()), 1)).all(1)
    if not seen.any():
        raise InputError(f"{path}: holds no spectrum of {', '.join(SITES)}")
    return colours.where(seen)


def rendered_colours(dataset: Dataset) -> SkinColours:
    """Colours of the people of a dataset: medians of `albedo` over the pixels of sure skin."""
    from tqdm import tqdm

    found: dict[str, list[np.ndarray]] = {name: [] for name in SITES}
    source = []
    for index in tqdm(dataset.indices, unit="image", desc="colours", disable=None):
        channels = dataset.channels(index)
        skin = sure_skin(channels)
        albedo = np.stack([channels[f"albedo.{c}"] for c in "RGB"], -1)
        medians = {}
        for name, meant in SITES.items():
            regions = [i for i, region in enumerate(REGIONS) if region in meant]
            there = skin & np.isin(channels["region"], regions)
            if there.sum() >= _FEWEST_PIXELS:
                medians[name] = np.median(albedo[there].astype(np.float64), 0)
        if not medians:
            continue
        for name, values in found.items():
            linear = medians.get(name, np.full(3, np.nan))
            values.append(np.asarray(xyz_to_lab(linear_srgb_to_xyz(linear))))
        source.append(dataset.record(index)["pigment"]["group"])
    if not source:
        raise InputError(f"{dataset.folder}: no picture shows enough skin of the face")
    return SkinColours({name: np.array(v) for name, v in found.items()}, np.array(source))


def sliced_wasserstein(first: np.ndarray, second: np.ndarray) -> float:
    """Mean 1-Wasserstein distance of two clouds (N, 3), (M, 3) over 100 fixed directions.

    In the units of the clouds; N. Bonneel et al., "Sliced and Radon Wasserstein barycenters of
    measures", J. Math. Imaging Vis. 51 (2015).
    """
    directions = np.random.default_rng(0).standard_normal((3, _DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    a, b = (np.quantile(cloud @ directions, _QUANTILES, axis=0) for cloud in (first, second))
    return float(np.abs(a - b).mean())


def distance(measured: np.ndarray, generated: np.ndarray) -> tuple[float, float]:
    """How far generated colours (M, 3) are from those of measured people (N, 3).

    Returns
    -------
    generated
        `sliced_wasserstein` of the generated and half of the measured people.
    reference
        That of the two halves of the measured people; both are means over 20 random halvings.
    """
    rng = np.random.default_rng(0)
    half = len(measured) // 2
    pairs = []
    for _ in range(_SPLITS):
        order = rng.permutation(len(measured))
        one, other = measured[order[:half]], measured[order[half:]]
        pairs.append((sliced_wasserstein(generated, one), sliced_wasserstein(other, one)))
    mean = np.mean(pairs, 0)
    return float(mean[0]), float(mean[1])


def outside(measured: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """(M,) which generated colours (M, 3) are outside what was measured (N, 3).

    Those which, in the plane of L* and a* or that of L* and b*, have fewer measured people around
    them than 99 % of these have: by a Gaussian kernel density of Scott's bandwidth, one's own
    kernel left out. (In three dimensions at once a thousand people leave too much between them.)
    """
    planes = ([0, 1], [0, 2])
    found = [_outside_plane(measured[:, plane], generated[:, plane]) for plane in planes]
    return np.asarray(np.any(found, 0))


def _outside_plane(measured: np.ndarray, generated: np.ndarray) -> np.ndarray:
    count, dimensions = measured.shape
    factor = np.linalg.cholesky(np.cov(measured.T)) * count ** (-1 / (dimensions + 4))
    people, others = (np.linalg.solve(factor, cloud.T).T for cloud in (measured, generated))

    def kernels(points: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * ((points[:, None] - people) ** 2).sum(-1))

    own = (kernels(people).sum(1) - 1) / (count - 1)
    return np.asarray(kernels(others).mean(1) < np.quantile(own, _OUTLIERS))


def tone_table(measured: SkinColours, generated: SkinColours) -> Iterable[str]:
    """Markdown: by skin tone the people, their distance, and the share outside what was measured.

    The distance of generated people drawn from the population stands apart; colours are of faces.
    """
    yield "| skin (ITA) | measured | rendered | outside | distance | population's | two halves |"
    yield "|---" * 7 + "|"
    out = outside(measured.face, generated.face)
    drawn = generated.source != UNIFORM
    for k, name in enumerate(ITA_CLASSES):
        people, ours = measured.tone == k, generated.tone == k
        if not ours.any():
            continue
        cells = [name, str(people.sum()), str(ours.sum()), f"{out[ours].mean():.0%}"]
        figures: list[float] = [np.nan] * 3
        if min(people.sum(), ours.sum()) >= FEWEST:
            figures[0], figures[2] = distance(measured.face[people], generated.face[ours])
            if (ours & drawn).sum() >= FEWEST:
                figures[1], _ = distance(measured.face[people], generated.face[ours & drawn])
        cells += ["-" if np.isnan(value) else f"{value:.2f}" for value in figures]
        yield "| " + " | ".join(cells) + " |"
    yield f"outside what was measured: {out.mean():.1%} of all, " + ", ".join(
        f"{out[chosen].mean():.1%} {title}"
        for title, chosen in (("drawn evenly", ~drawn), ("from the population", drawn))
        if chosen.any()
    )


def site_table(measured: SkinColours, generated: SkinColours) -> Iterable[str]:
    """Markdown: how sites differ from their face, mean (deviation) over people, in L*, a*, b*.

    A site that nobody shows has dashes.
    """
    yield "| site | measured L* | a* | b* | rendered L* | a* | b* |"
    yield "|---" * 7 + "|"
    for name in SITES:
        cells = [name]
        for colours in (measured, generated):
            difference = colours.sites[name] - colours.face
            difference = difference[~np.isnan(difference).any(1)]
            if not len(difference):
                cells += ["-"] * 3
                continue
            mean, spread = difference.mean(0), difference.std(0)
            cells += [f"{m:+.1f} ({s:.1f})" for m, s in zip(mean, spread, strict=True)]
        yield "| " + " | ".join(cells) + " |"
