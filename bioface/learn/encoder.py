"""The network: one face crop in, pigments, shading, mask, light and camera out.

Section 4.1 of Alotaibi & Smith (BMVC 2019): a U-Net style encoder shared by all maps and a fully
connected branch for light and camera, every output passed through a range transform that keeps it
physical. Different from the paper: a pixel-unshuffle stem, residual blocks, normalisation only
below the first level (so that one image is a batch), a scene branch that looks at several places
of the image at once and reads their colours directly, pigments as a face-level value plus a local
residual, and a last full-resolution stage that sees the photo's own pixels and is steered by the
scene, so that colour is inverted where detail is. The network can be told camera, illuminant,
white balance and normals when they are known (`Known`), and says how sure it is of the pigments.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bioface.spectral.backend import table_like
from bioface.spectral.grid import bernstein_basis
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, UNIT_RANGE, from_unit

STD_RANGE = (0.01, 0.6)
"""Reach of the standard deviations of the pigments, in u."""

KELVIN_RANGE = (4000.0, 25000.0)
LOG_GAIN_REACH = 0.3
LOG_GAMMA_REACH = 0.7
CONTRAST_REACH = 0.85
_TONE_REACH = np.array([LOG_GAMMA_REACH, CONTRAST_REACH])
LOG_DIFFUSE_RANGE = (-8.0, 4.0)
LIGHTS = 14

MAPS = (
    "melanin",
    "haemoglobin",
    "diffuse",
    "specular",
    "mask",
    "melanin_std",
    "haemoglobin_std",
)
_LIGHT_CODE = 8
_GIVEN = 3
_NORMALS_WIDTH = 32
_TO_LIGHT_CODE = np.linalg.pinv(bernstein_basis(_LIGHT_CODE))


@dataclass(frozen=True)
class EncoderConfig:
    """What it takes to rebuild an encoder.

    Attributes
    ----------
    widths
        Channels of each level, two at least; every level halves the resolution.
    blocks
        Residual blocks of each level on the way down; there is one on the way up.
    unshuffle
        Factor by which the stem lowers the resolution.
    fusion
        Channels of the full-resolution stage.
    glances, scene
        Places that the scene branch looks at, and its width.
    components
        Coefficients of the camera model.
    size
        Side of the crops it was trained on, pixels; other sizes work.
    normals
        Whether it can be told normals.
    """

    widths: tuple[int, ...] = (32, 64, 112, 176, 240)
    blocks: tuple[int, ...] = (3, 3, 2, 2, 2)
    unshuffle: int = 2
    fusion: int = 48
    glances: int = 12
    scene: int = 256
    components: int = 6
    size: int = 128
    normals: bool = True

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EncoderConfig:
        """The inverse of `dataclasses.asdict` after a trip through JSON.

        Files from before networks could be told normals do not say that theirs cannot.
        """
        lists = {name: tuple(values[name]) for name in ("widths", "blocks")}
        return cls(**({"normals": False} | values | lists))


@dataclass(frozen=True)
class Known:
    """What is known about a batch of photos beside their pixels.

    Attributes
    ----------
    b
        (B, N) camera coefficients in standard deviations.
    spd
        (B, 33) illuminant, of any scale.
    gains
        (B, 2) red and blue white-balance error factors (green is 1).
    given
        (B, 3) 1 where b, spd and gains of a photo are known; what is not known is not looked at.
    normals
        (B, 3, H, W) unit normals of the skin, x to the right, y up, z to the camera, of the photo's
        height and width; 0 where they are not known. None where they are known of no photo.
    """

    b: Tensor
    spd: Tensor
    gains: Tensor
    given: Tensor
    normals: Tensor | None = None

    def code(self) -> Tensor:
        """(B, N + 8 + 2 + 3) what the network is told: zeros for what is not known."""
        basis = table_like(self.spd, _TO_LIGHT_CODE)
        relative = self.spd / self.spd.mean(1, keepdim=True)
        parts = (self.b, relative.clamp_min(0.02).log() @ basis, 10 * self.gains.log())
        told = [part * flag[:, None] for part, flag in zip(parts, self.given.T, strict=True)]
        return torch.cat([*told, self.given], 1)

    def with_mirrored(self) -> Known:
        """Of 2 B photos: these, then their mirror images."""
        both = {
            name: torch.cat([value, value])
            for name, value in vars(self).items()
            if value is not None and name != "normals"
        }
        if self.normals is None:
            return Known(**both)
        mirrored = self.normals.flip(-1) * self.normals.new_tensor([-1, 1, 1])[:, None, None]
        return Known(**both, normals=torch.cat([self.normals, mirrored]))


@dataclass(frozen=True)
class Prediction:
    """What the encoder says about a batch of faces.

    Attributes
    ----------
    melanin_u, haemoglobin_u
        (B, H, W) pigments in the unit u (see `bioface.spectral.units`).
    diffuse_shading, specular_shading
        (B, H, W) >= 0, linear; a white diffuser with diffuse shading 1 has linear RGB (1, 1, 1).
    mask
        (B, H, W) probability of skin.
    melanin_u_std, haemoglobin_u_std
        (B, H, W) standard deviation of the error of the pigments, in u.
    b
        (B, N) camera coefficients in standard deviations, within [-3, 3].
    illuminant_weights
        (B, 14) convex weights of `bioface.spectral.illuminant.NAMES`.
    daylight_kelvin
        (B,) temperature of the D component, 4000-25000 K.
    gains
        (B, 2) red and blue white-balance error factors (green is 1).
    tone
        (B, 2) log gamma and contrast of the tone curve.
    """

    melanin_u: Tensor
    haemoglobin_u: Tensor
    diffuse_shading: Tensor
    specular_shading: Tensor
    mask: Tensor
    melanin_u_std: Tensor
    haemoglobin_u_std: Tensor
    b: Tensor
    illuminant_weights: Tensor
    daylight_kelvin: Tensor
    gains: Tensor
    tone: Tensor

    @property
    def melanin(self) -> Tensor:
        """(B, H, W) volume fraction of melanosomes."""
        return from_unit(self.melanin_u, MELANIN_RANGE)

    @property
    def haemoglobin(self) -> Tensor:
        """(B, H, W) volume fraction of blood."""
        return from_unit(self.haemoglobin_u, HAEMOGLOBIN_RANGE)

    def map(self, function: Any) -> Prediction:
        """Apply `function` to every tensor."""
        return Prediction(
            **{f.name: function(getattr(self, f.name)) for f in dataclasses.fields(self)}
        )


class Encoder(nn.Module):
    """sRGB face crops to a `Prediction`; any height and width, any batch size."""

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EncoderConfig()
        widths, factor = config.widths, config.unshuffle
        levels = range(len(widths))
        self.stem = nn.Conv2d(_FEATURES * factor**2, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            nn.Sequential(*(_Residual(widths[i], normalise=i > 0) for _ in range(config.blocks[i])))
            for i in levels
        )
        self.downs = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 2, stride=2) for i in levels[:-1]
        )
        self.context = nn.Sequential(
            nn.Linear(2 * widths[-1], widths[-1]), nn.ReLU(), nn.Linear(widths[-1], widths[-1])
        )
        self.ups = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in levels[:-1])
        self.up_blocks = nn.ModuleList(_Residual(widths[i], normalise=i > 0) for i in levels[:-1])
        self.scene = _SceneBranch(config)
        self.expand = nn.Sequential(
            nn.Conv2d(widths[0], 48, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(48, _EXPANDED * factor**2, 3, padding=1),
        )
        self.fusion = _Fusion(config)
        self.normals = _Normals(config) if config.normals else None

    def forward(self, srgb: Tensor, known: Known | None = None) -> Prediction:
        """Read a batch of face crops.

        Parameters
        ----------
        srgb
            (B, 3, H, W) sRGB-encoded, 0-1, upright, the face centred: the crop's side is about
            1.8 times the larger side of the box around the 68 landmarks.
        known
            Camera, illuminant, white balance or normals, where the caller knows them.

        Raises
        ------
        ValueError
            Told normals, a network that cannot be told.
        """
        height, width = srgb.shape[-2:]
        features = _features(self._pad(srgb))
        features = features.contiguous(memory_format=torch.channels_last)
        x = self.stem(functional.pixel_unshuffle(features, self.config.unshuffle))
        if known is not None and known.normals is not None:
            if self.normals is None:
                raise ValueError("weights from before networks could be told normals")
            x = x + self.normals(self._pad(known.normals))
        skips = []
        for i, block in enumerate(self.down_blocks):
            x = block(x)
            skips.append(x)
            if i < len(self.downs):
                x = self.downs[i](functional.relu(x))
        bottom = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        x = x + self.context(bottom)[..., None, None]
        for i in reversed(range(len(self.ups))):
            described = x
            x = functional.interpolate(self.ups[i](x), scale_factor=2.0, mode="nearest")
            x = self.up_blocks[i](x + skips[i])
        local = functional.pixel_shuffle(self.expand(functional.relu(x)), self.config.unshuffle)
        with torch.autocast(srgb.device.type, enabled=False):
            scene, values = self.scene(
                functional.relu(described).float(), bottom.float(), features, known
            )
            planes = self.fusion(local.float(), features, scene)[..., :height, :width]
            maps = dict(zip(MAPS, planes.unbind(1), strict=True))
            return _physical(maps, values, self.config.components)

    def _pad(self, srgb: Tensor) -> Tensor:
        multiple = self.config.unshuffle * 2 ** len(self.downs)
        bottom, right = (-side % multiple for side in srgb.shape[-2:])
        if not (bottom or right):
            return srgb
        return functional.pad(srgb, (0, right, 0, bottom), mode="replicate")


_FEATURES = 6
_EXPANDED = 16
_KNOWN_LENGTH = 0.25  # squared


def _features(srgb: Tensor) -> Tensor:
    """sRGB centred on 0 beside its log chroma and log green: (B, 6, H, W)."""
    red, green, blue = (srgb + 0.02).log().unbind(1)
    return torch.cat([2 * srgb - 1, torch.stack([red - green, blue - green, green + 1], 1)], 1)


def _physical(maps: dict[str, Tensor], values: Tensor, components: int) -> Prediction:
    """The range transforms; `values` (B, ...) as `_SceneBranch` lays them out."""
    pigments, exposure, b, lights, kelvin, gains, tone = values.split(
        [2, 1, components, LIGHTS, 1, 2, 2], dim=1
    )
    log_diffuse = (maps["diffuse"] + exposure[..., None]).clamp(*LOG_DIFFUSE_RANGE)
    coolest, warmest = (1e6 / kelvin for kelvin in reversed(KELVIN_RANGE))
    mired = coolest + (warmest - coolest) * kelvin[:, 0].sigmoid()
    return Prediction(
        melanin_u=_within(maps["melanin"] + pigments[:, :1, None], UNIT_RANGE),
        haemoglobin_u=_within(maps["haemoglobin"] + pigments[:, 1:, None], UNIT_RANGE),
        diffuse_shading=log_diffuse.exp(),
        specular_shading=functional.softplus(maps["specular"] - 2).square(),
        mask=maps["mask"].sigmoid(),
        melanin_u_std=_within(maps["melanin_std"], STD_RANGE),
        haemoglobin_u_std=_within(maps["haemoglobin_std"], STD_RANGE),
        b=3 * torch.tanh(b / 3),
        illuminant_weights=lights.softmax(1),
        daylight_kelvin=1e6 / mired,
        gains=(LOG_GAIN_REACH * torch.tanh(gains)).exp(),
        tone=table_like(tone, _TONE_REACH) * torch.tanh(tone),
    )


def _within(raw: Tensor, bounds: tuple[float, float]) -> Tensor:
    low, high = bounds
    return low + (high - low) * raw.sigmoid()


def _fill(layer: nn.Conv2d | nn.Linear, deviation: float) -> None:
    """Small normal weights and no bias."""
    nn.init.normal_(layer.weight, std=deviation)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class _Residual(nn.Module):
    """Pre-activation residual block that starts as the identity."""

    def __init__(self, width: int, *, normalise: bool) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width) if normalise else nn.Identity()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        _fill(self.second, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.first(functional.relu(self.norm(x)))
        return x + self.second(functional.relu(inner))


class _Normals(nn.Module):
    """What the stem adds for normals; without biases, so that it adds nothing where none are known.

    It starts as adding nothing at all.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.unshuffle = config.unshuffle
        channels = 4 * config.unshuffle**2
        self.first = nn.Conv2d(channels, _NORMALS_WIDTH, 3, padding=1, bias=False)
        self.second = nn.Conv2d(_NORMALS_WIDTH, config.widths[0], 3, padding=1, bias=False)
        _fill(self.second, 0.0)

    def forward(self, normals: Tensor) -> Tensor:
        """(B, W, H / f, W / f) of normals (B, 3, H, W), 0 where they are not known."""
        known = (normals.square().sum(1, keepdim=True) > _KNOWN_LENGTH).to(normals.dtype)
        planes = functional.pixel_unshuffle(torch.cat([normals, known], 1), self.unshuffle)
        return self.second(functional.relu(self.first(planes)))


