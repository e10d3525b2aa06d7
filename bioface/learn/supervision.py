"""Learning from rendered photos, whose truth is known."""

from __future__ import annotations

from torch import Tensor

from bioface.learn import losses as objectives
from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Prediction
from bioface.learn.relight import Targets
from bioface.learn.training import Training

RENDER_STRIDE = 4
"""The appearance loss looks at every 4th pixel of every 4th row, another offset each step."""


class Pretraining(Training):
    """Supervised losses on (photo, targets) batches."""

    def losses(self, batch: tuple[Tensor, Targets]) -> dict[str, Tensor]:
        photo, targets = batch
        return supervised_losses(self.encode(photo), self.decoder, targets, self.global_step)


def supervised_losses(
    prediction: Prediction, decoder: Decoder, targets: Targets, step: int
) -> dict[str, Tensor]:
    """Weighted supervised losses of one batch, the re-rendered image among them."""
    chosen = rendered_pixels(step)
    rendered = decoder.render(thin(prediction, chosen), targets.method)
    found = objectives.supervised(prediction, targets)
    found["appearance"] = objectives.appearance(
        rendered.clamp(max=2), targets.linear[chosen].clamp(max=2), targets.mask[chosen]
    )
    return {name: objectives.SUPERVISED_WEIGHTS[name] * value for name, value in found.items()}


def rendered_pixels(step: int) -> tuple[slice, ...]:
    """Index of (B, H, W, ...): the pixels that the appearance loss looks at in a step."""
    rows, columns = step % RENDER_STRIDE, step // RENDER_STRIDE % RENDER_STRIDE
    return slice(None), slice(rows, None, RENDER_STRIDE), slice(columns, None, RENDER_STRIDE)


def thin(prediction: Prediction, chosen: tuple[slice, ...]) -> Prediction:
    """The prediction at some of the pixels."""
    return prediction.map(lambda value: value[chosen] if value.ndim == 3 else value)
