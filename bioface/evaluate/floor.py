"""The information floor: what one 8-bit sRGB pixel can tell about its pigments, at best.

The root mean square error of the posterior mean, by Monte Carlo, under stated priors. No estimator
that reads pixels one by one can do better; what does better reads many pixels together.

For each drawn pixel, candidates from the prior are kept when they round to the pixel's code. A
shading that is unknown is integrated in closed form: the length of the interval of its logarithm
in which the candidate rounds to the code. Codes that too few candidates reach are widened, so the
figures err on the high side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from bioface.spectral import fast
from bioface.spectral.camera import METHODS, CameraModel
from bioface.spectral.colour import (
    ITA_CLASSES,
    ita,
    ita_class,
    reflectance_to_xyz,
    srgb_decode,
    srgb_encode,
    xyz_to_lab,
)
from bioface.spectral.formation import Camera
from bioface.spectral.illuminant import NAMES, mix
from bioface.spectral.population import Population
from bioface.spectral.skin import SkinModel
from bioface.spectral.tables import DATA
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit, to_unit

PRIORS = ("uniform", "population")
"""`uniform` in unit u from 0 to 1; `population` as measured (`bioface.spectral.population`)."""

TABLE = "information_floor.json"


@dataclass(frozen=True)
class Case:
    """What is known besides the pixel itself; white balance is, unless `white_balance` is false."""

    name: str
    light_and_camera: bool = False
    shading: bool = False
    white_balance: bool = True
    specular: bool = False


CASES = (
    Case("light, camera, shading", light_and_camera=True, shading=True),
    Case("light, camera", light_and_camera=True),
    Case("white balance, shading", shading=True),
    Case("white balance"),
    Case("nothing, with specular", white_balance=False, specular=True),
)


@dataclass(frozen=True)
class Settings:
    """Priors of what is not pigment, and the size of the simulation.

    Attributes
    ----------
    shading
        Range of diffuse shading, uniform in its logarithm.
    specular_ratio
        Mean of specular over diffuse shading, exponential; in the last case only.
    white_balance_error
        Standard deviation of the logarithm of the red and blue gains; in the last case only.
    light_concentration
        Dirichlet parameter of the 14 illuminant weights; daylight is uniform in 4000-12000 K.
    pixels
        Pixels whose error is measured in each case.
    lights
        Lights and cameras among the pixels where these are known.
    candidates
        Draws from the prior against which each pixel is held.
    unknown_lights
        Lights and cameras among the candidates where these are unknown.
    """

    shading: tuple[float, float] = (0.1, 1.0)
    specular_ratio: float = 0.1
    white_balance_error: float = 0.02
    light_concentration: float = 0.3
    pixels: int = 1200
    lights: int = 40
    candidates: int = 240_000
    unknown_lights: int = 800


class Pigments(NamedTuple):
    """Volume fractions, of any one shape."""

    melanin: np.ndarray
    haemoglobin: np.ndarray

    def columns(self) -> np.ndarray:
        """(..., 4): melanin and haemoglobin in unit u, then as volume fractions."""
        u = (to_unit(self.melanin, MELANIN_RANGE), to_unit(self.haemoglobin, HAEMOGLOBIN_RANGE))
        return np.stack([*u, self.melanin, self.haemoglobin], axis=-1)


def draw_pigments(rng: np.random.Generator, prior: str, *shape: int) -> Pigments:
    """Pigments of one prior of `PRIORS`; over the sites of a face for the population."""
    count = int(np.prod(shape))
    if prior == "uniform":
        u = rng.random((2, count))
        melanin, haemoglobin = from_unit(u[0], MELANIN_RANGE), from_unit(u[1], HAEMOGLOBIN_RANGE)
    else:
        people = Population.load().sample(rng, count)
        site = rng.integers(len(people.sites), size=(count, 1))
        melanin, haemoglobin = (
            np.take_along_axis(values, site, axis=1)[:, 0]
            for values in (people.melanin, people.haemoglobin)
        )
    return Pigments(melanin.reshape(shape), haemoglobin.reshape(shape))


def draw_projections(
    rng: np.random.Generator, count: int, case: Case, settings: Settings
) -> np.ndarray:
    """Projections (count, 33, 3) of random lights and cameras, both ways from raw to XYZ."""
    weights = rng.dirichlet(np.full(len(NAMES), settings.light_concentration), count)
    spd = mix(weights, rng.uniform(4000, 12000, count))
    b = rng.standard_normal((count, len(CameraModel.load().deviations)))
    error = 0 if case.white_balance else settings.white_balance_error
    gains = np.exp(error * rng.standard_normal((count, 2)))
    paper, fitted = (
        Camera.from_coefficients(b, gains=gains, method=method).projection(spd)
        for method in METHODS
    )
    chosen: np.ndarray = np.where(rng.random((count, 1, 1)) < 0.5, paper, fitted)
    return chosen


def colours(
    rng: np.random.Generator,
    skin: SkinModel,
    projections: np.ndarray,
    pigments: Pigments,
    case: Case,
    settings: Settings,
) -> np.ndarray:
    """Unit-shaded linear sRGB (3, L n) of pigments (L, n) under L projections, gloss included."""
    series = fast.colour_series(skin, projections)
    colour = np.concatenate(
        [
            fast.evaluate(series._replace(table=series.table[k : k + 1]), m[None], h[None])[0]
            for k, (m, h) in enumerate(zip(*pigments, strict=True))
        ],
        axis=-1,
    )
    if case.specular:
        white = np.repeat(projections.sum(1), pigments.melanin.shape[1], axis=0).T
        colour = colour + white * rng.exponential(settings.specular_ratio, colour.shape[1])
    return colour


class _Bank(NamedTuple):
    """Candidates: log colour (3, K) at unit shading, and their pigments (K, 4)."""

    log_colour: np.ndarray
    columns: np.ndarray

    def posterior_mean(
        self, code: np.ndarray, shading: float | None, limits: tuple[float, float]
    ) -> np.ndarray:
        """Mean (4,) given an 8-bit code (3,), and the shading unless it is None."""
        for half in 0.5 * 2.0 ** np.arange(8):
            low = np.log(np.maximum(srgb_decode((code - half) / 255), 1e-12))
            high = np.log(srgb_decode((code + half) / 255))
            low[code - half <= 0], high[code + half >= 255] = -np.inf, np.inf
            first = (low[:, None] - self.log_colour).max(0)
            last = (high[:, None] - self.log_colour).min(0)
            if shading is None:
                weight = np.minimum(last, np.log(limits[1])) - np.maximum(first, np.log(limits[0]))
                weight = np.maximum(weight, 0)
            else:
                at = np.log(shading)
                weight = ((first <= at) & (at <= last)).astype(np.float64)
            kept = np.flatnonzero(weight)
            if len(kept) >= 8:
                return weight[kept] @ self.columns[kept] / weight[kept].sum()
        return self.columns.mean(0)


def _bank(
    rng: np.random.Generator,
    skin: SkinModel,
    prior: str,
    projections: np.ndarray,
    case: Case,
    settings: Settings,
) -> _Bank:
    each = settings.candidates // len(projections)
    pigments = draw_pigments(rng, prior, len(projections), each)
    colour = colours(rng, skin, projections, pigments, case, settings)
    log_colour = np.log(np.maximum(colour, 1e-9)).astype(np.float32)
    return _Bank(log_colour, pigments.columns().reshape(-1, 4))


def _errors(
    rng: np.random.Generator, skin: SkinModel, prior: str, case: Case, settings: Settings
) -> Iterator[tuple[str, np.ndarray]]:
    """For each drawn pixel the ITA class of its skin and the error (4,) of the posterior mean."""
    known = case.light_and_camera
    count = settings.lights if known else settings.pixels
    projections = draw_projections(rng, count, case, settings)
    truth = draw_pigments(rng, prior, count, settings.pixels // count)
    colour = colours(rng, skin, projections, truth, case, settings)
    darkest, brightest = np.log(settings.shading)
    shading = np.exp(rng.uniform(darkest, brightest, colour.shape[1]))
    code = np.rint(255 * np.clip(srgb_encode(shading * colour), 0, 1))
    columns = truth.columns().reshape(-1, 4)
    tones = _tones(skin, truth)
    if not known:
        others = draw_projections(rng, settings.unknown_lights, case, settings)
        bank = _bank(rng, skin, prior, others, case, settings)
    for k in range(len(columns)):
        own, first = divmod(k, settings.pixels // count)
        if known and first == 0:
            bank = _bank(rng, skin, prior, projections[own : own + 1], case, settings)
        told = shading[k] if case.shading else None
        yield tones[k], bank.posterior_mean(code[:, k], told, settings.shading) - columns[k]


def _tones(skin: SkinModel, pigments: Pigments) -> list[str]:
    """ITA class of each."""
    reflectance = skin.reflectance(pigments.melanin.reshape(-1), pigments.haemoglobin.reshape(-1))
    classes = ita_class(ita(xyz_to_lab(reflectance_to_xyz(reflectance))))
    return [ITA_CLASSES[index] for index in np.asarray(classes)]


def floor_table(
    skin: SkinModel | None = None,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    priors: tuple[str, ...] = PRIORS,
    advance: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """The floor under every prior and case, as the JSON of `bioface/data` holds it.

    Parameters
    ----------
    skin
        Skin model; the default one when None.
    settings, seed
        What the simulation draws from.
    priors
        Some of `PRIORS`.
    advance
        Called after each pixel, `len(priors) * len(CASES) * settings.pixels` times.

    Returns
    -------
    A mapping with `skin_model`, `constants`, `settings`, `seed`, and `rows`: for each prior its
    standard deviation (case `prior`) and each case's root mean square error, under
    `melanin_u`, `haemoglobin_u`, `melanin`, `haemoglobin`; `tones` holds the latter for the pixels
    of each ITA class that was drawn.
    """
    skin = SkinModel.load() if skin is None else skin
    settings = settings or Settings()
    rows = []
    for prior in priors:
        rng = np.random.default_rng(np.random.SeedSequence([seed, PRIORS.index(prior)]))
        spread = draw_pigments(rng, prior, 100_000).columns().std(0)
        rows.append(_row(prior, "prior", spread))
        for case in CASES:
            squared: dict[str, list[np.ndarray]] = {tone: [] for tone in ITA_CLASSES}
            for tone, error in _errors(rng, skin, prior, case, settings):
                squared[tone].append(error**2)
                advance()
            row = _row(prior, case.name, _root_mean([e for es in squared.values() for e in es]))
            tones = {tone: _numbers(_root_mean(es)) for tone, es in squared.items() if es}
            rows.append(row | {"tones": tones})
    return {
        "about": "Bayes error of melanin and haemoglobin from one 8-bit sRGB pixel",
        "source": "simulation of this project's own model; GPL-3.0-or-later",
        "command": "bioface evaluate floor --fresh --out bioface/data/information_floor.json",
        "skin_model": skin.name,
        "constants": {name: float(value) for name, value in skin.constants.items()},
        "settings": asdict(settings),
        "seed": seed,
        "rows": rows,
    }


def _root_mean(squares: list[np.ndarray]) -> np.ndarray:
    root: np.ndarray = np.sqrt(np.mean(squares, axis=0))
    return root


def _row(prior: str, case: str, values: np.ndarray) -> dict[str, Any]:
    return {"prior": prior, "case": case} | _numbers(values)


def _numbers(values: np.ndarray) -> dict[str, float]:
    names = ("melanin_u", "haemoglobin_u", "melanin", "haemoglobin")
    return {name: float(f"{value:.4g}") for name, value in zip(names, values, strict=True)}


def load_floor() -> dict[str, Any] | None:
    """The committed table, or None when it was made for other constants of the skin model."""
    path = DATA / TABLE
    if not path.exists():
        return None
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    now = {name: float(value) for name, value in SkinModel.load().constants.items()}
    return table if table["constants"] == now else None
