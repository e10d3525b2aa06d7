"""The extension as people get it: built, installed into a fresh Blender, and used.

Each test runs Blender in a process of its own, whose user folder is a temporary one.
"""

import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.bpy


def test_the_archive_holds_what_blender_lacks_and_no_more(archive):
    names = zipfile.ZipFile(archive).namelist()
    wheels = {Path(name).name.split("-")[0] for name in names if name.endswith(".whl")}
    compiled = set() if archive.stem.endswith("-any") else {"onnxruntime", "pillow"}
    assert wheels == {"array_api_compat", "bioface"} | compiled
    assert not [name for name in names if "__pycache__" in name]


def test_operators_edit_undo_and_project(blender, tmp_path):
    output = blender(
        """
installed = list(Path("user").rglob("site-packages/bioface/__init__.py"))
assert installed, "the wheels were not installed"

assert not bpy.ops.bioface.skin_material_add.poll()
target = plane()
former = bpy.data.materials.new("former")
target.data.materials.append(former)
assert bpy.ops.bioface.skin_material_add() == {"FINISHED"}
assert former.use_fake_user  # it is not lost when the file is saved
node = object_skin_node(target)
assert node.inputs["Melanin Gain"].default_value == 1
assert bpy.ops.bioface.skin_preset_set(group="SA") == {"FINISHED"}
assert 0.1 < node.inputs["Melanin"].default_value < 0.3
fails(bpy.ops.bioface.skin_preset_set, "choose one of", group="nobody")
value = target.active_material.node_tree.nodes.new("ShaderNodeValue")
target.active_material.node_tree.links.new(value.outputs[0], node.inputs["Haemoglobin"])
before = node.inputs["Melanin"].default_value
fails(bpy.ops.bioface.skin_preset_set, "Haemoglobin comes from", group="JP")
assert node.inputs["Melanin"].default_value == before
target.active_material.node_tree.nodes.remove(value)
former.use_fake_user = False
bpy.data.materials.remove(former)

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
tree = target.active_material.node_tree
noise = tree.nodes.new("ShaderNodeTexNoise")
tree.links.new(noise.outputs[0], object_skin_node(target).inputs["Melanin"])
assert bpy.ops.bioface.maps_project(filepath=ESTIMATE) == {"FINISHED"}
assert noise.name in tree.nodes
images = {node.label: node.image for node in target.active_material.node_tree.nodes
          if node.type == "TEX_IMAGE"}
ramp = np.linspace(0, 1, 64)
inner = slice(8, -8)
melanin, blood = pixels(images["Melanin"]), pixels(images["Haemoglobin"])
assert np.abs(melanin[inner, inner] - (0.05 + 0.2 * ramp)[inner]).max() < 0.002
assert np.abs(blood[inner, inner] - (0.01 + 0.03 * ramp)[inner, None]).max() < 0.0005

fails(bpy.ops.bioface.skin_preset_set, "comes from an image", group="SA")
source = target.active_material
library = str(Path("library.blend").resolve())
bpy.data.libraries.write(library, {source})
with bpy.data.libraries.load(library, link=True) as (there, here):
    here.materials = there.materials
target.active_material = here.materials[0]
fails(bpy.ops.bioface.skin_preset_set, "make it local first", group="SA")
target.active_material = source
bpy.data.libraries.remove(bpy.data.libraries[0])

count, images = len(target.active_material.node_tree.nodes), len(bpy.data.images)
settings = bpy.context.scene.bioface
for _ in range(2):
    assert bpy.ops.bioface.photo_add(filepath=ESTIMATE) == {"FINISHED"}
assert [photo.name for photo in settings.photos] == ["photo"]
settings.photos[0].camera = bpy.data.objects["camera"]
assert bpy.ops.bioface.maps_project() == {"FINISHED"}
assert len(target.active_material.node_tree.nodes) == count
assert len(bpy.data.images) == images, "the former textures stayed behind"
bpy.ops.bioface.photo_remove()
assert not bpy.ops.bioface.photo_remove.poll()
fails(bpy.ops.bioface.maps_project, "add one to the list")

saved = str(Path("saved.blend").resolve())
bpy.ops.wm.save_as_mainfile(filepath=saved)
bpy.ops.wm.open_mainfile(filepath=saved)
(target,) = (o for o in bpy.data.objects if o.type == "MESH")
image = object_skin_node(target).inputs["Melanin"].links[0].from_node.image
np.testing.assert_array_equal(pixels(image), melanin)
"""
    )
    assert "Warning: Plane: its pigments no longer come from the node Noise Texture" in output


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
behind.location.z, behind.scale.y = 0, 0
fails(project, "scale along an axis is 0", filepath=ESTIMATE)
fails(bpy.ops.bioface.maps_attach, "read a texture first")
dataset = bpy.context.scene.bioface.dataset
dataset.folder, dataset.heads = str(Path("made").resolve()), "file"
fails(bpy.ops.bioface.dataset_generate, "no file of a head")
painted = bpy.data.images.new("painted", 8, 8)
painted.pixels[0] = 0.5
bpy.ops.bioface.skin_material_add()
bpy.data.materials[-1].node_tree.nodes.new("ShaderNodeTexImage").image = painted
truth = bpy.ops.bioface.scene_ground_truth
fails(truth, "painted: painted and not saved", filepath=str(Path("truth.exr").resolve()))
bpy.context.view_layer.objects.active = bpy.data.objects["camera"]
assert not project.poll()
"""
    )
    assert "Traceback" not in output


def test_maps_that_are_dropped_are_taken_without_asking(blender):
    blender(
        """
