"""`bioface-synth apply`: an estimate in, two pictures, textures and a .blend out."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from bioface.errors import BiofaceError
from bioface.exr import read_exr, write_exr
from bioface.spectral.skin import SkinModel
from synth.cli import main
from synth.heads import load_provider
from synth.project.raster import rasterise, skin_faces, triangulate

pytestmark = pytest.mark.bpy

SHAPE = (160, 150)


@pytest.fixture
def estimate(tmp_path):
    """The mean head's face, seen from the front: melanin .08, haemoglobin .02, a darker chin."""
    head = load_provider("procedural").mean()
    depth = 90 - head.vertices[:, 2]
    points = 450 * head.vertices[:, :2] * [1, -1] / depth[:, None] + np.array(SHAPE)[::-1] / 2
    corners, owner = triangulate(head.faces)
    triangles = np.take_along_axis(head.faces[owner], corners, 1)
    index, weights = rasterise(points[triangles], SHAPE, depth[triangles])
    height = (head.vertices[triangles[index]][..., 1] * weights).sum(2)
    chin, brow = head.vertices[head.landmarks[[8, 19]], 1]
    mask = (index >= 0) & skin_faces(head)[owner[index]] & (height > chin) & (height < brow + 2)
    maps = {
        "melanin": np.where(mask, np.where(height < chin + 3, 0.12, 0.08), 0),
        "haemoglobin": np.where(mask, 0.02, 0),
        "mask": mask.astype(float),
    }
    write_exr(tmp_path / "photo.exr", maps)
    skin = SkinModel.load()
    record = {
        "faces": [{"landmarks": points[head.landmarks].tolist()}],
        "skin_model": skin.name,
        "skin_constants": {name: float(value) for name, value in skin.constants.items()},
    }
    (tmp_path / "photo.json").write_text(json.dumps(record))
    return tmp_path / "photo.exr"


INTERRUPTED = """
import os, signal, sys
from synth.blender import portrait
from synth.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
build = portrait.build_portrait

def interrupted(bpy, *arguments):
    made = build(bpy, *arguments)
    bpy.app.handlers.render_pre.append(lambda *_: os.kill(os.getpid(), signal.SIGINT))
    return made

portrait.build_portrait = interrupted
sys.exit(main(["apply", *sys.argv[1:]]))
"""


def apply(estimate, out, *options):
    small = ("--size", "48", "--samples", "4", "--texture", "64")
    return main(["apply", str(estimate), "--out", str(out), *small, *options])


def test_before_after_and_the_blend(estimate, tmp_path, capfd):
    from PIL import Image

    out = tmp_path / "out"
    assert apply(estimate, out) == 0
    names = {path.name for path in out.iterdir()}
    tiles = {name for name in names if name.startswith("maps.")}
    assert names - tiles == {"before.png", "after.png", "head.blend"}
    printed = capfd.readouterr().out
    assert "Fra:" not in printed
    assert str(out) in printed

    face = np.s_[20:36, 16:32]
    before, after = (
        np.asarray(Image.open(out / name), float)[face].mean((0, 1))
        for name in ("before.png", "after.png")
    )
    assert after.sum() < before.sum() - 5  # more melanin: darker
    assert after[0] / after[1] < before[0] / before[1] - 0.02  # less blood: less red
    assert before[0] > before[1] > before[2]

    maps = read_exr(out / "maps.1001.exr")
    seen = maps["seen"] > 0.9
    assert seen.sum() > 100
    assert np.median(maps["melanin"][seen]) == pytest.approx(0.08, rel=0.02)
    assert maps["haemoglobin"] == pytest.approx(0.02, rel=0.01)

    import bpy

    bpy.ops.wm.open_mainfile(filepath=str(out / "head.blend"))
    from synth.blender.skin_material import object_skin_node

    head = bpy.data.objects["head"]
    node = object_skin_node(head)
    assert node.inputs["Melanin Gain"].default_value == pytest.approx(1.5)
    assert node.inputs["Haemoglobin Gain"].default_value == pytest.approx(0.5)
    landmarks = [item.value for item in head.data.attributes["bioface_landmarks"].data]
    assert sorted(landmarks)[-69:] == list(range(69))
    for channel in ("Melanin", "Haemoglobin"):
        image = node.inputs[channel].links[0].from_node.image
        assert image.packed_files
        assert image.colorspace_settings.name == "Non-Color"
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_the_users_extensions_keep_their_wheels(estimate, blender, tmp_path):
    blender("")
    wheels = sorted(path.name for path in (tmp_path / "user").rglob("site-packages/*"))
    assert "bioface" in wheels
    arguments = [str(estimate), "--out", str(tmp_path / "out"), "--size", "16", "--samples", "1"]
    subprocess.run(
        [sys.executable, "-m", "synth.cli", "apply", *arguments, "--texture", "16"],
        check=True,
        capture_output=True,
        env={**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "user")},
    )
    assert sorted(p.name for p in (tmp_path / "user").rglob("site-packages/*")) == wheels


def test_the_saved_head_takes_another_photo_and_no_tile_of_another_stays(estimate, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "maps.1099.exr").write_text("of another head")
    (out / "maps.mine.exr").write_text("mine")
    assert apply(estimate, out, "--overwrite") == 0
    names = {path.name for path in out.glob("maps.*")}
    assert "maps.1099.exr" not in names
    assert {"maps.1001.exr", "maps.mine.exr"} <= names
    import bpy

    from synth.blender.character import PhotoOfCharacter, project_estimates

    bpy.ops.wm.open_mainfile(filepath=str(out / "head.blend"))
    head = bpy.data.objects["head"]
    assert 0.05 < project_estimates(bpy, head, [PhotoOfCharacter(estimate)], 64) < 0.9
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_nothing_is_replaced_or_left_half_written(estimate, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "after.png").write_text("mine")
    assert apply(estimate, out) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["after.png"]

    import synth.blender.portrait

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(synth.blender.portrait, "save_blend", fail)
    assert apply(estimate, out, "--overwrite") == 1
    assert "disk full" in capsys.readouterr().err
    assert [path.read_text() for path in out.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "4"], "--size 4"),
        (["--melanin", "-1"], "--melanin -1"),
        (["--haemoglobin", "nan"], "--haemoglobin nan"),
        (["--heads", "nobody"], "nobody"),
    ],
)
def test_bad_values_are_named(estimate, tmp_path, capsys, options, words):
    assert apply(estimate, tmp_path / "out", *options) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_estimate_or_unusable_folder_is_named(tmp_path, capsys):
    assert apply(tmp_path / "none.exr", tmp_path / "out") == 1
    assert "none.exr: no such file" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert apply(tmp_path / "none.exr", tmp_path / "file") == 1
    assert "not a folder" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_a_failure_leaves_no_folder(estimate, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise BiofaceError("the disk is full")

    monkeypatch.setattr("bioface.exr.write_exr", full)
    assert apply(estimate, tmp_path / "some" / "out") == 1
    assert "the disk is full" in capsys.readouterr().err
    assert not (tmp_path / "some").exists()


def test_ctrl_c_during_a_render_ends_the_command(estimate, tmp_path):
    out = tmp_path / "some" / "out"
    small = ("--size", "16", "--samples", "1", "--texture", "16")
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(estimate), "--out", str(out), *small],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 130, ended.stderr
    assert "bioface-synth: interrupted\n" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "after.png" not in ended.stdout
    assert not (tmp_path / "some").exists()
