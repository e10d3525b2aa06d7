"""Self-supervised fine-tuning on photos: the paper's four losses through the physics.

Against forgetting, rendered faces are replayed with their labels, and the pigments read by the
network it started from hold the new ones loosely: a photo alone cannot tell skin from light.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioface.atomic import write_text
from bioface.learn import losses as objectives
from bioface.learn.batches import RelitBatches
from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Encoder, Prediction
from bioface.learn.faces import FaceBatches, FaceCrops, load_faces
from bioface.learn.parallel import Steps, own_device
from bioface.learn.pretrain import data_sha256, rendered_pixels, supervised_losses, thin
from bioface.learn.relight import Relighter
from bioface.learn.runs import REPORT, WEIGHTS, prepare
from bioface.learn.splits import split, split_samples
from bioface.learn.training import Budget, Training, check_options, fit
from bioface.learn.weights import load_weights, save_weights
from bioface.packed import PackedDataset, read_packed
from bioface.spectral.colour import apply_tone, srgb_decode
from bioface.spectral.skin import SkinModel

WEIGHTS_OF_LOSSES = {
    "appearance": 30.0,
    "camera": 0.01,
    "specular": 0.05,
    "shading": 0.5,
    "anchor": 2.0,
    "tone": 0.05,
    "gains": 0.5,
    "globals": 0.02,
    "skin": 0.5,
}
"""Of the paper's four, of the anchor and of the priors on tone, white balance and globals."""

_HELD_OUT = 0.1


@dataclass(frozen=True)
class FinetuneOptions:
    """Everything `finetune` takes; `steps` or `minutes` bounds it."""

    photos: list[Path]
    out: Path
    weights: Path | None = None
    data: Path | None = None
    steps: int | None = None
    minutes: float | None = None
    batch: int = 8
    learning_rate: float = 1e-4
    precision: str = "32"
    seed: int = 0
    devices: int = 1
    workers: int = 0
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_options(self)


class Finetuning(Training):
    """The paper's losses on ((photo, mask, proxy), replayed batch or None)."""

    def __init__(self, encoder: Encoder, decoder: Decoder, **options: Any) -> None:
        super().__init__(encoder, decoder, **options)
        self.first = copy.deepcopy(encoder).requires_grad_(False).eval()
        self.decoder.learn(True)

    uses_all_parameters = False

    def losses(self, batch: tuple[tuple[Tensor, Tensor, Tensor], Any]) -> dict[str, Tensor]:
        (photo, mask, proxy), replay = batch
        photo, mask, proxy = (value.to(self.device) for value in (photo, mask, proxy))
        found = photo_losses(
            self.encode(photo), self.decoder, self.first, photo, mask, proxy, self.global_step
        )
        total = {name: WEIGHTS_OF_LOSSES[name] * value for name, value in found.items()}
        if replay is not None:
            rendered, targets = replay
            replayed = supervised_losses(
                self.encode(rendered), self.decoder, targets, self.global_step
            )
            total["replay"] = torch.stack(list(replayed.values())).sum()
        return total


def photo_losses(
    prediction: Prediction,
    decoder: Decoder,
    first: Encoder,
    photo: Tensor,
    mask: Tensor,
    proxy: Tensor,
    step: int,
) -> dict[str, Tensor]:
    """Unweighted losses, keyed as in `WEIGHTS_OF_LOSSES`, of predictions of photos (B, 3, H, W).

    Appearance is compared in the photo's linear light: the reconstruction goes through the
    predicted tone curve first, because undoing it on the photo would reward dark curves.
    """
    with torch.no_grad():
        before = first(photo.contiguous(memory_format=torch.channels_last))
    chosen = rendered_pixels(step)
    seen = photo.permute(0, 2, 3, 1)[chosen]
    unclipped = (seen.amax(-1) < 0.98) * mask[chosen]
    thinned = thin(prediction, chosen)
    found = objectives.self_supervised(
        thinned,
        seen_by_photo(decoder, thinned),
        srgb_decode(seen),
        unclipped,
        proxy[chosen] * (unclipped > 0.5),
    )
    anchor = [
        objectives.masked_mean((getattr(prediction, n) - getattr(before, n)).square(), mask).mean()
        for n in ("melanin_u", "haemoglobin_u")
    ]
    return found | {
        "anchor": torch.stack(anchor).sum(),
        "tone": prediction.tone.square().mean(),
        "gains": prediction.gains.log().square().mean(),
        "globals": decoder.prior(),
        "skin": decoder.skin_prior(),
    }


