"""What happens around the steps of a training: clock, logs, averaging, scores, interruption."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from tqdm import tqdm

from bioface.learn.encoder import Encoder
from bioface.learn.parallel import is_first, own_device
from bioface.learn.runs import Table

LOG_EVERY = 10
"""Steps between rows of the log."""

Score = Callable[[Encoder], Mapping[str, float]]
"""Measures of an encoder by name."""


class Interrupted(Exception):
    """Ctrl-C was pressed; the step that was being taken is finished and saved."""


class Clock(Callback):
    """Sets the learning rate, counts time, stops when the budget is used up, shows progress."""

    def __init__(self, title: str) -> None:
        self.title = title

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.tick = time.monotonic()
        quiet = None if trainer.is_global_zero else True
        self.bar = tqdm(total=1000, desc=self.title, disable=quiet, bar_format=_BAR)
        self._show(module)

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        rate = module.rate()
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["factor"]

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        now = time.monotonic()
        module.seconds += now - self.tick
        if trainer.world_size > 1:
            module.seconds = trainer.strategy.broadcast(module.seconds)
        module.steps += 1
        self.tick = now
        self._show(module)
        if module.used >= 1:
            trainer.should_stop = True

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What is done meanwhile takes no time."""
        start = time.monotonic()
        yield
        self.tick += time.monotonic() - start

    def _show(self, module: Any) -> None:
        self.bar.set_postfix_str(f"loss {module.last.get('loss', math.nan):.3f}", refresh=False)
        self.bar.update(round(1000 * module.used) - self.bar.n)

    def teardown(self, trainer: Any, module: Any, stage: str) -> None:
        if hasattr(self, "bar"):
            self.bar.close()


_BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class Log(Callback):
    """Appends mean losses to a CSV file and to TensorBoard every few steps.

    Checkpoints keep the sums of the steps since the last row.
    """

    def __init__(self, path: Path) -> None:
        self.table = Table(path)
        self.sums: dict[str, float] = {}
        self.count = 0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if trainer.is_global_zero:
            self.table.keep(trainer.global_step)

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        for name, value in module.last.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        step = trainer.global_step
        if step % LOG_EVERY and step > 1:
            return
        sums = self._of_all(trainer, module)
        losses = {name: value / self.count for name, value in sums.items()}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        if trainer.is_global_zero:
            row = {"step": step, "minutes": f"{module.seconds / 60:.3f}"}
            row |= {"learning_rate": f"{rate:.4g}"}
            self.table.append(row | {name: f"{value:.6g}" for name, value in losses.items()})
            record(trainer, {"learning_rate": rate} | losses, "train")
        self.sums, self.count = {}, 0

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["log"] = (self._of_all(trainer, module), self.count)

    def on_load_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        self.sums, self.count = checkpoint.get("log", ({}, 0))

    def _of_all(self, trainer: Any, module: Any) -> dict[str, float]:
        """The mean of all processes' sums."""
        if trainer.world_size == 1 or not self.sums:
            return self.sums
        sums = torch.tensor(list(self.sums.values()), device=module.device)
        means = trainer.strategy.reduce(sums, reduce_op="mean").tolist()
        return dict(zip(self.sums, means, strict=True))


def record(trainer: Any, values: Mapping[str, float], group: str) -> None:
    """Hand values to the trainer's logger, if there is one."""
    if trainer.logger is not None:
        trainer.logger.log_metrics(
            {f"{group}/{name}": value for name, value in values.items()}, trainer.global_step
        )


class Average(WeightAveraging):
    """Exponential moving average whose memory grows with the run, up to `decay`."""

    def __init__(self, decay: float = 0.999) -> None:
        def average(old: Any, new: Any, count: Any) -> None:
            done = int(count)
            if old[0].is_floating_point():
                torch._foreach_lerp_(old, new, 1 - min(decay, (1 + done) / (10 + done)))
            else:
                torch._foreach_copy_(old, new)

        super().__init__(own_device(), multi_avg_fn=average)

    @property
    def module(self) -> Any:
        """The training module with the averaged weights."""
        assert self._average_model is not None
        return self._average_model.module


class Settings(Callback):
    """Keeps the run's settings in its checkpoints."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["settings"] = self.settings


class Scores(Callback):
    """Measures the averaged encoder every `minutes` of training, into a CSV file and a line."""

    def __init__(
        self, path: Path, score: Score, minutes: float, average: Average, clock: Clock
    ) -> None:
        self.table = Table(path)
        self.score = score
        self.minutes = minutes
        self.average = average
        self.clock = clock

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.done = self._due(module)
        if trainer.is_global_zero:
            self.table.keep(trainer.global_step)

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        due = self._due(module)
        if due == self.done:
            return
        self.done = due
        if not trainer.is_global_zero:
            return
        encoder = self.average.module.encoder
        with self.clock.stopped():
            values = self.score(encoder)
        encoder.train()
        minutes = f"{module.seconds / 60:.2f}"
        self.table.append({"step": trainer.global_step, "minutes": minutes} | dict(values))
        record(trainer, values, "held_out")
        found = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        tqdm.write(f"step {trainer.global_step}, {minutes} min: {found}", file=sys.stderr)

    def _due(self, module: Any) -> int:
        return int(module.seconds / 60 / self.minutes)


class Interruption(Callback):
    """Saves the last step, be it the budget's or the one that Ctrl-C lets finish.

    After the latter it raises `Interrupted`; a second Ctrl-C ends at once. Must come after every
    callback whose state is saved.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.asked = False
        self.before: Any = None

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        asked = self.asked
        if trainer.world_size > 1:
            asked = trainer.strategy.broadcast(asked)
        if asked or module.used >= 1:
            trainer.save_checkpoint(self.checkpoint)
        if asked:
            if is_first():
                tqdm.write(
                    f"saved at step {trainer.global_step}; --resume continues", file=sys.stderr
                )
            raise Interrupted

    def restore(self) -> None:
        """Handle Ctrl-C as before."""
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)
