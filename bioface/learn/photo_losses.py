"""What a real photo, whose truth nobody knows, teaches: the losses of fine-tuning.

The paper's four (appearance, camera, specular, shading; section 4.3), and what experience adds:
pigments learn from colour alone, so that shadows are not read as melanin (`stops`); readings must
not change with the picture (`bioface.learn.consistency`); priors hold what grading would abuse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bioface.errors import InputError
from bioface.learn import consistency
from bioface.learn import losses as objectives
from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Encoder, Prediction
from bioface.learn.supervision import rendered_pixels, thin
from bioface.learn.tensors import map_tensors
from bioface.spectral.colour import apply_tone, srgb_decode

WEIGHTS_OF_LOSSES = {
    "appearance": 30.0,
    "chroma": 30.0,
    "camera": 0.01,
    "specular": 0.05,
    "shading": 0.15,
    "anchor": 2.0,
    "tone": 0.05,
    "gains": 0.5,
    "saturation": 0.3,
    "globals": 0.02,
    "skin": 0.5,
    "replay": 2.0,
    "recall": 2.0,
    "flip": 2.0,
    "crop": 2.0,
    "exposure": 8.0,
    "balance": 0.5,
    "relight": 0.5,
    "recamera": 0.5,
}
"""`anchor` is the distance of pigments and gloss from those first read; `tone`, `gains`,
`saturation`, `globals` and `skin` are priors on grading, white balance, and the decoder's
corrections; `replay` is the supervised loss of rendered faces, `recall` the distance of their maps
from those first read."""

INGREDIENTS = (*WEIGHTS_OF_LOSSES, "stops", "decoder")
"""What `--without` takes: a loss; `stops`, the stop-gradients of appearance; `decoder`, whose
corrections then stay as they were."""

_CLIPPED = 0.98
_ROOT_FLOOR = 1e-6
_LUMINANCE = (0.2126, 0.7152, 0.0722)
_SATURATION = (0.6, 1.6)


@dataclass(frozen=True)
class PhotoBatch:
    """Crops of photos: sRGB (B, 3, H, W), skin and shading proxy (B, H, W), and their changes."""

    photo: Tensor
    mask: Tensor
    proxy: Tensor
    changes: consistency.Changes

    def pin_memory(self) -> PhotoBatch:
        """The same in page-locked memory; a `DataLoader` asks for it."""
        pinned: PhotoBatch = map_tensors(self, Tensor.pin_memory)
        return pinned


def check_ingredients(without: tuple[str, ...]) -> None:
    """Refuse names that are not in `INGREDIENTS`, with an `InputError` that lists them."""
    for name in without:
        if name not in INGREDIENTS:
            raise InputError(
                f"--without {name}: no such ingredient; choose from {', '.join(INGREDIENTS)}"
            )


def photo_losses(
    encode: Any,
    decoder: Decoder,
    first: Encoder,
    batch: PhotoBatch,
    step: int,
    without: tuple[str, ...] = (),
) -> dict[str, Tensor]:
    """Unweighted losses, keyed as in `WEIGHTS_OF_LOSSES`.

    Parameters
    ----------
    encode
        From photos (B, 3, H, W) to their `Prediction`.
    first
        The encoder as it was before fine-tuning.
    without
        Some of `INGREDIENTS`.
    """
    prediction: Prediction = encode(batch.photo)
    found = _appearance(prediction, decoder, batch, step, without)
    if "anchor" not in without:
        with torch.no_grad():
            before = first(batch.photo.contiguous(memory_format=torch.channels_last))
        found["anchor"] = departure(prediction, before, batch.mask)
    found |= {
        "tone": prediction.tone.square().mean(),
        "gains": prediction.gains.log().square().mean(),
        "globals": decoder.prior(),
        "skin": decoder.skin_prior(),
    }
    if not set(consistency.KINDS) <= set(without):
        changed = consistency.changed(batch.photo, batch.mask, prediction, decoder, batch.changes)
        found |= consistency.consistency(prediction, encode(changed), batch.mask, batch.changes)
    return {name: value for name, value in found.items() if name not in without}


def departure(prediction: Prediction, other: Prediction, mask: Tensor) -> Tensor:
    """Mean squared differences over skin of the pigments in u and of root gloss, summed."""

    def planes(one: Prediction) -> tuple[Tensor, ...]:
        return one.melanin_u, one.haemoglobin_u, (one.specular_shading + _ROOT_FLOOR).sqrt()

    pairs = zip(planes(prediction), planes(other), strict=True)
    each = [objectives.masked_mean((new - old).square(), mask) for new, old in pairs]
    return torch.stack(each).sum(0).mean()


def _appearance(
    prediction: Prediction, decoder: Decoder, batch: PhotoBatch, step: int, without: tuple[str, ...]
) -> dict[str, Tensor]:
    """The paper's four losses, and `chroma` and `saturation`.

    The reconstruction is compared in the photo's linear light, through the predicted tone curve:
    undoing the curve on the photo would reward dark curves. Its saturation may differ from the
    photo's by a factor that has a price: photographers turn it.
    """
    chosen = rendered_pixels(step)
    seen = batch.photo.permute(0, 2, 3, 1)[chosen]
    photo = srgb_decode(seen)
    unclipped = (seen.amax(-1) < _CLIPPED) * batch.mask[chosen]
    thinned = thin(prediction, chosen)
    stops = "stops" not in without
    shaded = _detached(thinned, ("melanin_u", "haemoglobin_u")) if stops else thinned
    rendered = seen_by_photo(decoder, shaded)
    extra = {}
    if "saturation" not in without:
        rendered, extra["saturation"] = _resaturated(rendered, photo, unclipped)
    if stops:
        coloured = _detached(thinned, ("diffuse_shading", "specular_shading"))
        extra["chroma"] = _chroma(seen_by_photo(decoder, coloured), photo, unclipped)
    proxy = batch.proxy[chosen] * (unclipped > 0.5)
    return objectives.self_supervised(thinned, rendered, photo, unclipped, proxy) | extra


def seen_by_photo(decoder: Decoder, prediction: Prediction) -> Tensor:
    """The reconstruction (B, H, W, 3) in the photo's linear light, its tone curve applied."""
    return srgb_decode(apply_tone(decoder.render(prediction), decoder.tone(prediction)))


def _detached(prediction: Prediction, names: tuple[str, ...]) -> Prediction:
    return replace(prediction, **{name: getattr(prediction, name).detach() for name in names})


def _luminance(linear: Tensor) -> Tensor:
    return (linear * linear.new_tensor(_LUMINANCE)).sum(-1, keepdim=True)


def _chroma(rendered: Tensor, photo: Tensor, mask: Tensor) -> Tensor:
    """Appearance after every pixel was given the photo's luminance: colour alone counts."""
    scale = _luminance(photo) / _luminance(rendered).clamp_min(1e-3)
    return objectives.appearance(rendered * scale.clamp(max=10), photo, mask)


def _resaturated(rendered: Tensor, photo: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The image at the saturation that explains each photo best, and what that costs."""
    grey = _luminance(rendered)
    colour, target = rendered - grey, photo - _luminance(photo)
    weight = mask[..., None]
    dot = (weight * colour * target).sum((1, 2, 3)) + 1e-4
    factor = (dot / ((weight * colour.square()).sum((1, 2, 3)) + 1e-4)).clamp(*_SATURATION)
    return grey + factor[:, None, None, None] * colour, factor.log().square().mean()
