"""Supervised pretraining on rendered faces, recoloured for every batch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from bioface.atomic import write_text
from bioface.errors import InputError
from bioface.learn import paper
from bioface.learn.accuracy import held_out_accuracy, require_skin
from bioface.learn.batches import Steps
from bioface.learn.decoder import Decoder, DecoderConfig
from bioface.learn.encoder import Encoder, EncoderConfig
from bioface.learn.paper_network import PaperConfig, PaperEncoder
from bioface.learn.parallel import drawing_device, own_device
from bioface.learn.relight import Relighter, Targets
from bioface.learn.rendered import RenderedFaces, data_settings, mixed_batches, read_larger
from bioface.learn.runs import REPORT, WEIGHTS, prepare
from bioface.learn.splits import Splits
from bioface.learn.supervision import Pretraining
from bioface.learn.training import Budget, Training, check_options, fit
from bioface.learn.weights import TrainedModel, load_weights, save_weights
from bioface.spectral.camera import CameraModel, Method
from bioface.spectral.skin import SkinModel

_NOT_OF_THE_RUN = (
    "data", "larger_data", "out", "resume", "overwrite", "score_minutes", "devices", "workers",
    "camera_database",
)  # fmt: skip
CONDITIONS: tuple[Literal["full", "clean"], ...] = ("full", "clean")
_EVALUATION_SEED = 1
_SCORED = 64


CONFIGS = ("default", "paper")
_LEARNING_RATES = {"default": 2e-3, "paper": paper.LEARNING_RATE}


@dataclass(frozen=True)
class PretrainOptions:
    """Everything `pretrain` takes; `steps` or `minutes` bounds it.

    Attributes
    ----------
    config
        `default`, or `paper`: the published network, decoder and losses (`bioface.learn.paper`).
    larger_data, larger_share
        People rendered two or more times as large as `size`, and the share of batches (0.5 when
        None; once crops are of `size`) that shows them in photos of that size, averaged down.
    weights
        A file to go on from: its encoder. What its decoder learned from photos is dropped, as
        renders follow the calibrated skin.
    size
        Side of the crops, pixels; for the first `early_share` of the budget `early_size` instead,
        if that is given: small crops teach what there is to know of colour in less time.
    learning_rate
        Of AdamW, after warm-up; it falls to a hundredth along a cosine. 2e-3 when None, or what
        the `paper` configuration says.
    precision
        `32`, or `bf16` for the network alone.
    skin, cameras, method
        Skin model, camera model and raw to XYZ of the decoder that the weights are for; `paper`
        has its own way from raw to XYZ.
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
    config: str = "default"
    larger_data: Path | None = None
    larger_share: float | None = None
    weights: Path | None = None
    size: int = 128
    early_size: int | None = None
    early_share: float = 0.7
    batch: int = 16
    learning_rate: float | None = None
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
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", _LEARNING_RATES.get(self.config))
        if self.config not in CONFIGS:
            raise InputError(f"--config {self.config}: must be one of {', '.join(CONFIGS)}")
        if self.config == "paper" and self.weights is not None:
            raise InputError("--config paper starts from nothing: leave out --weights")
        check_options(self)
        if self.early_size is not None and self.early_size > self.size:
            raise InputError(f"--early-size {self.early_size}: must be at most --size {self.size}")


