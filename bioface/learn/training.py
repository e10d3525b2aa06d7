"""What pretraining and fine-tuning share: schedule, averaging, log, checkpoints, device."""

from __future__ import annotations

import csv
import logging
import math
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from bioface.errors import BiofaceError, InputError
from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Encoder

CHECKPOINT = Path("checkpoint") / "last.ckpt"
_CHECKPOINT_KEYS = {"settings", "global_step", "seconds", "steps", "state_dict"}
LOG = "log.csv"
WEIGHTS = "weights.safetensors"
REPORT = "report.json"
SAVE_EVERY = 200
"""Steps between checkpoints."""
_WARM_UP = 0.03
_LAST_RATE = 0.01
_LOG_EVERY = 10


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


_LOWEST = {"batch": 1, "evaluate": 1, "size": 32, "seed": 0}
_HIGHEST = {"size": 1024, "seed": 2**63 - 1}


def check_options(options: Any) -> None:
    """Refuse values of `PretrainOptions` or `FinetuneOptions` that no training can have.

    Raises
    ------
    InputError
        Names the argument, its value and its range.
    """
    for name in sorted(_LOWEST.keys() & vars(options).keys()):
        value = getattr(options, name)
        if value < _LOWEST[name]:
            raise InputError(f"--{name} {value}: must be at least {_LOWEST[name]}")
        if value > _HIGHEST.get(name, math.inf):
            raise InputError(f"--{name} {value}: must be at most {_HIGHEST[name]}")
    if not 0 < options.learning_rate < math.inf:
        raise InputError(f"--learning-rate {options.learning_rate:g}: must be more than 0, finite")