from types import SimpleNamespace
from unittest.mock import MagicMock

invoke = bpy.types.BIOFACE_OT_photo_add.invoke
for path, status, asked in ((ESTIMATE, {"FINISHED"}, False), ("", {"RUNNING_MODAL"}, True)):
    operator = SimpleNamespace(filepath=path, execute=lambda context: {"FINISHED"})
    context = MagicMock()
    assert invoke(operator, context, None) == status
    assert context.window_manager.fileselect_add.called == asked
assert bpy.ops.bioface.photo_add(filepath=ESTIMATE) == {"FINISHED"}
assert not bpy.context.window_manager.operator_properties_last("bioface.photo_add").filepath

import shutil
folder = Path(ESTIMATE).parent
for suffix in (".exr", ".json"):
    shutil.copy(Path(ESTIMATE).with_suffix(suffix), folder / f"other{suffix}")
dropped = [{"name": "photo.exr"}, {"name": "other.exr"}]
add, photos = bpy.ops.bioface.photo_add, bpy.context.scene.bioface.photos
here = {"filepath": ESTIMATE, "directory": str(folder)}
fails(add, "none.exr: no such file", files=[*dropped, {"name": "none.exr"}], **here)
assert [photo.name for photo in photos] == ["photo"]
assert add(files=dropped, **here) == {"FINISHED"}
assert [photo.name for photo in photos] == ["photo", "other"]
"""
    )


def test_openexr_is_not_needed(blender):
    blender(
        """
sys.modules["OpenEXR"] = None
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
    layout.panel.side_effect = lambda *_, **__: (layout, layout)
    panel.draw(MagicMock(split_layout=lambda: layout), bpy.context)
    return str(layout.mock_calls)

kinds = {name: getattr(bpy.types, f"BIOFACE_PT_{name}")
         for name in ("skin", "photo", "apply", "dataset", "truth")}
assert "Select a mesh" in drawn(kinds["skin"])
target = plane()
assert "bioface.skin_material_add" in drawn(kinds["skin"])
bpy.ops.bioface.skin_material_add()
for words in ("text='Melanin'", "text='Scatter (mm)'", "BIOFACE_MT_presets"):
    assert words in drawn(kinds["skin"])
