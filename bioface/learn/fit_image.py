"""A photo explained without any network: maps, light and camera fitted through the decoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bioface.learn.decoder import Decoder
from bioface.learn.encoder import (
    KELVIN_RANGE,
    LIGHTS,
    Prediction,
)
from bioface.learn.losses import masked_mean
from bioface.spectral import illuminant
from bioface.spectral.colour import srgb_decode
from bioface.spectral.units import UNIT_RANGE

NOISE = 0.02
"""Noise and model error n: sigma = n sqrt(.15 + L) on linear L."""

WITHIN_SD = (0.07, 0.1)
"""Of melanin and haemoglobin in u within a face."""

LEVEL_SD = 0.3
LOG_DIFFUSE_SD = 0.8
SPECULAR_MEAN = 0.05
GAIN_SD = 0.035
SCENE_WEIGHT = 1000.0
"""Of the priors on what holds for the whole photo, in pixels: their errors are all one, while those
of the pixels' colours go together."""

SMOOTHNESS = {"melanin": 40.0, "haemoglobin": 40.0, "diffuse": 8.0, "specular": 4.0}
"""Weights of squared differences between neighbours, of maps in units of their spreads."""


@dataclass(frozen=True)
class FittedPhotos:
    """What `fit_photos` finds, on numpy: maps (B, H, W), reconstruction (B, H, W, 3).

    `spd` (B, 33) is the light, `sensitivities` (B, 33, 3) the camera.
    """

    melanin_u: np.ndarray
    haemoglobin_u: np.ndarray
    diffuse_shading: np.ndarray
    specular_shading: np.ndarray
    reconstruction: np.ndarray
    spd: np.ndarray
    sensitivities: np.ndarray


def fit_photos(decoder: Decoder, srgb: np.ndarray, chosen: np.ndarray, side: int) -> FittedPhotos:
    """Explain photos (B, H, W, 3), sRGB in 0-1, where `chosen` (B, H, W), each by itself.

    They are shrunk to `side` pixels a side at most, and the maps enlarged again.
    """
    linear = torch.from_numpy(np.asarray(srgb_decode(srgb.astype(np.float32)))).permute(0, 3, 1, 2)
    mask = torch.from_numpy(chosen.astype(np.float32))[:, None]
    full = tuple(mask.shape[2:])
    small = [min(length, side) for length in full]
    covered = functional.interpolate(mask, small, mode="area")
    shrunk = functional.interpolate(linear * mask, small, mode="area") / covered.clamp_min(1e-3)
    found = fit_images(decoder, shrunk, (covered[:, 0] > 0.5).float())

    def enlarged(planes: Tensor) -> np.ndarray:
        big = functional.interpolate(planes, full, mode="bilinear", align_corners=False)
        values: np.ndarray = big.numpy()
        return values

    planes = [found.melanin_u, found.haemoglobin_u, found.diffuse_shading.log()]
    melanin, haemoglobin, log_diffuse, specular = enlarged(
        torch.stack([*planes, found.specular_shading], 1)
    ).transpose(1, 0, 2, 3)
    spd = illuminant.mix(found.illuminant_weights, found.daylight_kelvin, validate=False)
    return FittedPhotos(
        melanin_u=melanin,
        haemoglobin_u=haemoglobin,
        diffuse_shading=np.exp(log_diffuse),
        specular_shading=specular,
        reconstruction=enlarged(decoder.render(found).permute(0, 3, 1, 2)).transpose(0, 2, 3, 1),
        spd=spd.numpy(),
        sensitivities=decoder.camera(found).sensitivities.numpy(),
    )


