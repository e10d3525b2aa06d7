"""Runs that are killed, interrupted or find the disk full continue exactly."""

import csv
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from safetensors.torch import load_file  # noqa: E402

from bioface.cli import main  # noqa: E402
from bioface.learn import callbacks, runs, supervision, training  # noqa: E402
from bioface.learn import pretrain as pretraining  # noqa: E402
from bioface.learn.encoder import EncoderConfig  # noqa: E402

pytestmark = pytest.mark.torch

SMALL = """
import sys
from functools import partial
from bioface.cli import main
from bioface.learn import callbacks, runs, training
from bioface.learn import pretrain as pretraining

pretraining.EncoderConfig = partial(
    pretraining.EncoderConfig, widths=(16, 24, 32), blocks=(1, 1, 1), fusion=8, glances=3, scene=32
)
training.SAVE_EVERY, callbacks.LOG_EVERY = 2, 1
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""
KILLED = """
import os, signal
from bioface.atomic import replacing

saved = 0

def killed(path):
    global saved
    saved += str(path).endswith(".ckpt")
    if saved == 3:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of a checkpoint")
            os.kill(os.getpid(), signal.SIGKILL)
    return replacing(path)

from bioface.learn import runs
runs.replacing = killed
"""


@pytest.fixture(autouse=True, scope="module")
def _small():
    def small(**values):
        return EncoderConfig(
            widths=(16, 24, 32), blocks=(1, 1, 1), fusion=8, glances=3, scene=32, **values
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "EncoderConfig", small)
        patch.setattr(training, "SAVE_EVERY", 2)
        patch.setattr(callbacks, "LOG_EVERY", 1)
        yield


def arguments(pack_path, out, *more):
    return [
        "train", "pretrain", "--data", str(pack_path), "--out", str(out), "--steps", "8",
        "--size", "40", "--early-size", "32", "--early-share", "0.6", "--batch", "4",
        "--threads", "1", *more,
    ]  # fmt: skip


def rows(out):
    with open(out / "log.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "minutes"} for row in csv.DictReader(file)]


def same_run(first, second):
    """Losses of every step, and the weights."""
    assert rows(first) == rows(second)
    a, b = (load_file(out / runs.WEIGHTS) for out in (first, second))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def whole(pack_path, tmp_path_factory):
    """A run that nothing happened to: five steps at 32 px, three at 40."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main(arguments(pack_path, out)) == 0
    return out


@pytest.mark.slow
def test_killed_while_it_saves(pack_path, whole, tmp_path):
    """SIGKILL in the third checkpoint, of step 6: the run goes on from step 4, to equal losses."""
    out = tmp_path / "run"
    command = [sys.executable, "-c", KILLED + SMALL, *arguments(pack_path, out)]
    done = subprocess.run(command, capture_output=True, timeout=600)
    assert done.returncode == -signal.SIGKILL
    left = {path.name for path in (out / "checkpoint").iterdir()}
    assert len(left) == 2
    assert runs.CHECKPOINT.name in left
    assert runs.read_checkpoint(out / runs.CHECKPOINT)["global_step"] == 4
    assert len(rows(out)) == 6
    assert main(arguments(pack_path, out, "--resume", "--workers", "2")) == 0
    assert [path.name for path in (out / "checkpoint").iterdir()] == [runs.CHECKPOINT.name]
    same_run(out, whole)


def test_ctrl_c_saves_the_step(pack_path, whole, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    losses = supervision.Pretraining.losses

    def interrupted(self, batch):
        if self.global_step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return losses(self, batch)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(supervision.Pretraining, "losses", interrupted)
        assert main(arguments(pack_path, out)) == 130
    assert signal.getsignal(signal.SIGINT) is before
    error = capsys.readouterr().err
    assert "saved at step 5; --resume continues" in error
    assert "Traceback" not in error
    assert not (out / runs.WEIGHTS).exists()
    assert runs.read_checkpoint(out / runs.CHECKPOINT)["global_step"] == 5
    assert main(arguments(pack_path, out, "--resume")) == 0
    same_run(out, whole)


def test_a_full_disk_is_one_line(pack_path, whole, tmp_path, capsys):
    out = tmp_path / "run"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        assert main(arguments(pack_path, out)) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error == f"bioface: error: {out / runs.CHECKPOINT}: cannot be written (File too large)"
    assert list((out / "checkpoint").iterdir()) == []
    assert main(arguments(pack_path, out, "--resume")) == 0
    same_run(out, whole)


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
    table = runs.Table(tmp_path / "gone" / "log.csv")
    with pytest.raises(training.BiofaceError, match=r"log\.csv: cannot be written .*--resume"):
        table.append({"step": 1})


def test_a_log_that_cannot_be_rewritten_stays(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n" + "".join(f"{k},0.5\n" for k in range(10_000)))
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(training.BiofaceError, match=r"log\.csv: cannot be written"):
            runs.Table(path).keep(9_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    runs.Table(path).keep(9_000)
    assert path.read_text().splitlines()[-1] == "9000,0.5"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_two_processes_match_one(pack_path, whole, tmp_path):
    """DDP over gloo: the same losses step by step, and the same weights, to rounding."""
    script, out = tmp_path / "train.py", tmp_path / "run"
    script.write_text(SMALL)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script), *arguments(pack_path, out, "--devices", "2")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("held-out RMSE") == 1
    for first, second in zip(rows(whole), rows(out), strict=True):
        for name in first:
            assert float(second[name]) == pytest.approx(float(first[name]), rel=2e-3, abs=1e-5)
    a, b = (load_file(run / runs.WEIGHTS) for run in (whole, out))
    for name in a:
        torch.testing.assert_close(b[name], a[name], atol=2e-3, rtol=0.02)
