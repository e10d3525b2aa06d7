"""How well a skin model explains measured reflectance spectra."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from bioface.errors import InputError
from bioface.evaluate.fit_skin import (
    from_coordinates,
    jacobian,
    on_bound,
    predictor,
    solve,
    starts,
)
from bioface.npz import read_npz
from bioface.spectral.colour import ciede2000, reflectance_weights, xyz_to_lab
from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.skin import SkinModel

COMPARED = (400.0, 700.0)
"""nm between which models and measurements are compared."""

_GRID_STEP = 10.0
TOLERANCE = 0.02
"""How far outside 0-1 noise may take a measured reflectance."""

OFFSET_RANGE = (0.0, 0.05)
"""Gloss a file of spectra may hold, as reflectance."""


@dataclass(frozen=True)
class SkinValidation:
    """The fit of a skin model to N spectra.

    Attributes
    ----------
    model
        Name of the skin model.
    wavelength
        (W,) nm of the bands that were fitted.
    parameters
        The fitted parameters by name, each (N,).
    specular_offset
        The one offset of the whole file.
    measured, fitted
        (N, W) spectra, both with the offset.
    rmse
        (N,) root-mean-square residual in reflectance.
    ciede2000
        (N,) colour difference under D65, CIE 1931 2 degree.
    on_bound
        (N,) whether a parameter stands on the end of its range.
    """

    model: str
    wavelength: np.ndarray
    parameters: dict[str, np.ndarray]
    specular_offset: float
    measured: np.ndarray
    fitted: np.ndarray
    rmse: np.ndarray
    ciede2000: np.ndarray
    on_bound: np.ndarray

    def summary(self) -> dict[str, str | int | float]:
        """Model, number of spectra, offset, and median and 95th percentile of both measures."""
        return {
            "model": self.model,
            "n": len(self.rmse),
            "specular_offset": self.specular_offset,
            "rmse_median": float(np.median(self.rmse)),
            "rmse_p95": float(np.quantile(self.rmse, 0.95)),
            "ciede2000_median": float(np.median(self.ciede2000)),
            "ciede2000_p95": float(np.quantile(self.ciede2000, 0.95)),
        }


def read_spectra(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """`wavelength` (W,) nm and `reflectance` (N, W) 0-1 of an npz file.

    Raises
    ------
    InputError
        The file cannot be read, an array is missing, or `checked_spectra` refuses them.
    """
    advice = (
        "write one with numpy.savez(path, wavelength=..., reflectance=...): (W,) nm, (N, W) in 0-1"
    )
    if os.path.isdir(path):
        raise InputError(f"{path}: a folder; name an npz file in it")
    arrays = read_npz(path, ("wavelength", "reflectance"), advice)
    try:
        return checked_spectra(arrays["wavelength"], arrays["reflectance"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def checked_spectra(
    wavelength: np.ndarray, reflectance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The bands near 400-700 nm as float64, in order of wavelength.

    Bands outside are left out, but for 10 nm on either side where they are averaged onto the 10 nm
    grid; and so are bands that hold NaN in every spectrum.

    Raises
    ------
    InputError
        Shapes do not match, a wavelength repeats, a spectrum holds NaN or values outside 0-1 (by
        more than 0.02), or units look wrong.
    """
    try:
        wavelength = np.asarray(wavelength, np.float64)
        reflectance = np.asarray(reflectance, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("wavelength and reflectance must hold numbers") from error
    if wavelength.ndim != 1 or reflectance.ndim != 2 or reflectance.shape[1] != len(wavelength):
        raise InputError(
            f"wavelength has shape {wavelength.shape} and reflectance {reflectance.shape}; "
            "(W,) and (N, W) are needed, a row a spectrum"
        )
    if reflectance.size == 0:
        raise InputError("holds no spectra")
    if not np.isfinite(wavelength).all():
        raise InputError("holds NaN or infinite values in wavelength; leave those bands out")
    order = np.argsort(wavelength)
    wavelength, reflectance = wavelength[order], reflectance[:, order]
    repeated = wavelength[1:][np.diff(wavelength) == 0]
    if len(repeated):
        raise InputError(f"wavelength {repeated[0]:g} nm is there more than once")
    if wavelength[-1] < 100:
        raise InputError(f"wavelengths end at {wavelength[-1]:g}; give them in nm")
    reach = _GRID_STEP if _is_fine(wavelength) else 0.0
    near = (wavelength >= COMPARED[0] - reach) & (wavelength <= COMPARED[1] + reach)
    near &= ~np.isnan(reflectance).all(axis=0)
    wavelength, reflectance = wavelength[near], reflectance[:, near]
    if not len(wavelength):
        raise InputError("holds no bands within 400-700 nm")
    rows = np.flatnonzero(~np.isfinite(reflectance).all(axis=1))
    if len(rows):
        raise InputError(
            f"reflectance holds NaN or infinite values in {len(rows)} of {len(reflectance)} "
            f"spectra, first in number {rows[0]}; leave those out"
        )
    if reflectance.max() > 2:
        raise InputError(
            f"reflectance reaches {reflectance.max():.4g}: it looks like percent; divide by 100"
        )
    if reflectance.min() < -TOLERANCE or reflectance.max() > 1 + TOLERANCE:
        raise InputError(
            f"reflectance spans {reflectance.min():.4g} to {reflectance.max():.4g}; "
            "it must lie in 0-1"
        )
    return wavelength, reflectance


def validate_skin(
    model: SkinModel, wavelength: np.ndarray, reflectance: np.ndarray
) -> SkinValidation:
    """Fit each spectrum by unweighted least squares with the model's per-pixel parameters.

    One specular offset in `OFFSET_RANGE` is fitted for all spectra together.

    Parameters
    ----------
    model
        The skin model; its own `specular_offset` is not used.
    wavelength
        (W,) nm; any grid, in any order. Bands outside 400-700 nm are left out, and colour is
        computed over the part of 400-700 nm that the grid covers.
    reflectance
        (N, W) in [0, 1], specular included. Spectra sampled more finely than 10 nm are averaged
        onto the 10 nm grid.

    Raises
    ------
    InputError
        Spectra refused by `checked_spectra`, or too few bands within 400-700 nm.
    """
    wavelength, reflectance = checked_spectra(wavelength, reflectance)
    wavelength, measured = _compared_bands(wavelength, reflectance)
    if len(wavelength) < len(model.parameters) + 2:
        raise InputError(
            f"only {len(wavelength)} bands lie within 400-700 nm; "
            f"{len(model.parameters) + 2} are needed"
        )
    bands = _interpolation(WAVELENGTHS, wavelength)
    coordinates, fitted, offset = _fit_with_offset(model, bands, measured)
    first, second = (_lab(wavelength, spectra) for spectra in (measured, fitted))
    return SkinValidation(
        model=model.name,
        wavelength=wavelength,
        parameters=from_coordinates(model.parameters, coordinates),
        specular_offset=offset,
        measured=measured,
        fitted=fitted,
        rmse=np.sqrt(((fitted - measured) ** 2).mean(axis=1)),
        ciede2000=ciede2000(first, second),
        on_bound=on_bound(model.parameters, coordinates),
    )


def _fit_with_offset(
    model: SkinModel, bands: np.ndarray, measured: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Coordinates (N, K), spectra (N, W) and the offset, by Gauss-Newton on the offset alone.

    The other parameters are projected out: the slope of a spectrum in the offset is what of a
    constant its own parameters cannot take up.
    """
    lo, hi = OFFSET_RANGE

    def refit(offset: float, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        predict = predictor(model, bands, offset)
        coordinates, spectra = solve(predict, measured, start, model.parameters)
        return coordinates, spectra, float(((spectra - measured) ** 2).sum())

    offset = (lo + hi) / 2
    coordinates, spectra, cost = refit(offset, starts(model, bands, measured - offset))
    for _ in range(20):
        slope = jacobian(predictor(model, bands, offset), coordinates, spectra)
        slope = np.where(on_bound(model.parameters, coordinates)[:, None, None], 0.0, slope)
        normal = np.einsum("nwi,nwj->nij", slope, slope) + 1e-12 * np.eye(slope.shape[2])
        taken_up = np.linalg.solve(normal, slope.sum(axis=1)[:, :, None])
        free = 1 - (slope @ taken_up)[:, :, 0]
        step = float((free * (measured - spectra)).sum() / (free**2).sum())
        for _ in range(6):
            trial = float(np.clip(offset + step, lo, hi))
            result = refit(trial, coordinates)
            if result[2] <= cost:
                break
            step /= 4
        else:
            break
        moved = abs(trial - offset)
        offset, (coordinates, spectra, cost) = trial, result
        if moved < 1e-6:
            break
    return coordinates, spectra, offset


def _is_fine(wavelength: np.ndarray) -> bool:
    """Whether spectra are sampled so finely that they are averaged onto the 10 nm grid."""
    return len(wavelength) > 1 and bool(np.median(np.diff(wavelength)) < 0.9 * _GRID_STEP)


def _compared_bands(
    wavelength: np.ndarray, reflectance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The bands within 400-700 nm; those finer than the grid averaged onto it."""
    if _is_fine(wavelength):
        inside = (wavelength[0] <= WAVELENGTHS) & (min(wavelength[-1], COMPARED[1]) >= WAVELENGTHS)
        target = WAVELENGTHS[inside]
        room = np.minimum(target - wavelength[0], wavelength[-1] - target)
        width = np.clip(room, 1e-3, _GRID_STEP)[:, None]
        weights = np.maximum(1 - np.abs(target[:, None] - wavelength) / width, 0.0)
        gap = weights.sum(axis=1) == 0
        weights[gap] = _interpolation(wavelength, target[gap])
        return target, reflectance @ (weights / weights.sum(axis=1, keepdims=True)).T
    inside = (wavelength >= COMPARED[0]) & (wavelength <= COMPARED[1])
    return wavelength[inside], reflectance[:, inside]


def _interpolation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(len(target), len(source)) matrix of linear interpolation."""
    return np.stack([np.interp(target, source, row) for row in np.eye(len(source))], axis=-1)


def _lab(wavelength: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """L*a*b* (N, 3) over the part of the grid within `wavelength`, the white over the same part."""
    covered = (wavelength[0] <= WAVELENGTHS) & (wavelength[-1] >= WAVELENGTHS)
    weights = reflectance_weights()[covered]
    onto_grid = _interpolation(wavelength, WAVELENGTHS[covered])
    return xyz_to_lab(spectra @ onto_grid.T @ weights, weights.sum(axis=0))
