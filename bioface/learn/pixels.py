"""Regression from the colour of single pixels: two small layers, trained in seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

_WIDTH = 64
_BATCH = 2048


@dataclass(frozen=True)
class PixelRegression:
    """A trained regression; call it with sRGB (..., 3) in 0-1 for values (..., K)."""

    network: nn.Module
    centre: Tensor
    spread: Tensor

    @torch.no_grad()
    def __call__(self, srgb: np.ndarray) -> np.ndarray:
        """Values (..., K) of colours (..., 3)."""
        flat = torch.from_numpy(np.ascontiguousarray(srgb.reshape(-1, 3), np.float32))
        found = self.network(_features(flat)) * self.spread + self.centre
        values: np.ndarray = found.numpy().reshape(*srgb.shape[:-1], -1)
        return values


def fit_pixels(
    srgb: np.ndarray, values: np.ndarray, *, steps: int = 1200, seed: int = 0
) -> PixelRegression:
    """Train on colours (N, 3), sRGB 0-1, and values (N, K) by mean squared error.

    Deterministic given the seed and the number of threads.
    """
    generator = torch.Generator().manual_seed(seed)
    x = _features(torch.from_numpy(np.ascontiguousarray(srgb, np.float32)))
    y = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    centre, spread = y.mean(0), y.std(0).clamp_min(1e-6)
    y = (y - centre) / spread
    network = nn.Sequential(
        *(nn.Linear(x.shape[1], _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH), nn.SiLU()),
        nn.Linear(_WIDTH, y.shape[1]),
    )
    for parameter in network.parameters():
        scale = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.0
        with torch.no_grad():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with torch.enable_grad():
        for _ in range(steps):
            chosen = torch.randint(len(x), (_BATCH,), generator=generator)
            loss = (network(x[chosen]) - y[chosen]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return PixelRegression(network.requires_grad_(False), centre, spread)


def _features(srgb: Tensor) -> Tensor:
    """sRGB beside its log chroma and log brightness, (N, 6), all of order one."""
    red, green, blue = (srgb + 0.02).log().unbind(-1)
    more = torch.stack([red - green, blue - green, green], -1)
    return torch.cat([2 * srgb - 1, more], -1)
