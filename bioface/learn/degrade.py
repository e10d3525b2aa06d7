"""What happens to a linear image on its way to a JPEG: background, blur, noise, tone, 8 bits."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from bioface.spectral.colour import apply_tone

_LUMINANCE = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True)
class DegradeConfig:
    """Shares are probabilities for one photo; pairs are (low, high) of a uniform draw.

    Attributes
    ----------
    tone_share, log_gamma_sd, contrast
        A tone curve other than sRGB's: sd of log gamma, range of contrast.
    saturation_share, saturation
        A factor on the distance from grey, in linear light.
    blur_share, blur_pixels
        Gaussian sigma.
    noise_percent
        n of DESIGN's noise: sigma = n/100 sqrt(.15 + L); the square of a uniform draw, so that
        little noise is common.
    jpeg_share, jpeg_quality
        Compression, half of it with subsampled colour.
    """

    tone_share: float = 0.7
    log_gamma_sd: float = 0.15
    contrast: tuple[float, float] = (-0.2, 0.6)
    saturation_share: float = 0.5
    saturation: tuple[float, float] = (0.75, 1.35)
    blur_share: float = 0.4
    blur_pixels: tuple[float, float] = (0.2, 1.0)
    noise_percent: tuple[float, float] = (0.2, 4.0)
    jpeg_share: float = 0.5
    jpeg_quality: tuple[int, int] = (65, 98)

    @classmethod
    def clean(cls) -> DegradeConfig:
        """Background, 0.5 % noise and 8 bits only."""
        return cls(
            tone_share=0.0,
            saturation_share=0.0,
            blur_share=0.0,
            noise_percent=(0.5, 0.5),
            jpeg_share=0.0,
        )


def degrade(
    linear: Tensor, coverage: Tensor, config: DegradeConfig, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Turn clean linear images into 8-bit photos.

    Parameters
    ----------
    linear
        (B, 3, H, W) linear sRGB, already weighted by coverage.
    coverage
        (B, H, W) share of the pixel that is not background.
    config, rng
        What to draw and from which generator.

    Returns
    -------
    (B, 3, H, W) sRGB in 0-1 at multiples of 1/255, and (B, 2) the tone that was applied.
    """
    count, _, height, width = linear.shape
    device = linear.device
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    backdrop = _background(rng, count, (height, width), generator, device)
    image = linear + (1 - coverage[:, None]) * backdrop
    blurred = np.flatnonzero(rng.random(count) < config.blur_share)
    sigma = rng.uniform(*config.blur_pixels, count)
    if len(blurred):
        image[blurred] = _blur(image[blurred], tensor(sigma[blurred]))
    low, high = config.noise_percent
    percent = tensor(low + (high - low) * rng.random(count) ** 2)
    noise = torch.randn(image.shape, generator=generator, device=device)
    image = image + percent[:, None, None, None] / 100 * (0.15 + image.clamp_min(0)).sqrt() * noise
    saturation = np.where(
        rng.random(count) < config.saturation_share, rng.uniform(*config.saturation, count), 1.0
    )
    if (saturation != 1).any():
        grey = (image * tensor(np.array(_LUMINANCE))[:, None, None]).sum(1, keepdim=True)
        image = grey + tensor(saturation)[:, None, None, None] * (image - grey)
    toned = rng.random((count, 1)) < config.tone_share
    tone = tensor(
        np.where(
            toned,
            np.stack(
                [
                    (config.log_gamma_sd * rng.standard_normal(count)).clip(-0.5, 0.5),
                    rng.uniform(*config.contrast, count),
                ],
                1,
            ),
            0.0,
        )
    )
    levels = (255 * apply_tone(image, tone)).round().to(torch.uint8)
    levels = _jpeg(levels, config, rng)
    return levels.float() / 255, tone


def _background(
    rng: np.random.Generator,
    count: int,
    shape: tuple[int, int],
    generator: torch.Generator,
    device: torch.device,
) -> Tensor:
    """(B, 3, H, W) linear: a plain colour with smooth variation and, in half of them, texture."""
    brightness = rng.beta(1.2, 2.0, (count, 1))
    colour = brightness * np.exp(rng.normal(0, 0.35, (count, 3)))
    smooth = torch.randn((count, 3, 5, 5), generator=generator, device=device)
    smooth = functional.interpolate(smooth, shape, mode="bilinear", align_corners=True)
    cells = 2 ** int(rng.integers(3, 7))
    texture = torch.randn((count, 1, cells, cells), generator=generator, device=device)
    texture = functional.interpolate(texture, shape, mode="bilinear", align_corners=False)
    scales = np.stack([rng.uniform(0, 0.5, count), rng.uniform(0, 0.4, count)], 1)
    scales[:, 1] *= rng.random(count) < 0.5
    a, b = torch.as_tensor(scales, dtype=torch.float32, device=device)[
        ..., None, None, None
    ].unbind(1)
    base = torch.as_tensor(colour, dtype=torch.float32, device=device)[..., None, None]
    return (base * (a * smooth + b * texture).exp()).clamp(0, 1.2)


def _blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Separable 5-tap Gaussian of each image's own sigma (B,)."""
    count, _, height, width = image.shape
    taps = torch.arange(-2, 3, device=image.device, dtype=image.dtype)
    kernel = (-0.5 * (taps / sigma[:, None]).square()).exp()
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)
    planes = image.reshape(1, 3 * count, height, width)
    planes = functional.pad(planes, (2, 2, 2, 2), mode="replicate")
    planes = functional.conv2d(planes, kernel[:, None, :, None], groups=3 * count)
    planes = functional.conv2d(planes, kernel[:, None, None, :], groups=3 * count)
    return planes.reshape(count, 3, height, width)


def _jpeg(levels: Tensor, config: DegradeConfig, rng: np.random.Generator) -> Tensor:
    """Send some of the uint8 images (B, 3, H, W) through a JPEG file in memory."""
    chosen = rng.random(len(levels)) < config.jpeg_share
    quality = rng.integers(*config.jpeg_quality, len(levels), endpoint=True)
    subsample = rng.random(len(levels)) < 0.5
    if not chosen.any():
        return levels
    arrays = np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())
    for i in np.flatnonzero(chosen):
        file = io.BytesIO()
        Image.fromarray(arrays[i]).save(
            file, "JPEG", quality=int(quality[i]), subsampling=2 if subsample[i] else 0
        )
        file.seek(0)
        arrays[i] = np.asarray(Image.open(file))
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).to(levels.device)