node = object_skin_node(target)
node.node_tree["bioface_version"] = 1
assert "bioface.skin_material_upgrade" in drawn(kinds["skin"])
library = str(Path("library.blend").resolve())
bpy.data.libraries.write(library, {target.active_material})
bpy.ops.bioface.skin_material_upgrade()
with bpy.data.libraries.load(library, link=True) as (there, here):
    here.materials = there.materials
fails(bpy.ops.bioface.skin_material_upgrade, "library.blend; upgrade them there")
bpy.data.libraries.remove(bpy.data.libraries[0])
camera()
bpy.context.scene.bioface.texture_size = 64
bpy.ops.bioface.maps_project(filepath=ESTIMATE)
assert "From Image" in drawn(kinds["skin"])
assert "bioface.photo_estimate" in drawn(kinds["photo"])
assert "bioface.maps_project" in drawn(kinds["apply"])
assert "bioface.scene_ground_truth" in drawn(kinds["truth"])
assert "bioface.dataset_generate" in drawn(kinds["dataset"])
running = bpy.context.window_manager.bioface
running.operator = "bioface.dataset_generate"
assert "bioface.task_cancel" in drawn(kinds["dataset"])
assert not bpy.ops.bioface.photo_estimate.poll()
running.operator = ""
menu = MagicMock()
bpy.types.BIOFACE_MT_presets.draw(menu, bpy.context)
assert menu.layout.operator.call_count == 8

for name in dir(bpy.ops.bioface):
    kind = getattr(bpy.ops.bioface, name).get_rna_type()
    assert kind.description, name
    for item in kind.properties:
        assert item.description or item.identifier in ("rna_type", "filter_glob"), item.identifier
settings = bpy.context.scene.bioface
source, photo = settings.source, settings.photos.add()
for group in (settings, source, source.maps.add(), settings.dataset, photo, running):
    for item in group.bl_rna.properties:
        if item.identifier not in ("rna_type", "name", "source", "maps", "photos", "dataset"):
            assert item.description, item.identifier
"""
    )


@pytest.mark.slow
def test_work_in_the_background_finishes_continues_and_is_cancelled(blender):
    blender(
        """
import time
from synth.blender.background import Task

dataset = bpy.context.scene.bioface.dataset
fails(bpy.ops.bioface.dataset_generate, "save the .blend first")
dataset.folder, dataset.count, dataset.size, dataset.samples = "made", 1, 16, 1
locked = Path("locked")
locked.write_text("not a folder")
dataset.folder = str(locked)
fails(bpy.ops.bioface.dataset_generate, "is a file, not a folder; choose another")
dataset.folder = str(Path("made").resolve())
task = Task("dataset", folder=dataset.folder, settings=dataset.settings())
while not task.progress.total:
    assert task.poll() is None
    time.sleep(0.05)
task.close()  # cancelled
assert not Path("made/contact_sheet.png").exists()
assert bpy.ops.bioface.dataset_generate() == {"FINISHED"}
assert Path("made/contact_sheet.png").exists()
assert bpy.ops.bioface.contact_sheet_open() == {"FINISHED"}
dataset.size = 17
fails(bpy.ops.bioface.dataset_generate, "started with another config.size")
"""
    )


def test_a_texture_becomes_skin(blender):
    from_texture = """
