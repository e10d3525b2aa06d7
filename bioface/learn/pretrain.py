"""Supervised pretraining on rendered faces, recoloured for every batch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bioface.atomic import write_text
from bioface.learn import losses as objectives
from bioface.learn.accuracy import held_out_accuracy, require_skin
from bioface.learn.batches import RelitBatches, split_samples
from bioface.learn.decoder import Decoder, DecoderConfig
from bioface.learn.encoder import Encoder, EncoderConfig, Prediction
from bioface.learn.relight import RelightConfig, Relighter, Targets
from bioface.learn.training import (
    REPORT,
    WEIGHTS,
    Budget,
    Training,
    check_options,
    fit,
    prepare,
)
from bioface.learn.weights import load_weights, save_weights
from bioface.packed import PackedDataset, read_packed
from bioface.spectral.skin import SkinModel

RENDER_STRIDE = 4
"""The appearance loss looks at every 4th pixel of every 4th row, another offset each step."""

_EVALUATION_SEED = 1


@dataclass(frozen=True)
class PretrainOptions:
    """Everything `pretrain` takes; `steps` or `minutes` bounds it.

    `weights` are a file to go on from, for example after training at a smaller size.
    """

    data: Path
    out: Path
    steps: int | None = None
    minutes: float | None = None
    weights: Path | None = None
    size: int = 128
    batch: int = 16
    learning_rate: float = 2e-3
    skin: str = "calibrated"
    seed: int = 0
    evaluate: int = 256
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_options(self)


class Pretraining(Training):
    """Supervised losses on (photo, targets) batches."""

    def losses(self, batch: tuple[Tensor, Targets]) -> dict[str, Tensor]:
        photo, targets = batch
        return supervised_losses(self.encoder, self.decoder, photo, targets, self.global_step)


def supervised_losses(
    encoder: Encoder, decoder: Decoder, photo: Tensor, targets: Targets, step: int
) -> dict[str, Tensor]:
    """Weighted supervised losses of one batch, the re-rendered image among them."""
    prediction = encoder(photo.contiguous(memory_format=torch.channels_last))
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


def pretrain(options: PretrainOptions) -> dict[str, Any]:
    """Train, write `weights.safetensors`, `log.csv`, `checkpoint/` and `report.json`.

    The report holds accuracy on held-out samples, *clean* and *full* (see `RelightConfig`).

    Returns
    -------
    The report.

    Raises
    ------
    BiofaceError
        The data cannot be read or shows too little skin, the folder cannot be written or holds
        another run, the budget is missing, or training diverged.
    """
    budget = Budget(options.steps, options.minutes)
    packed = read_packed(options.data)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    relighter = Relighter(packed, options.size, skin=SkinModel.load(options.skin), device=device)
    earlier = load_weights(options.weights) if options.weights else None
    settings = _settings(options, packed) | {"weights": earlier and earlier.sha256}
    checkpoint = prepare(options.out, settings, resume=options.resume, overwrite=options.overwrite)
    train, held_out = split_samples(packed)
    judges = {}
    for name, conditions in (("full", RelightConfig()), ("clean", RelightConfig.clean())):
        config = dataclasses.replace(conditions, redraw=1.0, methods=("fitted",))
        judges[name] = Relighter(
            packed, options.size, config=config, skin=relighter.skin, device=device
        )
    require_skin(judges["full"], held_out, options.evaluate, _EVALUATION_SEED)
    torch.manual_seed(options.seed)
    components = len(relighter.cameras.deviations)
    if earlier is None:
        encoder = Encoder(EncoderConfig(components=components, size=options.size))
    else:
        encoder = Encoder(dataclasses.replace(earlier.encoder.config, size=options.size))
        encoder.load_state_dict(earlier.encoder.state_dict())
    module = Pretraining(
        encoder,
        Decoder(DecoderConfig(skin=options.skin, components=components)),
        budget=budget,
        learning_rate=options.learning_rate,
    )
    fit(
        module,
        lambda start: RelitBatches(relighter, train, options.batch, options.seed, start),
        options.out,
        title="pretrain",
        settings=settings,
        checkpoint=checkpoint,
    )
    module.to(device)
    report = {
        "settings": settings,
        "steps": module.steps,
        "minutes": round(module.seconds / 60, 2),
        "samples": {"training": len(train), "held_out": len(held_out)},
    }
    for name, judge in judges.items():
        report[name] = held_out_accuracy(
            module.encoder, judge, held_out, options.evaluate, _EVALUATION_SEED
        )
    report["weights_sha256"] = save_weights(
        options.out / WEIGHTS,
        module.encoder,
        module.decoder,
        stage="pretrain",
        settings=settings,
        steps=module.steps,
        skin_constants={k: float(v) for k, v in relighter.skin.constants.items()},
    )
    write_text(options.out / REPORT, json.dumps(report, indent=1) + "\n")
    return report


def _settings(options: PretrainOptions, packed: PackedDataset) -> dict[str, Any]:
    """What makes two runs the same, JSON-ready."""
    values = dataclasses.asdict(options)
    for name in ("data", "out", "weights", "resume", "overwrite", "evaluate"):
        del values[name]
    return values | {"data_sha256": data_sha256(packed)}


def data_sha256(packed: PackedDataset) -> str:
    """What tells one packed dataset from another: the hash of its header, not of its path."""
    header = json.dumps(packed.header, sort_keys=True).encode()
    return hashlib.sha256(header).hexdigest()