class Training(lightning.LightningModule):
    """Encoder and decoder with AdamW, a warm-up and a cosine over the budget.

    Subclasses give the losses of one batch, already weighted, in `losses`.
    """

    def __init__(
        self, encoder: Encoder, decoder: Decoder, *, budget: Budget, learning_rate: float
    ) -> None:
        super().__init__()
        self.encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.decoder = decoder
        self.budget = budget
        self.learning_rate = learning_rate
        self.seconds = 0.0
        self.steps = 0
        self.last: dict[str, float] = {}

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Weighted losses of one batch by name."""
        raise NotImplementedError

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        losses = self.losses(batch)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            bad = [name for name, value in losses.items() if not torch.isfinite(value)]
            raise BiofaceError(
                f"training diverged at step {self.global_step} ({', '.join(bad) or 'sum'} is not "
                "finite); lower --learning-rate"
            )
        values = {"loss": total} | losses
        self.last = {name: float(value.detach()) for name, value in values.items()}
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
        used = self.budget.progress(self.global_step, self.seconds)
        if used < _WARM_UP:
            return self.learning_rate * max(used / _WARM_UP, 0.02)
        cosine = 0.5 * (1 + math.cos(math.pi * (used - _WARM_UP) / (1 - _WARM_UP)))
        return self.learning_rate * (_LAST_RATE + (1 - _LAST_RATE) * cosine)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, _: int) -> Any:
        return batch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seconds"] = self.seconds
        checkpoint["steps"] = self.steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.seconds = checkpoint["seconds"]
        self.steps = checkpoint["steps"]


class _Clock(Callback):
    """Sets the learning rate, counts time, stops when the budget is used up, shows progress."""

    def __init__(self, title: str) -> None:
        self.title = title

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.tick = time.monotonic()
        self.bar = tqdm(total=1000, desc=self.title, disable=None, bar_format=_BAR)
        self._show(module)

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        rate = module.rate()
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["factor"]

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        now = time.monotonic()
        module.seconds += now - self.tick
        module.steps += 1
        self.tick = now
        self._show(module)
        if module.budget.progress(module.global_step, module.seconds) >= 1:
            trainer.should_stop = True

    def _show(self, module: Training) -> None:
        used = module.budget.progress(module.global_step, module.seconds)
        self.bar.set_postfix_str(f"loss {module.last.get('loss', math.nan):.3f}", refresh=False)
        self.bar.update(round(1000 * used) - self.bar.n)

    def teardown(self, trainer: Any, module: Any, stage: str) -> None:
        if hasattr(self, "bar"):
            self.bar.close()


_BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class _Log(Callback):
    """Appends a row of losses to a CSV file every few steps; resuming drops later rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sums: dict[str, float] = {}
        self.count = 0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        rows = []
        if trainer.global_step and self.path.exists():
            with open(self.path, newline="", encoding="utf-8") as file:
                rows = [r for r in csv.reader(file)][:1]
                file.seek(0)
                rows += [r for r in csv.reader(file) if _step(r) <= trainer.global_step]
        with open(self.path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        for name, value in module.last.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        step = trainer.global_step
        if step % _LOG_EVERY and step > 1:
            return
        row = {"step": step, "minutes": f"{module.seconds / 60:.3f}"}
        row |= {"learning_rate": f"{trainer.optimizers[0].param_groups[0]['lr']:.4g}"}
        row |= {name: f"{total / self.count:.6g}" for name, total in self.sums.items()}
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
        self.sums, self.count = {}, 0


def _step(row: list[str]) -> float:
    try:
        return int(row[0])
    except (IndexError, ValueError):
        return math.inf


class _Average(WeightAveraging):
    """Exponential moving average whose memory grows with the run, up to `decay`."""

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__(
            avg_fn=lambda average, current, count: average.lerp(
                current, 1 - min(decay, (1 + int(count)) / (10 + int(count)))
            )
        )


def prepare(out: Path, settings: dict[str, Any], *, resume: bool, overwrite: bool) -> Path | None:
    """The checkpoint to continue from, or None to start; makes and removes nothing.

    Raises
    ------
    BiofaceError
        The folder cannot be written, or holds a run and neither `resume` nor `overwrite` is given,
        or the run to resume had other settings.
    """
    checkpoint = out / CHECKPOINT
    try:
        existing = next(place for place in (out, *out.absolute().parents) if place.exists())
        if not existing.is_dir():
            raise BiofaceError(f"{out}: {existing} is not a folder; choose another --out")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise BiofaceError(
            f"{out}: cannot write here ({error.strerror}); choose another --out"
        ) from error
    if resume and checkpoint.exists():
        before = read_checkpoint(checkpoint)["settings"]
        changed = [k for k in settings if before.get(k) != settings[k]]
        if changed:
            raise InputError(
                f"{out}: was started with {changed[0]} {before.get(changed[0])}, "
                f"not {settings[changed[0]]}; resume with the same arguments"
            )
        return checkpoint
    if not (resume or overwrite) and (checkpoint.exists() or (out / WEIGHTS).exists()):
        raise InputError(f"{out}: holds a training run; pass --resume or --overwrite")
    return None


def _start_afresh(out: Path) -> None:
    """Make the folder, without what an earlier run left in it."""
    try:
        (out / CHECKPOINT.parent).mkdir(parents=True, exist_ok=True)
        for old in (CHECKPOINT, LOG, WEIGHTS, REPORT):
            (out / old).unlink(missing_ok=True)
    except OSError as error:
        raise BiofaceError(
            f"{out}: cannot write here ({error.strerror}); choose another --out"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of ours as Lightning wrote it; InputError when it is damaged."""
    damaged = InputError(f"{path}: damaged checkpoint; start again with --overwrite")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise damaged from error
    if not isinstance(state, dict) or not state.keys() >= _CHECKPOINT_KEYS:
        raise damaged
    return state


class _Settings(Callback):
    """Keeps the run's settings in its checkpoints."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["settings"] = self.settings


def fit(
    module: Training,
    batches: Callable[[int], IterableDataset],
    out: Path,
    *,
    title: str,
    settings: dict[str, Any],
    checkpoint: Path | None = None,
) -> None:
    """Train until the budget is used up; the module then holds the averaged weights.

    Parameters
    ----------
    batches
        From the number of the first step to its endless batches.
    out
        Made when needed; gets `log.csv` and `checkpoint/last.ckpt`. Without `checkpoint`, files of
        an earlier run are removed first.
    settings
        JSON-ready, kept in the checkpoints; see `prepare`.
    checkpoint
        To continue from, exactly.
    """
    start = 0
    if checkpoint:
        state = read_checkpoint(checkpoint)
        start = state["global_step"]
        if module.budget.progress(start, state["seconds"]) >= 1:
            module.load_state_dict(state["state_dict"])
            module.on_load_checkpoint(state)
            return
    else:
        _start_afresh(out)
    saver = ModelCheckpoint(
        dirpath=out / CHECKPOINT.parent,
        filename=CHECKPOINT.stem,
        every_n_train_steps=SAVE_EVERY,
        save_top_k=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        warnings.filterwarnings("ignore", module=r"torch\.utils\.data")
        trainer = lightning.Trainer(
            max_steps=module.budget.steps or -1,
            max_epochs=1,
            accelerator="auto",
            devices=1,
            gradient_clip_val=1.0,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=[
                _Clock(title),
                _Log(out / LOG),
                _Settings(settings),
                _Average(),
                saver,
            ],
        )
        loader: DataLoader[Any] = DataLoader(batches(start), batch_size=None)
        trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
    _finite(module)


def _finite(module: nn.Module) -> None:
    if not all(bool(torch.isfinite(p).all()) for p in module.parameters()):
        raise BiofaceError("training diverged: weights are not finite; lower --learning-rate")
