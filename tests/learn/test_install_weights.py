"""What scripts/train_release --install commits tells no path and no photo."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from bioface.learn.decoder import Decoder  # noqa: E402
from bioface.learn.encoder import Encoder, EncoderConfig  # noqa: E402
from bioface.learn.weights import load_weights, save_weights  # noqa: E402

pytestmark = pytest.mark.torch

SCRIPTS = Path(__file__).parents[2] / "scripts"


def trained(out, **metadata):
    """A folder as scripts/train_release leaves it."""
    for stage in ("pretrain", "finetune"):
        (out / stage).mkdir(parents=True)
        (out / stage / "report.json").write_text(json.dumps({"settings": {"size": 32}}))
        (out / stage / "log.csv").write_text(f"step,loss\n1,{len(stage)}\n")
    encoder = Encoder(
        EncoderConfig(widths=(8, 16), blocks=(1, 1), fusion=8, glances=3, scene=32, size=32)
    )
    digest = save_weights(out / "finetune" / "weights.safetensors", encoder, Decoder(), **metadata)
    (out / "release.onnx").write_bytes(b"onnx of " + digest.encode())
    names = [str(out / "photos" / name) for name in ("ann.jpg", "bob.jpg")]
    report = {
        "settings": {"steps": 5, "photos": [str(out / "photos")], "data": str(out / "faces.pack")},
        "photos": names,
        "held_out": names[1:],
        "weights_sha256": digest,
    }
    (out / "finetune" / "report.json").write_text(json.dumps(report))
    return digest


def install(out, target):
    return subprocess.run(
        [sys.executable, SCRIPTS / "install_weights.py", out, target],
        capture_output=True,
        text=True,
        check=False,
    )


def test_installed_files_tell_no_path_and_no_photo(tmp_path):
    out, target = tmp_path / "out", tmp_path / "weights"
    digest = trained(out, stage="finetune")
    target.mkdir()
    (target / "older.safetensors").write_bytes(b"of an earlier release")
    finished = install(out, target)
    assert finished.returncode == 0, finished.stderr
    text = (target / "release.json").read_text()
    for secret in (str(tmp_path), "/", "ann", "bob"):
        assert secret not in text
    finetune = json.loads(text)["finetune"]
    assert (finetune["photos"], finetune["held_out"]) == (2, 1)
    assert finetune["settings"] == {"steps": 5}
    assert load_weights(target / "release.safetensors").sha256 == digest
    assert {path.name for path in target.iterdir()} == {
        "release.safetensors", "release.onnx", "release.json", "release.pretrain.csv",
        "release.finetune.csv",
    }  # fmt: skip
    assert (target / "release.pretrain.csv").read_text().startswith("step,loss")


def test_pretraining_that_went_on_is_told(tmp_path):
    out, target = tmp_path / "out", tmp_path / "weights"
    trained(out)
    shutil.copytree(out / "pretrain", out / "continued")
    finished = install(out, target)
    assert finished.returncode == 0, finished.stderr
    report = json.loads((target / "release.json").read_text())
    assert list(report) == ["pretrain", "continued", "finetune"]
    assert (target / "release.continued.csv").read_text().startswith("step,loss")


@pytest.mark.parametrize("stage", ["refined", "adapted", "settled"])
def test_fine_tuning_that_went_on_gives_the_weights(tmp_path, stage):
    out, target = tmp_path / "out", tmp_path / "weights"
    first = trained(out)
    shutil.copytree(out / "finetune", out / stage)
    other = Encoder(
        EncoderConfig(widths=(8, 16), blocks=(1, 1), fusion=8, glances=3, scene=32, size=40)
    )
    digest = save_weights(out / stage / "weights.safetensors", other, Decoder())
    report = json.loads((out / stage / "report.json").read_text())
    (out / stage / "report.json").write_text(json.dumps(report | {"weights_sha256": digest}))
    stale = install(out, target)
    assert stale.returncode == 1
    assert "release.onnx: made from other weights" in stale.stderr
    assert not target.exists()
    (out / "release.onnx").write_bytes(b"onnx of " + digest.encode())
    finished = install(out, target)
    assert finished.returncode == 0, finished.stderr
    text = (target / "release.json").read_text()
    assert list(json.loads(text)) == ["pretrain", "finetune", stage]
    assert json.loads(text)["finetune"]["weights_sha256"] == first
    for secret in (str(tmp_path), "ann", "bob"):
        assert secret not in text
    assert load_weights(target / "release.safetensors").sha256 == digest


@pytest.mark.parametrize("stage", ["mean", "blended", "joined"])
def test_a_mean_of_stages_gives_the_weights_and_has_no_log(tmp_path, stage):
    out, target = tmp_path / "out", tmp_path / "weights"
    digest = trained(out)
    (out / stage).mkdir()
    shutil.copy(out / "finetune" / "weights.safetensors", out / stage)
    report = {"of": {"finetune": 0.7, "pretrain": 0.3}, "weights_sha256": digest}
    (out / stage / "report.json").write_text(json.dumps(report))
    finished = install(out, target)
    assert finished.returncode == 0, finished.stderr
    assert json.loads((target / "release.json").read_text())[stage] == report
    assert not (target / f"release.{stage}.csv").exists()


@pytest.mark.parametrize("told", ["/home/someone/faces.pack", "bob.jpg"])
def test_metadata_that_tells_more_is_refused(tmp_path, told):
    trained(tmp_path / "out", finetune={"settings": [told]})
    finished = install(tmp_path / "out", tmp_path / "weights")
    assert finished.returncode == 1
    assert "must not be installed" in finished.stderr
    assert not (tmp_path / "weights").exists()


def test_weights_of_another_run_are_refused(tmp_path):
    out = tmp_path / "out"
    trained(out)
    report = json.loads((out / "finetune" / "report.json").read_text())
    (out / "finetune" / "report.json").write_text(json.dumps(report | {"weights_sha256": "0"}))
    finished = install(out, tmp_path / "weights")
    assert finished.returncode == 1
    assert "not the weights" in finished.stderr


def test_older_weights_stay_until_the_new_ones_are_there(tmp_path):
    out, target = tmp_path / "out", tmp_path / "weights"
    trained(out)
    (target / "release.onnx").mkdir(parents=True)
    (target / "older.safetensors").write_bytes(b"of an earlier release")
    assert install(out, target).returncode == 1
    assert (target / "older.safetensors").exists()


def test_a_folder_without_stages_is_named(tmp_path):
    finished = install(tmp_path, tmp_path / "weights")
    assert finished.returncode == 1
    said = f"{tmp_path}: holds none of the stages of scripts/train_release"
    assert finished.stderr == f"scripts/install_weights.py: error: {said}\n"
