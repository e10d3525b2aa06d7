"""Calibrate the global constants of the skin model on measured spectra.

The constants minimise a robust mean over spectra of the spectral residual, of the colour residual
that remains when each spectrum's own parameters are fitted by least squares on reflectance
(variable projection: G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413-432), and of a
ridge towards published values. Colour enters the calibration only: spectra are always fitted on
reflectance.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bioface.evaluate.fit_skin import (
    jacobian,
    on_bound,
    predictor,
    solve,
    starts,
    to_coordinates,
)
from bioface.npz import read_npz
from bioface.spectral.colour import reflectance_weights, xyz_to_lab
from bioface.spectral.grid import BANDS, WAVELENGTHS
from bioface.spectral.skin import SkinModel
from bioface.spectral.skin_physics import CURVE_TERMS

SPECTRA = Path(__file__).resolve().parents[2] / "shared" / "skin_spectra" / "issa_face_half.npz"
"""Where the scripts look for measured skin unless they are told."""


@dataclass(frozen=True)
class Constant:
    """A global constant: published value, spread of the ridge prior, bounds, unit and source."""

    value: float
    spread: float
    bounds: tuple[float, float]
    unit: str
    source: str


JACQUES = 'S. L. Jacques, "Optical properties of biological tissues: a review", 2013'
CURVE_SOURCE = "smooth correction, a share of the curve; no published value"

CURVES = (("melanin", 0.4, 0.6), ("baseline", 0.4, 0.6), ("scattering", 0.1, 0.3))
"""Smooth corrections: name, spread and limit of their coefficients."""

CONSTANTS = {
    "melanin_power": Constant(
        3.33, 0.7, (2.5, 5.0), "1", f"power of melanosome absorption; {JACQUES}"
    ),
    "melanin_spread": Constant(
        0.5,
        1.0,
        (0.05, 1.0),
        "1",
        "coefficient of variation of the epidermal optical depth; no published value",
    ),
    "oxygenation": Constant(
        0.75, 0.1, (0.4, 0.98), "share of blood", f"mixed arterial and venous blood; {JACQUES}"
    ),
    "vessel_radius": Constant(
        15.0,
        30.0,
        (2.0, 60.0),
        "um, at a blood fraction of 0.02",
        "R. L. P. van Veen et al., Optics Letters 27 (2002) 246",
    ),
    "baseline": Constant(0.7, 1.0, (0.02, 3.0), "1/cm at 500 nm", f"bloodless skin; {JACQUES}"),
    "baseline_power": Constant(
        3.0,
        4.0,
        (0.0, 8.0),
        "1",
        "near the bloodless skin of I. S. Saidi, thesis, Rice University 1992",
    ),
    "rayleigh_fraction": Constant(0.409, 0.3, (0.0, 0.9), "share of scattering at 500 nm", JACQUES),
    "mie_power": Constant(0.702, 0.3, (0.1, 2.0), "1", JACQUES),
} | {
    f"{curve}_curve_{k + 1}": Constant(0.0, spread, (-limit, limit), "log", CURVE_SOURCE)
    for curve, spread, limit in CURVES
    for k in range(CURVE_TERMS)
}
"""The constants in the order of the committed table."""

_FREE = Constant(0.0, np.inf, (-np.inf, np.inf), "log", "not calibrated")
OFFSET = Constant(0.03, 0.1, (0.0, 0.05), "reflectance", "specular part of the measurement")

RIDGE = 4e-3
SPECTRAL_SCALE = 0.008
"""Root-mean-square residual that counts as one."""

COLOUR_WEIGHT = 1.2
"""Square of one CIEDE2000-like unit, in squared units of the spectral residual."""

ROBUST = 8.0
"""Squared residual from which a spectrum counts logarithmically (Cauchy's loss)."""

MARGINS = {
    "melanin": (-np.inf, np.inf, 0.0),
    "haemoglobin": (0.098, np.inf, 28.0),
    "oxygenation": (0.1, 0.95, 10.0),
    "scattering": (-0.9, 0.9, 10.0),
}
"""Fitting coordinates outside which a calibration spectrum pays, and the weight of its excess:
constants are preferred that keep parameters off their bounds."""


@dataclass(frozen=True)
class Calibration:
    """A calibrated model with each spectrum's coordinates (N, K) and the specular offset."""

    model: SkinModel
    offset: float
    coordinates: np.ndarray


def read_people(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """`wavelength` (W,), `reflectance` (N, W), `subject`, `group` and `site` (N,) of an npz file.

    Raises
    ------
    InputError
        The file cannot be read or lacks an array.
    """
    names = ("wavelength", "reflectance", "subject", "group", "site")
    return read_npz(path, names, f"name measured skin with --spectra: an npz of {', '.join(names)}")


def read_skin(path: str | os.PathLike[str]) -> np.ndarray:
    """Spectra (N, 33) of an npz file of `wavelength` and `reflectance` on the wavelength grid.

    710-720 nm hold the value of 700 nm.

    Raises
    ------
    InputError
        The file cannot be read or lacks an array.
    """
    data = read_npz(path, ("wavelength", "reflectance"), "measured skin has both, (W,) and (N, W)")
    return np.stack([np.interp(WAVELENGTHS, data["wavelength"], r) for r in data["reflectance"]])


def bands_of(wavelength: np.ndarray) -> np.ndarray:
    """(W, 33) selection of the grid's bands at `wavelength` 400, 410, ... nm."""
    return np.eye(BANDS)[: len(wavelength)]


def textbook() -> SkinModel:
    """The model at the published values of its constants."""
    return SkinModel(
        "calibrated",
        MappingProxyType({name: c.value for name, c in CONSTANTS.items()}),
        MappingProxyType({name: c.bounds for name, c in CONSTANTS.items()}),
        specular_offset=OFFSET.value,
    )


def calibrate(
    measured: np.ndarray,
    weights: np.ndarray,
    parameters: tuple[str, ...] = ("melanin", "haemoglobin"),
    rounds: int = 60,
) -> Calibration:
    """Constants of the model with `parameters` per spectrum, fitted to spectra (N, W).

    `weights` (N,) is the share of each spectrum in the objective.
    """
    model = replace(textbook(), parameters=parameters)
    problem = _Problem(model, measured, weights / weights.mean())
    entries = [*CONSTANTS.values(), OFFSET]
    theta = np.array([c.value for c in entries])
    lo, hi = np.array([c.bounds for c in entries]).T
    first = {"melanin": 0.12, "haemoglobin": 0.02, "oxygenation": 0.75, "scattering": 1.0}
    start = to_coordinates({n: np.full(len(measured), first[n]) for n in parameters})
    coordinates = problem.fit(theta, start, 30)
    cost, damping, stalled = problem.cost(theta, coordinates), 1e-2, 0
    for _ in range(rounds):
        gradient, normal = problem.normal_equations(theta, coordinates)
        free = ~(((theta <= lo) & (gradient > 0)) | ((theta >= hi) & (gradient < 0)))
        for _ in range(8):
            damped = normal + damping * np.diag(np.diag(normal))
            step = np.zeros_like(theta)
            step[free] = -np.linalg.solve(damped[np.ix_(free, free)], gradient[free])
            trial = np.clip(theta + step, lo, hi)
            trial_coordinates = problem.fit(trial, coordinates, 8)
            trial_cost = problem.cost(trial, trial_coordinates)
            if trial_cost < cost:
                break
            damping *= 4
        else:
            break
        stalled = stalled + 1 if cost - trial_cost < 2e-5 * cost else 0
        theta, coordinates, cost = trial, trial_coordinates, trial_cost
        damping = max(damping / 4, 1e-6)
        if stalled >= 3:
            break
    return Calibration(problem.at(theta), float(theta[-1]), coordinates)


def curvature(
    model: SkinModel, measured: np.ndarray, weights: np.ndarray, names: list[str]
) -> np.ndarray:
    """(K, K) how the objective grows with departures of the constants `names` of `model`.

    Its Gauss-Newton matrix for measured spectra (N, W), each refitted, the specular offset held,
    without the ridge. Constants the model does not hold stand at 0.
    """
    problem = _Problem(model, measured, weights / weights.mean(), tuple(names))
    theta = np.array([*(model.constants.get(name, 0.0) for name in names), model.specular_offset])
    first = starts(model, problem.bands, measured - model.specular_offset)
    normal = problem.normal_equations(theta, problem.fit(theta, first, 30))[1]
    return (normal - np.diag(RIDGE / problem.spread**2))[:-1, :-1]


def balanced_weights(group: np.ndarray, emphasis: dict[str, float]) -> np.ndarray:
    """(N,) weights giving every group the same total, times its `emphasis` (1 where not named)."""
    names, index, count = np.unique(group, return_inverse=True, return_counts=True)
    return np.array([emphasis.get(str(n), 1.0) for n in names])[index] / count[index]


class _Problem:
    """The objective over theta: the constants called `names`, then the offset."""

    def __init__(
        self,
        model: SkinModel,
        measured: np.ndarray,
        weights: np.ndarray,
        names: tuple[str, ...] = tuple(CONSTANTS),
    ) -> None:
        self.model, self.measured, self.weights, self.names = model, measured, weights, names
        self.bands = np.eye(BANDS)[: measured.shape[1]]
        self.colour_matching = self.bands @ reflectance_weights()
        entries = [*(CONSTANTS.get(name, _FREE) for name in names), OFFSET]
        self.prior = np.array([c.value for c in entries])
        self.spread = np.array([c.spread for c in entries])
        lab = self.lab(measured)
        self.measured_lab = lab
        chroma = np.hypot(lab[:, 1], lab[:, 2])
        along = lab[:, 1:] / chroma[:, None]
        across = np.stack([-along[:, 1], along[:, 0]], axis=-1)
        # L*, chroma and hue differences in the weights of CIE94.
        self.colour_axes = np.zeros((len(lab), 3, 3))
        self.colour_axes[:, 0, 0] = 1.0
        self.colour_axes[:, 1, 1:] = along / (1 + 0.045 * chroma)[:, None]
        self.colour_axes[:, 2, 1:] = across / (1 + 0.015 * chroma)[:, None]

    def at(self, theta: np.ndarray) -> SkinModel:
        return self.model.with_constants(**dict(zip(self.names, theta.tolist(), strict=False)))

    def predict(self, theta: np.ndarray):
        return predictor(self.at(theta), self.bands, theta[-1])

    def fit(self, theta: np.ndarray, start: np.ndarray, iterations: int) -> np.ndarray:
        return solve(self.predict(theta), self.measured, start, self.model.parameters, iterations)[
            0
        ]

    def lab(self, spectra: np.ndarray) -> np.ndarray:
        return xyz_to_lab(spectra @ self.colour_matching, self.colour_matching.sum(axis=0))

    def residual(self, spectra: np.ndarray) -> np.ndarray:
        """(N, W + 3)."""
        bands = self.measured.shape[1]
        difference = (spectra - self.measured) / (SPECTRAL_SCALE * bands**0.5)
        colour = np.einsum("nij,nj->ni", self.colour_axes, self.lab(spectra) - self.measured_lab)
        return np.concatenate([difference, COLOUR_WEIGHT**0.5 * colour], axis=1)

    def excess(self, coordinates: np.ndarray) -> np.ndarray:
        """(N, K) weighted distance of the coordinates outside their `MARGINS`."""
        lo, hi, weight = np.array([MARGINS[name] for name in self.model.parameters]).T
        outside = np.maximum(lo - coordinates, 0.0) + np.maximum(coordinates - hi, 0.0)
        return weight * outside

    def cost(self, theta: np.ndarray, coordinates: np.ndarray) -> float:
        square = (self.residual(self.predict(theta)(coordinates)) ** 2).sum(axis=1)
        loss = self.weights * ROBUST * np.log1p(square / ROBUST)
        excess = (self.excess(coordinates) ** 2).sum(axis=1).mean()
        ridge = RIDGE * (((theta - self.prior) / self.spread) ** 2).sum()
        return float(loss.mean() + excess + ridge)

    def normal_equations(
        self, theta: np.ndarray, coordinates: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Gauss-Newton matrix of half the cost, each spectrum refitted."""
        predict = self.predict(theta)
        spectra = predict(coordinates)
        inner = jacobian(predict, coordinates, spectra)
        held = on_bound(self.model.parameters, coordinates)
        inner = np.where(held[:, None, None], 0.0, inner)
        square = np.einsum("nwi,nwj->nij", inner, inner) + 1e-12 * np.eye(inner.shape[2])
        residual = self.residual(spectra)
        excess = self.excess(coordinates)
        slopes, margin_slopes = [], []
        for k in range(len(theta)):
            moved = theta.copy()
            step = 1e-4 * max(abs(theta[k]), 0.1)
            moved[k] += step
            slope = (self.predict(moved)(coordinates) - spectra) / step
            refit = np.linalg.solve(square, np.einsum("nwi,nw->ni", inner, slope)[:, :, None])
            slope = slope - (inner @ refit)[:, :, 0]
            slopes.append((self.residual(spectra + 1e-4 * slope) - residual) / 1e-4)
            shifted = self.excess(coordinates - 1e-4 * refit[:, :, 0])
            margin_slopes.append((shifted - excess) / 1e-4)
        slope = np.stack(slopes, axis=-1)
        margin_slope = np.stack(margin_slopes, axis=-1).reshape(-1, len(theta))
        weight = self.weights / (1 + (residual**2).sum(axis=1) / ROBUST)
        flat = (slope * np.sqrt(weight)[:, None, None]).reshape(-1, len(theta))
        gradient = flat.T @ (residual * np.sqrt(weight)[:, None]).reshape(-1)
        gradient = (gradient + margin_slope.T @ excess.reshape(-1)) / len(residual)
        normal = (flat.T @ flat + margin_slope.T @ margin_slope) / len(residual)
        gradient = gradient + RIDGE * (theta - self.prior) / self.spread**2
        return gradient, normal + np.diag(RIDGE / self.spread**2)
