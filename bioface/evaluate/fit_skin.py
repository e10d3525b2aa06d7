"""Fit a skin model's per-pixel parameters to spectra: batched Levenberg-Marquardt, numpy only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np

from bioface.spectral.skin import SkinModel

Predict = Callable[[np.ndarray], np.ndarray]
"""Coordinates (N, K) to spectra (N, W)."""

RANGES = {
    "melanin": (1e-4, 1.0),
    "haemoglobin": (1e-5, 0.5),
    "oxygenation": (0.0, 1.0),
    "scattering": (0.2, 5.0),
}
"""Where a fit may take each parameter."""

_STARTS = {
    "melanin": np.geomspace(0.003, 0.8, 14),
    "haemoglobin": np.geomspace(2e-4, 0.2, 12),
    "oxygenation": np.array([0.3, 0.6, 0.9]),
    "scattering": np.array([0.7, 1.0, 1.4]),
}
_STEP = 1e-5


def to_coordinates(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Parameters by name, each (N,), to fitting coordinates (N, K).

    Fractions are cube-rooted, scattering is a logarithm: steps are then alike everywhere.
    """
    columns = []
    for name, value in values.items():
        if name == "scattering":
            columns.append(np.log(value))
        else:
            columns.append(np.asarray(value) if name == "oxygenation" else np.cbrt(value))
    return np.stack(columns, axis=-1)


def from_coordinates(names: tuple[str, ...], coordinates: np.ndarray) -> dict[str, np.ndarray]:
    """The inverse of `to_coordinates`."""
    values = {}
    for name, column in zip(names, coordinates.T, strict=True):
        if name == "scattering":
            values[name] = np.exp(column)
        else:
            values[name] = column if name == "oxygenation" else column**3
    return values


def limits(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of `RANGES` in fitting coordinates, each (K,)."""
    lo, hi = (to_coordinates({n: np.array(RANGES[n][end]) for n in names}) for end in (0, 1))
    return lo, hi


def on_bound(names: tuple[str, ...], coordinates: np.ndarray) -> np.ndarray:
    """(N,) whether any parameter of a fit stands on an end of its range."""
    lo, hi = limits(names)
    return ((coordinates <= lo + 1e-9) | (coordinates >= hi - 1e-9)).any(axis=-1)


def predictor(model: SkinModel, bands: np.ndarray, offset: float = 0.0) -> Predict:
    """Spectra of `model` plus `offset`; `bands` (W, 33) takes the grid to W bands."""

    def predict(coordinates: np.ndarray) -> np.ndarray:
        values = from_coordinates(model.parameters, coordinates)
        return model.reflectance(**values, validate=False) @ bands.T + offset

    return predict


def starts(model: SkinModel, bands: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Coordinates (N, K) of the nearest point of a coarse grid over the model's parameters."""
    candidates = np.array(list(itertools.product(*(_STARTS[n] for n in model.parameters))))
    coordinates = to_coordinates(dict(zip(model.parameters, candidates.T, strict=True)))
    spectra = predictor(model, bands)(coordinates)
    half_square = (spectra**2).sum(axis=1) / 2
    nearest = [
        np.argmin(half_square - part @ spectra.T, axis=1)
        for part in np.array_split(measured, len(measured) // 1000 + 1)
    ]
    return coordinates[np.concatenate(nearest)]


def jacobian(predict: Predict, coordinates: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """Derivatives (N, W, K) of `predict` at `coordinates`, where it gives `spectra`."""
    steps = _STEP * np.eye(coordinates.shape[1])
    return np.stack([(predict(coordinates + s) - spectra) / _STEP for s in steps], axis=-1)


def solve(
    predict: Predict,
    measured: np.ndarray,
    start: np.ndarray,
    names: tuple[str, ...],
    iterations: int = 30,
) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares coordinates (N, K) within `RANGES` and their spectra (N, W).

    Levenberg-Marquardt on every spectrum at once; a spectrum keeps a step only where its sum of
    squares does not rise.
    """
    lo, hi = limits(names)
    coordinates = np.clip(start, lo, hi)
    spectra = predict(coordinates)
    cost = ((spectra - measured) ** 2).sum(axis=1)
    damping = np.full(len(measured), 1e-4)
    active = np.arange(len(measured))
    for _ in range(iterations):
        now, target = coordinates[active], measured[active]
        step = _step(predict, now, spectra[active], target, damping[active], lo, hi)
        trial = np.clip(now + step, lo, hi)
        trial_spectra = predict(trial)
        trial_cost = ((trial_spectra - target) ** 2).sum(axis=1)
        better = trial_cost <= cost[active]
        chosen = active[better]
        coordinates[chosen], spectra[chosen] = trial[better], trial_spectra[better]
        cost[chosen] = trial_cost[better]
        damping[active] = np.clip(damping[active] * np.where(better, 0.2, 10.0), 1e-9, 1e6)
        active = active[np.abs(trial - now).max(axis=1) > 1e-9]
        if not len(active):
            break
    return coordinates, spectra


def _step(
    predict: Predict,
    coordinates: np.ndarray,
    spectra: np.ndarray,
    measured: np.ndarray,
    damping: np.ndarray,
    lo: np.ndarray,
    hi: np.ndarray,
) -> np.ndarray:
    """The damped Gauss-Newton step (N, K); coordinates that press on a bound stay there."""
    slope = jacobian(predict, coordinates, spectra)
    gradient = np.einsum("nwk,nw->nk", slope, spectra - measured)
    held = ((coordinates <= lo) & (gradient > 0)) | ((coordinates >= hi) & (gradient < 0))
    free = ~held
    normal = np.einsum("nwi,nwj->nij", slope, slope) * (free[:, :, None] & free[:, None, :])
    diagonal = np.einsum("nii->ni", normal)
    ridge = damping[:, None] * diagonal + 1e-12 + held
    normal = normal + ridge[:, :, None] * np.eye(coordinates.shape[1])
    return np.linalg.solve(normal, -(gradient * free)[:, :, None])[:, :, 0]
