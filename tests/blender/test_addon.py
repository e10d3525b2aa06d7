"""The extension as people get it: built, installed into a fresh Blender, and used.

Each test runs Blender in a process of its own, whose user folder is a temporary one.
"""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bioface.exr import write_exr
from bioface.spectral.skin import SkinModel

pytestmark = pytest.mark.bpy

ROOT = Path(__file__).resolve().parents[2]
PRELUDE = """
import sys
from pathlib import Path
import numpy as np
import bpy
ARCHIVE, ESTIMATE = sys.argv[1:3]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.extensions.package_install_files(
    filepath=ARCHIVE, repo="user_default", enable_on_install=True
)
from synth.blender.skin_material import object_skin_node

def fails(operator, words, **options):
    try:
        operator(**options)
    except RuntimeError as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"no error with {words!r}")

def pixels(image):
    values = np.empty(4 * image.size[0] * image.size[1], np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(image.size[1], image.size[0], 4)[::-1, :, 0]

def plane():
    bpy.ops.mesh.primitive_plane_add(size=2)
    return bpy.context.object

def camera():
    data = bpy.data.cameras.new("camera")
    data.sensor_width, data.lens = 36, 72
    made = bpy.data.objects.new("camera", data)
    made.location.z = 4
    bpy.context.scene.collection.objects.link(made)
    bpy.context.scene.camera = made
"""


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """The extension, built and validated by Blender's own builder."""
    out = tmp_path_factory.mktemp("dist")
    result = subprocess.run(
        [ROOT / "scripts" / "build_extension", out], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr + result.stdout
    (found,) = out.glob("bioface-*.zip")
    return found


@pytest.fixture
def estimate(tmp_path):
    """An estimate of a photo that is all skin: melanin grows to the right, blood downwards."""
    side = 64
    ramp = np.linspace(0, 1, side, dtype=np.float32)
    maps = {
        "melanin": np.broadcast_to(0.05 + 0.2 * ramp, (side, side)),
        "haemoglobin": np.broadcast_to(0.01 + 0.03 * ramp[:, None], (side, side)),
        "mask": np.ones((side, side), np.float32),
    }
    write_exr(tmp_path / "photo.exr", maps)
    skin = SkinModel.load()
    angle = np.linspace(0, 6.2, 68)
    record = {
        "faces": [{"landmarks": np.stack([30 + 20 * np.cos(angle), 30 + 20 * np.sin(angle)], 1)}],
        "skin_model": skin.name,
        "skin_constants": {name: float(value) for name, value in skin.constants.items()},
    }
    (tmp_path / "photo.json").write_text(json.dumps(record, default=lambda array: array.tolist()))
    return tmp_path / "photo.exr"


@pytest.fixture
def blender(archive, estimate, tmp_path):
    """Run code after `PRELUDE` in a new Blender."""

    def run(code):
        environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "user")}
        result = subprocess.run(
            [sys.executable, "-c", PRELUDE + code, archive, estimate],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        assert result.returncode == 0, result.stderr + result.stdout
        return result.stdout + result.stderr

    return run


def test_the_archive_holds_our_wheels_and_no_others(archive):
    names = zipfile.ZipFile(archive).namelist()
    wheels = sorted(Path(name).name.split("-")[0] for name in names if name.endswith(".whl"))
    assert wheels == ["array_api_compat", "bioface"]
    assert not [name for name in names if "__pycache__" in name]


def test_operators_edit_undo_and_project(blender, tmp_path):
    blender(
        """
installed = list(Path("user").rglob("site-packages/bioface/__init__.py"))
assert installed, "the wheels were not installed"

assert not bpy.ops.bioface.skin_material_add.poll()
target = plane()
assert bpy.ops.bioface.skin_material_add() == {"FINISHED"}
node = object_skin_node(target)
assert node.inputs["Melanin Gain"].default_value == 1

bpy.ops.ed.undo_push(message="before")
bpy.ops.bioface.skin_material_add("EXEC_DEFAULT", True)
assert len(bpy.data.materials) == 2
bpy.ops.ed.undo()
assert len(bpy.data.materials) == 1
bpy.ops.ed.redo()
assert len(bpy.data.materials) == 2
target = bpy.context.object

fails(bpy.ops.bioface.maps_project, "no camera", filepath=ESTIMATE)
camera()
bpy.context.scene.bioface.texture_size = 64
assert bpy.ops.bioface.maps_project(filepath=ESTIMATE) == {"FINISHED"}
images = {node.label: node.image for node in target.active_material.node_tree.nodes
          if node.type == "TEX_IMAGE"}
ramp = np.linspace(0, 1, 64)
inner = slice(8, -8)
melanin, blood = pixels(images["Melanin"]), pixels(images["Haemoglobin"])
assert np.abs(melanin[inner, inner] - (0.05 + 0.2 * ramp)[inner]).max() < 0.002
assert np.abs(blood[inner, inner] - (0.01 + 0.03 * ramp)[inner, None]).max() < 0.0005

count = len(target.active_material.node_tree.nodes)
assert bpy.ops.bioface.maps_project(filepath=ESTIMATE) == {"FINISHED"}
assert len(target.active_material.node_tree.nodes) == count

saved = str(Path("saved.blend").resolve())
bpy.ops.wm.save_as_mainfile(filepath=saved)
bpy.ops.wm.open_mainfile(filepath=saved)
(target,) = (o for o in bpy.data.objects if o.type == "MESH")
image = object_skin_node(target).inputs["Melanin"].links[0].from_node.image
np.testing.assert_array_equal(pixels(image), melanin)
"""
    )


def test_bad_input_is_explained(blender):
    output = blender(
        """
project = bpy.ops.bioface.maps_project
camera()
target = plane()
fails(project, "no such file", filepath="nothing.exr")
open("text.exr", "w").write("text")
fails(project, "not a readable EXR", filepath="text.exr")
target.data.uv_layers.remove(target.data.uv_layers[0])
target.data.update_tag()
fails(project, "unwrap it", filepath=ESTIMATE)
empty = bpy.data.objects.new("empty", bpy.data.meshes.new("empty"))
bpy.context.scene.collection.objects.link(empty)
bpy.context.view_layer.objects.active = empty
fails(project, "no faces", filepath=ESTIMATE)
behind = plane()
behind.location.z = 9
fails(project, "behind the camera", filepath=ESTIMATE)
bpy.context.view_layer.objects.active = bpy.data.objects["camera"]
assert not project.poll()
"""
    )
    assert "Traceback" not in output


def test_without_openexr_blenders_own_reader_is_used(blender):
    blender(
        """
sys.modules["OpenEXR"] = None
# Blender starts with its own packages on the path; the wheel leaves them aside.
own = Path(bpy.utils.resource_path("LOCAL"), "python", "lib")
sys.path.append(str(next(own.glob("python*/site-packages"))))
camera()
target = plane()
bpy.context.scene.bioface.texture_size = 64
assert bpy.ops.bioface.maps_project(filepath=ESTIMATE) == {"FINISHED"}
"""
    )


def test_the_panels_show_what_applies(blender):
    blender(
        """
from unittest.mock import MagicMock

def drawn(panel):
    layout = MagicMock()
    panel.draw(MagicMock(split_layout=lambda: layout), bpy.context)
    return str(layout.mock_calls)

skin, photo = bpy.types.BIOFACE_PT_skin, bpy.types.BIOFACE_PT_photo
assert "Select a mesh" in drawn(skin)
target = plane()
assert "bioface.skin_material_add" in drawn(skin)
bpy.ops.bioface.skin_material_add()
assert "text='Melanin Gain'" in drawn(skin)
camera()
bpy.context.scene.bioface.texture_size = 64
bpy.ops.bioface.maps_project(filepath=ESTIMATE)
assert "Melanin from image" in drawn(skin)
assert "texture_size" in drawn(photo)
assert "bioface.maps_project" in drawn(photo)
"""
    )


def test_disabling_leaves_nothing_behind(blender):
    blender(
        """
import addon_utils
name = next(m for m in bpy.context.preferences.addons.keys() if m.endswith(".bioface"))
for _ in range(20):
    addon_utils.disable(name)
    assert not hasattr(bpy.types.Scene, "bioface")
    assert not [n for n in dir(bpy.types) if n.startswith("BIOFACE")]
    addon_utils.enable(name)
assert hasattr(bpy.types.Scene, "bioface")
assert {n for n in dir(bpy.ops.bioface)} >= {"skin_material_add", "maps_project"}
"""
    )
