"""Cameras: a statistical model of measured spectral sensitivities, and raw to XYZ.

Sensitivities follow eq. 10 of Alotaibi & Smith 2019, s = mean + sum_k b_k sd_k component_k with
b ~ N(0, I), clipped at 0, from a centred joint principal component analysis over the three
channels (99 values). Every channel sums to 1 over the grid.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace

from bioface.errors import InputError
from bioface.npz import read_npz
from bioface.spectral.backend import Array, as_array, common, like, table_like
from bioface.spectral.colour import WHITE_XYZ, observer, reflectance_weights
from bioface.spectral.grid import BANDS, WAVELENGTHS, resample
from bioface.spectral.illuminant import cct, illuminant
from bioface.spectral.tables import DATA, read_table

DEFAULT_COMPONENTS = 6
"""Chosen by leave-one-camera-out colour error on skin: see docs/cameras.md."""

MODELS = {"all": "cameras.npz", "training": "cameras_train.npz"}
"""Shipped models: of all measured cameras, and without those held out for tests (splits.json)."""

Method = Literal["pseudo_inverse", "fitted"]
METHODS: tuple[Method, ...] = ("pseudo_inverse", "fitted")


def normalised(sensitivities: Any) -> Array:
    """Sensitivities (..., 33, 3) clipped at 0, each channel scaled to sum 1."""
    s = as_array(sensitivities)
    xp = array_namespace(s)
    s = xp.clip(s, 0.0, None)
    return s / xp.clip(xp.sum(s, axis=-2, keepdims=True), 1e-12, None)


@dataclass(frozen=True)
class CameraModel:
    """Mean and principal components of measured cameras.

    Attributes
    ----------
    mean
        (33, 3) mean sensitivities, channels red, green, blue, each summing to 1.
    components
        (N, 33, 3) orthonormal over their 99 values; the largest-magnitude entry is positive.
    deviations
        (N,) standard deviations, falling.
    """

    mean: Array
    components: Array
    deviations: Array

    @classmethod
    def load(
        cls,
        components: int | None = None,
        *,
        name: str = "all",
        path: str | os.PathLike[str] | None = None,
    ) -> CameraModel:
        """A shipped model, or the one `scripts/fit_cameras` wrote to `path`.

        Parameters
        ----------
        components
            How many components to keep; `DEFAULT_COMPONENTS` when None.
        name
            `all`, or `training`: fitted without the cameras that accuracy is measured on. An
            encoder that was trained on the latter predicts b of that model.

        Raises
        ------
        InputError
            An unknown name, more components than the file holds, or a file that is no camera
            model.
        """
        if name not in MODELS:
            raise InputError(f"camera model {name!r} is not known; use one of {', '.join(MODELS)}")
        wanted = DEFAULT_COMPONENTS if components is None else components
        return _truncated(Path(path) if path else DATA / MODELS[name], wanted)

    @classmethod
    def fit(cls, sensitivities: np.ndarray, components: int) -> CameraModel:
        """Derive the model from measured sensitivities (cameras, 33, 3) of any scale.

        Raises
        ------
        InputError
            The array has another shape, or no more cameras than components.
        """
        s = np.asarray(sensitivities, np.float64)
        if s.ndim != 3 or s.shape[1:] != (BANDS, 3) or len(s) <= components:
            raise InputError(
                f"camera sensitivities have shape {s.shape}; (more than {components}, 33, 3) needed"
            )
        flat = normalised(s).reshape(len(s), -1)
        mean = flat.mean(0)
        _, singular, rows = np.linalg.svd(flat - mean, full_matrices=False)
        rows = rows[:components]
        largest = np.abs(rows).argmax(1)[:, None]
        rows = rows * np.sign(np.take_along_axis(rows, largest, 1))
        deviations = singular[:components] / np.sqrt(len(s) - 1)
        return cls(mean.reshape(BANDS, 3), rows.reshape(-1, BANDS, 3), deviations)

    def truncated(self, components: int) -> CameraModel:
        """The first `components` components only; InputError when there are not so many."""
        if not 0 <= components <= len(self.deviations):
            raise InputError(
                f"camera model holds {len(self.deviations)} components; {components} asked for"
            )
        return replace(
            self,
            components=self.components[:components, ...],
            deviations=self.deviations[:components],
        )

    def with_mean(self, mean: Array) -> CameraModel:
        """The same model about another mean (33, 3), which may be a tensor with gradients."""
        return replace(self, mean=mean)

    @cached_property
    def _rows(self) -> np.ndarray:
        """(N, 99) what one standard deviation of each coefficient adds to the sensitivities."""
        return (self.components * self.deviations[:, None, None]).reshape(-1, 3 * BANDS)

    def sensitivities(self, b: Any) -> Array:
        """Sensitivities (..., 33, 3) >= 0, channels summing to 1, for coefficients b (..., N).

        b counts standard deviations; fewer than N leave the rest at 0.

        Raises
        ------
        InputError
            b has more values than the model has components.
        """
        b = as_array(b)
        xp = array_namespace(b)
        count = b.shape[-1]
        if count > len(self.deviations):
            raise InputError(
                f"{count} camera coefficients for a model of {len(self.deviations)} components"
            )
        rows = table_like(b, self._rows)[:count, ...]
        offset = b @ rows if count else 0 * xp.sum(b, -1, keepdims=True)
        fixed = isinstance(self.mean, np.ndarray)
        mean = table_like(b, self.mean) if fixed else like(b, self.mean)
        flat = xp.reshape(mean, (-1,)) + offset
        return normalised(xp.reshape(flat, (*b.shape[:-1], BANDS, 3)))

    def coefficients(self, sensitivities: np.ndarray) -> np.ndarray:
        """b (..., N) of measured sensitivities (..., 33, 3) of any scale: their projection."""
        difference = normalised(sensitivities) - self.mean
        return np.einsum("...wc,nwc->...n", difference, self.components) / self.deviations


def read_measured(path: str | os.PathLike[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of measured cameras and their sensitivities (N, 33, 3), each channel of sum 1.

    Parameters
    ----------
    path
        npz with `wavelength` (nm, covering 400-720), `sens` (N, W, 3) of any scale and `names`.

    Raises
    ------
    InputError
        The file is missing, damaged or no such table.
    """
    advice = "no measured cameras, which have wavelength (W), sens (N, W, 3) and names (N)"
    arrays = read_npz(path, ("wavelength", "sens", "names"), advice)
    try:
        values = np.swapaxes(np.asarray(arrays["sens"], np.float64), 1, 2)
        sensitivities = np.swapaxes(resample(arrays["wavelength"], values), 1, 2)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: not a table of numbers; {advice}") from error
    if sensitivities.shape != (*arrays["names"].shape, BANDS, 3):
        raise InputError(f"{path}: sens has shape {arrays['sens'].shape}; {advice}")
    if not np.isfinite(sensitivities).all():
        raise InputError(f"{path}: holds NaN or infinite values; leave those cameras out")
    return tuple(map(str, arrays["names"])), normalised(sensitivities)