def seen_by_photo(decoder: Decoder, prediction: Any) -> Tensor:
    """The reconstruction (B, H, W, 3) in the photo's linear light, its tone curve applied."""
    return srgb_decode(apply_tone(decoder.render(prediction), decoder.tone(prediction)))


def finetune(options: FinetuneOptions) -> dict[str, Any]:
    """Fine-tune, write `weights.safetensors`, `log.csv`, `checkpoint/` and `report.json`.

    Photos are split by the hash of their file names; the report tells the reconstruction RMSE
    (skin pixels, linear light of the photo) on those held out, before and after, and what the
    decoder learned.

    Returns
    -------
    The report.

    Raises
    ------
    BiofaceError
        Weights, photos or data cannot be read, no photo shows a face, the folder cannot be written
        or holds another run, the budget is missing, or training diverged.
    """
    budget = Budget(options.steps, options.minutes)
    model = load_weights(options.weights)
    packed = read_packed(options.data) if options.data else None
    settings = _settings(options, model.sha256, packed)
    checkpoint = prepare(options.out, settings, resume=options.resume, overwrite=options.overwrite)
    device = own_device()
    size = model.encoder.config.size
    faces = load_faces(options.photos, size)
    train, held_out = split([Path(name).name for name in faces.names], _HELD_OUT)
    torch.manual_seed(options.seed)
    encoder, decoder = model.encoder.requires_grad_(True), model.decoder
    before = reconstruction_rmse(encoder, decoder, faces, held_out)
    relighter, replayed = None, np.zeros(0, int)
    if packed is not None:
        skin = SkinModel.load(decoder.config.skin)
        cameras = decoder.camera_model()
        relighter = Relighter(packed, size, skin=skin, cameras=cameras, device=device)
        replayed, _ = split_samples(packed)

    photos = FaceBatches(faces, train, options.batch, options.seed)
    replay = None
    if relighter is not None:
        # Another stream of random numbers than the photos'.
        replay = RelitBatches(relighter, replayed, options.batch, options.seed + 1)

    def batches(start: int) -> Steps:
        return Steps(lambda step: (photos.at(step), replay.at(step) if replay else None), start)

    module = Finetuning(
        encoder,
        decoder,
        budget=budget,
        learning_rate=options.learning_rate,
        precision=options.precision,
    )
    fit(
        module,
        batches,
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
        "reconstruction_rmse": {
            "before": before,
            "after": reconstruction_rmse(module.encoder, decoder, faces, held_out),
        },
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
def reconstruction_rmse(
    encoder: Encoder, decoder: Decoder, faces: FaceCrops, indices: np.ndarray
) -> float:
    """RMSE over the skin of some photos, in the photo's linear light, photos weighing the same."""
    encoder.eval()
    squares = []
    for index in indices:
        photo, mask, _ = faces.central(int(index))
        rendered = seen_by_photo(decoder, encoder(photo))
        linear = srgb_decode(photo.permute(0, 2, 3, 1))
        squares.append(float(objectives.appearance(rendered, linear, (mask > 0.5).float())))
    return float(np.sqrt(np.mean(squares)))


def _settings(
    options: FinetuneOptions, weights_sha256: str, packed: PackedDataset | None
) -> dict[str, Any]:
    """What makes two runs the same, JSON-ready."""
    values = dataclasses.asdict(options)
    for name in ("out", "resume", "overwrite", "weights", "data", "devices", "workers"):
        del values[name]
    values["photos"] = [str(path) for path in options.photos]
    return values | {
        "weights_sha256": weights_sha256,
        "data_sha256": None if packed is None else data_sha256(packed),
    }
