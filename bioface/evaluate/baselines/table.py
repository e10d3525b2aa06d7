"""Every pixel by itself, as if lit by D65 and taken with the mean camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bioface.scores.faces import Photos, Readings, albedo_of
from bioface.spectral.camera import CameraModel
from bioface.spectral.colour import log_chroma, srgb_decode
from bioface.spectral.formation import Camera
from bioface.spectral.illuminant import cct, illuminant
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

NODES = 64
"""Entries of the table along each pigment, evenly over u in 0-1."""

_CELLS = 160  # of the look-up over log chroma, along each axis
_DARKEST = 1e-3


class TableInversion:
    """The pigments in u of 0-1 whose chroma is nearest; brightness becomes diffuse shading."""

    name = "table inversion, D65 and mean camera"
    limit = None

    def fit(self, training: Sequence[Photos]) -> None:
        """Tabulate colours; the photos are not looked at."""
        model = CameraModel.load()
        spd = illuminant("D65")
        self._skin = SkinModel.load()
        self._sensitivities = model.sensitivities(np.zeros(len(model.deviations)))
        self._kelvin = float(cct(spd))
        projection = Camera(self._sensitivities, method="fitted").projection(spd)
        u = np.linspace(0, 1, NODES)
        melanin, haemoglobin = (grid.reshape(-1) for grid in np.meshgrid(u, u, indexing="ij"))
        reflectance = self._skin.reflectance(
            from_unit(melanin, MELANIN_RANGE), from_unit(haemoglobin, HAEMOGLOBIN_RANGE)
        )
        self._u = np.stack([melanin, haemoglobin], -1).astype(np.float32)
        self._colour = (reflectance @ projection).astype(np.float32)
        self._nearest = _Nearest.of(log_chroma(self._colour, _DARKEST))

    def read(self, photos: Photos) -> Readings:
        """Look every pixel up."""
        linear = srgb_decode(photos.srgb)
        node = self._nearest.look_up(log_chroma(linear, _DARKEST))
        melanin, haemoglobin = np.moveaxis(self._u[node], -1, 0)
        colour = self._colour[node]
        shading = linear.sum(-1) / colour.sum(-1)
        count = len(photos.srgb)
        return Readings(
            melanin_u=melanin,
            haemoglobin_u=haemoglobin,
            diffuse_shading=shading,
            specular_shading=np.zeros_like(shading),
            albedo=albedo_of(self._skin, melanin, haemoglobin),
            reconstruction=shading[..., None] * colour,
            cct_kelvin=np.full(count, self._kelvin),
            sensitivities=np.broadcast_to(self._sensitivities, (count, 33, 3)),
        )


class _Nearest(NamedTuple):
    """For each cell of a square grid over chroma the entry of the table nearest to its centre."""

    low: np.ndarray
    step: np.ndarray
    table: np.ndarray

    @classmethod
    def of(cls, chroma: np.ndarray) -> _Nearest:
        margin = 0.3
        low, high = chroma.min(0) - margin, chroma.max(0) + margin
        step = (high - low) / _CELLS
        centre = (np.arange(_CELLS) + 0.5)[:, None] * step + low
        half = 0.5 * (chroma**2).sum(-1)
        table = np.empty((_CELLS, _CELLS), np.int32)
        for row, red in enumerate(centre[:, 0]):
            cells = np.stack([np.full(_CELLS, red), centre[:, 1]], -1).astype(np.float32)
            table[row] = (half - cells @ chroma.T).argmin(1)
        return cls(low, step, table)

    def look_up(self, chroma: np.ndarray) -> np.ndarray:
        """Entries (...) for chroma (..., 2)."""
        cell = ((chroma - self.low) / self.step).clip(0, _CELLS - 1).astype(np.int32)
        found: np.ndarray = self.table[cell[..., 0], cell[..., 1]]
        return found
