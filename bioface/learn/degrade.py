"""What happens to a linear image on its way to a JPEG: background, blur, noise, tone, 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bioface.learn.fused import to_be_compiled
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
    grey_noise_share
        Noise that is the same in red, green and blue, as cameras leave it that smooth colour.
    black_share
        A background without light.
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
    grey_noise_share: float = 0.25
    black_share: float = 0.05

    @classmethod
    def clean(cls) -> DegradeConfig:
        """Background, 0.5 % noise and 8 bits only."""
        return cls(
            tone_share=0.0,
            saturation_share=0.0,
            blur_share=0.0,
            noise_percent=(0.5, 0.5),
            jpeg_share=0.0,
            grey_noise_share=0.0,
            black_share=0.0,
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
    count, device = len(linear), linear.device
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    drawn = _draw(count, config, rng, generator, device)
    noise = torch.randn(linear.shape, generator=generator, device=device)
    if config.grey_noise_share > 0:
        grey = torch.as_tensor(rng.random(count) < config.grey_noise_share, device=device)
        noise = torch.where(grey[:, None, None, None], noise[:, :1], noise)
    develop = _develop_compiled if to_be_compiled(coverage, linear) else _develop
    levels = _jpeg(develop(linear, coverage, drawn, noise), config, rng)
    return levels.permute(0, 3, 1, 2) / 255, drawn.tone


class Drawn(NamedTuple):
    """What was drawn for n photos: tensors, or arrays for compiled loops.

    Attributes
    ----------
    colour, scales
        (n, 3) and (n, 2) of the background: its mean, and how far it varies from it.
    smooth, texture
        (n, 3, k, k) and (n, 1, c, c): how its colour and its brightness vary.
    sigma
        (n,) of the blur in pixels, 0 without.
    percent
        (n,) noise.
    saturation
        (n,) factor on the distance from grey.
    tone
        (n, 2) log gamma and contrast.
    """

    colour: Any
    scales: Any
    smooth: Any
    texture: Any
    sigma: Any
    percent: Any
    saturation: Any
    tone: Any


def _draw(
    count: int,
    config: DegradeConfig,
    rng: np.random.Generator,
    generator: torch.Generator,
    device: torch.device,
) -> Drawn:
    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device)

    brightness = rng.beta(1.2, 2.0, (count, 1))
    if config.black_share > 0:
        brightness *= rng.random((count, 1)) >= config.black_share
    colour = brightness * np.exp(rng.normal(0, 0.35, (count, 3)))
    cells = 2 ** int(rng.integers(3, 7))
    scales = np.stack([rng.uniform(0, 0.5, count), rng.uniform(0, 0.4, count)], 1)
    scales[:, 1] *= rng.random(count) < 0.5
    blurred = rng.random(count) < config.blur_share
    sigma = rng.uniform(*config.blur_pixels, count)
    low, high = config.noise_percent
    percent = low + (high - low) * rng.random(count) ** 2
    saturated = rng.random(count) < config.saturation_share
    saturation = rng.uniform(*config.saturation, count)
    toned = rng.random((count, 1)) < config.tone_share
    log_gamma = (config.log_gamma_sd * rng.standard_normal(count)).clip(-0.5, 0.5)
    tone = np.stack([log_gamma, rng.uniform(*config.contrast, count)], 1)
    return Drawn(
        colour=tensor(colour),
        scales=tensor(scales),
        smooth=normal(count, 3, 5, 5),
        texture=normal(count, 1, cells, cells),
        sigma=tensor(np.where(blurred, sigma, 0.0)),
        percent=tensor(percent),
        saturation=tensor(np.where(saturated, saturation, 1.0)),
        tone=tensor(np.where(toned, tone, 0.0)),
    )


def _develop_compiled(linear: Tensor, coverage: Tensor, drawn: Drawn, noise: Tensor) -> Tensor:
    """`_develop` in the loops of `bioface.learn.compiled_photo`."""
    from bioface.learn import compiled_photo

    levels = np.empty((len(linear), *linear.shape[2:], 3), np.uint8)
    compiled_photo.develop(
        linear.contiguous().numpy(),
        coverage.contiguous().numpy(),
        Drawn(*(values.numpy() for values in drawn)),
        *(
            tuple(compiled_photo.taps(cells.shape[-1], size, corners) for size in linear.shape[2:])
            for cells, corners in ((drawn.smooth, True), (drawn.texture, False))
        ),
        noise.numpy(),
        levels,
    )
    return torch.from_numpy(levels)


def _develop(linear: Tensor, coverage: Tensor, drawn: Drawn, noise: Tensor) -> Tensor:
    """Levels (B, H, W, 3) uint8 of the photos, before JPEG."""
    image = linear + (1 - coverage[:, None]) * _background(drawn, linear.shape[2:])
    blurred = drawn.sigma.nonzero()[:, 0]
    if len(blurred):
        image[blurred] = _blur(image[blurred], drawn.sigma[blurred])
    percent, saturation = drawn.percent[:, None, None, None], drawn.saturation[:, None, None, None]
    image = image + percent / 100 * (0.15 + image.clamp_min(0)).sqrt() * noise
    grey = (image * image.new_tensor(_LUMINANCE)[:, None, None]).sum(1, keepdim=True)
    image = torch.where(saturation == 1, image, grey + saturation * (image - grey))
    levels = (255 * apply_tone(image, drawn.tone)).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous()


def _background(drawn: Drawn, shape: Sequence[int]) -> Tensor:
    """(B, 3, H, W) linear: a plain colour with smooth variation and, in half of them, texture."""
    shape = tuple(shape)
    smooth = functional.interpolate(drawn.smooth, shape, mode="bilinear", align_corners=True)
    texture = functional.interpolate(drawn.texture, shape, mode="bilinear", align_corners=False)
    a, b = drawn.scales[..., None, None, None].unbind(1)
    return (drawn.colour[..., None, None] * (a * smooth + b * texture).exp()).clamp(0, 1.2)


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
    """Send some of the uint8 images (B, H, W, 3) through a JPEG file in memory."""
    import cv2

    chosen = rng.random(len(levels)) < config.jpeg_share
    quality = rng.integers(*config.jpeg_quality, len(levels), endpoint=True)
    subsampled = rng.random(len(levels)) < 0.5
    if not chosen.any():
        return levels
    arrays = levels.cpu().numpy()
    for i in np.flatnonzero(chosen):
        sampling = (
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
            if subsampled[i]
            else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        )
        options = [cv2.IMWRITE_JPEG_QUALITY, int(quality[i])]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
        _, file = cv2.imencode(".jpg", cv2.cvtColor(arrays[i], cv2.COLOR_RGB2BGR), options)
        decoded = cv2.imdecode(file, cv2.IMREAD_COLOR)
        cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=arrays[i])
    return torch.from_numpy(arrays).to(levels.device)
