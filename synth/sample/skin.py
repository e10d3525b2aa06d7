"""The optics of a person's skin: what the spectral kinds of set render.

A `Skin` is the skin model, or the model with what it does not know: another oxygenation and
scattering, and the smooth residual that a measured spectrum leaves (*off-model*).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bioface import SkinModel
from bioface.errors import InputError
from bioface.evaluate.fit_skin import from_coordinates, predictor, solve, starts
from bioface.npz import read_npz
from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.population import OXYGENATION, SCATTERING_LOG_SD
from bioface.spectral.units import MELANIN_RANGE, to_unit

HELD_OUT_SHARE = 0.25
"""Share of measured people, by the hash of their name, whose residuals are used."""

MEASURED = WAVELENGTHS[WAVELENGTHS <= 700]
"""nm at which measured spectra are used."""

_SMOOTHING = 15.0  # nm, deviation of the Gaussian that smooths residuals
_NEIGHBOURS = 12  # people of about the same tone among whom one residual is drawn
_FACTORS = (0.5, 2.0)


@dataclass(frozen=True)
class Skin:
    """Optics of skin for given pigments.

    Attributes
    ----------
    model
        The skin model.
    oxygenation, scattering
        As `SkinModel.reflectance` takes them; None: the model's own.
    deviation
        (33,) factor on the reflectance.
    """

    model: SkinModel = field(default_factory=SkinModel.load)
    oxygenation: float | None = None
    scattering: float | None = None
    deviation: np.ndarray = field(default_factory=lambda: np.ones(len(WAVELENGTHS)))

    def reflectance(self, melanin: np.ndarray, haemoglobin: np.ndarray) -> np.ndarray:
        """Diffuse reflectance (..., 33) in 0-1 for volume fractions (...)."""
        found = self.model.reflectance(
            melanin, haemoglobin, oxygenation=self.oxygenation, scattering=self.scattering
        )
        return np.clip(found * self.deviation, 0.0, 1.0)

    def blur(self, haemoglobin: np.ndarray) -> np.ndarray:
        """Length d (..., 33), cm, of the subsurface profile `(e^(-r/d) + e^(-r/3d)) / (8 pi d r)`.

        `d = l / (3.5 + 100 (A - 0.33)^4)` with the diffuse mean free path l and the reflectance A
        of the dermis: P. H. Christensen and B. Burley, "Approximate reflectance profiles for
        efficient subsurface scattering", Pixar Technical Memo 15-04 (2015), in its form for diffuse
        mean free paths. Light leaves at a mean distance of 2.5 d. The epidermis, 60 um thin,
        filters and does not spread it.

        Raises
        ------
        InputError
            The model has no dermis of its own (`alotaibi2019`).
        """
        varied: dict[str, Any] = {"oxygenation": self.oxygenation, "scattering": self.scattering}
        length = self.model.diffusion_length(haemoglobin, **varied)
        albedo = self.model.dermis(haemoglobin, **varied)
        return length / (3.5 + 100 * (albedo - 0.33) ** 4)

    @property
    def record(self) -> dict[str, Any]:
        """JSON-ready: what differs from the model."""
        return {
            "oxygenation": self.oxygenation,
            "scattering": self.scattering,
            "deviation": [round(float(value), 5) for value in self.deviation],
        }


@dataclass(frozen=True)
class Residuals:
    """What the model leaves of measured spectra of held-out people.

    Attributes
    ----------
    melanin_u
        (N,) the fitted melanin.
    deviation
        (N, 33) smooth factor that takes the model's reflectance to the measured one; beyond
        700 nm that of 700 nm.
    """

    melanin_u: np.ndarray
    deviation: np.ndarray

    @staticmethod
    def load(path: str | os.PathLike[str], model: SkinModel, *, held_out: bool = True) -> Residuals:
        """Fit `model` to the spectra of held-out people, or of all the others.

        Parameters
        ----------
        path
            npz with `wavelength` (W,) nm covering 400-700 by 10, `reflectance` (N, W) 0-1 with the
            model's `specular_offset` in it, and `subject` (N,) names.

        Raises
        ------
        InputError
            The file cannot be read or lacks something, or nobody in it is chosen.
        """
        wavelength, reflectance, subject = _read(path)
        spectra = on_grid(path, wavelength, reflectance)
        chosen = np.array([_is_held_out(str(name)) == held_out for name in subject])
        if not chosen.any():
            which = "none" if held_out else "all"
            raise InputError(f"{path}: {which} of its {len(set(subject))} people is held out")
        measured = spectra[chosen]
        bands = np.eye(len(MEASURED), len(WAVELENGTHS))
        offset = model.specular_offset
        predict = predictor(model, bands, offset)
        start = starts(model, bands, measured - offset)
        coordinates, fitted = solve(predict, measured, start, model.parameters)
        factor = 1 + _smooth(MEASURED, measured - fitted) / (fitted - offset)
        beyond = np.repeat(factor[:, -1:], len(WAVELENGTHS) - len(MEASURED), axis=1)
        deviation = np.clip(np.concatenate([factor, beyond], axis=1), *_FACTORS)
        melanin = from_coordinates(model.parameters, coordinates)["melanin"]
        return Residuals(np.asarray(to_unit(melanin, MELANIN_RANGE)), deviation)


def sample_off_model(
    rng: np.random.Generator, melanin_u: float, residuals: Residuals, model: SkinModel
) -> Skin:
    """Draw skin that the model does not describe, its residual from a person of similar tone."""
    oxygenation = float(rng.uniform(*OXYGENATION))
    scattering = float(np.exp(SCATTERING_LOG_SD * np.clip(rng.standard_normal(), -2, 2)))
    nearest = np.argsort(np.abs(residuals.melanin_u - melanin_u), kind="stable")[:_NEIGHBOURS]
    return Skin(model, oxygenation, scattering, residuals.deviation[rng.choice(nearest)])


def on_grid(
    path: str | os.PathLike[str], wavelength: np.ndarray, reflectance: np.ndarray
) -> np.ndarray:
    """Spectra (N, W) of a file at `wavelength` (W,), (N, 31) at `MEASURED`.

    Raises
    ------
    InputError
        They do not cover 400-700 nm.
    """
    if wavelength[0] > MEASURED[0] or wavelength[-1] < MEASURED[-1]:
        raise InputError(f"{path}: its spectra must cover 400-700 nm")
    return np.stack([np.interp(MEASURED, wavelength, row) for row in reflectance])


def _read(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    names = ("wavelength", "reflectance", "subject")
    arrays = read_npz(path, names, f"spectra of people have {', '.join(names)}")
    wavelength, reflectance, subject = (arrays[name] for name in names)
    if reflectance.shape != (*subject.shape, *wavelength.shape) or reflectance.ndim != 2:
        raise InputError(
            f"{path}: reflectance has shape {reflectance.shape}, not (people's spectra, bands)"
        )
    try:
        return wavelength.astype(np.float64), reflectance.astype(np.float64), subject
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: wavelength and reflectance must hold numbers") from error


def _is_held_out(name: str) -> bool:
    first = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    return first / 2**32 < HELD_OUT_SHARE


def _smooth(wavelength: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Gaussian means (N, W) whose weights sum to one at the ends, too."""
    weights = np.exp(-(((wavelength[:, None] - wavelength) / _SMOOTHING) ** 2) / 2)
    return values @ (weights / weights.sum(1, keepdims=True)).T
