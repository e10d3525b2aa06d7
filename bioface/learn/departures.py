"""What real skin and light do that transport and the skin model leave out, drawn for each photo.

Transport counts light that reaches a surface by way of others as if all of them reflected 0.4 at
every wavelength. Really it has the colour of what sent it, most of which is skin: it lacks blue,
the more so the darker the skin. Packs made with `--indirect` say which share of the light of every
pixel that is; for others one share is drawn for a photo's skin, one for everything else (eyes and
hair lie deeper, and more light reaches them by way of skin) and one for gloss. And no one's skin is
quite the model's: blood carries more or less oxygen, tissue scatters more or less, and a smooth
residual stays. And light that comes in few photons, or rays, comes in grains. `docs/training.md`
says where the numbers come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioface.spectral.grid import BANDS
from bioface.spectral.population import OXYGENATION, SCATTERING_LOG_SD
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

GREY = 0.4
"""Reflectance at which transport reflects light from surface to surface."""


@dataclass(frozen=True)
class Indirect:
    """Light of one kind that came by way of other surfaces.

    Attributes
    ----------
    median, log_sd
        Of its share in all light of that kind, log-normal from face to face, where a pack does not
        say.
    by_skin
        Range of the part of it that skin sent.
    others
        Range of the reflectance of what sent the rest.
    """

    median: float
    log_sd: float
    by_skin: tuple[float, float]
    others: tuple[float, float]


SKIN = Indirect(0.034, 0.45, (0.3, 0.9), (0.1, 0.5))
OTHERS = Indirect(0.12, 0.5, (0.5, 1.0), (0.0, 0.3))
GLOSS = Indirect(0.087, 0.42, (0.3, 0.9), (0.05, 0.45))

OFF_MODEL_SHARE = 0.6
"""Share of the photos with departures in which the skin departs, too."""

RESIDUAL_SD = (0.0, 0.064, 0.055, 0.033, 0.037, 0.016, 0.015)
"""Standard deviations of the log residual's cosines of 0 to 6 half periods over 400-720 nm."""

GRAIN_SHARE = 1 / 6
"""Share of the photos with departures that show grain."""

GRAIN = (0.02, 0.18)
"""Range of its standard deviation, over the light of a pixel as bright as the photo's mean."""

GRAIN_POWER = 0.4
"""How it grows, relatively, as pixels get darker: 1/2 where photons are counted."""

GRAIN_OF_BRIGHTNESS = 0.9
"""Share of its variance that is the same in red, green and blue."""

_HIGHEST_SHARE = 0.5


@dataclass(frozen=True)
class Departures:
    """Factors (B, 33) on the spectrum of a batch's light before it meets the camera.

    Attributes
    ----------
    skin
        From the reflectance of the model's skin to that of the photo's.
    on_skin, on_others, mirrored
        On light that came by way of other surfaces and that skin scatters, that everything else
        scatters, and that surfaces mirror.
    shares
        (B, 3) of that light among all of the three kinds, where a pack does not say.
    reflectance
        (B, 33) of the model's skin, the face's mean.
    grain
        (B,) standard deviation of grain, over the light of a middling pixel; 0 without.
    departing
        (B,) 1 for photos that have departures; the factors of others are 1.
    """

    skin: Tensor
    on_skin: Tensor
    on_others: Tensor
    mirrored: Tensor
    shares: Tensor
    reflectance: Tensor
    grain: Tensor
    departing: Tensor

    def of(self, images: Any) -> Departures:
        """Those of some of the photos, by a slice or an index."""
        return Departures(*(getattr(self, name)[images] for name in self.__dataclass_fields__))


