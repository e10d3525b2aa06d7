"""Self-supervised fine-tuning on photos: the paper's four losses through the physics.

Against forgetting, rendered faces are replayed with their labels, and the pigments read by the
network it started from hold the new ones loosely: a photo alone cannot tell skin from light.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioface.atomic import write_text
from bioface.errors import InputError
from bioface.learn import losses as objectives
from bioface.learn.batches import Steps
from bioface.learn.consistency import KINDS, Changes
from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Encoder
from bioface.learn.faces import FaceBatches, FaceCrops, load_faces
from bioface.learn.parallel import drawing_device
from bioface.learn.photo_losses import (
    WEIGHTS_OF_LOSSES,
    PhotoBatch,
    check_ingredients,
    photo_losses,
    seen_by_photo,
)
from bioface.learn.rendered import RenderedFaces, data_settings, mixed_batches, read_larger
from bioface.learn.runs import REPORT, WEIGHTS, check_same, prepare
from bioface.learn.splits import Splits, split
from bioface.learn.supervision import recalled, supervised_losses, told
from bioface.learn.training import Budget, Training, check_options, fit
from bioface.learn.weights import load_weights, save_weights
from bioface.spectral.colour import srgb_decode
from bioface.spectral.skin import SkinModel

_SURE_SKIN = 0.5
_NOT_OF_THE_RUN = (
    "out", "resume", "overwrite", "weights", "data", "larger_data", "devices", "workers",
    "camera_database",
)  # fmt: skip


@dataclass(frozen=True)
class FinetuneOptions:
    """Everything `finetune` takes; `steps` or `minutes` bounds it.

    `without` names ingredients to leave out (`photo_losses.INGREDIENTS`); `replay_batch` is how
    many rendered faces are replayed in a step, as many as photos where it is None; the rest is as
    in `PretrainOptions`.
    """

    photos: list[Path]
    out: Path
    weights: Path | None = None
    data: Path | None = None
    larger_data: Path | None = None
    larger_share: float | None = None
    camera_database: Path | None = None
    steps: int | None = None
    minutes: float | None = None
    batch: int = 8
    replay_batch: int | None = None
    learning_rate: float = 5e-4
    precision: str = "32"
    without: tuple[str, ...] = ()
    seed: int = 0
    devices: int = 1
    workers: int = 0
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.data is None:
            for name in ("larger_data", "replay_batch", "camera_database"):
                if getattr(self, name) is not None:
                    argument = f"--{name.replace('_', '-')}"
                    raise InputError(f"{argument} is about rendered faces: give --data, too")
        check_options(self)
        check_ingredients(self.without)


class Finetuning(Training):
    """The losses of photos, and of a replayed batch of rendered faces or None."""

    uses_all_parameters = False

    def __init__(
        self, encoder: Encoder, decoder: Decoder, *, without: tuple[str, ...] = (), **options: Any
    ) -> None:
        super().__init__(encoder, decoder, **options)
        self.first = copy.deepcopy(encoder).requires_grad_(False).eval()
        self.without = without
        self.decoder.learn("decoder" not in without)

    def losses(self, batch: tuple[PhotoBatch, Any]) -> dict[str, Tensor]:
        photos, replay = batch
        found = photo_losses(
            self.encode,
            self.decoder,
            self.first,
            photos,
            self.global_step,
            self.without,
        )
        if replay is not None:
            rendered, targets = replay
            known = told(targets, self.global_step, self.global_rank, self.world)
            prediction = self.encode(rendered, known=known)
            replayed = supervised_losses(prediction, self.decoder, targets, self.global_step)
            found["replay"] = torch.stack(list(replayed.values())).sum()
            if "recall" not in self.without:
                with torch.no_grad():
                    before = self.first(rendered, known=known)
                found["recall"] = recalled(prediction, before, targets.explained())
        return {name: WEIGHTS_OF_LOSSES[name] * value for name, value in found.items()}


def finetune(options: FinetuneOptions) -> dict[str, Any]:
    """Fine-tune, write `weights.safetensors`, `log.csv`, `checkpoint/` and `report.json`.

    Photos are split by the hash of their file names (`bioface.learn.splits`); the report tells the
    `reconstruction` of those held out, before and after, and what the decoder learned.

    Returns
    -------
    The report.

    Raises
    ------
    BiofaceError
        Weights, photos or data cannot be read, the data is a test set, no photo shows a face, none
        of those held out shows skin, the folder cannot be written or holds another run, the budget
        is missing, or training diverged.
    """
    budget = Budget(options.steps, options.minutes)
    model = load_weights(options.weights)
    size = model.encoder.config.size
    rendered = RenderedFaces.read(options.data) if options.data else None
    larger = read_larger(options.larger_data, size)
    settings = _settings(options, model.sha256, rendered, larger)
    checkpoint = prepare(options.out, settings, resume=options.resume, overwrite=options.overwrite)
    faces = load_faces(options.photos, size)
    names = [Path(name).name for name in faces.names]
    settings["names_sha256"] = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    if checkpoint:
        check_same(options.out, settings)
    train, held_out = split(names, Splits.load().photo_share)
    torch.manual_seed(options.seed)
    encoder, decoder = model.encoder.requires_grad_(True), model.decoder
    before = reconstruction(encoder, decoder, faces, held_out)
    photos = FaceBatches(faces, train, options.batch, options.seed)
    kinds = tuple(kind for kind in KINDS if kind not in options.without) or KINDS
    replay = None
    if rendered is not None and "replay" not in options.without:
        database = options.camera_database
        replay = mixed_batches(
            rendered,
            larger,
            options.larger_share,
            size,
            options.replay_batch or options.batch,
            options.seed + 1,  # another stream of random numbers than the photos'
            skin=SkinModel.load(decoder.config.skin),
            cameras=decoder.camera_model(),
            measured=None if database is None else Splits.load().cameras(database, "training"),
            device=drawing_device(options.workers),
        )

    def at(step: int) -> tuple[PhotoBatch, Any]:
        components = decoder.config.components
        changes = Changes.draw(options.batch, components, options.seed, step, kinds)
        return PhotoBatch(*photos.at(step), changes), replay.at(step) if replay else None

    module = Finetuning(
        encoder,
        decoder,
        budget=budget,
        learning_rate=options.learning_rate,
        precision=options.precision,
        without=options.without,
    )
    fit(
        module,
        lambda start: Steps(at, start),
        options.out,
        title="finetune",
        settings=settings,
        checkpoint=checkpoint,
        devices=options.devices,
        workers=options.workers,
    )
    module.cpu()
    decoder.learn(False)
    report = {
        "settings": settings,
        "steps": module.steps,
        "minutes": round(module.seconds / 60, 2),
        "photos": list(faces.names),
        "held_out": [faces.names[i] for i in held_out],
        "reconstruction": {
            "before": before,
            "after": reconstruction(module.encoder, decoder, faces, held_out),
        },
        "skin_prior": round(float(decoder.skin_prior()), 4),
        "learned": decoder.learned(),
    }
    public = {k: v for k, v in settings.items() if k != "photos"}
    report["weights_sha256"] = save_weights(
        options.out / WEIGHTS,
        module.encoder,
        decoder,
        **(
            model.metadata
            | {"stage": "finetune", "finetune": public | {"photos": len(faces.names)}}
        ),
    )
    write_text(options.out / REPORT, json.dumps(report, indent=1) + "\n")
    return report


@torch.no_grad()
def reconstruction(
    encoder: Encoder, decoder: Decoder, faces: FaceCrops, indices: np.ndarray
) -> dict[str, float]:
    """How well some photos are explained, over their skin, in their linear light.

    Returns
    -------
    dict with `rmse` (photos weighing the same), `relative` (the median over photos of RMSE over
    mean intensity), and `melanin_sd`, `haemoglobin_sd` of the faces' medians in u: a network that
    reads the same from everybody explains little.

    Raises
    ------
    InputError
        None of the photos shows skin.
    """
    encoder.eval()
    squares, relative, medians = [], [], []
    for index in indices:
        photo, mask, _ = faces.central(int(index))
        skin = (mask > _SURE_SKIN).float()
        if not skin.any():
            continue
        prediction = encoder(photo)
        linear = srgb_decode(photo.permute(0, 2, 3, 1))
        squares.append(
            float(objectives.appearance(seen_by_photo(decoder, prediction), linear, skin))
        )
        relative.append(squares[-1] ** 0.5 / float(objectives.masked_mean(linear.mean(-1), skin)))
        maps = (prediction.melanin_u, prediction.haemoglobin_u)
        medians.append([float(u[skin > 0].median()) for u in maps])
    if not medians:
        raise InputError(
            f"{faces.names[indices[0]]}: none of the photos held out ({len(indices)}) shows skin; "
            "give more photos"
        )
    melanin, haemoglobin = np.std(medians, axis=0)
    return {
        "rmse": round(float(np.sqrt(np.mean(squares))), 5),
        "relative": round(float(np.median(relative)), 4),
        "melanin_sd": round(float(melanin), 4),
        "haemoglobin_sd": round(float(haemoglobin), 4),
    }


def _settings(
    options: FinetuneOptions,
    weights_sha256: str,
    rendered: RenderedFaces | None,
    larger: RenderedFaces | None,
) -> dict[str, Any]:
    """What makes two runs the same, JSON-ready."""
    values = dataclasses.asdict(options)
    for name in _NOT_OF_THE_RUN:
        del values[name]
    database = options.camera_database
    values["photos"] = [str(path) for path in options.photos]
    values["without"] = list(options.without)
    return {
        **values,
        **data_settings(rendered, larger),
        "weights_sha256": weights_sha256,
        "measured_cameras": None if database is None else database.name,
    }
