"""The dichromatic skin model fitted to spectra of unknown shading: pseudo ground truth.

Each spectrum is i_d R(l; melanin, haemoglobin) + i_s (Alotaibi & Smith 2019, section 5.2), with
i_d, i_s >= 0. For given pigments both shadings follow by least squares; the pigments are searched
on a grid, then ever closer around the best node.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

REACH = (-0.2, 1.2)
"""u between which pigments are searched."""

_NODES = 43
_HALVINGS = 8
_PIXELS = 1024


class Dichromatic(NamedTuple):
    """What `fit_dichromatic` finds, each (N,): pigments in u, shadings, RMSE of the spectra."""

    melanin_u: np.ndarray
    haemoglobin_u: np.ndarray
    diffuse_shading: np.ndarray
    specular_shading: np.ndarray
    residual: np.ndarray


def fit_dichromatic(
    spectra: np.ndarray, wavelength: np.ndarray, skin: SkinModel | None = None
) -> Dichromatic:
    """Fit the skin model (the default one when None) to spectra (N, W) at W wavelengths in nm."""
    skin = SkinModel.load() if skin is None else skin
    bands = np.stack([np.interp(wavelength, WAVELENGTHS, row) for row in np.eye(33)])
    axis = np.linspace(*REACH, _NODES)
    nodes = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    table = _reflectance(skin, nodes) @ bands
    parts = [
        _fit(skin, bands, nodes, table, np.asarray(spectra[first : first + _PIXELS], np.float64))
        for first in range(0, len(spectra), _PIXELS)
    ]
    return Dichromatic(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _fit(
    skin: SkinModel, bands: np.ndarray, nodes: np.ndarray, table: np.ndarray, spectra: np.ndarray
) -> tuple[np.ndarray, ...]:
    count = len(spectra)
    misfit = _misfit(spectra @ table.T, spectra, (table**2).sum(1), table.sum(1))[0]
    best = nodes[misfit.argmin(1)]
    step = (REACH[1] - REACH[0]) / (_NODES - 1)
    around = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij"), -1).reshape(-1, 2)
    for _ in range(_HALVINGS):
        step /= 2
        for _ in range(2):
            tried = np.clip(best[:, None] + step * around, *REACH)
            shapes = _reflectance(skin, tried.reshape(-1, 2)) @ bands
            shapes = shapes.reshape(count, len(around), -1)
            along = np.einsum("nkw,nw->nk", shapes, spectra)
            misfit, _, _ = _misfit(along, spectra, (shapes**2).sum(2), shapes.sum(2))
            best = tried[np.arange(count), misfit.argmin(1)]
    shapes = _reflectance(skin, best) @ bands
    along = (shapes * spectra).sum(1)[:, None]
    misfit, diffuse, specular = _misfit(
        along, spectra, (shapes**2).sum(1)[:, None], shapes.sum(1)[:, None]
    )
    residual = np.sqrt(np.maximum(misfit[:, 0], 0) / spectra.shape[1])
    return best[:, 0], best[:, 1], diffuse[:, 0], specular[:, 0], residual


def _misfit(
    along: np.ndarray, spectra: np.ndarray, square: np.ndarray, total: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared misfit (N, K), and the two shadings (N, K), none below 0.

    `along`, `square` and `total` are the products of K shapes with the spectra, themselves and 1.
    """
    bands = spectra.shape[1]
    white = spectra.sum(1)[:, None]
    determinant = np.maximum(square * bands - total**2, 1e-12)
    diffuse = (along * bands - white * total) / determinant
    specular = (square * white - along * total) / determinant
    alone = np.maximum(along / square, 0)
    gloss = np.maximum(white / bands, 0)
    diffuse, specular = (
        np.where(specular < 0, alone, np.where(diffuse < 0, 0, diffuse)),
        np.where(specular < 0, 0, np.where(diffuse < 0, gloss, specular)),
    )
    misfit = (
        (spectra**2).sum(1)[:, None]
        - 2 * (diffuse * along + specular * white)
        + diffuse**2 * square
        + 2 * diffuse * specular * total
        + specular**2 * bands
    )
    return misfit, diffuse, specular


def _reflectance(skin: SkinModel, u: np.ndarray) -> np.ndarray:
    """(N, 33) of pigments (N, 2) in u."""
    values: np.ndarray = skin.reflectance(
        from_unit(u[:, 0], MELANIN_RANGE), from_unit(u[:, 1], HAEMOGLOBIN_RANGE), validate=False
    )
    return values
