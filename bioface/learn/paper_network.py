"""The published network: section 4.1 of Alotaibi & Smith (BMVC 2019).

Three 3 x 3 convolutions with batch normalisation and ReLU in every level, max-pooling,
32-64-128-256-512 filters, a decoder with skip connections for each map, a fully connected branch
for light and camera. What differs is named in `bioface.learn.paper.CHANGES`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioface.learn.encoder import (
    KELVIN_RANGE,
    LIGHTS,
    LOG_DIFFUSE_RANGE,
    Encoder,
    Prediction,
)
from bioface.spectral.units import UNIT_RANGE

COMPONENTS = 2
"""Coefficients of the published camera model."""

MAPS = ("melanin", "haemoglobin", "diffuse", "specular", "mask")
"""What it predicts; how sure it is of the pigments it does not say: `UNSURE`."""

UNSURE = 0.3
_LOG_FIRST_SPECULAR = -3.0


@dataclass(frozen=True)
class PaperConfig:
    """What it takes to rebuild a `PaperEncoder`: widths of the levels, camera components, size."""

    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    components: int = COMPONENTS
    size: int = 64

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PaperConfig:
        """The inverse of `dataclasses.asdict` after a trip through JSON."""
        return cls(**{**values, "widths": tuple(values["widths"])})


class PaperEncoder(Encoder):
    """The published network, with the inputs and outputs of `Encoder`.

    White-balance gains and tone, which the paper does not know, are 1 and 0.
    """

    def __init__(self, config: PaperConfig | None = None) -> None:
        nn.Module.__init__(self)
        config = config or PaperConfig()
        self.config = config  # type: ignore[assignment]
        widths = config.widths
        self.levels = nn.ModuleList(
            _level(before, width) for before, width in zip((3, *widths), widths, strict=False)
        )
        first = dict.fromkeys(MAPS, 0.0) | {"specular": _LOG_FIRST_SPECULAR}
        self.branches = nn.ModuleDict({name: _Branch(widths, first[name]) for name in MAPS})
        self.outputs = nn.Sequential(
            nn.Linear(widths[-1], widths[-1]),
            nn.ReLU(),
            nn.Linear(widths[-1], config.components + LIGHTS + 1),
        )

    def forward(self, srgb: Tensor, known: Any = None) -> Prediction:
        """Read face crops (B, 3, H, W), 0-1; `known` is not used."""
        height, width = srgb.shape[-2:]
        multiple = 2 ** (len(self.levels) - 1)
        x = functional.pad(srgb, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        skips = []
        for i, level in enumerate(self.levels):
            x = level(x if i == 0 else functional.max_pool2d(x, 2))
            skips.append(x)
        maps = {
            name: branch(skips)[:, 0, :height, :width].float()
            for name, branch in self.branches.items()
        }
        values = self.outputs(x.mean((2, 3))).float()
        b, lights, kelvin = values.split([self.config.components, LIGHTS, 1], 1)
        lowest, highest = UNIT_RANGE
        coolest, warmest = KELVIN_RANGE
        return Prediction(
            melanin_u=lowest + (highest - lowest) * maps["melanin"].sigmoid(),
            haemoglobin_u=lowest + (highest - lowest) * maps["haemoglobin"].sigmoid(),
            diffuse_shading=maps["diffuse"].clamp(*LOG_DIFFUSE_RANGE).exp(),
            specular_shading=maps["specular"].clamp(*LOG_DIFFUSE_RANGE).exp(),
            mask=maps["mask"].sigmoid(),
            melanin_u_std=torch.full_like(maps["mask"], UNSURE),
            haemoglobin_u_std=torch.full_like(maps["mask"], UNSURE),
            b=3 * torch.tanh(b),
            illuminant_weights=lights.softmax(1),
            daylight_kelvin=coolest + (warmest - coolest) * kelvin[:, 0].sigmoid(),
            gains=torch.ones_like(values[:, :2]),
            tone=torch.zeros_like(values[:, :2]),
        )


def _level(before: int, width: int) -> nn.Sequential:
    """Three convolutions, each normalised over the batch and rectified."""
    layers: list[nn.Module] = []
    for inside in (before, width, width):
        layers += [nn.Conv2d(inside, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


class _Branch(nn.Module):
    """The decoder of one map, which begins around `first`."""

    def __init__(self, widths: tuple[int, ...], first: float) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            _level(deep + width, width) for width, deep in itertools.pairwise(widths)
        )
        self.last = nn.Conv2d(widths[0], 1, 3, padding=1)
        nn.init.constant_(self.last.bias, first)  # type: ignore[arg-type]

    def forward(self, skips: list[Tensor]) -> Tensor:
        x = skips[-1]
        for skip, level in zip(reversed(skips[:-1]), reversed(self.levels), strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear")
            x = level(torch.cat([x, skip], 1))
        return self.last(x)