@cache
def _truncated(path: Path, components: int) -> CameraModel:
    return _read(path).truncated(components)


@cache
def _read(path: Path) -> CameraModel:
    names = ("mean", "components", "deviations")
    advice = "make a camera model with scripts/fit_cameras"
    read = read_npz(path, ("wavelength", *names), advice)
    if not np.array_equal(read["wavelength"], WAVELENGTHS):
        raise InputError(f"{path}: its wavelengths are not 400-720 nm every 10 nm")
    arrays = [read[name] for name in names]
    count = read["deviations"].shape
    if [array.shape for array in arrays] != [(BANDS, 3), (*count, BANDS, 3), count]:
        raise InputError(f"{path}: its arrays do not fit each other; {advice}")
    for array in arrays:
        array.flags.writeable = False
    return CameraModel(*arrays)


def raw_to_xyz(sensitivities: Any, spd: Any = None, method: Method = "pseudo_inverse") -> Array:
    """The matrix T (..., 3, 3) from white-balanced raw to XYZ; T (1, 1, 1) = `WHITE_XYZ`.

    Parameters
    ----------
    sensitivities
        S (..., 33, 3).
    spd
        (..., 33) the illuminant; read by `fitted` only, daylight D65 when None.
    method
        `pseudo_inverse`: T = C^T (S^+)^T (the paper, eq. 4-5; C the colour-matching functions),
        each row then scaled to the white. The paper's text scales rows to 1 instead, which would
        turn white into sRGB (1.205, 0.948, 0.909).

        `fitted`: what real cameras do. Two matrices, for illuminant A and D65, each the least
        squares over natural reflectances (ColorChecker and measured skin) among those that map
        white to white, interpolated by the reciprocal colour temperature of `spd` (as in the DNG
        specification 1.6, chapter 6).

    Raises
    ------
    InputError
        The method is not known.
    """
    s = as_array(sensitivities)
    if method == "pseudo_inverse":
        return _pseudo_inverse(s)
    if method != "fitted":
        raise InputError(f"raw to XYZ method {method!r} is not known; use one of {METHODS}")
    (daylight, cool), (incandescent, warm) = (_reference_light(name) for name in ("D65", "A"))
    day = _fitted(s, daylight)
    if spd is None:
        return day
    s, spd = common(s, as_array(spd))
    xp = array_namespace(s)
    tungsten = _fitted(s, incandescent)
    share = xp.clip((1e6 / cct(spd) - cool) / (warm - cool), 0.0, 1.0)[..., None, None]
    return day + share * (tungsten - day)


def _pseudo_inverse(s: Array) -> Array:
    xp = array_namespace(s)
    curves = table_like(s, observer())
    transposed = xp.matrix_transpose(s)
    matrix = xp.matrix_transpose(xp.linalg.solve(transposed @ s, transposed @ curves))
    white = table_like(s, WHITE_XYZ)[:, None]
    return matrix * white / xp.sum(matrix, axis=-1, keepdims=True)


@cache
def _reference_light(name: str) -> tuple[np.ndarray, float]:
    """The spectrum of a named illuminant, and its reciprocal temperature in mired."""
    spd = illuminant(name)
    return spd, 1e6 / float(cct(spd))


@cache
def _reflectance_moments() -> np.ndarray:
    return np.stack(list(read_table("reflectance_moments").values()), -1)


def _fitted(s: Array, spd: np.ndarray) -> Array:
    """White-preserving least squares, T w = white for each row: one Lagrange multiplier a row."""
    xp = array_namespace(s)
    response = s * table_like(s, spd)[:, None]
    response = response / xp.sum(response, axis=-2, keepdims=True)
    moments = table_like(s, _reflectance_moments())
    weighted = xp.matrix_transpose(response) @ moments
    normal = weighted @ response
    right = weighted @ table_like(s, reflectance_weights())
    solved = xp.linalg.solve(normal, xp.concat([right, xp.ones_like(right[..., :1])], axis=-1))
    free, along = solved[..., :3], solved[..., 3:]
    missing = table_like(s, WHITE_XYZ) - xp.sum(free, axis=-2)
    free = free + along * (missing / xp.sum(along, axis=(-2, -1))[..., None])[..., None, :]
    return xp.matrix_transpose(free)
