"""Training objectives: supervised on rendered faces, self-supervised on photos.

Every map loss is a sum over skin divided by the sum of the mask, so that faces of any size in the
crop weigh the same. All losses are 0-d tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from bioface.learn.encoder import KELVIN_RANGE, Prediction
from bioface.spectral import illuminant

if TYPE_CHECKING:
    from bioface.learn.relight import Targets

LOG_FLOOR = 1e-2
"""Shading below this is counted as this in log shading (DESIGN, Scores)."""

SUPERVISED_WEIGHTS = {
    "melanin": 4.0,
    "melanin_within": 64.0,
    "melanin_std": 0.02,
    "haemoglobin": 2.0,
    "haemoglobin_within": 32.0,
    "haemoglobin_std": 0.02,
    "diffuse": 0.5,
    "diffuse_within": 4.0,
    "specular": 20.0,
    "mask": 0.3,
    "camera": 0.05,
    "illuminant": 0.15,
    "daylight": 0.1,
    "gains": 2.0,
    "tone": 1.0,
    "appearance": 8.0,
}
"""Such that what differs within a face, and gloss, pull at the network about as much as levels do
(`scripts/loss_gradients`)."""

PAPER_LOSSES = ("appearance", "camera", "specular", "shading")
"""The four self-supervised losses of the paper (section 4.3)."""


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of (B, H, W) over skin, image by image: (B,)."""
    return (values * mask).sum((1, 2)) / mask.sum((1, 2)).clamp_min(1e-3)


def _both(predicted: Tensor, true: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of the level of the whole face and of what differs within it."""
    error = predicted - true
    mean = masked_mean(error, mask)
    within = masked_mean(_huber(error - mean[:, None, None], 0.2), mask)
    return _huber(mean, 0.5).mean(), within.mean()


def _surprise(prediction: Prediction, targets: Targets, name: str) -> Tensor:
    """Negative log likelihood of a pigment's errors, which it leaves as they are."""
    error = (getattr(prediction, f"{name}_u") - getattr(targets, f"{name}_u")).detach()
    deviation = getattr(prediction, f"{name}_u_std")
    likelihood = 0.5 * (error / deviation).square() + deviation.log()
    return masked_mean(likelihood, targets.mask).mean()


def _huber(error: Tensor, delta: float) -> Tensor:
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta)


def of_maps(
    prediction: Prediction, reference: Prediction | Targets, mask: Tensor
) -> dict[str, Tensor]:
    """Distances of the four maps to others, unweighted, keyed as in `SUPERVISED_WEIGHTS`.

    Pigments in u and log diffuse shading are compared in level and within the face, specular
    shading as its square root.
    """
    losses = {}
    for name in ("melanin", "haemoglobin"):
        pair = _both(getattr(prediction, f"{name}_u"), getattr(reference, f"{name}_u"), mask)
        losses[name], losses[f"{name}_within"] = pair
    losses["diffuse"], losses["diffuse_within"] = _both(
        prediction.diffuse_shading.clamp_min(LOG_FLOOR).log(),
        reference.diffuse_shading.clamp_min(LOG_FLOOR).log(),
        mask,
    )
    root, true = ((maps.specular_shading + 1e-6).sqrt() for maps in (prediction, reference))
    losses["specular"] = masked_mean(_huber(root - true, 0.5), mask).mean()
    return losses


def supervised(
    prediction: Prediction, targets: Targets, rendered: Tensor | None = None
) -> dict[str, Tensor]:
    """Losses against exact targets, unweighted, keyed as in `SUPERVISED_WEIGHTS`.

    The maps as by `of_maps`; the pigments' standard deviations by the likelihood of the errors.
    `rendered` (B, H, W, 3) is the prediction's reconstruction in linear sRGB; without it there is
    no appearance loss.
    """
    skin = targets.mask
    losses = of_maps(prediction, targets, skin)
    for name in ("melanin", "haemoglobin"):
        losses[f"{name}_std"] = _surprise(prediction, targets, name)
    losses["mask"] = functional.binary_cross_entropy(prediction.mask, targets.mask)
    losses["camera"] = (prediction.b - targets.b).square().mean()
    spd = illuminant.mix(prediction.illuminant_weights, prediction.daylight_kelvin, validate=False)
    losses["illuminant"] = (
        (spd / targets.spd.mean() - targets.spd / targets.spd.mean()).abs().mean()
    )
    span = 1e6 / KELVIN_RANGE[0] - 1e6 / KELVIN_RANGE[1]
    mired = (1e6 / prediction.daylight_kelvin - 1e6 / targets.daylight_kelvin) / span
    losses["daylight"] = (targets.illuminant_weights[:, 1] * mired.square()).mean()
    losses["gains"] = (prediction.gains.log() - targets.gains.log()).square().mean()
    losses["tone"] = (prediction.tone - targets.tone).square().mean()
    if rendered is not None:
        losses["appearance"] = appearance(rendered, targets.linear, skin)
    return losses


def appearance(rendered: Tensor, photo: Tensor, mask: Tensor) -> Tensor:
    """Squared difference of two linear images (B, H, W, 3) over skin (paper, section 4.3)."""
    return masked_mean((rendered - photo).square().mean(-1), mask).mean()


def camera_prior(b: Tensor) -> Tensor:
    """Mean squared camera coefficient: cameras are N(0, I)."""
    return b.square().mean()


def specular_sparsity(specular: Tensor, mask: Tensor) -> Tensor:
    """Mean specular shading over skin (L1)."""
    return masked_mean(specular, mask).mean()


def scale_free_shading(diffuse: Tensor, proxy: Tensor, mask: Tensor) -> Tensor:
    """Squared difference of diffuse shading and a proxy known up to a factor, over skin.

    The proxy (B, H, W) is first scaled by the least-squares factor; both are divided by the mean
    shading, so that dark photos count like bright ones. Images whose proxy is zero everywhere
    have none and count nothing.
    """
    has_proxy = (proxy.amax((1, 2)) > 0).float()
    factor = masked_mean(diffuse * proxy, mask) / masked_mean(proxy.square(), mask).clamp_min(1e-8)
    level = masked_mean(diffuse, mask).clamp_min(LOG_FLOOR)
    error = (diffuse - factor.detach()[:, None, None] * proxy) / level.detach()[:, None, None]
    return (masked_mean(error.square(), mask) * has_proxy).sum() / has_proxy.sum().clamp_min(1)


def self_supervised(
    prediction: Prediction, rendered: Tensor, photo: Tensor, mask: Tensor, proxy: Tensor
) -> dict[str, Tensor]:
    """The paper's four losses, unweighted, keyed as in `PAPER_LOSSES`.

    `rendered` and `photo` are linear (B, H, W, 3), `mask` the skin and `proxy` the shading proxy
    (B, H, W).
    """
    return {
        "appearance": appearance(rendered, photo, mask),
        "camera": camera_prior(prediction.b),
        "specular": specular_sparsity(prediction.specular_shading, mask),
        "shading": scale_free_shading(prediction.diffuse_shading, proxy, mask),
    }