from types import SimpleNamespace
from PIL import Image
from bioface.spectral.colour import reflectance_to_linear_srgb, srgb_encode
from bioface.spectral.skin import SkinModel
melanin = np.linspace(0.05, 0.2, 40)[None, :]
albedo = reflectance_to_linear_srgb(SkinModel.load().reflectance(melanin, np.full((40, 1), 0.02)))
encoded = np.round(255 * np.clip(srgb_encode(albedo), 0, 1)).astype(np.uint8)
Image.fromarray(encoded).save("texture.png")
source = bpy.context.scene.bioface.source
source.kind = "ALBEDO"
fails(bpy.ops.bioface.photo_estimate, "choose one")
fails(bpy.ops.bioface.photo_estimate, "no such file", filepath="nothing.png")
Path("text.png").write_text("text")
fails(bpy.ops.bioface.photo_estimate, "not an image", filepath=str(Path("text.png").resolve()))
assert bpy.ops.bioface.photo_estimate(filepath=str(Path("texture.png").resolve())) == {"FINISHED"}
assert [shown.name for shown in source.maps] == ["melanin", "haemoglobin"]
shown = source.maps["melanin"]
assert shown.low < shown.median < shown.high < 0.21
assert shown.image.preview.image_size[:] == (256, 256)
assert "user" in source.result
assert Path(source.result).parent.name == "texture"  # beside what is read from it as a photo
target = plane()
assert bpy.ops.bioface.maps_attach() == {"FINISHED"}
image = object_skin_node(target).inputs["Melanin"].links[0].from_node.image
np.testing.assert_allclose(pixels(image)[20], melanin[0], rtol=0.1)
source.kind = "PHOTO"  # changed before the work ended
picture, source.filepath = source.filepath, "other.png"
operator = SimpleNamespace(_picture="texture.png")
read = bpy.types.BIOFACE_OT_photo_estimate.finish
assert read(operator, bpy.context, {"path": source.result}).startswith("texture.png: melanin")
assert not bpy.context.scene.bioface.photos
source.filepath = picture
preferences = bpy.context.preferences.addons[
    next(m for m in bpy.context.preferences.addons.keys() if m.endswith(".bioface"))
].preferences
preferences.network = str(Path("text.png").resolve())
fails(bpy.ops.bioface.photo_estimate, "text.png")
preferences.network = ""
preferences.results = str(Path("text.png").resolve())
fails(bpy.ops.bioface.photo_estimate, "choose another in the preferences")
"""
    output = blender(from_texture)
    assert "Traceback" not in output


def test_ground_truth_of_a_scene_comes_back_to_its_uvs(blender):
    blender(
        """
from bioface.exr import read_exr
from synth.blender.images import data_image

fails(bpy.ops.bioface.scene_ground_truth, "no camera")
camera()
fails(bpy.ops.bioface.scene_ground_truth, "save it")
fails(bpy.ops.bioface.scene_ground_truth, "no such folder", filepath="nowhere/truth.exr")
scene = bpy.context.scene
scene.render.resolution_x = scene.render.resolution_y = 96
scene.bioface.truth_samples = 4
truth = str(Path("truth.v2").resolve())
target = plane()
fails(bpy.ops.bioface.scene_ground_truth, "BioFace Skin material", filepath=truth)
light = bpy.data.objects.new("light", bpy.data.lights.new("light", "SUN"))
light.data.energy, light.data.color = 2, (1, 0.8, 0.6)
scene.collection.objects.link(light)
bpy.ops.bioface.skin_material_add()
node = object_skin_node(target)
from synth.blender.skin_material import attach_maps
ramp = np.broadcast_to(np.linspace(0.05, 0.3, 64), (64, 64))
maps = {"melanin": data_image(bpy, "m", ramp), "haemoglobin": data_image(bpy, "h", 0.1 * ramp.T)}
attach_maps(target.active_material, maps)
node.inputs["Subsurface"].default_value = 0
assert bpy.ops.bioface.scene_ground_truth(filepath=truth) == {"FINISHED"}
assert [s.name for s in bpy.data.scenes] == [scene.name]

truth += ".exr"
planes = read_exr(truth)
inside = np.s_[10:-10, 10:-10]
for c in "RGB":
    shown = planes[f"albedo.{c}"] * planes[f"diffuse_shading.{c}"] + planes[f"specular_shading.{c}"]
    np.testing.assert_allclose(shown[inside], planes[f"combined.{c}"][inside], rtol=2e-3)
assert planes["mask"][inside].min() > 0.99
np.testing.assert_allclose(planes["normal.Z"][inside], 1, atol=1e-3)
np.testing.assert_allclose(planes["depth"][inside], 400, rtol=1e-4)
lit = planes["diffuse_shading.R"][inside].mean(), planes["diffuse_shading.B"][inside].mean()
assert 0.55 < lit[1] / lit[0] < 0.65  # the light's colour

