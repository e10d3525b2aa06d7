"""The published configuration: decoder and losses of Alotaibi & Smith (BMVC 2019).

For comparison, with the physics right; its weights are not shipped. The network is in
`paper_network`. As published: exp for shadings, sigmoids for pigments, b in [-3, 3] of a camera
model of two components, daylight from 4,000 to 25,000 K, softmax weights; raw to XYZ looked up over
b; four losses, SGD. What had to change, and why, is named in `CHANGES`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bioface.learn import losses as objectives
from bioface.learn.decoder import DecoderConfig
from bioface.learn.paper_network import COMPONENTS
from bioface.learn.relight import Targets
from bioface.learn.supervision import rendered_pixels, thin
from bioface.learn.training import Training
from bioface.spectral.colour import srgb_decode

LEARNING_RATE = 1e-2
"""The published one is 1e-5: see `CHANGES`."""
WEIGHTS_OF_LOSSES = {"appearance": 1e-3, "camera": 1e-4, "specular": 1e-5, "shading": 1e-5}
"""As published, in the order of the paper."""

SCALE = 1e4
"""What all four weights are multiplied with: see `CHANGES`."""

MOMENTUM = 0.9
LOOKUP = 51
"""Nodes along each coefficient of the camera."""

CHANGES = (
    "losses are means over skin, not sums over the image, so that a face's size does not count",
    "all four weights are multiplied by 1e4, the learning rate is 1e-2 instead of 1e-5, with "
    "warm-up and a cosine, and SGD has momentum 0.9: with means, weights and rate as published "
    "hardly move anything in a day",
    "pigments are sigmoids over the range of this project's units: the published range (melanin "
    "0.013-0.43, haemoglobin 0.02-0.07) belongs to the published scale of blood",
    "light and camera are read from averages over the deepest level, so that any image size works",
    "a fifth decoder predicts the mask, learned from the renders' mask: the paper is given one",
    "specular shading starts at 0.05 instead of 1, from where the sparsity loss takes long",
    "shading is compared with the renders' own instead of a fitted model's",
)
"""Changes against the published training, each with its reason."""

_MASK_WEIGHT = 0.1


class PaperPretraining(Training):
    """The paper's four losses on rendered photos, by SGD."""

    def losses(self, batch: tuple[Tensor, Targets]) -> dict[str, Tensor]:
        photo, targets = batch
        prediction = self.encode(photo)
        chosen = rendered_pixels(self.global_step)
        thinned = thin(prediction, chosen)
        seen = photo.permute(0, 2, 3, 1)[chosen]
        found = objectives.self_supervised(
            thinned,
            self.decoder.render(thinned),
            srgb_decode(seen),
            targets.mask[chosen],
            targets.diffuse_shading[chosen],
        )
        losses = {name: SCALE * weight * found[name] for name, weight in WEIGHTS_OF_LOSSES.items()}
        mask = functional.binary_cross_entropy(prediction.mask, targets.mask.clamp(0, 1))
        return losses | {"mask": _MASK_WEIGHT * mask}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = [{"params": list(self.encoder.parameters()), "factor": 1.0}]
        return torch.optim.SGD(parameters, lr=self.learning_rate, momentum=MOMENTUM)


def decoder_config(skin: str, cameras: str) -> DecoderConfig:
    """The published decoder: two camera components, raw to XYZ by pseudo-inverse, looked up."""
    return DecoderConfig(
        skin=skin,
        components=COMPONENTS,
        cameras=cameras,
        method="pseudo_inverse",
        lookup=LOOKUP,
    )
