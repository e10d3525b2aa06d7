"""Heads from GLB and Blender files: the same as from the OBJ file that they were made of."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from bioface.errors import BiofaceError, InputError, MissingDependencyError
from synth.heads import imported, load_provider, mesh
from synth.heads.imported import read_with_blender
from synth.heads.obj import PolygonMesh
from synth.scene import REGIONS

MAKE = """
import sys
import bpy
import numpy as np

folder = sys.argv[1]
bpy.ops.wm.read_factory_settings(use_empty=True)
head = np.load(folder + "/hero.npz")
for name in ("skin", "Eyes", "eye_lashes"):
    faces, uvs = head[name + " faces"], head[name + " uv"]
    used, position = np.unique(faces[faces >= 0], return_inverse=True)
    faces[faces >= 0] = position
    mesh = bpy.data.meshes.new(name)
    vertices = head["vertices"][used][:, [0, 2, 1]] * [1, -1, 1]
    mesh.from_pydata(vertices, [], [[v for v in face if v >= 0] for face in faces.tolist()])
    mesh.uv_layers.new().uv.foreach_set("vector", uvs[faces >= 0].ravel())
    item = bpy.data.objects.new(name, mesh)
    item.scale = (0.01, 0.01, 0.01)
    bpy.context.scene.collection.objects.link(item)
bpy.ops.export_scene.gltf(filepath=folder + "/hero.glb")
bpy.ops.wm.save_as_mainfile(filepath=folder + "/hero.blend")

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.mesh.primitive_cube_add(size=2, location=(1, 2, 3))
cube = bpy.context.object
cube.name = "Eye cube"
cube.scale.x = -1  # mirrored
cube.modifiers.new("finer", "SUBSURF").subdivision_type = "SIMPLE"
cube.data.materials.append(bpy.data.materials.new("cornea"))
bpy.ops.mesh.primitive_plane_add()
bpy.context.object.name = "hidden"
bpy.context.object.hide_render = True
bpy.ops.wm.save_as_mainfile(filepath=folder + "/cube.blend")

group = bpy.data.collections.new("character")
group.objects.link(cube)
bpy.context.scene.collection.objects.unlink(cube)
placed = bpy.data.objects.new("placed", None)
placed.instance_type, placed.instance_collection = "COLLECTION", group
placed.location.z = 7
bpy.context.scene.collection.objects.link(placed)
bpy.ops.wm.save_as_mainfile(filepath=folder + "/placed.blend")

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.wm.save_as_mainfile(filepath=folder + "/empty.blend")
"""


NAMES = {"Eyes": "eye", "eye_lashes": "lashes"}


@pytest.fixture(scope="module")
def head():
    return load_provider("procedural").mean()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, head):
    """`hero` as GLB and Blender file, in metres; a cube with a modifier; a file without meshes."""
    folder = tmp_path_factory.mktemp("heads")
    named = {name: head.region == REGIONS.index(region) for name, region in NAMES.items()}
    named["skin"] = ~np.any(list(named.values()), 0)
    arrays = {f"{name} faces": head.faces[chosen] for name, chosen in named.items()}
    arrays |= {f"{name} uv": head.uv[chosen] for name, chosen in named.items()}
    np.savez(folder / "hero.npz", vertices=head.vertices, **arrays)
    made = subprocess.run([sys.executable, "-c", MAKE, folder], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.mark.bpy
@pytest.mark.parametrize("name", ["hero.glb", "hero.blend"])
def test_a_head_is_the_same_from_every_file(folder, head, name):
    points = 0.01 * head.vertices[head.landmarks].astype(float)
    if name == "hero.blend":
        points = points[:, [0, 2, 1]] * [1, -1, 1]
    (folder / "hero.landmarks.json").write_text(json.dumps(points.tolist()))
    provider = load_provider(folder / name)
    read = provider.mean()
    assert provider.name == name
    assert load_provider(folder / name).asset_hash == provider.asset_hash

    marks = head.vertices[head.landmarks]
    shift = (read.vertices[read.landmarks] - marks).mean(0)
    corners = [corners_of(head, shift), corners_of(read, 0)]
    for one, other in (corners, corners[::-1]):
        assert cKDTree(one).query(other)[0].max() < 1e-3
    np.testing.assert_allclose(read.vertices[read.landmarks] - shift, marks, atol=1e-3)
    polygons = 2 if name == "hero.glb" else 1  # GLB holds triangles
    for region in ("eye", "lashes", "nose"):
        number = REGIONS.index(region)
        count = (read.region == number).sum() / (head.region == number).sum()
        assert count == pytest.approx(polygons, rel=0.05)


def corners_of(head, shift):
    """Positions and UVs (N, 5) of the corners of all faces."""
    real = head.faces >= 0
    return np.hstack([head.vertices[head.faces[real]] + shift, head.uv[real]])


@pytest.mark.bpy
def test_modifiers_apply_and_one_object_can_be_named(folder):
    cube = read_with_blender(folder / "cube.blend", "", "")
    assert cube.parts == ("Eye cube/Mesh/cornea",)
    assert cube.vertices.shape == (26, 3)
    assert cube.faces.shape == (24, 4)
    np.testing.assert_allclose(cube.vertices.mean(0), [1, 3, -2], atol=1e-6)
    corner = cube.vertices[cube.faces[:, :3]]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    outward = (normal * (corner.mean(1) - cube.vertices.mean(0))).sum(1)
    assert (outward > 0).all()  # though the object is mirrored
    placed = read_with_blender(folder / "placed.blend", "", "")
    np.testing.assert_allclose(placed.vertices, cube.vertices + np.array([0, 7, 0]), atol=1e-6)
    hidden = read_with_blender(folder / "cube.blend", "hidden", "")
    assert hidden.parts == ("hidden/Plane/",)
    assert hidden.faces.shape == (1, 4)


@pytest.mark.bpy
def test_files_without_a_head_are_named(folder):
    whole = (folder / "hero.glb").read_bytes()
    (folder / "cut.glb").write_bytes(whole[: len(whole) // 2])
    (folder / "other.blend").write_text("nonsense")
    with pytest.raises(
        InputError, match=r"cut\.glb: Blender cannot read this file \(.+\)"
    ) as error:
        read_with_blender(folder / "cut.glb", "", "")
    assert "\n" not in str(error.value)
    (folder / "stub.glb").write_bytes(whole[:10])  # where the importer trips over itself
    with pytest.raises(InputError, match=r"stub\.glb: .* read this file \(struct\.error: .+\)$"):
        read_with_blender(folder / "stub.glb", "", "")
    script = """
