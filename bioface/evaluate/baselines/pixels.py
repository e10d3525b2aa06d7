"""A small network that sees one pixel: all that colour tells without its surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bioface.learn.pixels import PixelRegression, fit_pixels
from bioface.scores.faces import LOG_FLOOR, Photos, Readings, albedo_of
from bioface.spectral.skin import SkinModel

PIXELS = 120_000
"""Pixels of the training photos that it learns from."""


class PixelNetwork:
    """From sRGB and log chroma of one pixel to pigments, log diffuse and root specular shading."""

    name = "per-pixel network"
    limit = None

    _regression: PixelRegression

    def fit(self, training: Sequence[Photos]) -> None:
        """Train on counted pixels drawn from all photos; takes seconds."""
        colours = np.concatenate([photos.srgb[photos.counted] for photos in training])
        targets = np.concatenate([_targets(photos)[photos.counted] for photos in training])
        rng = np.random.default_rng(0)
        chosen = rng.permutation(len(colours))[:PIXELS]
        self._regression = fit_pixels(colours[chosen], targets[chosen], seed=0)

    def read(self, photos: Photos) -> Readings:
        """Read every pixel."""
        found = self._regression(photos.srgb)
        melanin, haemoglobin, log_diffuse, root = np.moveaxis(found, -1, 0)
        return Readings(
            melanin_u=melanin,
            haemoglobin_u=haemoglobin,
            diffuse_shading=np.exp(log_diffuse),
            specular_shading=np.maximum(root, 0) ** 2,
            albedo=albedo_of(SkinModel.load(), melanin, haemoglobin),
        )


def _targets(photos: Photos) -> np.ndarray:
    log_diffuse = np.log(np.maximum(photos.diffuse_shading, LOG_FLOOR))
    root = np.sqrt(photos.specular_shading)
    return np.stack([photos.melanin_u, photos.haemoglobin_u, log_diffuse, root], -1)
