"""The network: one face crop in, pigments, shading, mask, light and camera out.

Section 4.1 of Alotaibi & Smith (BMVC 2019): one shared U-Net style encoder, a decoder for each
map and a fully connected branch for light and camera, every output passed through a range
transform that keeps it physical. Different from the paper: a pixel-unshuffle stem, residual
blocks, normalisation only below the working resolution (so that one image is a batch), and
pigments as a face-level value plus a local residual.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

UNIT_RANGE = (-0.25, 1.25)
"""Reach of the pigment outputs in u: 0.8-68 % melanosomes, 0.02-9.6 % blood."""

KELVIN_RANGE = (4000.0, 25000.0)
LOG_GAIN_REACH = 0.3
LOG_GAMMA_REACH = 0.7
CONTRAST_REACH = 0.85
LOG_DIFFUSE_RANGE = (-8.0, 4.0)
LIGHTS = 14

MAPS = ("melanin", "haemoglobin", "diffuse", "specular", "mask")


@dataclass(frozen=True)
class EncoderConfig:
    """What it takes to rebuild an encoder.

    Attributes
    ----------
    widths
        Channels of each level; every level halves the resolution.
    unshuffle
        Factor by which the stem lowers the resolution.
    head_width
        Channels inside each map's decoder.
    detail
        Channels of the full-resolution features that add to every map.
    components
        Coefficients of the camera model.
    size
        Side of the crops it was trained on, pixels; other sizes work.
    """

    widths: tuple[int, ...] = (48, 96, 160, 256)
    unshuffle: int = 4
    head_width: int = 24
    detail: int = 8
    components: int = 6
    size: int = 128

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EncoderConfig:
        """The inverse of `dataclasses.asdict` after a trip through JSON."""
        return cls(**{**values, "widths": tuple(values["widths"])})


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
        widths = config.widths
        channels = 5
        self.stem = nn.Conv2d(channels * config.unshuffle**2, widths[0], 3, padding=1)
        self.detail = nn.Sequential(
            nn.Conv2d(channels, config.detail, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(config.detail, len(MAPS), 3, padding=1),
        )
        levels = range(len(widths))
        self.down_blocks = nn.ModuleList(_Residual(widths[i], normalise=i > 0) for i in levels)
        self.downs = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 2, stride=2) for i in levels[:-1]
        )
        self.ups = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in levels[:-1])
        self.up_blocks = nn.ModuleList(_Residual(widths[i], normalise=i > 0) for i in levels[:-1])
        self.scene = _SceneBranch(widths, config.components)
        self.context = nn.Linear(self.scene.width, widths[-1])
        self.heads = nn.ModuleDict({name: _Head(config) for name in MAPS})

    def forward(self, srgb: Tensor) -> Prediction:
        """Read a batch of face crops.

        Parameters
        ----------
        srgb
            (B, 3, H, W) sRGB-encoded, 0-1, upright, the face centred: the crop's side is about
            1.8 times the larger side of the box around the 68 landmarks.
        """
        height, width = srgb.shape[-2:]
        features = _features(self._pad(srgb))
        features = features.contiguous(memory_format=torch.channels_last)
        x = self.stem(functional.pixel_unshuffle(features, self.config.unshuffle))
        skips = []
        for i, block in enumerate(self.down_blocks):
            x = block(x)
            skips.append(x)
            if i < len(self.downs):
                x = self.downs[i](functional.relu(x))
        scene, values = self.scene(skips)
        x = skips[-1] + self.context(scene)[..., None, None]
        for i in reversed(range(len(self.ups))):
            x = functional.interpolate(self.ups[i](x), scale_factor=2.0, mode="nearest")
            x = self.up_blocks[i](x + skips[i])
        x = functional.relu(x)
        coarse = torch.cat([head(x) for head in self.heads.values()], 1)
        planes = (coarse + self.detail(features))[..., :height, :width].float()
        maps = dict(zip(self.heads, planes.unbind(1), strict=True))
        return _physical(maps, values, self.config.components)

    def _pad(self, srgb: Tensor) -> Tensor:
        multiple = self.config.unshuffle * 2 ** len(self.downs)
        bottom, right = (-side % multiple for side in srgb.shape[-2:])
        if not (bottom or right):
            return srgb
        return functional.pad(srgb, (0, right, 0, bottom), mode="replicate")


def _features(srgb: Tensor) -> Tensor:
    """sRGB centred on 0 beside its log chroma: (B, 5, H, W)."""
    red, green, blue = (srgb + 0.02).log().unbind(1)
    chroma = torch.stack([red - green, blue - green], 1)
    return torch.cat([2 * srgb - 1, chroma], 1)


def _physical(maps: dict[str, Tensor], values: Tensor, components: int) -> Prediction:
    """The range transforms; `values` (B, ...) as `_SceneBranch` lays them out."""
    pigments, exposure, b, lights, kelvin, gains, tone = values.float().split(
        [2, 1, components, LIGHTS, 1, 2, 2], dim=1
    )
    lowest, highest = UNIT_RANGE

    def unit(raw: Tensor) -> Tensor:
        return lowest + (highest - lowest) * raw.sigmoid()

    log_diffuse = (maps["diffuse"] + exposure[..., None]).clamp(*LOG_DIFFUSE_RANGE)
    coolest, warmest = (1e6 / kelvin for kelvin in reversed(KELVIN_RANGE))
    mired = coolest + (warmest - coolest) * kelvin[:, 0].sigmoid()
    reach = torch.tensor([LOG_GAMMA_REACH, CONTRAST_REACH], device=tone.device)
    return Prediction(
        melanin_u=unit(maps["melanin"] + pigments[:, :1, None]),
        haemoglobin_u=unit(maps["haemoglobin"] + pigments[:, 1:, None]),
        diffuse_shading=log_diffuse.exp(),
        specular_shading=functional.softplus(maps["specular"] - 2).square(),
        mask=maps["mask"].sigmoid(),
        b=3 * torch.tanh(b / 3),
        illuminant_weights=lights.softmax(1),
        daylight_kelvin=1e6 / mired,
        gains=(LOG_GAIN_REACH * torch.tanh(gains)).exp(),
        tone=reach * torch.tanh(tone),
    )


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


class _SceneBranch(nn.Module):
    """Pools every level with learned attention; predicts what holds for the whole image.

    Values, in order: face-level melanin and haemoglobin, log exposure, camera, light weights,
    daylight temperature, two gains, two tone parameters, all before their range transforms.
    """

    width = 192

    def __init__(self, widths: tuple[int, ...], components: int) -> None:
        super().__init__()
        self.attention = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths)
        self.hidden = nn.Sequential(
            nn.Linear(2 * sum(widths), self.width),
            nn.ReLU(),
            nn.Linear(self.width, self.width),
            nn.ReLU(),
        )
        self.values = nn.Linear(self.width, 2 + 1 + components + LIGHTS + 1 + 2 + 2)
        _fill(self.values, 0.01)

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        pooled = []
        for x, attention in zip(levels, self.attention, strict=True):
            weights = attention(x).flatten(2).softmax(2)
            pooled += [(x.flatten(2) * weights).sum(2), x.mean((2, 3))]
        hidden = self.hidden(torch.cat(pooled, 1))
        return hidden, self.values(hidden)


class _Head(nn.Module):
    """One map's decoder: two convolutions, pixel shuffle, one light full-resolution convolution."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.factor = config.unshuffle
        self.first = nn.Conv2d(config.widths[0], config.head_width, 3, padding=1)
        self.second = nn.Conv2d(config.head_width, 4 * self.factor**2, 3, padding=1)
        self.last = nn.Conv2d(4, 1, 3, padding=1)
        _fill(self.last, 0.05)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(functional.relu(self.first(x)))
        return self.last(functional.pixel_shuffle(functional.relu(x), self.factor))
