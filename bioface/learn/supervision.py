"""Learning from rendered photos, whose truth is known."""

from __future__ import annotations

import torch
from torch import Tensor

from bioface.learn import losses as objectives
from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Known, Prediction
from bioface.learn.relight import Targets
from bioface.learn.tensors import sent
from bioface.learn.training import Training

RENDER_STRIDE = 4
"""The appearance loss looks at every 4th pixel of every 4th row, another offset each step."""

TOLD_SHARE = 1 / 6
"""Share of the photos whose camera, illuminant, white balance or normals the network is told."""


class Pretraining(Training):
    """Supervised losses on (photo, targets) batches."""

    def on_train_start(self) -> None:
        self.decoder.hold()

    def losses(self, batch: tuple[Tensor, Targets]) -> dict[str, Tensor]:
        photo, targets = batch
        known = told(targets, self.global_step, self.global_rank, self.world)
        prediction = self.encode(photo, known=known)
        return supervised_losses(prediction, self.decoder, targets, self.global_step)


def told(targets: Targets, step: int, rank: int = 0, world: int = 1) -> Known:
    """What the network is told in a step: of most photos nothing, of some camera, light and so on.

    Camera and illuminant are each known of a sixth of the photos, white balance and normals of as
    many; of another twelfth the first three. Process `rank` of `world` has but its share of the
    photos.
    """
    generator = torch.Generator().manual_seed(step)
    drawn = torch.rand(world * len(targets.b), 5, generator=generator)[rank::world]
    given = (drawn[:, :3] < TOLD_SHARE) | (drawn[:, 3:4] < TOLD_SHARE / 2)
    shaped = drawn[:, 4] < TOLD_SHARE
    normals = targets.normals * sent(shaped, targets.b)[:, None, None, None]
    return Known(targets.b, targets.spd, targets.gains, sent(given, targets.b), normals)


def supervised_losses(
    prediction: Prediction, decoder: Decoder, targets: Targets, step: int
) -> dict[str, Tensor]:
    """Weighted supervised losses of one batch, the re-rendered image among them."""
    chosen = rendered_pixels(step)
    rendered = decoder.render(thin(prediction, chosen), targets.method)
    found = objectives.supervised(prediction, targets)
    found["appearance"] = objectives.appearance(
        rendered.clamp(max=2), targets.linear[chosen].clamp(max=2), targets.explained()[chosen]
    )
    return {name: objectives.SUPERVISED_WEIGHTS[name] * value for name, value in found.items()}


def recalled(prediction: Prediction, before: Prediction, mask: Tensor) -> Tensor:
    """How far the four maps are from those read before, weighted and summed as in supervision."""
    found = objectives.of_maps(prediction, before, mask)
    return torch.stack([objectives.SUPERVISED_WEIGHTS[n] * v for n, v in found.items()]).sum()


def rendered_pixels(step: int) -> tuple[slice, ...]:
    """Index of (B, H, W, ...): the pixels that the appearance loss looks at in a step."""
    rows, columns = step % RENDER_STRIDE, step // RENDER_STRIDE % RENDER_STRIDE
    return slice(None), slice(rows, None, RENDER_STRIDE), slice(columns, None, RENDER_STRIDE)


def thin(prediction: Prediction, chosen: tuple[slice, ...]) -> Prediction:
    """The prediction at some of the pixels."""
    return prediction.map(lambda value: value[chosen] if value.ndim == 3 else value)