import sys
from pathlib import Path
from bioface.errors import InputError
from synth.blender.read_mesh import read_mesh
for name, item in (("other.blend", ""), ("empty.blend", ""), ("cube.blend", "Head")):
    try:
        read_mesh(Path(sys.argv[1], name), item)
    except InputError as error:
        print("refused", error)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, text=True, check=True
    )
    said = [line for line in ran.stdout.splitlines() if line.startswith("refused")]
    assert len(said) == 3
    assert "other.blend: Blender cannot read this file (File format" in said[0]
    assert "empty.blend: holds no mesh" in said[1]
    assert "no mesh object 'Head'; it has Eye cube, hidden" in said[2]


@pytest.fixture
def triangle():
    """A mesh as Blender gives it back, in place of reading one."""
    return PolygonMesh(
        np.eye(3),
        np.array([[0, 1, 2, -1]]),
        np.array([[0, 1, 2, -1]]),
        np.eye(3)[:, :2],
        np.array([0]),
        ("body",),
    )


def test_what_stands_beside_a_glb_is_checked(tmp_path, monkeypatch, triangle):
    path = tmp_path / "hero.glb"
    with pytest.raises(InputError, match="no head provider or file"):
        load_provider(path)
    path.write_bytes(b"glTF")
    marks = path.with_suffix(".landmarks.json")
    with pytest.raises(InputError, match=r"landmarks\.json: not found"):
        load_provider(path)
    monkeypatch.setattr(mesh, "read_with_blender", lambda *_: triangle)
    marks.write_text(json.dumps([0] * 68))
    with pytest.raises(InputError, match="give points"):
        load_provider(path)
    marks.write_text(json.dumps([[0.0, 0.0, 0.0]] * 68))
    with pytest.raises(InputError, match="landmarks and mesh do not fit"):
        load_provider(path)
    bare = replace(triangle, uv_indices=np.array([[-1, -1, -1, -1]]))
    monkeypatch.setattr(mesh, "read_with_blender", lambda *_: bare)
    with pytest.raises(InputError, match="needs UVs"):
        load_provider(path)


def test_without_blender_the_message_says_what_to_install(tmp_path, monkeypatch):
    def missing():
        raise MissingDependencyError("Blender as a module (bpy) is not installed, run: ...")

    monkeypatch.setattr(imported, "require_bpy", missing)
    (tmp_path / "hero.blend").write_bytes(b"BLENDER")
    (tmp_path / "hero.landmarks.json").write_text(json.dumps([0] * 68))
    for name in ("hero.blend", "hero.blend/Object/Head"):
        with pytest.raises(MissingDependencyError, match="not installed"):
            load_provider(tmp_path / name)


def test_a_process_that_dies_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(imported, "require_bpy", lambda: "4.5.15")
    monkeypatch.setattr(
        imported, "python_command", lambda *_: [sys.executable, "-c", "raise SystemExit('gone')"]
    )
    with pytest.raises(BiofaceError, match=r"hero\.glb: Blender ended .* \(status 1; gone\)"):
        read_with_blender(tmp_path / "hero.glb", "", "")
