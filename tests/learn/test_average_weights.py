"""scripts/average_weights makes the mean of two stages of a training."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Encoder, EncoderConfig
from bioface.learn.weights import load_weights, save_weights

pytestmark = pytest.mark.torch

SCRIPT = Path(__file__).parents[2] / "scripts" / "average_weights"


def stage(folder, seed, width=8):
    folder.mkdir()
    torch.manual_seed(seed)
    encoder = Encoder(
        EncoderConfig(widths=(width, 16), blocks=(1, 1), fusion=8, glances=3, scene=32, size=32)
    )
    save_weights(folder / "weights.safetensors", encoder, Decoder(), finetune={"seed": seed})
    return folder


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_weights_are_the_mean_and_say_of_what(tmp_path):
    first, second = stage(tmp_path / "finetune", 1), stage(tmp_path / "refined", 2)
    finished = run(first, second, 0.25, tmp_path / "mean")
    assert finished.returncode == 0, finished.stderr
    a, b, mean = (
        load_weights(f / "weights.safetensors") for f in (first, second, tmp_path / "mean")
    )
    for name, value in mean.encoder.state_dict().items():
        expected = 0.75 * a.encoder.state_dict()[name] + 0.25 * b.encoder.state_dict()[name]
        torch.testing.assert_close(value, expected, atol=1e-3, rtol=2e-3)
    report = json.loads((tmp_path / "mean" / "report.json").read_text())
    assert report == {"of": {"finetune": 0.75, "refined": 0.25}, "weights_sha256": mean.sha256}
    assert mean.metadata["mean"] == {"of": report["of"], "sha256": [a.sha256, b.sha256]}
    assert mean.metadata["finetune"] == {"seed": 1}


@pytest.mark.parametrize(
    ("share", "other", "message"),
    [("2", 8, "SHARE 2: must be"), ("half", 8, "SHARE half"), ("0.5", 12, "another network")],
)
def test_what_has_no_mean_is_refused_in_a_line(tmp_path, share, other, message):
    first, second = stage(tmp_path / "a", 1), stage(tmp_path / "b", 2, width=other)
    finished = run(first, second, share, tmp_path / "mean")
    assert finished.returncode == 1
    assert message in finished.stderr
    assert len(finished.stderr.splitlines()) == 1
    assert not (tmp_path / "mean").exists()


def test_stages_of_one_name_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    first, second = stage(tmp_path / "a", 1), stage(tmp_path / "other" / "a", 2)
    finished = run(first, second, 0.5, tmp_path / "mean")
    assert finished.returncode == 1
    assert "told apart by their names" in finished.stderr


def test_missing_weights_are_named(tmp_path):
    finished = run(stage(tmp_path / "a", 1), tmp_path / "nothing", 0.5, tmp_path / "mean")
    assert finished.returncode == 1
    assert "nothing" in finished.stderr


def test_a_stage_is_not_overwritten(tmp_path):
    first, second = stage(tmp_path / "finetune", 1), stage(tmp_path / "refined", 2)
    (second / "log.csv").write_text("step,loss\n")
    kept = (second / "weights.safetensors").read_bytes()
    finished = run(first, second, 0.5, second)
    assert finished.returncode == 1
    assert "refined: holds a stage already" in finished.stderr
    assert (second / "weights.safetensors").read_bytes() == kept