class _SceneBranch(nn.Module):
    """Looks at several places with learned attention; predicts what holds for the whole image.

    Each glance pools learned features and the plain colours (values and squares) of the places it
    attends to: skin, highlights, the whites of the eyes, cloth.

    Values, in order: face-level melanin and haemoglobin, log exposure, camera, light weights,
    daylight temperature, two gains, two tone parameters, all before their range transforms.
    """

    described = 24

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.widths[1]
        told = config.components + _LIGHT_CODE + 2 + _GIVEN
        self.told = told
        self.stride = 2 * config.unshuffle
        self.attention = nn.Conv2d(width, config.glances, 1)
        self.describe = nn.Conv2d(width, self.described, 1)
        seen = config.glances * (self.described + _FEATURES + 3) + 2 * config.widths[-1]
        self.hidden = nn.Sequential(
            nn.Linear(seen + told, config.scene),
            nn.ReLU(),
            nn.Linear(config.scene, config.scene),
            nn.ReLU(),
        )
        self.values = nn.Linear(config.scene, 2 + 1 + config.components + LIGHTS + 1 + 2 + 2)
        _fill(self.values, 0.02)

    def forward(
        self, described: Tensor, bottom: Tensor, features: Tensor, known: Known | None
    ) -> tuple[Tensor, Tensor]:
        """The scene's code (B, S) and its values."""
        colours = torch.cat([features, features[:, 3:].square()], 1)
        colours = functional.avg_pool2d(colours, self.stride)
        weights = self.attention(described).flatten(2).softmax(2)
        seen = torch.cat([self.describe(described), colours], 1).flatten(2)
        glances = (weights @ seen.transpose(1, 2)).flatten(1)
        told = bottom.new_zeros((bottom.shape[0], self.told)) if known is None else known.code()
        hidden = self.hidden(torch.cat([glances, bottom, told], 1))
        return hidden, self.values(hidden)


class _Fusion(nn.Module):
    """Full resolution: what the network knows of each place, the photo's own pixels, the scene."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.fusion
        self.first = nn.Conv2d(_EXPANDED + _FEATURES, width, 3, padding=1)
        self.steer = nn.Linear(config.scene, 2 * width)
        self.second = nn.Conv2d(width, width, 1)
        self.last = nn.Conv2d(width, len(MAPS), 3, padding=1)
        _fill(self.steer, 0.01)
        _fill(self.last, 0.02)

    def forward(self, local: Tensor, features: Tensor, scene: Tensor) -> Tensor:
        """(B, maps, H, W) before the range transforms."""
        x = self.first(torch.cat([functional.relu(local), features], 1))
        gain, offset = self.steer(scene)[..., None, None].chunk(2, 1)
        x = self.second(functional.relu(x * (1 + gain) + offset))
        return self.last(functional.relu(x))
