"""The mean of what it was shown, whatever the photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bioface.scores.faces import LOG_FLOOR, Photos, Readings


class PriorMean:
    """Predicts the training photos' mean everywhere; log shading's and root gloss's, too."""

    name = "prior mean"
    limit = None

    def fit(self, training: Sequence[Photos]) -> None:
        """Average over the counted pixels of all photos."""

        def mean(values: list[np.ndarray]) -> np.ndarray:
            kept = [v[photos.counted] for v, photos in zip(values, training, strict=True)]
            return np.concatenate(kept).mean(0)

        self._melanin = mean([photos.melanin_u for photos in training])
        self._haemoglobin = mean([photos.haemoglobin_u for photos in training])
        self._albedo = mean([photos.albedo for photos in training])
        logs = [np.log(np.maximum(p.diffuse_shading, LOG_FLOOR)) for p in training]
        self._diffuse = np.exp(mean(logs))
        self._specular = mean([np.sqrt(p.specular_shading) for p in training]) ** 2

    def read(self, photos: Photos) -> Readings:
        """The same for every photo."""
        shape = photos.mask.shape
        return Readings(
            melanin_u=np.full(shape, self._melanin),
            haemoglobin_u=np.full(shape, self._haemoglobin),
            diffuse_shading=np.full(shape, self._diffuse),
            specular_shading=np.full(shape, self._specular),
            albedo=np.broadcast_to(self._albedo, (*shape, 3)),
        )