def draw_departures(
    share: float,
    melanin_u: Tensor,
    haemoglobin_u: Tensor,
    skin: SkinModel,
    rng: np.random.Generator,
    *,
    off_model: float = OFF_MODEL_SHARE,
) -> Departures:
    """Departures of photos of faces with mean pigments (B,) in u, for a `share` of them.

    `off_model` is the share of these in which the skin departs, too.
    """
    melanin = from_unit(melanin_u.double().cpu().numpy(), MELANIN_RANGE).clip(0, 1)
    haemoglobin = from_unit(haemoglobin_u.double().cpu().numpy(), HAEMOGLOBIN_RANGE).clip(0, 1)
    reflectance = _numbers(skin.reflectance(melanin, haemoglobin, validate=False))
    count = len(melanin)
    departs = rng.random(count) < share
    kinds = (SKIN, OTHERS, GLOSS)
    shares = np.stack([_share(kind, count, rng) for kind in kinds], 1)
    coloured = (
        np.where(departs[:, None], _coloured(kind, reflectance, rng), 1.0) for kind in kinds
    )
    own = _own_skin(melanin, haemoglobin, reflectance, skin, rng)
    own_too = departs & (rng.random(count) < off_model)
    of_skin = np.where(own_too[:, None], own, 1.0)
    grained = departs & (rng.random(count) < GRAIN_SHARE)
    grain = np.where(grained, rng.uniform(*GRAIN, count), 0.0)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=melanin_u.device)

    return Departures(
        *(tensor(values) for values in (of_skin, *coloured, shares, reflectance, grain, departs))
    )


def with_grain(linear: Tensor, deviation: Tensor, rng: np.random.Generator) -> Tensor:
    """Images (B, 3, H, W) of linear light, seen in grains of standard deviation (B,).

    Those without are left as they are; nothing gets darker than black.
    """
    grained = (deviation > 0).nonzero()[:, 0]
    if not len(grained):
        return linear
    generator = torch.Generator(linear.device).manual_seed(int(rng.integers(2**62)))
    images = linear[grained]
    count, _, height, width = images.shape
    normal = torch.randn(
        (count, 4, height, width), generator=generator, device=linear.device, dtype=linear.dtype
    )
    noise = (
        GRAIN_OF_BRIGHTNESS**0.5 * normal[:, 3:] + (1 - GRAIN_OF_BRIGHTNESS) ** 0.5 * normal[:, :3]
    )
    brightness = images.mean(1, keepdim=True)
    middling = brightness.mean((2, 3), keepdim=True).clamp_min(1e-4)
    relative = (brightness / middling).clamp(0.05, 20) ** -GRAIN_POWER
    seen = linear.clone()
    amount = deviation[grained, None, None, None] * relative
    seen[grained] = images * (1 + amount * noise).clamp_min(0)
    return seen


def _share(kind: Indirect, count: int, rng: np.random.Generator) -> np.ndarray:
    """(B,) of indirect light among all of a kind."""
    drawn: np.ndarray = kind.median * np.exp(kind.log_sd * rng.standard_normal(count))
    return drawn.clip(max=_HIGHEST_SHARE)


def _coloured(kind: Indirect, reflectance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Factors (B, 33) on indirect light of a kind, around skin of a reflectance (B, 33)."""
    column = (len(reflectance), 1)
    by_skin = rng.uniform(*kind.by_skin, column)
    sender = by_skin * reflectance + (1 - by_skin) * rng.uniform(*kind.others, column)
    factor: np.ndarray = sender / GREY
    return factor


def _own_skin(
    melanin: np.ndarray,
    haemoglobin: np.ndarray,
    reflectance: np.ndarray,
    skin: SkinModel,
    rng: np.random.Generator,
) -> np.ndarray:
    """Factors (B, 33) from the model's reflectance (B, 33) to that of people's own skin."""
    count = len(melanin)
    oxygenation = rng.uniform(*OXYGENATION, count)
    scattering = np.exp(SCATTERING_LOG_SD * rng.standard_normal(count).clip(-2, 2))
    residual = (rng.standard_normal((count, len(RESIDUAL_SD))) * RESIDUAL_SD) @ cosines()
    varied: dict[str, Any] = (
        {"oxygenation": oxygenation, "scattering": scattering} if skin.separable else {}
    )
    found = _numbers(skin.reflectance(melanin, haemoglobin, validate=False, **varied))
    factor: np.ndarray = np.exp(residual) * found / np.maximum(reflectance, 1e-4)
    return factor


def cosines() -> np.ndarray:
    """(7, 33) of 0 to 6 half periods over the wavelength grid."""
    halves = np.arange(len(RESIDUAL_SD))
    return np.cos(np.pi * np.outer(halves, np.linspace(0, 1, BANDS)))


def _numbers(values: Any) -> np.ndarray:
    """A numpy array of one, or of a tensor that learns."""
    detached = values.detach().cpu() if isinstance(values, Tensor) else values
    return np.asarray(detached, np.float64)