def pretrain(options: PretrainOptions) -> dict[str, Any]:
    """Train, write `weights.safetensors`, `log.csv`, `checkpoint/` and `report.json`.

    The report holds accuracy on held-out samples under held-out lights, *clean* and *full* (see
    `Relighter.for_test`), and of larger photos, if they are trained on, as `larger`.

    Returns
    -------
    The report.

    Raises
    ------
    BiofaceError
        The data cannot be read, is a test set or shows too little skin, the folder cannot be
        written or holds another run, the budget is missing, or training diverged.
    """
    budget = Budget(options.steps, options.minutes)
    faces = RenderedFaces.read(options.data)
    larger = read_larger(options.larger_data, options.size)
    device = own_device()
    skin = SkinModel.load(options.skin)
    earlier = load_weights(options.weights) if options.weights else None
    if earlier is not None and isinstance(earlier.encoder, PaperEncoder):
        raise InputError(
            f"{options.weights}: weights of --config paper cannot be trained further; choose others"
        )
    settings = _settings(options, faces, larger) | {"weights": earlier and earlier.sha256}
    checkpoint = prepare(options.out, settings, resume=options.resume, overwrite=options.overwrite)
    cameras = CameraModel.load(
        earlier.encoder.config.components if earlier else None, name=options.cameras
    )
    components = len(cameras.deviations)

    drawn_on = drawing_device(options.workers)
    database = options.camera_database
    measured = None if database is None else Splits.load().cameras(database, "training")
    drawn: dict[str, Any] = {"skin": skin, "device": drawn_on}

    def judge(faces: RenderedFaces, condition: Literal["clean", "full"]) -> Relighter:
        size, factor = options.size, faces.factor
        return Relighter.for_test(
            faces.packed, size, condition, factor=factor, database=database, **drawn
        )

    judges = {name: judge(faces, name) for name in CONDITIONS}
    require_skin(judges["full"], faces.held_out, options.evaluate, _EVALUATION_SEED)
    if larger:
        require_skin(judge(larger, "full"), larger.held_out, options.evaluate, _EVALUATION_SEED)
    torch.manual_seed(options.seed)
    module = _module(options, budget, earlier, components)

    def batches(start: int) -> IterableDataset:
        count, seed = options.batch, options.seed
        draws = drawn | {"cameras": cameras, "measured": measured}
        late = mixed_batches(
            faces, larger, options.larger_share, options.size, count, seed, **draws
        )
        early = faces.batches(options.early_size or options.size, count, seed, **draws)

        def at(step: int) -> tuple[Tensor, Targets]:
            used = budget.progress(step, module.seconds)
            small = options.early_size is not None and used < options.early_share
            return (early if small else late).at(step)

        return Steps(at, start)

    def score(encoder: Encoder) -> Mapping[str, float]:
        found = held_out_accuracy(
            encoder, judges["full"], faces.held_out, _SCORED, _EVALUATION_SEED
        )
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
    report: dict[str, Any] = {
        "settings": settings,
        "steps": module.steps,
        "minutes": round(module.seconds / 60, 2),
        "samples": faces.counts,
    }

    def accuracy(relighter: Relighter, held_out: np.ndarray) -> dict[str, Any]:
        return held_out_accuracy(
            module.encoder, relighter, held_out, options.evaluate, _EVALUATION_SEED
        )

    report |= {name: accuracy(judges[name], faces.held_out) for name in CONDITIONS}
    if larger:
        report["larger"] = {
            name: accuracy(judge(larger, name), larger.held_out) for name in CONDITIONS
        }
        report["larger"]["samples"] = larger.counts
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


def _module(
    options: PretrainOptions, budget: Budget, earlier: TrainedModel | None, components: int
) -> Training:
    """Network, decoder and losses of the configuration."""
    kind: type[Training] = Pretraining
    if options.config == "paper":
        kind = paper.PaperPretraining
        encoder: Encoder = PaperEncoder(PaperConfig(size=options.size))
        decoder_config = paper.decoder_config(options.skin, options.cameras)
    else:
        decoder_config = DecoderConfig(
            skin=options.skin,
            components=components,
            cameras=options.cameras,
            method=options.method,
        )
        if earlier is None:
            encoder = Encoder(EncoderConfig(components=components, size=options.size))
        else:
            encoder = Encoder(
                dataclasses.replace(earlier.encoder.config, size=options.size, normals=True)
            )
            # An earlier network may lack what can be told normals, which begins as adding nothing.
            encoder.load_state_dict(encoder.state_dict() | earlier.encoder.state_dict())
    assert options.learning_rate is not None
    return kind(
        encoder,
        Decoder(decoder_config),
        budget=budget,
        learning_rate=options.learning_rate,
        precision=options.precision,
    )


def _settings(
    options: PretrainOptions, faces: RenderedFaces, larger: RenderedFaces | None
) -> dict[str, Any]:
    """What makes two runs the same, JSON-ready."""
    values = dataclasses.asdict(options)
    for name in (*_NOT_OF_THE_RUN, "weights", "evaluate"):
        del values[name]
    measured = None if options.camera_database is None else options.camera_database.name
    return values | data_settings(faces, larger) | {"measured_cameras": measured}