attach_maps(target.active_material, {name: data_image(bpy, name, 0 * ramp) for name in maps})
scene.bioface.texture_size = 64
assert bpy.ops.bioface.maps_project(filepath=truth) == {"FINISHED"}
again = object_skin_node(target).inputs["Melanin"].links[0].from_node.image
inner = slice(8, -8)
np.testing.assert_allclose(pixels(again)[inner, inner], ramp[inner, inner], rtol=0.02)
"""
    )


def test_udim_tiles_and_repeated_projections_leave_no_images_behind(blender):
    blender(
        """
camera()
target = plane()
layer = target.data.uv_layers.active
for corner in layer.uv:
    corner.vector.x *= 2
bpy.ops.object.mode_set(mode="EDIT")
bpy.ops.mesh.subdivide(number_cuts=1)
bpy.ops.object.mode_set(mode="OBJECT")
bpy.context.scene.bioface.texture_size = 64
bpy.ops.bioface.maps_project(filepath=ESTIMATE)
image = object_skin_node(target).inputs["Melanin"].links[0].from_node.image
assert image.source == "TILED"
assert [tile.number for tile in image.tiles] == [1001, 1002]
assert image.packed_files
for corner in target.data.uv_layers.active.uv:
    corner.vector.x /= 2
images = set()
for _ in range(5):
    bpy.ops.bioface.maps_project("EXEC_DEFAULT", True, filepath=ESTIMATE)
    images.add(len(bpy.data.images))
assert images == {3}  # two maps and the skin's table
"""
    )


def test_a_head_is_added_with_landmarks_and_in_true_size(blender):
    blender(
        """
assert bpy.ops.bioface.head_add() == {"FINISHED"}
head = bpy.context.object
assert 0.2 < head.dimensions.z < 0.6
marks = [item.value for item in head.data.attributes["bioface_landmarks"].data]
assert sum(mark > 0 for mark in marks) == 68
assert object_skin_node(head) is not None
bpy.context.scene.bioface.texture_size = 64
assert bpy.ops.bioface.maps_project(filepath=ESTIMATE) == {"FINISHED"}
record = Path(ESTIMATE).with_suffix(".json")
import json
content = json.loads(record.read_text())
content["faces"][0] = {"landmarks": None, "face_box": [14, 14, 50, 50]}
record.write_text(json.dumps(content))
from synth.blender.character import PhotoOfCharacter, project_estimates
seen = project_estimates(bpy, head, [PhotoOfCharacter(ESTIMATE)], 64)
assert 0.1 < seen < 0.7, seen
assert bpy.ops.bioface.asset_library_add() == {"FINISHED"}
assert "BioFace" in bpy.context.preferences.filepaths.asset_libraries
assert list(Path("user").rglob("bioface_skin.blend"))
"""
    )


def test_disabling_leaves_nothing_behind(blender):
    blender(
        """
import addon_utils
name = next(m for m in bpy.context.preferences.addons.keys() if m.endswith(".bioface"))
menu = bpy.types.TOPBAR_MT_file_import
handlers, entries = len(bpy.app.handlers.load_pre) - 1, len(menu._dyn_ui_initialize()) - 1
for _ in range(20):
    addon_utils.disable(name)
    assert not hasattr(bpy.types.Scene, "bioface")
    assert not hasattr(bpy.types.WindowManager, "bioface")
    assert not [n for n in dir(bpy.types) if n.startswith("BIOFACE")]
    assert len(bpy.app.handlers.load_pre) == handlers
    assert len(menu._dyn_ui_initialize()) == entries
    addon_utils.enable(name)
assert hasattr(bpy.types.Scene, "bioface")
assert {n for n in dir(bpy.ops.bioface)} >= {"skin_material_add", "maps_project"}
"""
    )
