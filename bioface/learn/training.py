"""What pretraining and fine-tuning share: budget, schedule, precision, and the fit itself."""

from __future__ import annotations

import importlib.util
import logging
import math
import multiprocessing
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from bioface.errors import BiofaceError, InputError
from bioface.learn import callbacks
from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Encoder, Prediction
from bioface.learn.parallel import Shares, check_devices, is_first
from bioface.learn.runs import (
    CHECKPOINT,
    LOG,
    SCORES,
    TENSORBOARD,
    WholeCheckpoints,
    read_checkpoint,
    remove_partial,
    start_afresh,
)
from bioface.learn.tensors import map_tensors
from bioface.photo.crop import SIZES

SAVE_EVERY = 200
"""Steps between checkpoints."""
PRECISIONS = ("32", "bf16")
_WARM_UP = 0.03
_LAST_RATE = 0.01


@dataclass(frozen=True)
class Budget:
    """How long to train: a number of steps, or minutes of training (whichever ends first)."""

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise InputError("training needs --steps or --minutes")
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"--{name} {value:g}: must be more than 0, finite")

    def progress(self, steps: int, seconds: float) -> float:
        """Share of the budget that is used up, 0-1."""
        by_steps = steps / self.steps if self.steps else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(max(by_steps, by_time), 1.0)


_RANGES: dict[str, tuple[float, float]] = {
    "batch": (1, math.inf),
    "devices": (1, math.inf),
    "early_share": (0, 1),
    "early_size": SIZES,
    "evaluate": (1, math.inf),
    "larger_share": (0, 1),
    "replay_batch": (1, math.inf),
    "score_minutes": (0, math.inf),
    "seed": (0, 2**63 - 1),
    "size": SIZES,
    "workers": (0, 64),
}
_HIGHEST_RATE = 1.0


def check_options(options: Any) -> None:
    """Refuse values of `PretrainOptions` or `FinetuneOptions` that no training can have.

    Raises
    ------
    InputError
        Names the argument, its value and its range.
    """
    for name in sorted(_RANGES.keys() & vars(options).keys()):
        value, (lowest, highest) = getattr(options, name), _RANGES[name]
        if value is None:
            continue
        argument = f"--{name.replace('_', '-')} {value:g}"
        if isinstance(value, int):
            argument = f"--{name.replace('_', '-')} {value}"
        if not value >= lowest:
            raise InputError(f"{argument}: must be at least {lowest}")
        if value > highest:
            raise InputError(f"{argument}: must be at most {highest}")
    rate = options.learning_rate
    if not 0 < rate < math.inf:
        raise InputError(f"--learning-rate {rate:g}: must be more than 0, finite")
    if rate > _HIGHEST_RATE:
        raise InputError(f"--learning-rate {rate:g}: must be at most {_HIGHEST_RATE:g}")
    if options.precision not in PRECISIONS:
        raise InputError(f"--precision {options.precision}: must be one of {', '.join(PRECISIONS)}")
    if options.larger_share is not None and options.larger_data is None:
        raise InputError("--larger-share is about larger faces: give --larger-data, too")
    check_devices(options.devices, options.batch)
    if getattr(options, "replay_batch", None) is not None:
        check_devices(options.devices, options.replay_batch, "--replay-batch")


class Training(lightning.LightningModule):
    """Encoder and decoder with AdamW, a warm-up and a cosine over the budget.

    Subclasses give the losses of one batch, already weighted, in `losses`, and call the encoder
    through `encode`.
    """

    uses_all_parameters = True
    """Whether every step's losses depend on every parameter that learns."""

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        *,
        budget: Budget,
        learning_rate: float,
        precision: str = "32",
    ) -> None:
        super().__init__()
        self.encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.decoder = decoder
        self.budget = budget
        self.learning_rate = learning_rate
        self.precision = precision
        self.clock = torch.zeros((), dtype=torch.float64).share_memory_()
        self.steps = 0
        self.last: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Time of training so far; processes that draw batches see it too."""
        return float(self.clock)

    @seconds.setter
    def seconds(self, value: float) -> None:
        self.clock.fill_(value)

    @property
    def used(self) -> float:
        """Share of the budget that is used up, 0-1."""
        return self.budget.progress(self.global_step, self.seconds)

    @property
    def world(self) -> int:
        """How many processes share the batches."""
        return self._trainer.world_size if self._trainer else 1

    def encode(self, photo: Tensor, **condition: Any) -> Prediction:
        """The encoder's prediction, in bfloat16 where that was asked for.

        Only the network runs in half precision: three decimal digits do not carry the physics.
        """
        inputs = photo.contiguous(memory_format=torch.channels_last)
        half = self.precision == "bf16"
        with torch.autocast(photo.device.type, torch.bfloat16, enabled=half):
            return self.encoder(inputs, **condition)

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Weighted losses of one batch by name."""
        raise NotImplementedError

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        losses = self.losses(batch)
        each = torch.stack(list(losses.values()))
        total = each.sum()
        # One look at the device a step: each waits for all it has to do.
        values = torch.cat([total[None], each]).tolist()
        self.last = dict(zip(("loss", *losses), values, strict=True))
        if not math.isfinite(values[0]):
            bad = [name for name in losses if not math.isfinite(self.last[name])]
            raise BiofaceError(
                f"training diverged at step {self.global_step} ({', '.join(bad) or 'sum'} is not "
                "finite); lower --learning-rate"
            )
        return total

    def configure_optimizers(self) -> torch.optim.Optimizer:
        decayed = [p for p in self.encoder.parameters() if p.ndim > 1]
        plain = [p for p in self.encoder.parameters() if p.ndim <= 1]
        globals_ = list(self.decoder.parameters())
        return torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": 0.02, "factor": 1.0},
                {"params": plain, "weight_decay": 0.0, "factor": 1.0},
                {"params": globals_, "weight_decay": 0.0, "factor": 10.0},
            ],
            lr=self.learning_rate,
            betas=(0.9, 0.99),
        )

    def rate(self) -> float:
        """Learning rate of the next step."""
        if self.used < _WARM_UP:
            return self.learning_rate * max(self.used / _WARM_UP, 0.02)
        cosine = 0.5 * (1 + math.cos(math.pi * (self.used - _WARM_UP) / (1 - _WARM_UP)))
        return self.learning_rate * (_LAST_RATE + (1 - _LAST_RATE) * cosine)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, _: int) -> Any:
        return map_tensors(batch, lambda tensor: tensor.to(device, non_blocking=True))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seconds"] = self.seconds
        checkpoint["steps"] = self.steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.seconds = checkpoint["seconds"]
        self.steps = checkpoint["steps"]


