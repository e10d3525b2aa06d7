"""Photo to skin inside Blender: the shipped network on a picture whose truth is known."""

import numpy as np
import pytest

pytestmark = pytest.mark.bpy

MELANIN, HAEMOGLOBIN, PIXELS = 0.08, 0.025, 192
WITHOUT_MEDIAPIPE = "import sys\nsys.modules['mediapipe'] = None\n"
"""As inside Blender, which does not have it: the network finds the face."""


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    """A rendered head of even skin: path, and its face's left, top and side in pixels."""
    from synth.blender.compat import import_bpy
    from synth.blender.portrait import build_portrait, render_picture
    from synth.heads import load_provider
    from synth.project import Tile

    bpy = import_bpy()
    from bpy_extras.object_utils import world_to_camera_view

    path = tmp_path_factory.mktemp("portrait") / "face.png"
    flat = np.ones((16, 16), np.float32)
    maps = {"melanin": MELANIN * flat, "haemoglobin": HAEMOGLOBIN * flat}
    head = build_portrait(bpy, load_provider("procedural"), {1001: Tile(maps, flat, flat > 0)})
    render_picture(bpy, path, PIXELS, 8)
    scene = bpy.context.scene
    marks = head.data.attributes["bioface_landmarks"].data
    places = (
        world_to_camera_view(scene, scene.camera, head.matrix_world @ vertex.co)
        for vertex, mark in zip(head.data.vertices, marks, strict=True)
        if mark.value
    )
    points = np.array([(place.x, 1 - place.y) for place in places]) * PIXELS
    bpy.ops.wm.read_factory_settings(use_empty=True)
    low, high = points.min(0), points.max(0)
    side = (high - low).max()
    return path, (*((low + high - side) / 2).round().astype(int).tolist(), round(side))


@pytest.fixture
def reader(blender, portrait, tmp_path, monkeypatch):
    """`blender` without MediaPipe, with PHOTO and BOX of the portrait."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(WITHOUT_MEDIAPIPE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    path, box = portrait
    return lambda code: blender(f"PHOTO, BOX = {str(path)!r}, {box!r}\n{code}")


def test_a_photo_becomes_maps_with_the_shipped_network(reader):
    reader(
        f"""
import time
from bioface.exr import read_exr
from synth.blender.background import Task

task = Task("photo", photo=PHOTO, folder="maps", weights=None, face_box=None)
while task.progress.done < 1:
    assert task.poll() is None
    time.sleep(0.02)
task.close()  # cancelled while it looks for the face
assert not Path("maps").exists()

source = bpy.context.scene.bioface.source

def check():
    planes = read_exr(source.result)
    assert planes["mask"].shape == ({PIXELS}, {PIXELS})
    assert all(np.isfinite(plane).all() for plane in planes.values())
    x, y, side = BOX
    cheeks = np.s_[y + side // 2 : y + 3 * side // 4, x + side // 4 : x + 3 * side // 4]
    skin = planes["mask"] > 0.5
    assert skin[cheeks].mean() > 0.8
    assert not skin[: y // 3].any()  # above the head
    assert 0.5 < np.median(planes["melanin"][skin]) / {MELANIN} < 2
    assert 0.3 < np.median(planes["haemoglobin"][skin]) / {HAEMOGLOBIN} < 3
    assert [shown.name for shown in source.maps] == [
        "melanin", "haemoglobin", "melanin_std", "haemoglobin_std"
    ]
    for shown in source.maps:
        assert 0 < shown.low <= shown.median <= shown.high < 0.5
        bar = pixels(shown.image)[-10]
        assert np.abs(bar[0] - bar[-1]) > 0.4  # the colour bar runs from little to much

assert bpy.ops.bioface.photo_estimate(filepath=PHOTO) == {{"FINISHED"}}
check()
found = np.array([*source.box_corner, source.box_side])
assert not source.use_box
assert np.abs(found - BOX).max() < 0.35 * BOX[2], found

source.use_box, source.box_corner, source.box_side = True, BOX[:2], BOX[2]
images = len(bpy.data.images)
assert bpy.ops.bioface.photo_estimate() == {{"FINISHED"}}
check()
assert (*source.box_corner, source.box_side) == BOX
assert len(bpy.data.images) == images
assert [photo.name for photo in bpy.context.scene.bioface.photos] == ["face"]
"""
    )


def test_photos_that_show_no_face_are_explained(reader):
    output = reader(
        """
from PIL import Image

read = bpy.ops.bioface.photo_estimate
source = bpy.context.scene.bioface.source
grit = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
Image.fromarray(grit).save("grit.png")
fails(read, "no face found; draw its box", filepath=str(Path("grit.png").resolve()))
Image.new("RGB", (16, 16)).save("small.png")
fails(read, "small.png: 16x16 pixels is too small", filepath=str(Path("small.png").resolve()))
Path("broken.png").write_bytes(Path(PHOTO).read_bytes()[:4000])
fails(read, "broken.png", filepath=str(Path("broken.png").resolve()))
source.use_box, source.box_corner, source.box_side = True, (500, 20), 60
fails(read, "outside the photo", filepath=PHOTO)
assert not source.result
assert not source.maps
"""
    )
    assert "Traceback" not in output


def test_the_face_box_is_drawn_and_given_up(blender):
    blender(
        """
from types import SimpleNamespace
from unittest.mock import MagicMock

draw = bpy.ops.bioface.face_box_draw
source = bpy.context.scene.bioface.source
assert not draw.poll()
source.filepath = "photo.png"
fails(draw, "draw in a 3D view")

name = next(n for n in sys.modules if n.endswith("bioface.photo_overlay"))
place = sys.modules[name].Placement.inside((50, 0, 650, 400), (200, 400))
for point in ((0, 0), (400, 0), (130, 70)):
    assert np.allclose(place.to_photo(*place.to_region(*point)), point)
assert place.to_photo(-9, -9) == (0, 200)  # beside the photo: at its edge
assert 50 < place.to_region(0, 0)[0] < place.to_region(400, 0)[0] < 650
assert 0 < place.to_region(0, 200)[1] < place.to_region(0, 0)[1] < 400

kind = bpy.types.BIOFACE_OT_face_box_draw
context = MagicMock(scene=bpy.context.scene)

def drawn(*events):
    overlay = MagicMock(placement=place, pointer=lambda event: event.at)
    operator = SimpleNamespace(_overlay=overlay, _start=None, report=MagicMock())
    operator.cancel = lambda context: kind.cancel(operator, context)
    operator._keep = lambda context, square: kind._keep(operator, context, square)
    for type_, value, point in events:
        event = SimpleNamespace(type=type_, value=value, at=place.to_region(*point))
        status = kind.modal(operator, context, event)
    assert overlay.remove.called == (status != {"RUNNING_MODAL"})
    return status

press, move, let_go = (("LEFTMOUSE", "PRESS"), ("MOUSEMOVE", "NOTHING"), ("LEFTMOUSE", "RELEASE"))
for key in ("ESC", "RIGHTMOUSE"):
    status = drawn((*press, (60, 20)), (*move, (160, 90)), (key, "PRESS", (160, 90)))
    assert status == {"CANCELLED"}
assert not source.use_box
assert drawn((*press, (60, 20)), (*let_go, (70, 25))) == {"RUNNING_MODAL"}  # too small for a face
assert not source.use_box
assert drawn((*press, (160, 130)), (*move, (90, 80)), (*let_go, (60, 50))) == {"FINISHED"}
assert (*source.box_corner, source.box_side) == (60, 30, 100)
assert source.use_box
"""
    )
