import csv
import json
import math
import multiprocessing
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ellipsoids import CHANNELS, ellipsoid_sample  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from bioface.errors import InputError  # noqa: E402
from bioface.learn import callbacks, runs, supervision, training  # noqa: E402
from bioface.learn import finetune as finetuning  # noqa: E402
from bioface.learn import pretrain as pretraining  # noqa: E402
from bioface.learn.accuracy import held_out_accuracy  # noqa: E402
from bioface.learn.decoder import Decoder  # noqa: E402
from bioface.learn.encoder import Encoder, EncoderConfig  # noqa: E402
from bioface.learn.faces import FaceCrops, kept_side  # noqa: E402
from bioface.learn.relight import Relighter  # noqa: E402
from bioface.learn.weights import load_weights, save_weights  # noqa: E402
from bioface.packed import read_packed, write_packed  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """A tiny network, and a checkpoint every third step."""

    def small(**values):
        return EncoderConfig(
            widths=(16, 24, 32), blocks=(1, 1, 1), fusion=8, glances=3, scene=32, **values
        )

    monkeypatch.setattr(pretraining, "EncoderConfig", small)
    monkeypatch.setattr(training, "SAVE_EVERY", 3)
    monkeypatch.setattr(callbacks, "LOG_EVERY", 1)


def options(pack_path, out, **changes):
    values = {"steps": 6, "size": 32, "batch": 4, "evaluate": 8} | changes
    return pretraining.PretrainOptions(pack_path, out, **values)


