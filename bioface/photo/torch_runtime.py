"""The encoder seen from numpy: one face crop in, maps, light and camera out. Imports torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bioface.learn.weights import TrainedModel
from bioface.spectral.camera import Method
from bioface.spectral.skin import SkinModel


@dataclass(frozen=True)
class Reading:
    """What the network says about one crop; float64 where not said otherwise.

    Attributes
    ----------
    melanin_u, haemoglobin_u, diffuse_shading, specular_shading, mask
        (h, w) float32; pigments in u.
    illuminant_weights
        (14,) in the order of `bioface.spectral.illuminant.NAMES`, sum 1.
    daylight_kelvin
        K.
    b
        (N,) camera coefficients.
    sensitivities
        (33, 3) of that camera by the decoder's camera model.
    gains, tone
        (2,) each, the decoder's default tone included.
    method
        How raw becomes XYZ.
    """

    melanin_u: np.ndarray
    haemoglobin_u: np.ndarray
    diffuse_shading: np.ndarray
    specular_shading: np.ndarray
    mask: np.ndarray
    illuminant_weights: np.ndarray
    daylight_kelvin: float
    b: np.ndarray
    sensitivities: np.ndarray
    gains: np.ndarray
    tone: np.ndarray
    method: Method


def read_crop(model: TrainedModel, srgb: np.ndarray) -> Reading:
    """Run the encoder on one crop (h, w, 3) of sRGB in 0-1."""
    with torch.inference_mode():
        image = torch.from_numpy(np.ascontiguousarray(srgb.transpose(2, 0, 1), np.float32))
        prediction = model.encoder(image[None])
        camera = model.decoder.camera(prediction)
        tone = model.decoder.tone(prediction)
        sensitivities = torch.as_tensor(camera.sensitivities)
        weights = prediction.illuminant_weights[0].double()
        return Reading(
            melanin_u=prediction.melanin_u[0].numpy(),
            haemoglobin_u=prediction.haemoglobin_u[0].numpy(),
            diffuse_shading=prediction.diffuse_shading[0].numpy(),
            specular_shading=prediction.specular_shading[0].numpy(),
            mask=prediction.mask[0].numpy(),
            illuminant_weights=(weights / weights.sum()).numpy(),
            daylight_kelvin=float(prediction.daylight_kelvin[0]),
            b=prediction.b[0].double().numpy(),
            sensitivities=sensitivities[0].double().numpy(),
            gains=prediction.gains[0].double().numpy(),
            tone=tone[0].double().numpy(),
            method=camera.method,
        )


def decoder_skin(model: TrainedModel) -> SkinModel:
    """The decoder's skin model with its constants as numbers."""
    with torch.inference_mode():
        skin = model.decoder.skin()
        return skin.with_constants(**{name: float(value) for name, value in skin.constants.items()})
