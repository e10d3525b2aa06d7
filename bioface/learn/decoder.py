"""The physics as a torch module, with a few bounded global corrections that fine-tuning may learn.

Everything is zero at the start and then means no correction at all: pretraining keeps it so.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bioface.errors import InputError
from bioface.learn.encoder import Prediction
from bioface.spectral import illuminant
from bioface.spectral.camera import CameraModel, Method, raw_to_xyz
from bioface.spectral.formation import Camera, decode
from bioface.spectral.grid import bernstein_basis
from bioface.spectral.skin import COLOURATION, SkinModel
from bioface.spectral.skin_prior import SkinPrior

B_REACH = 3.0
CAMERA_MEAN_REACH = 0.15
TONE_REACH = 0.3
CONTRAST_LIMIT = 0.9
"""Largest contrast that `bioface.spectral.colour.apply_tone` takes."""

_SMOOTH = 6


@dataclass(frozen=True)
class DecoderConfig:
    """What it takes to rebuild a decoder.

    Attributes
    ----------
    skin
        Name of the skin model.
    components
        Coefficients of the camera model.
    cameras
        Name of the camera model that the coefficients belong to: `training` or `all`.
    method
        How raw becomes XYZ: `pseudo_inverse` or `fitted`.
    constants
        Names of the skin constants that may move; all that have bounds when None.
    lookup
        Instead of computing raw to XYZ, look it up over b (of two components) in a table of so
        many nodes along each, as the paper does; 0: compute it.
    """

    skin: str = "calibrated"
    components: int = 6
    cameras: str = "training"
    method: Method = "fitted"
    constants: tuple[str, ...] | None = None
    lookup: int = 0

    def __post_init__(self) -> None:
        if self.lookup and self.components != 2:
            raise InputError(f"a lookup over b needs two components, not {self.components}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DecoderConfig:
        """The inverse of `dataclasses.asdict` after a trip through JSON.

        Configs that name no camera model are of a time when there was but the one of all cameras.
        """
        return cls(**{"cameras": "all", **values, "constants": tuple(values["constants"])})


@cache
def _raw_to_xyz_table(cameras: str, nodes: int, method: Method) -> Tensor:
    """(1, 9, nodes, nodes): matrices over b[1] (rows) and b[0] (columns), for daylight D65."""
    axis = np.linspace(-B_REACH, B_REACH, nodes)
    second, first = np.meshgrid(axis, axis, indexing="ij")
    sensitivities = CameraModel.load(2, name=cameras).sensitivities(np.stack([first, second], -1))
    matrices = raw_to_xyz(sensitivities, method=method).reshape(nodes, nodes, 9)
    return torch.from_numpy(matrices).float().permute(2, 0, 1)[None]


def learnable(skin: str) -> dict[str, tuple[float, float]]:
    """Bounds of the constants of a skin model that may move, by name."""
    model = SkinModel.load(skin)
    return {**model.bounds, **COLOURATION} if model.separable else dict(model.bounds)


class Decoder(nn.Module):
    """Renders a `Prediction`; its globals are the learnable corrections.

    `skin_offsets` (K,) pass through tanh and reach from a constant's calibrated value to its
    bounds (`SkinModel.bounds`); `camera_offsets` (3, 6) are log factors on the mean sensitivities,
    smooth over wavelength and within 15 %; `tone_offset` (2,) adds up to 0.3 to the tone of every
    photo.
    """

    _mean: Tensor
    _basis: Tensor

    def __init__(self, config: DecoderConfig | None = None) -> None:
        super().__init__()
        config = config or DecoderConfig()
        if config.constants is None:
            config = dataclasses.replace(config, constants=tuple(sorted(learnable(config.skin))))
        self.config = config
        self._held: dict[str, bool] = {}
        self.skin_offsets = nn.Parameter(torch.zeros(len(self.constants)))
        self.camera_offsets = nn.Parameter(torch.zeros(3, _SMOOTH))
        self.tone_offset = nn.Parameter(torch.zeros(2))
        self.register_buffer(
            "_mean", torch.tensor(self._cameras.mean, dtype=torch.float32), persistent=False
        )
        self.register_buffer(
            "_basis", torch.tensor(bernstein_basis(_SMOOTH), dtype=torch.float32), persistent=False
        )
        self.learn(False)

    @property
    def constants(self) -> tuple[str, ...]:
        """Names of the skin constants, in the order of `skin_offsets`."""
        return self.config.constants or ()

    def learn(self, on: bool) -> None:
        """Let the globals move, or hold them where they are."""
        self._held = {}
        self.requires_grad_(on)

    def hold(self) -> None:
        """Promise that globals that are zero stay so, and others not, until `learn` is called.

        They are then looked at no more. Each look makes a GPU finish all that it was told to do.
        """
        self.learn(False)
        self._held = {name: self._corrected(name) for name in ("skin_offsets", "camera_offsets")}

    def skin(self) -> SkinModel:
        """The skin model with its corrected constants (tensors that carry gradients)."""
        if not self._corrected("skin_offsets"):
            return self._skin
        moved = self._calibrated() + self._departures()
        return self._skin.with_constants(**dict(zip(self.constants, moved.unbind(), strict=True)))

    def _calibrated(self) -> Tensor:
        values = [self._skin.constants.get(name, 0.0) for name in self.constants]
        return self.skin_offsets.new_tensor(values)

    def _departures(self) -> Tensor:
        """(K,) how far the skin constants are from their calibrated values, in their units."""
        bounds = learnable(self.config.skin)
        low, high = self.skin_offsets.new_tensor([bounds[name] for name in self.constants]).T
        value, share = self._calibrated(), torch.tanh(self.skin_offsets)
        return torch.where(share > 0, high - value, value - low) * share

    def camera_model(self) -> CameraModel:
        """The camera model with its corrected mean."""
        if not self._corrected("camera_offsets"):
            return self._cameras
        mean = self._mean * self._camera_factors().T
        return self._cameras.with_mean(mean / mean.sum(0))

    def tone(self, prediction: Prediction) -> Tensor:
        """(B, 2) tone of each photo: what was predicted plus the learned default.

        The contrast stays within `CONTRAST_LIMIT`, where the tone curve rises throughout.
        """
        gamma, contrast = (prediction.tone + TONE_REACH * torch.tanh(self.tone_offset)).unbind(-1)
        return torch.stack([gamma, contrast.clamp(-CONTRAST_LIMIT, CONTRAST_LIMIT)], -1)

    def camera(self, prediction: Prediction, method: Method | None = None) -> Camera:
        """The cameras that took the photos."""
        chosen = method or self.config.method
        camera = Camera.from_coefficients(
            prediction.b, model=self.camera_model(), gains=prediction.gains, method=chosen
        )
        if not self.config.lookup:
            return camera
        return dataclasses.replace(camera, matrix=self._looked_up(prediction.b, chosen))

    def _looked_up(self, b: Tensor, method: Method) -> Tensor:
        """(B, 3, 3) raw to XYZ, bilinear between the nodes of the table."""
        table = _raw_to_xyz_table(self.config.cameras, self.config.lookup, method).to(b)
        found = functional.grid_sample(
            table.expand(len(b), -1, -1, -1),
            (b / B_REACH)[:, None, None],
            padding_mode="border",
            align_corners=True,
        )
        return found.reshape(-1, 3, 3)

    def render(self, prediction: Prediction, method: Method | None = None) -> Tensor:
        """(B, H, W, 3) linear sRGB, after white-balance gains and before the tone curve.

        `method`, how raw becomes XYZ, is the config's unless given.
        """
        return decode(
            {
                "melanin": prediction.melanin,
                "haemoglobin": prediction.haemoglobin,
                "diffuse_shading": prediction.diffuse_shading,
                "specular_shading": prediction.specular_shading,
            },
            illuminant.mix(
                prediction.illuminant_weights, prediction.daylight_kelvin, validate=False
            ),
            self.camera(prediction, method),
            skin=self.skin(),
        )

    def learned(self) -> dict[str, Any]:
        """The corrections in physical terms, JSON-ready: constants, camera factors, tone."""
        skin = self.skin()
        factors = self._camera_factors()
        return {
            "skin": {
                name: {
                    "calibrated": float(self._skin.constants.get(name, 0.0)),
                    "learned": float(skin.constants.get(name, 0.0)),
                }
                for name in self.constants
            },
            "camera_mean_factors": [[round(float(v), 4) for v in row] for row in factors],
            "tone_offset": [float(v) for v in TONE_REACH * torch.tanh(self.tone_offset)],
        }

    def prior(self) -> Tensor:
        """Sum of squares of the camera and tone corrections: holds them near none."""
        return self.camera_offsets.square().sum() + self.tone_offset.square().sum()

    def skin_prior(self) -> Tensor:
        """What the skin constants' departures cost: see `bioface.spectral.skin_prior`."""
        return SkinPrior.load(self.config.skin).cost(self.constants, self._departures())

    def _camera_factors(self) -> Tensor:
        return (CAMERA_MEAN_REACH * torch.tanh(self.camera_offsets) @ self._basis).exp()

    @property
    def _skin(self) -> SkinModel:
        return SkinModel.load(self.config.skin)

    @property
    def _cameras(self) -> CameraModel:
        return CameraModel.load(self.config.components, name=self.config.cameras)

    def _corrected(self, name: str) -> bool:
        """Whether a correction may move or is not zero."""
        if name in self._held:
            return self._held[name]
        offsets: nn.Parameter = getattr(self, name)
        return offsets.requires_grad or bool((offsets != 0).any())