def rows(out):
    with open(out / "log.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "minutes"} for row in csv.DictReader(file)]


def test_pretraining_writes_weights_log_and_report(pack_path, tmp_path):
    report = pretraining.pretrain(options(pack_path, tmp_path / "run", steps=80))
    model = load_weights(tmp_path / "run" / "weights.safetensors")
    assert model.sha256 == report["weights_sha256"]
    assert model.metadata["stage"] == "pretrain"
    assert model.encoder.config.size == 32
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == report
    for conditions in ("clean", "full"):
        accuracy = report[conditions]
        assert accuracy["photos"] == 8
        assert 0 < accuracy["melanin"]["within"] <= accuracy["melanin"]["rmse"] < 1
        assert sum(group["photos"] for group in accuracy["groups"].values()) == 8
    losses = [float(row["loss"]) for row in rows(tmp_path / "run")]
    assert sum(losses[-20:]) < 0.9 * sum(losses[:20])


def test_tensorboard_shows_the_losses_of_the_log(pack_path, tmp_path):
    """As TensorBoard's own reader finds them."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    pretraining.pretrain(options(pack_path, tmp_path, steps=3))
    events = event_accumulator.EventAccumulator(str(tmp_path / runs.TENSORBOARD)).Reload()
    logged = rows(tmp_path)
    losses = {name for name in logged[0] if name not in ("step", "learning_rate")}
    assert {"loss", "melanin", "haemoglobin"} <= losses
    assert {f"train/{name}" for name in losses | {"learning_rate"}} <= set(events.Tags()["scalars"])
    for name in losses:
        found = events.Scalars(f"train/{name}")
        assert [scalar.step for scalar in found] == [1, 2, 3]
        expected = [float(row[name]) for row in logged]
        assert [scalar.value for scalar in found] == pytest.approx(expected, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("log_every", [1, 4])
def test_an_interrupted_run_continues_exactly(pack_path, tmp_path, monkeypatch, log_every):
    monkeypatch.setattr(callbacks, "LOG_EVERY", log_every)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    pretraining.pretrain(options(pack_path, whole))
    losses = supervision.Pretraining.losses

    def killed(self, batch):
        if self.global_step == 5:
            raise RuntimeError("killed")
        return losses(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(supervision.Pretraining, "losses", killed)
        with pytest.raises(RuntimeError, match="killed"):
            pretraining.pretrain(options(pack_path, broken))
    assert not (broken / "weights.safetensors").exists()
    pretraining.pretrain(options(pack_path, broken, resume=True))
    assert rows(broken) == rows(whole)
    first = load_file(whole / "weights.safetensors")
    second = load_file(broken / "weights.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_finished_run_resumes_to_the_same_weights(pack_path, tmp_path):
    report = pretraining.pretrain(options(pack_path, tmp_path))
    (tmp_path / "weights.safetensors").unlink()
    again = pretraining.pretrain(options(pack_path, tmp_path, resume=True))
    assert again["weights_sha256"] == report["weights_sha256"]


def not_to_be_called(*_):
    raise AssertionError("a step is taken")


@pytest.mark.parametrize("steps", [2, 7])
def test_a_finished_run_is_not_trained_again(pack_path, tmp_path, monkeypatch, steps):
    """Also where the last step is not one that a checkpoint is due after."""
    report = pretraining.pretrain(options(pack_path, tmp_path, steps=steps))
    before = {
        name: (tmp_path / name).read_bytes() for name in (runs.WEIGHTS, runs.REPORT, runs.LOG)
    }
    monkeypatch.setattr(supervision.Pretraining, "losses", not_to_be_called)
    assert pretraining.pretrain(options(pack_path, tmp_path, steps=steps, resume=True)) == report
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_finished_run_without_its_checkpoint_stays(pack_path, tmp_path):
    pretraining.pretrain(options(pack_path, tmp_path, steps=2))
    (tmp_path / runs.CHECKPOINT).unlink()
    before = (tmp_path / runs.WEIGHTS).read_bytes()
    for resume in (True, False):
        with pytest.raises(InputError, match="its checkpoint is gone; pass --overwrite"):
            pretraining.pretrain(options(pack_path, tmp_path, steps=2, resume=resume))
    assert (tmp_path / runs.WEIGHTS).read_bytes() == before
    assert (tmp_path / runs.REPORT).exists()


@pytest.mark.parametrize("name", [runs.LOG, runs.SCORES, runs.REPORT])
def test_files_of_others_are_not_removed_unasked(pack_path, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=rf"{name}: would be replaced; pass --overwrite"):
        pretraining.pretrain(options(pack_path, tmp_path, steps=1))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]
    assert pretraining.pretrain(options(pack_path, tmp_path, steps=1, overwrite=True))["steps"] == 1


def test_scores_take_none_of_the_minutes(pack_path, tmp_path, monkeypatch):
    """By a clock on which every step takes a minute, and every score 1000 s."""
    now = [0.0]
    losses, accuracy = supervision.Pretraining.losses, pretraining.held_out_accuracy

    def timed(self, batch):
        now[0] += 60
        return losses(self, batch)

    def slow(*arguments):
        now[0] += 1000
        return accuracy(*arguments)

    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(supervision.Pretraining, "losses", timed)
    monkeypatch.setattr(pretraining, "held_out_accuracy", slow)
    report = pretraining.pretrain(options(pack_path, tmp_path, steps=3, score_minutes=1))
    assert now[0] > 3000
    assert report["minutes"] == 3
    assert len((tmp_path / runs.SCORES).read_text().splitlines()) == 4


@pytest.fixture
def _spawn():
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.usefixtures("_spawn")
def test_workers_are_forked_whatever_the_default(pack_path, tmp_path):
    assert pretraining.pretrain(options(pack_path, tmp_path, steps=1, workers=1))["steps"] == 1


def test_where_nothing_forks_there_are_no_workers(pack_path, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert pretraining.pretrain(options(pack_path, tmp_path, steps=1, workers=1))["steps"] == 1
    assert "bioface: no --workers: processes cannot fork" in capsys.readouterr().err


def test_runs_are_protected(pack_path, tmp_path):
    pretraining.pretrain(options(pack_path, tmp_path, steps=3))
    with pytest.raises(InputError, match="--resume or --overwrite"):
        pretraining.pretrain(options(pack_path, tmp_path, steps=3))
    with pytest.raises(InputError, match="started with size 32, not 48"):
        pretraining.pretrain(options(pack_path, tmp_path, steps=3, size=48, resume=True))
    (tmp_path / runs.CHECKPOINT).write_bytes(b"broken")
    with pytest.raises(InputError, match="damaged checkpoint"):
        pretraining.pretrain(options(pack_path, tmp_path, steps=3, resume=True))
    torch.save({"weights": 1}, tmp_path / runs.CHECKPOINT)
    with pytest.raises(InputError, match="damaged checkpoint"):
        pretraining.pretrain(options(pack_path, tmp_path, steps=3, resume=True))
    pretraining.pretrain(options(pack_path, tmp_path, steps=4, overwrite=True))
    assert len(rows(tmp_path)) == 4


def test_training_goes_on_from_weights_at_another_size(pack_path, tmp_path):
    pretraining.pretrain(options(pack_path, tmp_path / "a", steps=3))
    report = pretraining.pretrain(
        options(
            pack_path, tmp_path / "b", steps=1, size=48, learning_rate=1e-12,
            weights=tmp_path / "a" / "weights.safetensors",
        )
    )  # fmt: skip
    assert report["steps"] == 1
    a, b = (load_weights(tmp_path / run / "weights.safetensors") for run in "ab")
    assert b.encoder.config.size == 48
    torch.testing.assert_close(a.encoder.stem.weight, b.encoder.stem.weight)


@pytest.fixture(scope="module")
def larger_pack_path(pack_path, tmp_path_factory):
    """The middle of the same samples at 64 pixels."""
    packed, path = read_packed(pack_path), tmp_path_factory.mktemp("larger") / "larger.pack"
    images = (image[:, 8:40, 8:40].repeat(2, 1).repeat(2, 2) for image in packed.images)
    write_packed(path, CHANNELS, images, packed.header["samples"], (64, 64))
    return path


def test_larger_photos_take_their_share_of_the_batches(pack_path, larger_pack_path, tmp_path):
    """With a share of 0 as without them; what the network reads of them is told apart."""
    larger = {"larger_data": larger_pack_path}
    reports = {}
    for name, chosen in {
        "without": {},
        "none": larger | {"larger_share": 0.0},
        "all": larger | {"larger_share": 1.0},
    }.items():
        reports[name] = pretraining.pretrain(options(pack_path, tmp_path / name, steps=2, **chosen))
    weights = {
        name: load_weights(tmp_path / name / "weights.safetensors").encoder.stem.weight
        for name in reports
    }
    assert torch.equal(weights["without"], weights["none"])
    assert not torch.equal(weights["without"], weights["all"])
    assert "larger" not in reports["without"]
    assert reports["all"]["larger"]["samples"] == reports["all"]["samples"]
    assert reports["all"]["larger"]["clean"]["melanin"]["rmse"] > 0
    assert reports["all"]["settings"]["larger_data_sha256"]


def test_larger_photos_are_two_or_more_times_as_large(pack_path, tmp_path):
    chosen = options(pack_path, tmp_path / "run", steps=1, size=48, larger_data=pack_path)
    with pytest.raises(
        InputError, match=r"samples of 48 pixels; .* 48 need two, three .*\(96, 144"
    ):
        pretraining.pretrain(chosen)
    assert not (tmp_path / "run").exists()


def test_samples_without_skin_are_told_before_training(tmp_path):
    image = ellipsoid_sample(np.random.default_rng(0))
    image[CHANNELS.index("mask")] = 0
    pack = tmp_path / "bare.pack"
    write_packed(pack, CHANNELS, [image, image], [{}, {}], image.shape[1:])
    with pytest.raises(InputError, match=r"bare\.pack: none of the samples held out shows"):
        pretraining.pretrain(options(pack, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    relighter = Relighter(read_packed(pack), 32)
    with pytest.raises(InputError, match="none of the samples"):
        held_out_accuracy(Encoder(), relighter, np.arange(2), 4, 0)


def test_a_test_set_is_refused_before_anything_is_made(pack_path, tmp_path):
    packed, pack = read_packed(pack_path), tmp_path / "test.pack"
    samples = [{"index": k, "seed": 1_000_000} for k in range(len(packed))]
    write_packed(pack, CHANNELS, packed.images, samples, packed.images.shape[2:])
    pretrained = options(pack, tmp_path / "run")
    tuned = finetuning.FinetuneOptions([], tmp_path / "run", data=pack, steps=1)
    for stage, chosen in ((pretraining.pretrain, pretrained), (finetuning.finetune, tuned)):
        with pytest.raises(InputError, match=r"test\.pack: a test set \(seed 1000000 or more\)"):
            stage(chosen)
        assert not (tmp_path / "run").exists()


def test_divergence_is_told(pack_path, tmp_path, monkeypatch):
    monkeypatch.setattr(
        supervision, "supervised_losses", lambda *_: {"melanin": torch.tensor(math.nan)}
    )
    with pytest.raises(Exception, match="training diverged at step 0 \\(melanin is not finite"):
        pretraining.pretrain(options(pack_path, tmp_path, steps=3))


def test_budget():
    assert training.Budget(steps=10).progress(5, 1e9) == 0.5
    assert training.Budget(minutes=2).progress(10**9, 60) == 0.5
    assert training.Budget(steps=10, minutes=2).progress(5, 119) == pytest.approx(119 / 120)
    with pytest.raises(InputError, match="--steps or --minutes"):
        training.Budget()
    with pytest.raises(InputError, match="--minutes 0: must be more than 0"):
        training.Budget(minutes=0)


@pytest.mark.slow
def test_fine_tuning_on_the_astronaut(pack_path, tmp_path):
    """The default photo: reconstruction improves, encoder and decoder move, replay included."""
    pytest.importorskip("mediapipe")
    pretraining.pretrain(options(pack_path, tmp_path / "pretrained", steps=20))
    before = load_weights(tmp_path / "pretrained" / "weights.safetensors")
    report = finetuning.finetune(
        finetuning.FinetuneOptions(
            [], tmp_path / "tuned", tmp_path / "pretrained" / "weights.safetensors",
            data=pack_path, steps=25, batch=2, replay_batch=3, learning_rate=1e-3,
        )
    )  # fmt: skip
    found = report["reconstruction"]
    assert found["after"]["rmse"] < 0.8 * found["before"]["rmse"]
    assert 0 < found["after"]["relative"] < found["before"]["relative"]
    assert report["photos"] == ["astronaut (scikit-image)"]
    after = load_weights(tmp_path / "tuned" / "weights.safetensors")
    assert after.metadata["stage"] == "finetune"
    assert after.decoder.skin_offsets.abs().max() > 0
    assert after.decoder.camera_offsets.abs().max() > 0
    assert not torch.equal(after.encoder.stem.weight, before.encoder.stem.weight)
    assert {"replay", "recall"} <= set(rows(tmp_path / "tuned")[0])
    assert float(rows(tmp_path / "tuned")[0]["recall"]) < 1e-6
    assert float(rows(tmp_path / "tuned")[-1]["recall"]) > 1e-4
    with safe_open(tmp_path / "tuned" / "weights.safetensors", "pt") as file:
        header = json.dumps(file.metadata())
    assert str(tmp_path) not in header
    assert pack_path.name not in header
    assert "astronaut" not in header
    assert str(pack_path) not in (tmp_path / "tuned" / "report.json").read_text()


@pytest.fixture
def tune(tmp_path):
    """Fine-tunes a small network for a step on noise as faces with these names."""
    config = EncoderConfig(widths=(16, 24), blocks=(1, 1), fusion=8, glances=3, scene=32, size=32)
    weights, photos = tmp_path / "a.safetensors", tmp_path / "crops.npz"
    torch.manual_seed(0)
    save_weights(weights, Encoder(config), Decoder())

    def run(*names, mask=1.0, **changes):
        generator = torch.Generator().manual_seed(0)
        planes = torch.rand(len(names), 5, kept_side(32), kept_side(32), generator=generator)
        planes[:, 3] = mask
        FaceCrops(names, planes.half(), 32).save(photos)
        return finetuning.finetune(
            finetuning.FinetuneOptions(
                [photos], tmp_path / "run", weights, steps=1, batch=2, **changes
            )
        )

    return run


def test_fine_tuning_resumes_with_the_same_photos(tune):
    report = tune("ann.jpg", "bob.jpg", "eve.jpg")
    assert tune("ann.jpg", "bob.jpg", "eve.jpg", resume=True) == report
    with pytest.raises(InputError, match="was started with names_sha256"):
        tune("ann.jpg", "bob.jpg", "dan.jpg", "eve.jpg", resume=True)


def test_held_out_photos_without_skin_are_told_before_training(tune, tmp_path):
    with pytest.raises(InputError, match=r"\.jpg: none of the photos held out \(1\) shows skin"):
        tune("ann.jpg", "bob.jpg", mask=0.0)
    assert not (tmp_path / "run").exists()


def test_photos_without_a_face_leave_nothing_behind(tmp_path):
    pytest.importorskip("mediapipe")
    from PIL import Image

    Image.new("RGB", (80, 80), "blue").save(tmp_path / "sky.png")
    weights, out = tmp_path / "a.safetensors", tmp_path / "new" / "run"
    config = EncoderConfig(widths=(16, 24), blocks=(1, 1), fusion=8, glances=3, scene=32, size=32)
    save_weights(weights, Encoder(config), Decoder())
    with pytest.raises(InputError, match="no photo with a face"):
        finetuning.finetune(
            finetuning.FinetuneOptions([tmp_path / "sky.png"], out, weights, steps=1)
        )
    assert not out.parent.exists()
    out.mkdir(parents=True)
    (out / runs.WEIGHTS).write_bytes(b"of an earlier run")
    with pytest.raises(InputError, match="no photo with a face"):
        finetuning.finetune(
            finetuning.FinetuneOptions(
                [tmp_path / "sky.png"], out, weights, steps=1, overwrite=True
            )
        )
    assert [file.name for file in out.iterdir()] == [runs.WEIGHTS]


def test_photos_without_a_face_are_skipped_with_a_line(tmp_path, capsys):
    pytest.importorskip("mediapipe")
    from PIL import Image

    from bioface.learn.faces import load_faces

    Image.new("RGB", (80, 80), "blue").save(tmp_path / "sky.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8broken")
    with pytest.raises(InputError, match="no photo with a face"):
        load_faces([tmp_path], 32)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "broken.jpg" in lines[0]
    assert lines[1].startswith("skipped ")
    assert "sky.png: no face found" in lines[1]


def test_command_line(pack_path, tmp_path, capsys):
    from bioface.cli import main

    out = tmp_path / "run"
    arguments = ["train", "pretrain", "--data", str(pack_path), "--out", str(out)]
    arguments += ["--steps", "2", "--size", "32", "--batch", "2", "--threads", "1"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "weights.safetensors")
    assert main(arguments) == 1
    assert "holds a training run" in capsys.readouterr().err
    arguments[arguments.index(str(pack_path))] = str(tmp_path / "missing.pack")
    assert main([*arguments, "--overwrite"]) == 1
    error = capsys.readouterr().err
    assert "missing.pack: cannot be read" in error
    assert error.count("\n") == 1
