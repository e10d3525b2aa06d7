"""Photos of the same skin: what changes the picture must not change the reading.

Every photo of a batch is changed in one way: mirrored, cropped, exposed anew, its white balance
shifted, or its skin lit or photographed anew through the decoder. The pigments read from the
changed photo are compared with those read from the photo itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bioface.learn.decoder import Decoder
from bioface.learn.encoder import LIGHTS, Prediction
from bioface.learn.losses import masked_mean
from bioface.spectral.colour import apply_tone, remove_tone, srgb_decode, srgb_encode

KINDS = ("flip", "crop", "exposure", "balance", "relight", "recamera")
"""Ways to change a photo, in the order of `Changes.kind`."""

_STREAM = 0x5EED
_BRIGHTEST = 0.98
_RATIO = (0.2, 5.0)
_TERMS = 5


@dataclass(frozen=True)
class Changes:
    """How each photo of a batch is to be changed; what its kind does not use stays unread.

    Attributes
    ----------
    kind
        (B,) index into `KINDS`.
    weight
        (B,) the photos of the whole batch over those of the same kind.
    move
        (B, 2, 3) affine map of sampling positions, in half crop widths.
    log_exposure
        (B,) natural logarithm of the factor on linear light.
    gains
        (B, 2) factors on linear red and blue.
    b, illuminant_weights, daylight_kelvin
        (B, N), (B, 14) and (B,): another camera and light.
    field
        (B, 5) coefficients of a smooth log factor on diffuse shading.
    """

    kind: Tensor
    weight: Tensor
    move: Tensor
    log_exposure: Tensor
    gains: Tensor
    b: Tensor
    illuminant_weights: Tensor
    daylight_kelvin: Tensor
    field: Tensor

    @classmethod
    def draw(
        cls, count: int, components: int, seed: int, step: int, kinds: tuple[str, ...] = KINDS
    ) -> Changes:
        """Changes of `count` photos among `kinds`, which depend on (seed, step) alone."""
        rng = np.random.default_rng(np.random.SeedSequence([_STREAM, seed, step]))
        order = np.array([KINDS.index(kind) for kind in kinds])
        kind = order[(np.arange(count) + rng.integers(len(order))) % len(order)]
        zoom, angle = rng.uniform(0.8, 0.95, count), np.deg2rad(rng.uniform(-5, 5, count))
        shift = (1 - zoom)[:, None] * rng.uniform(-0.6, 0.6, (count, 2))
        cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
        moves = np.stack([cosine, -sine, shift[:, 0], sine, cosine, shift[:, 1]], 1)
        still = np.array([1.0, 0, 0, 0, 1, 0])
        mirrored = still * [-1, 1, 1, 1, 1, 1]
        moves[kind != KINDS.index("crop")] = still
        moves[kind == KINDS.index("flip")] = mirrored
        weights = np.zeros((count, LIGHTS))
        weights[:, :2] = rng.dirichlet([0.5, 2.0], count)
        weights[:, 2:] = (rng.random(count) < 0.3)[:, None] * rng.dirichlet([0.2] * 12, count)
        values = {
            "weight": count / np.bincount(kind)[kind],
            "move": moves.reshape(-1, 2, 3),
            "log_exposure": np.log(2) * rng.uniform(-1, 1, count),
            "gains": rng.uniform(0.98, 1.02, (count, 2)),
            "b": rng.standard_normal((count, components)).clip(-2, 2),
            "illuminant_weights": weights / weights.sum(1, keepdims=True),
            "daylight_kelvin": 1e6 / rng.uniform(1e6 / 12000, 1e6 / 4500, count),
            "field": rng.normal(0, 0.25, (count, _TERMS)),
        }
        tensors = {name: torch.from_numpy(v).float() for name, v in values.items()}
        return cls(kind=torch.from_numpy(kind), **tensors)


@torch.no_grad()
def changed(
    photo: Tensor, mask: Tensor, prediction: Prediction, decoder: Decoder, changes: Changes
) -> Tensor:
    """The photos (B, 3, H, W) after their changes, encoded, 0-1.

    `prediction` says what the skin (B, H, W) of `mask` is made of; with another light or camera
    every pixel takes the ratio of its two renderings, and what is not skin their mean ratio.
    """
    linear = srgb_decode(photo)
    for k, kind in enumerate(KINDS):
        chosen = (changes.kind == k).nonzero()[:, 0]
        if len(chosen) == 0:
            continue
        if kind == "exposure":
            factor = _without_clipping(linear[chosen], mask[chosen], changes.log_exposure[chosen])
            linear[chosen] = linear[chosen] * factor[:, None, None, None]
        elif kind == "balance":
            red, blue = changes.gains[chosen].unbind(1)
            gains = torch.stack([red, torch.ones_like(red), blue], 1)
            linear[chosen] = linear[chosen] * gains[..., None, None]
        elif kind in ("relight", "recamera"):
            linear[chosen] = _rendered_anew(
                photo[chosen],
                mask[chosen],
                prediction.map(lambda value, chosen=chosen: value[chosen]),
                decoder,
                kind,
                changes,
                chosen,
            )
    result: Tensor = moved(srgb_encode(linear.clamp(0, 1)), changes)
    return result.clamp(0, 1)


def moved(planes: Tensor, changes: Changes) -> Tensor:
    """Planes (B, C, H, W) mirrored and cropped as the photos are."""
    grid = functional.affine_grid(changes.move, list(planes.shape), align_corners=False)
    return functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)


def consistency(
    before: Prediction, after: Prediction, mask: Tensor, changes: Changes
) -> dict[str, Tensor]:
    """Squared differences of both pigments in u, by kind of change; 0 for kinds not drawn.

    The reading of the changed photo is drawn to that of the photo, never the other way round. Each
    is a mean over the photos of its kind in the whole batch, or a share whose mean over processes
    that is.
    """
    planes = torch.stack([before.melanin_u, before.haemoglobin_u, mask], 1).detach()
    melanin, haemoglobin, skin = moved(planes, changes).unbind(1)
    error = (after.melanin_u - melanin).square() + (after.haemoglobin_u - haemoglobin).square()
    each = masked_mean(error, skin) * changes.weight
    return {kind: (each * (changes.kind == k)).mean() for k, kind in enumerate(KINDS)}


def _without_clipping(linear: Tensor, mask: Tensor, log_exposure: Tensor) -> Tensor:
    """Factors (B,), lowered where skin would clip that does not."""
    highest = (linear.amax(1) * mask).flatten(1)
    brightest = highest.kthvalue(int(0.995 * highest.shape[1]), 1).values
    room = (_BRIGHTEST / brightest.clamp_min(1e-3)).clamp_min(1.0)
    return torch.minimum(log_exposure.exp(), room)


def _rendered_anew(
    photo: Tensor,
    mask: Tensor,
    prediction: Prediction,
    decoder: Decoder,
    kind: str,
    changes: Changes,
    chosen: Tensor,
) -> Tensor:
    """Linear light (n, 3, H, W) of photos whose skin another light falls on or camera takes."""
    new = dict(vars(prediction))
    if kind == "recamera":
        new["b"] = changes.b[chosen]
    else:
        new["illuminant_weights"] = changes.illuminant_weights[chosen]
        new["daylight_kelvin"] = changes.daylight_kelvin[chosen]
        factor = _smooth_factor(changes.field[chosen], mask)
        new["diffuse_shading"] = prediction.diffuse_shading * factor
    encoded = photo.permute(0, 2, 3, 1)
    tone = decoder.tone(prediction)
    linear = remove_tone(encoded, tone)
    ratio = decoder.render(Prediction(**new)).clamp_min(1e-3)
    ratio = (ratio / decoder.render(prediction).clamp_min(1e-3)).clamp(*_RATIO)
    area = mask.sum((1, 2)).clamp_min(1e-3)[:, None]
    mean = (ratio * mask[..., None]).sum((1, 2)) / area
    ratio = mask[..., None] * ratio + (1 - mask[..., None]) * mean[:, None, None]
    return srgb_decode(apply_tone(linear * ratio, tone)).permute(0, 3, 1, 2)


def _smooth_factor(field: Tensor, mask: Tensor) -> Tensor:
    """(n, H, W) exp of a polynomial of second order over the crop, its mean over skin 1."""
    height, width = mask.shape[1:]
    y = torch.linspace(-1, 1, height, device=mask.device)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width, device=mask.device).expand(height, width)
    basis = torch.stack([x, y, x * y, x * x, y * y])
    factor = torch.einsum("nk,khw->nhw", field, basis).exp()
    return factor / masked_mean(factor, mask)[:, None, None].clamp_min(1e-3)
