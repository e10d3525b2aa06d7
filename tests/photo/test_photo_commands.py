"""`bioface estimate` and `bioface edit` as people call them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bioface.cli import main

pytest.importorskip("mediapipe")
pytest.importorskip("OpenEXR")
pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from PIL import Image  # noqa: E402


@pytest.fixture
def photo(tmp_path, portrait):
    path = tmp_path / "person.png"
    Image.fromarray(portrait).save(path)
    return path


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def test_estimate_then_edit(tmp_path, photo, portrait, weights, capsys):
    out = tmp_path / "out"
    assert run("estimate", photo, "--out", out, "--weights", weights) == 0
    assert {path.name for path in out.iterdir()} == {"person.exr", "person.json", "person.png"}
    assert "person.exr: 1 face, melanin" in capsys.readouterr().out
    assert json.loads((out / "person.json").read_text())["photo"]["path"] == "../person.png"

    null, changed = tmp_path / "null.png", tmp_path / "changed.png"
    assert run("edit", out / "person", "--out", null) == 0
    assert null.read_bytes() == photo.read_bytes()
    jpeg = tmp_path / "other.jpg"
    Image.fromarray(portrait).save(jpeg, quality=95)
    assert run("estimate", jpeg, "--out", out, "--weights", weights) == 0
    assert run("edit", out / "other", "--out", tmp_path / "decoded.png") == 0
    decoded = np.asarray(Image.open(tmp_path / "decoded.png"))
    assert np.array_equal(decoded, np.asarray(Image.open(jpeg)))
    edits = ("--melanin", 1.3, "--haemoglobin", 0.8, "--specular", 0, "--illuminant", "F11")
    assert run("edit", out / "person.exr", *edits, "--out", changed) == 0
    assert not np.array_equal(np.asarray(Image.open(changed)), portrait)

    assert run("edit", out / "person", "--out", changed) == 1
    assert "exists already; pass --overwrite" in capsys.readouterr().err
    assert run("edit", out / "person.json", "--rebalance", "--out", tmp_path / "b.png") == 1
    assert "--rebalance needs another light; name one with --illuminant" in capsys.readouterr().err
    assert run("edit", out / "person.json", "--out", tmp_path / "b.jpg") == 1
    assert not (tmp_path / "b.png").exists()


def test_a_photo_on_another_drive_is_recorded_whole(tmp_path, photo, weights, monkeypatch):
    def another_drive(*_arguments):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr("os.path.relpath", another_drive)
    out = tmp_path / "out"
    box = ("--face-box", 54, 57, 92)
    assert run("estimate", photo, "--out", out, "--weights", weights, *box) == 0
    recorded = json.loads((out / "person.json").read_text())["photo"]["path"]
    assert recorded == photo.resolve().as_posix()
    assert run("edit", out / "person", "--out", tmp_path / "null.png") == 0


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_an_edit_is_as_deep_as_its_photo(tmp_path, portrait, weights, suffix):
    cv2 = pytest.importorskip("cv2")
    deep = portrait.astype(np.uint16) * 257 // 3 + np.arange(200, dtype=np.uint16)[:, None, None]
    photo, out = tmp_path / f"person{suffix}", tmp_path / "out"
    assert cv2.imwrite(str(photo), deep[..., ::-1])
    box = ("--face-box", 54, 57, 92)
    assert run("estimate", photo, "--out", out, "--weights", weights, *box) == 0
    null, darker = tmp_path / "null.png", tmp_path / "darker.png"
    assert run("edit", out / "person", "--out", null) == 0
    assert run("edit", out / "person", "--melanin", 2, "--out", darker) == 0
    same, edited = (cv2.imread(str(p), cv2.IMREAD_UNCHANGED)[..., ::-1] for p in (null, darker))
    assert np.array_equal(same, deep)
    assert edited.dtype == np.uint16
    changed = (edited != deep).any(axis=2)
    assert changed.any()
    assert np.array_equal(edited[:20], deep[:20])
    assert (edited[changed] % 257 != 0).mean() > 0.9


def test_a_bad_photo_does_not_stop_the_others(tmp_path, photo, weights, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(tmp_path / "beach.png")
    out = tmp_path / "out"
    missing = tmp_path / "missing.jpg"
    inputs = (tmp_path / "broken.jpg", tmp_path / "beach.png", missing, photo)
    assert run("estimate", *inputs, "--out", out, "--weights", weights) == 1
    assert {path.name for path in out.iterdir()} == {"person.exr", "person.json", "person.png"}
    errors = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(errors) == 4
    assert "broken.jpg: not an image" in errors[0]
    assert "beach.png: no face found" in errors[1]
    assert "missing.jpg: no such photo" in errors[2]
    assert "3 of 4 photos failed" in errors[3]


def test_a_face_box_needs_no_landmarks(tmp_path, photo, weights, capsys):
    out = tmp_path / "out"
    box = ("--face-box", 54, 57, 92)
    assert run("estimate", photo, "--out", out, "--weights", weights, *box) == 0
    assert json.loads((out / "person.json").read_text())["landmarks"] is None
    assert run("edit", out / "person", "--melanin", 2, "--out", tmp_path / "edited.png") == 0
    capsys.readouterr()
    outside = (*box, "--face-box", 900, 0, 90, "--out", tmp_path / "other")
    assert run("estimate", photo, "--weights", weights, *outside) == 1
    assert "its centre lies outside the photo of 200x200" in capsys.readouterr().err
    (tmp_path / "b.png").write_bytes(photo.read_bytes())
    assert run("estimate", photo, tmp_path / "b.png", "--out", out, "--overwrite", *box) == 1
    assert "--face-box tells of one photo, but 2 are given" in capsys.readouterr().err


def test_the_network_finds_the_face_and_says_so(tmp_path, photo, weights, capsys, monkeypatch):
    from bioface.photo import read
    from bioface.photo.face import FaceBox

    monkeypatch.setattr(read, "can_find", lambda: False)
    monkeypatch.setattr(read, "locate_face", lambda *_: FaceBox((54.0, 57.0, 146.0, 149.0)))
    assert run("estimate", photo, "--out", tmp_path / "out", "--weights", weights) == 0
    assert "found by the network, without MediaPipe" in capsys.readouterr().out


def test_an_edit_without_a_place_is_refused_first(tmp_path, capsys):
    assert run("edit", tmp_path / "nothing", "--out", tmp_path / "newdir" / "e.png") == 1
    assert "e.png: its folder does not exist; make it first" in capsys.readouterr().err


@pytest.mark.parametrize(("levels", "grey"), [((1, 1, 1), True), ((1, 0.9, 0.8), False)])
def test_a_grey_photo_is_said_to_be_one(
    tmp_path, portrait, weights, capsys, monkeypatch, levels, grey
):
    monkeypatch.setattr("bioface.photo.read.SURE", 0.0)  # an untrained network is never sure
    single = portrait.mean(-1, keepdims=True)
    Image.fromarray((single * levels).astype(np.uint8)).save(tmp_path / "a.jpg")
    box = ("--face-box", 54, 57, 92)
    arguments = ("--out", tmp_path / "out", "--weights", weights, *box)
    assert run("estimate", tmp_path / "a.jpg", *arguments) == 0
    said = "(a grey photo: its pigments are a guess)" in capsys.readouterr().out
    assert said == grey


def test_a_folder_of_photos(tmp_path, photo, weights):
    out = tmp_path / "out"
    folder = tmp_path / "photos"
    folder.mkdir()
    photo.rename(folder / "a.png")
    assert run("estimate", folder, "--out", out, "--weights", weights) == 0
    assert (out / "a.exr").exists()


def test_a_folder_that_takes_its_own_results(tmp_path, portrait, weights, capsys):
    Image.fromarray(portrait).save(tmp_path / "q.jpg")
    again = ("estimate", tmp_path, "--out", tmp_path, "--weights", weights)
    assert run(*again) == 0
    capsys.readouterr()
    assert run(*again) == 1
    assert "q.exr: exists already; pass --overwrite" in capsys.readouterr().err
    assert run(*again, "--overwrite") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"q.exr", "q.jpg", "q.json", "q.png"}


def test_refusals_before_any_work(tmp_path, photo, weights, capsys, monkeypatch):
    def no_work(*_arguments, **_keywords):
        raise AssertionError("work was started")

    monkeypatch.setattr("bioface.photo.network.load_network", no_work)
    out = tmp_path / "out"
    twin = photo.with_suffix(".jpg")
    cases = [
        ((photo, twin, "--out", out), "would both be written as person"),
        ((photo, "--out", photo / "below"), "not a folder"),
        ((photo, "--out", photo), "not a folder"),
        ((photo, "--out", tmp_path, "--overwrite"), "its picture would replace it"),
        ((photo, "--out", ""), "--out names no folder"),
        ((photo, "--out", out, "--size", 8), "size 8: the network sees faces in squares of 32"),
    ]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "person.json").touch()
    cases.append(((photo, "--out", tmp_path / "full"), "exists already; pass --overwrite"))
    for arguments, message in cases:
        assert run("estimate", *arguments, "--weights", weights) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not out.exists()


def test_overwrite(tmp_path, photo, weights):
    out = tmp_path / "out"
    out.mkdir()
    (out / "person.json").touch()
    assert run("estimate", photo, "--out", out, "--weights", weights, "--overwrite") == 0
    assert json.loads((out / "person.json").read_text())["skin"]


def test_weights_of_another_version(tmp_path, photo, weights, capsys):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(weights, "pt") as file:
        metadata = {**file.metadata(), "version": "99"}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, tmp_path / "later.safetensors", metadata)
    cases = {"later.safetensors": "version 99", "missing.safetensors": "cannot be read"}
    (tmp_path / "text.safetensors").write_text("no weights")
    cases["text.safetensors"] = "not a safetensors file"
    for name, message in cases.items():
        path = tmp_path / name
        assert run("estimate", photo, "--out", tmp_path / "out", "--weights", path) == 1
        error = capsys.readouterr().err
        assert name in error
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
