"""Each photo by itself, fitted through the decoder under smoothness priors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from bioface.evaluate.measure import Photos, Readings, albedo_of
from bioface.learn.decoder import Decoder
from bioface.learn.fit_image import fit_images
from bioface.spectral.colour import srgb_decode
from bioface.spectral.illuminant import cct, mix

SIDE = 48
"""Photos are fitted at this size at most, and the maps enlarged."""


class ImageOptimisation:
    """Maps, light and camera from `bioface.learn.fit_image`."""

    name = "per-image optimisation"
    limit = 32

    def fit(self, training: Sequence[Photos]) -> None:
        """Nothing is learned."""
        self._decoder = Decoder()

    def read(self, photos: Photos) -> Readings:
        """Fit a batch of photos."""
        linear = torch.from_numpy(srgb_decode(photos.srgb.astype(np.float32))).permute(0, 3, 1, 2)
        mask = torch.from_numpy(photos.counted.astype(np.float32))
        full = mask.shape[1:]
        side = [min(length, SIDE) for length in full]
        covered = functional.interpolate(mask[:, None], side, mode="area")
        small = functional.interpolate(linear * mask[:, None], side, mode="area")
        small = small / covered.clamp_min(1e-3)
        found = fit_images(self._decoder, small, (covered[:, 0] > 0.5).float())

        def enlarge(plane: torch.Tensor) -> np.ndarray:
            big = functional.interpolate(plane[:, None], full, mode="bilinear")
            values: np.ndarray = big[:, 0].numpy()
            return values

        melanin, haemoglobin = enlarge(found.melanin_u), enlarge(found.haemoglobin_u)
        camera = self._decoder.camera(found)
        rendered = self._decoder.render(found).permute(0, 3, 1, 2)
        return Readings(
            melanin_u=melanin,
            haemoglobin_u=haemoglobin,
            diffuse_shading=np.exp(enlarge(found.diffuse_shading.log())),
            specular_shading=enlarge(found.specular_shading),
            albedo=albedo_of(self._decoder.skin(), melanin, haemoglobin),
            reconstruction=np.stack([enlarge(rendered[:, c]) for c in range(3)], -1),
            cct_kelvin=np.asarray(cct(mix(found.illuminant_weights, found.daylight_kelvin))),
            sensitivities=np.asarray(camera.sensitivities),
        )