def fit(
    module: Training,
    batches: Callable[[int], IterableDataset],
    out: Path,
    *,
    title: str,
    settings: dict[str, Any],
    checkpoint: Path | None = None,
    devices: int = 1,
    workers: int = 0,
    score: callbacks.Score | None = None,
    score_minutes: float = 0.0,
) -> None:
    """Train until the budget is used up; the module then holds the averaged weights.

    With several devices Lightning starts the same command once for each but the first; those
    processes end here, by `SystemExit`.

    Parameters
    ----------
    batches
        From the number of the first step to its endless batches, the same in every process.
    out
        Made when needed; gets `log.csv`, `scores.csv` and `checkpoint/last.ckpt`, and TensorBoard's
        events where that is installed. Without `checkpoint`, files of an earlier run are removed
        first.
    settings
        JSON-ready, kept in the checkpoints; see `prepare`.
    checkpoint
        To continue from, exactly.
    devices
        Processes that share the batches: GPUs where there are any, else cores.
    workers
        Processes beside each of these that draw batches; none where a process cannot fork, which a
        line on stderr says.
    score, score_minutes
        Measured of the averaged encoder so often, if more than 0; the time it takes does not count.

    Raises
    ------
    BiofaceError
        Training diverged, or a file cannot be written.
    KeyboardInterrupt
        Ctrl-C was pressed; the last whole step is saved.
    """
    start = 0
    if checkpoint:
        state = read_checkpoint(checkpoint)
        start = state["global_step"]
        if module.budget.progress(start, state["seconds"]) >= 1:
            module.load_state_dict(state["state_dict"])
            module.on_load_checkpoint(state)
            return
        remove_partial(out)
    elif is_first():
        start_afresh(out)
    interruption = callbacks.Interruption(out / CHECKPOINT)
    average = callbacks.Average()
    clock = callbacks.Clock(title)
    around: list[Any] = [clock, callbacks.Log(out / LOG), callbacks.Settings(settings), average]
    if score is not None and score_minutes > 0:
        around.append(callbacks.Scores(out / SCORES, score, score_minutes, average, clock))
    around += [interruption, _saver(out)]
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            warnings.filterwarnings("ignore", module=r"torch\.utils\.data")
            trainer = lightning.Trainer(
                max_steps=module.budget.steps or -1,
                max_epochs=1,
                accelerator="gpu" if torch.cuda.is_available() else "cpu",
                devices=devices,
                strategy=_strategy(module, devices),
                gradient_clip_val=1.0,
                logger=_tensorboard(out, start),
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                plugins=[WholeCheckpoints()],
                callbacks=around,
            )
            loader = _loader(batches(start), trainer, workers)
            trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
    except callbacks.Interrupted:
        if is_first():
            raise KeyboardInterrupt from None
    except SystemExit:
        if interruption.asked:
            raise KeyboardInterrupt from None
        raise
    except OSError as error:
        raise BiofaceError(
            f"{out}: training stopped ({error.strerror or error}); continue later with --resume"
        ) from error
    finally:
        interruption.restore()
    if not is_first():
        raise SystemExit(0)
    _finite(module)


def _loader(batches: IterableDataset, trainer: lightning.Trainer, workers: int) -> DataLoader[Any]:
    if trainer.world_size > 1:
        batches = Shares(batches, trainer.global_rank, trainer.world_size)
    if workers and "fork" not in multiprocessing.get_all_start_methods():
        workers = 0
        if is_first():
            print("bioface: no --workers: processes cannot fork on this system", file=sys.stderr)
    return DataLoader(
        batches,
        None,
        num_workers=workers,
        pin_memory=workers > 0 and torch.cuda.is_available(),
        multiprocessing_context="fork" if workers else None,
    )


def _strategy(module: Training, devices: int) -> str:
    if devices == 1:
        return "auto"
    return "ddp" if module.uses_all_parameters else "ddp_find_unused_parameters_true"


def _saver(out: Path) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=out / CHECKPOINT.parent,
        filename=CHECKPOINT.stem,
        every_n_train_steps=SAVE_EVERY,
        save_top_k=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def _tensorboard(out: Path, start: int) -> Any:
    """A logger where TensorBoard is installed; what was logged after `start` is hidden."""
    if importlib.util.find_spec("tensorboard") is None:
        return False
    return TensorBoardLogger(out, name=None, version=TENSORBOARD, purge_step=start + 1)


def _finite(module: nn.Module) -> None:
    if not all(bool(torch.isfinite(p).all()) for p in module.parameters()):
        raise BiofaceError("training diverged: weights are not finite; lower --learning-rate")
