"""Blender with the extension in it: what the tests of the add-on share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bioface.exr import write_exr
from bioface.spectral.skin import SkinModel

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("BIOFACE_BLENDER_PYTHON", sys.executable)
"""The Python whose Blender is tested: scripts/test_blender names another."""

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
CODA = """
import os
import addon_utils
for name in [m for m in bpy.context.preferences.addons.keys() if m.endswith(".bioface")]:
    addon_utils.disable(name)
if bpy.app.version < (4, 3):  # as a module, 4.2 dies with Python once any operator was registered
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.fixture
def bpy():
    """Blender in its factory state, before and after."""
    from synth.blender.compat import import_bpy

    module = import_bpy()
    module.ops.wm.read_factory_settings(use_empty=True)
    yield module
    module.ops.wm.read_factory_settings(use_empty=True)


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """The extension, built and validated by Blender's own builder, or $BIOFACE_EXTENSION."""
    if "BIOFACE_EXTENSION" in os.environ:
        return Path(os.environ["BIOFACE_EXTENSION"])
    out = tmp_path_factory.mktemp("dist")
    result = subprocess.run(
        [ROOT / "scripts" / "build_extension", "--platform", "any", out],
        capture_output=True,
        text=True,
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
    """Run code after `PRELUDE` in a new Blender, which is disabled again at the end."""

    def run(code):
        environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "user")}
        result = subprocess.run(
            [PYTHON, "-c", PRELUDE + code + CODA, archive, estimate],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=1800,
        )
        assert result.returncode == 0, result.stderr + result.stdout
        return result.stdout + result.stderr

    return run
