"""Each photo by itself, fitted through the decoder under smoothness priors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bioface.learn.decoder import Decoder
from bioface.learn.fit_image import fit_photos
from bioface.scores.faces import Photos, Readings, albedo_of
from bioface.spectral.illuminant import cct

SIDE = 48
"""Photos are fitted at this size at most, and the maps enlarged."""


class ImageOptimisation:
    """Maps, light and camera from `bioface.learn.fit_image.fit_photos`."""

    name = "per-image optimisation"
    limit = 32

    def fit(self, training: Sequence[Photos]) -> None:
        """Nothing is learned."""
        self._decoder = Decoder()

    def read(self, photos: Photos) -> Readings:
        """Fit a batch of photos."""
        found = fit_photos(self._decoder, photos.srgb, photos.counted, SIDE)
        return Readings(
            melanin_u=found.melanin_u,
            haemoglobin_u=found.haemoglobin_u,
            diffuse_shading=found.diffuse_shading,
            specular_shading=found.specular_shading,
            albedo=albedo_of(self._decoder.skin(), found.melanin_u, found.haemoglobin_u),
            reconstruction=found.reconstruction,
            cct_kelvin=np.asarray(cct(found.spd)),
            sensitivities=found.sensitivities,
        )
