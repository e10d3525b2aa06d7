"""New pigments for rendered faces: another level and contrast of the fields they came with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bioface.learn.conditions import RelightConfig
from bioface.learn.planes import LIPS, MASK, PIGMENTS
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, to_unit

PIGMENT_LIMITS = (-0.2, 1.2)
"""Drawn pigments are clipped to these u."""

_SURE_SKIN = 0.95
_CONTRAST = (0.2, 5.0)
_BILINEAR_SPREAD = 1.5  # what interpolation between independent cells takes of their spread


def draw_pigments(planes: Tensor, config: RelightConfig, rng: np.random.Generator) -> Tensor:
    """Melanin and haemoglobin of each face: the sample's own or an affine change of it.

    Parameters
    ----------
    planes
        (B, 20, H, W) as `bioface.learn.planes.move` makes them.
    config, rng
        What to draw and from which generator.

    Returns
    -------
    (B, 2, H, W) in u, 0 where there is no skin.
    """
    count = len(planes)
    redraw = rng.random(count) < config.redraw
    mean = rng.random((count, 2))
    in_fraction = rng.random(count) < config.log_uniform
    mean = np.where(in_fraction[:, None], log_uniform(mean), mean)
    contrast = rng.uniform(*config.contrast, (count, 2))
    within = rng.uniform(1 - config.within_tolerance, 1 + config.within_tolerance, (count, 2))

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=planes.device)

    fields, mask = planes[:, PIGMENTS], planes[:, MASK]
    inside = mask > 0.5
    if config.within_sd is not None:
        inside = (mask > _SURE_SKIN) & (planes[:, LIPS] < 1 - _SURE_SKIN)
    own, own_sd = _moments(fields, inside.float())
    if config.patchy_share > 0:
        fields = fields + own_sd[..., None, None] * _patches(planes, config, rng)
    changed = tensor(contrast)
    if config.within_sd is not None:
        changed = (tensor(within * config.within_sd) / own_sd.clamp_min(1e-4)).clamp(*_CONTRAST)
    redrawn = tensor(redraw)[:, None]
    mean_u = own + redrawn * (tensor(mean) - own)
    contrast_u = 1 + redrawn * (changed - 1)
    offset = mean_u - contrast_u * own
    drawn = torch.addcmul(offset[..., None, None], contrast_u[..., None, None], fields)
    return drawn.clamp_(*PIGMENT_LIMITS).mul_((mask > 0)[:, None])


def _patches(planes: Tensor, config: RelightConfig, rng: np.random.Generator) -> Tensor:
    """(B, 2, H, W) patches of one size a batch, to be scaled by the spread of each face."""
    count, shape = len(planes), planes.shape[2:]
    strength = rng.uniform(*config.patchy, (count, 2))
    strength *= rng.random((count, 1)) < config.patchy_share
    cells = 2 ** int(rng.integers(2, 6))
    drawn = rng.standard_normal((count, 2, cells, cells)) * strength[..., None, None]
    patches = torch.as_tensor(drawn, dtype=torch.float32, device=planes.device)
    between = functional.interpolate(patches, shape, mode="bilinear", align_corners=False)
    return _BILINEAR_SPREAD * between


def log_uniform(share: np.ndarray) -> np.ndarray:
    """u (n, 2) of fractions log-uniform over the ranges, from uniform numbers 0-1."""
    return np.stack(
        [
            to_unit(bounds[0] * (bounds[1] / bounds[0]) ** share[:, k], bounds)
            for k, bounds in enumerate((MELANIN_RANGE, HAEMOGLOBIN_RANGE))
        ],
        1,
    )


def _moments(fields: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (B, 2) of (B, 2, H, W) where `weight` (B, H, W) is 1."""
    area = weight.sum((1, 2)).clamp_min(1)[:, None]
    mean = (fields * weight[:, None]).sum((2, 3)) / area
    difference = (fields - mean[..., None, None]) * weight[:, None]
    return mean, (difference.square().sum((2, 3)) / area).sqrt()