def fit_images(
    decoder: Decoder, linear: Tensor, mask: Tensor, *, steps: int = 200, rate: float = 0.07
) -> Prediction:
    """The most probable maps, light and camera of each photo, by gradient descent (Adam).

    Minimises the squared reconstruction error over the noise, plus Gaussian priors on the level
    and the spread of the pigments, on log shading, camera, white balance and light, an exponential
    one on gloss, and differences between neighbouring pixels.

    Parameters
    ----------
    decoder
        The physics; its globals stay as they are.
    linear
        (B, 3, H, W) linear sRGB.
    mask
        (B, H, W) 1 where a pixel is to be explained.

    Returns
    -------
    `Prediction` without gradients; its mask is `mask`, its tone 0, its deviations the prior's.
    """
    count, _, height, width = linear.shape
    seen = linear.permute(0, 2, 3, 1)
    sigma = NOISE * (0.15 + seen.clamp_min(0)).sqrt()
    brightness = masked_mean(seen.mean(-1), mask).clamp_min(1e-3)
    maps = linear.new_zeros(count, 4, height, width)
    maps[:, 2] = ((seen.mean(-1) / 0.3).clamp_min(1e-2)).log()
    maps[:, 3] = -2.0
    components = decoder.config.components
    values = linear.new_zeros(count, 2 + components + LIGHTS + 1 + 2)
    values[:, 2 + components + 1] = 1.0
    free = [maps.requires_grad_(), values.requires_grad_()]
    optimiser = torch.optim.Adam(free, rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    area = mask.sum((1, 2)).clamp_min(1)
    exposure = (brightness / 0.3).log()
    with torch.enable_grad():
        for _ in range(steps):
            prediction = _physical(maps, values, mask, components)
            rendered = decoder.render(prediction)
            misfit = (((rendered - seen) / sigma).square().mean(-1) * mask).sum((1, 2)) / area
            loss = (misfit + _priors(maps, values, mask, exposure, components)).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        return _physical(maps, values, mask, components).map(Tensor.detach)


def _physical(maps: Tensor, values: Tensor, mask: Tensor, components: int) -> Prediction:
    """Maps (B, 4, H, W): pigments' deviations in units of their spreads, log diffuse, raw gloss."""
    levels, b, lights, kelvin, gains = values.split([2, components, LIGHTS, 1, 2], 1)
    low, high = UNIT_RANGE
    coolest, warmest = (1e6 / limit for limit in reversed(KELVIN_RANGE))
    pigments = [
        (0.5 + LEVEL_SD * levels[:, k, None, None] + WITHIN_SD[k] * maps[:, k]).clamp(low, high)
        for k in range(2)
    ]
    return Prediction(
        melanin_u=pigments[0],
        haemoglobin_u=pigments[1],
        diffuse_shading=maps[:, 2].clamp(-8, 4).exp(),
        specular_shading=SPECULAR_MEAN * functional.softplus(maps[:, 3]),
        mask=mask,
        melanin_u_std=torch.full_like(mask, LEVEL_SD),
        haemoglobin_u_std=torch.full_like(mask, LEVEL_SD),
        b=b.clamp(-3, 3),
        illuminant_weights=(2 * lights).softmax(1),
        daylight_kelvin=1e6 / (coolest + (warmest - coolest) * (kelvin[:, 0] + 0.4).sigmoid()),
        gains=(GAIN_SD * gains).exp(),
        tone=torch.zeros_like(gains),
    )


def _priors(
    maps: Tensor, values: Tensor, mask: Tensor, exposure: Tensor, components: int
) -> Tensor:
    """(B,) minus log probability, per pixel where it is of maps."""
    _, _, lights, _, _ = values.split([2, components, LIGHTS, 1, 2], 1)
    pixels = mask.sum((1, 2)).clamp_min(1)
    pigment = masked_mean(maps[:, :2].square().sum(1), mask)
    diffuse = masked_mean(((maps[:, 2] - exposure[:, None, None]) / LOG_DIFFUSE_SD).square(), mask)
    gloss = 2 * masked_mean(functional.softplus(maps[:, 3]), mask)
    rough = sum(
        weight * _roughness(maps[:, k], mask) for k, weight in enumerate(SMOOTHNESS.values())
    )
    whole = values.square().sum(1) + lights.square().sum(1)
    return (
        0.5 * (0.1 * (pigment + diffuse + gloss) + 0.1 * rough)
        + 0.5 * whole * SCENE_WEIGHT / pixels
    )


def _roughness(plane: Tensor, mask: Tensor) -> Tensor:
    """(B,) mean squared difference of neighbours that both are inside the mask."""
    total = plane.new_zeros(len(plane))
    for axis in (1, 2):
        length = plane.shape[axis] - 1
        both = mask.narrow(axis, 0, length) * mask.narrow(axis, 1, length)
        step = plane.narrow(axis, 1, length) - plane.narrow(axis, 0, length)
        total = total + (step.square() * both).sum((1, 2))
    return total / mask.sum((1, 2)).clamp_min(1)
