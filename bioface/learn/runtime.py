"""The encoder run by torch. Imports torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bioface.errors import InputError
from bioface.learn.crop_reading import read_crops
from bioface.learn.encoder import Known, Prediction
from bioface.learn.weights import TrainedModel, load_weights
from bioface.photo.known import NOTHING, KnownScene
from bioface.photo.network import Reading
from bioface.spectral.camera import CameraModel
from bioface.spectral.skin import SkinModel


@dataclass(frozen=True)
class TorchNetwork:
    """A `bioface.photo.network.Network` around a model from `bioface.learn.weights`."""

    model: TrainedModel
    runtime = "torch"

    @classmethod
    def load(cls, weights: str | os.PathLike[str] | None = None) -> TorchNetwork:
        """Read a weight file; None means the one of the package. Errors as in `load_weights`."""
        return cls(load_weights(weights))

    @property
    def size(self) -> int:
        """Side in pixels of the crops it was trained on."""
        return int(self.model.encoder.config.size)

    @property
    def sha256(self) -> str:
        """Of the weight file."""
        return self.model.sha256

    @cached_property
    def skin(self) -> SkinModel:
        """The decoder's skin model, its constants as numbers."""
        with torch.inference_mode():
            skin = self.model.decoder.skin()
            constants = {name: float(value) for name, value in skin.constants.items()}
            return skin.with_constants(**constants)

    @cached_property
    def cameras(self) -> CameraModel:
        """The decoder's camera model, as numbers."""
        with torch.inference_mode():
            model = self.model.decoder.camera_model()
            parts = (model.mean, model.components, model.deviations)
            return CameraModel(*(np.asarray(part, np.float64) for part in parts))

    def read(self, srgb: np.ndarray, known: KnownScene = NOTHING) -> Reading:
        """Read one crop (h, w, 3) of sRGB in 0-1; `InputError` where it cannot be told."""
        with torch.inference_mode():
            prediction = self._predict(srgb[None], known)
            camera = self.model.decoder.camera(prediction)
            tone = self.model.decoder.tone(prediction)
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
                sensitivities=torch.as_tensor(camera.sensitivities)[0].double().numpy(),
                gains=prediction.gains[0].double().numpy(),
                tone=tone[0].double().numpy(),
                method=camera.method,
                melanin_u_std=prediction.melanin_u_std[0].numpy(),
                haemoglobin_u_std=prediction.haemoglobin_u_std[0].numpy(),
            )

    def skin_masks(self, srgb: np.ndarray) -> np.ndarray:
        """Probability of skin (B, h, w) of crops (B, h, w, 3) of sRGB in 0-1."""
        with torch.inference_mode():
            return self.model.encoder(_channels_first(srgb)).mask.numpy()

    def _predict(self, srgb: np.ndarray, known: KnownScene) -> Prediction:
        image = _channels_first(srgb)
        if not any(known.given):
            return read_crops(self.model.encoder, image)
        if self.model.config.get("kind") == "paper":
            raise InputError("weights of the paper configuration cannot be told light or camera")
        told = known.inputs(self.cameras)
        parts = {name: torch.from_numpy(value)[None] for name, value in told.items()}
        return read_crops(self.model.encoder, image, Known(**parts))


def _channels_first(srgb: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(srgb.transpose(0, 3, 1, 2), np.float32))
