"""Supervised pretraining on rendered faces, recoloured for every batch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from bioface.atomic import write_text
from bioface.learn import losses as objectives
from bioface.learn.accuracy import held_out_accuracy, require_skin
from bioface.learn.batches import RelitBatches
from bioface.learn.decoder import Decoder, DecoderConfig
from bioface.learn.encoder import Encoder, EncoderConfig, Prediction
from bioface.learn.parallel import Steps, own_device
from bioface.learn.relight import Relighter, Targets
from bioface.learn.runs import REPORT, WEIGHTS, prepare
from bioface.learn.splits import Splits, split_samples
from bioface.learn.training import Budget, Training, check_options, fit
from bioface.learn.weights import load_weights, save_weights
from bioface.packed import PackedDataset, read_packed
from bioface.spectral.camera import CameraModel, Method
from bioface.spectral.skin import SkinModel

RENDER_STRIDE = 4
"""The appearance loss looks at every 4th pixel of every 4th row, another offset each step."""

_NOT_OF_THE_RUN = (
    "data", "out", "resume", "overwrite", "score_minutes", "devices", "workers",
    "camera_database",
)  # fmt: skip
CONDITIONS: tuple[Literal["full", "clean"], ...] = ("full", "clean")
_EVALUATION_SEED = 1
_SCORED = 64


@dataclass(frozen=True)
class PretrainOptions:
    """Everything `pretrain` takes; `steps` or `minutes` bounds it.

    Attributes
    ----------
    weights
        A file to go on from.
    size
        Side of the crops, pixels; for the first `early_share` of the budget `early_size` instead,
        if that is given: small crops teach what there is to know of colour in less time.
    learning_rate
        Of AdamW, after warm-up; it falls to a hundredth along a cosine.
    precision
        `32`, or `bf16` for the network alone.
    skin, cameras, method
        Skin model, camera model and raw to XYZ of the decoder that the weights are for.
    evaluate
        Photos that the report's accuracy is measured on.
    score_minutes
        How often 64 held-out photos are measured while training; 0 means never.
    devices, workers
        Processes that share each batch, and processes beside each of them that draw batches.
    camera_database
        Measured cameras (rawtoaces52.npz): half of the photos are then taken by those of the
        training side instead of the model's, and those held out take the ones that are reported.
    """

    data: Path
    out: Path
    steps: int | None = None
    minutes: float | None = None
    weights: Path | None = None
    size: int = 128
    early_size: int | None = None
    early_share: float = 0.7
    batch: int = 16
    learning_rate: float = 2e-3
    precision: str = "32"
    skin: str = "calibrated"
    cameras: str = "training"
    method: Method = "fitted"
    seed: int = 0
    evaluate: int = 256
    score_minutes: float = 10.0
    devices: int = 1
    workers: int = 0
    camera_database: Path | None = None
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_options(self)


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


def pretrain(options: PretrainOptions) -> dict[str, Any]:
    """Train, write `weights.safetensors`, `log.csv`, `checkpoint/` and `report.json`.

    The report holds accuracy on held-out samples under held-out lights, *clean* and *full* (see
    `Relighter.for_test`).

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
    device = own_device()
    skin = SkinModel.load(options.skin)
    earlier = load_weights(options.weights) if options.weights else None
    settings = _settings(options, packed) | {"weights": earlier and earlier.sha256}
    checkpoint = prepare(options.out, settings, resume=options.resume, overwrite=options.overwrite)
    train, held_out = split_samples(packed)
    cameras = CameraModel.load(
        earlier.encoder.config.components if earlier else None, name=options.cameras
    )
    components = len(cameras.deviations)

    database = options.camera_database
    measured = None if database is None else Splits.load().cameras(database, "training")
    judges = {
        name: Relighter.for_test(
            packed, options.size, name, database=database, skin=skin, device=device
        )
        for name in CONDITIONS
    }
    require_skin(judges["full"], held_out, options.evaluate, _EVALUATION_SEED)
    torch.manual_seed(options.seed)
    if earlier is None:
        encoder = Encoder(EncoderConfig(components=components, size=options.size))
    else:
        encoder = Encoder(dataclasses.replace(earlier.encoder.config, size=options.size))
        encoder.load_state_dict(earlier.encoder.state_dict())
    module = Pretraining(
        encoder,
        Decoder(
            DecoderConfig(
                skin=options.skin,
                components=components,
                cameras=options.cameras,
                method=options.method,
            )
        ),
        budget=budget,
        learning_rate=options.learning_rate,
        precision=options.precision,
    )

    def batches(start: int) -> IterableDataset:
        early, late = (
            RelitBatches(
                Relighter(
                    packed, size, skin=skin, cameras=cameras, measured=measured, device=device
                ),
                train,
                options.batch,
                options.seed,
            )
            for size in (options.early_size or options.size, options.size)
        )

        def at(step: int) -> tuple[Tensor, Targets]:
            used = budget.progress(step, module.seconds)
            small = options.early_size is not None and used < options.early_share
            return (early if small else late).at(step)

        return Steps(at, start)

    def score(encoder: Encoder) -> Mapping[str, float]:
        found = held_out_accuracy(encoder, judges["full"], held_out, _SCORED, _EVALUATION_SEED)
        names = ("melanin", "haemoglobin")
        return {
            f"{name}_{kind}": found[name][kind] for name in names for kind in ("rmse", "within")
        }

    fit(
        module,
        batches,
        options.out,
        title="pretrain",
        settings=settings,
        checkpoint=checkpoint,
        devices=options.devices,
        workers=options.workers,
        score=score,
        score_minutes=options.score_minutes,
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
        skin_constants={k: float(v) for k, v in skin.constants.items()},
    )
    write_text(options.out / REPORT, json.dumps(report, indent=1) + "\n")
    return report


def _settings(options: PretrainOptions, packed: PackedDataset) -> dict[str, Any]:
    """What makes two runs the same, JSON-ready."""
    values = dataclasses.asdict(options)
    for name in (*_NOT_OF_THE_RUN, "weights", "evaluate"):
        del values[name]
    measured = None if options.camera_database is None else options.camera_database.name
    return values | {"data_sha256": data_sha256(packed), "measured_cameras": measured}


def data_sha256(packed: PackedDataset) -> str:
    """What tells one packed dataset from another: the hash of its header, not of its path."""
    header = json.dumps(packed.header, sort_keys=True).encode()
    return hashlib.sha256(header).hexdigest()
