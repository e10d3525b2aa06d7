"""The folder of a training run: what is in it, when it may be used, checkpoints, logs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from bioface.atomic import check_folder, replacing, unwritable
from bioface.errors import BiofaceError, InputError

CHECKPOINT = Path("checkpoint") / "last.ckpt"
LOG = "log.csv"
SCORES = "scores.csv"
TENSORBOARD = "tensorboard"
WEIGHTS = "weights.safetensors"
REPORT = "report.json"
_KEYS = {"settings", "global_step", "seconds", "steps", "state_dict"}


def prepare(out: Path, settings: dict[str, Any], *, resume: bool, overwrite: bool) -> Path | None:
    """The checkpoint to continue from, or None to start; makes and removes nothing.

    Raises
    ------
    BiofaceError
        The folder cannot be written, or holds a run or files of such names and neither `resume` nor
        `overwrite` is given, or the run to resume had other settings, or is finished and its
        checkpoint gone.
    """
    checkpoint = out / CHECKPOINT
    check_folder(out)
    if resume and checkpoint.exists():
        check_same(out, settings)
        return checkpoint
    if not overwrite and checkpoint.exists():
        raise InputError(f"{out}: holds a training run; pass --resume or --overwrite")
    if not overwrite and (out / WEIGHTS).exists():
        raise InputError(
            f"{out}: finished, and its checkpoint is gone; pass --overwrite to train again"
        )
    if not (resume or overwrite):
        for name in (LOG, SCORES, REPORT):
            if (out / name).exists():
                raise InputError(
                    f"{out / name}: would be replaced; pass --overwrite, or choose another --out"
                )
    return None


def check_same(out: Path, settings: dict[str, Any]) -> None:
    """Refuse to resume a run that had other settings, with an `InputError` that names one."""
    before = read_checkpoint(out / CHECKPOINT)["settings"]
    changed = [k for k in settings if before.get(k) != settings[k]]
    if changed:
        raise InputError(
            f"{out}: was started with {changed[0]} {before.get(changed[0])}, "
            f"not {settings[changed[0]]}; resume with the same arguments"
        )


def start_afresh(out: Path) -> None:
    """Make the folder, without what an earlier run left in it."""
    try:
        (out / CHECKPOINT.parent).mkdir(parents=True, exist_ok=True)
        old = [out / name for name in (CHECKPOINT, LOG, SCORES, WEIGHTS, REPORT)]
        old += (out / TENSORBOARD).glob("events.out.tfevents.*")
        for path in old:
            path.unlink(missing_ok=True)
        remove_partial(out)
    except OSError as error:
        raise unwritable(out, error) from error


def remove_partial(out: Path) -> None:
    """Remove checkpoints that a killed process was writing."""
    for path in (out / CHECKPOINT.parent).glob(f".{CHECKPOINT.stem}.*.partial{CHECKPOINT.suffix}"):
        path.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of ours as Lightning wrote it; InputError when it is damaged."""
    damaged = InputError(f"{path}: damaged checkpoint; start again with --overwrite")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise damaged from error
    if not isinstance(state, dict) or not state.keys() >= _KEYS:
        raise damaged
    return state


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints appear whole or not at all, also when the process is killed or the disk full."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write beside `path`, then rename; BiofaceError when that cannot be."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with replacing(path) as temporary:
            temporary.write_bytes(content.getbuffer())


class Table:
    """A CSV file that rows are appended to; its first column is the step.

    Raises `BiofaceError` when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(self, step: int) -> None:
        """Drop rows after `step`; everything when it is 0."""
        rows: list[list[str]] = []
        try:
            if step and self.path.exists():
                with open(self.path, newline="", encoding="utf-8") as file:
                    found = list(csv.reader(file))
                rows = found[:1] + [row for row in found[1:] if _step(row) <= step]
            with (
                replacing(self.path) as temporary,
                open(temporary, "w", newline="", encoding="utf-8") as file,
            ):
                csv.writer(file, lineterminator="\n").writerows(rows)
        except OSError as error:
            raise self._failed(error) from error

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row, under a header when it is the first."""
        try:
            with open(self.path, "a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> BiofaceError:
        return BiofaceError(
            f"{self.path}: cannot be written ({error.strerror}); continue later with --resume"
        )


def _step(row: list[str]) -> float:
    try:
        return int(row[0])
    except (IndexError, ValueError):
        return math.inf
