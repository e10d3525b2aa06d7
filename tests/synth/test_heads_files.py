"""Heads from files: installing ICT-FaceKit, users' OBJ meshes, and what is refused."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.exr import write_exr
from synth.heads import install, load_provider
from synth.heads.ict_check import ICT_HASH
from synth.heads.mesh import _named_regions
from synth.heads.obj import PolygonMesh, read_obj, read_vertices
from synth.sample.config import SampleConfig
from synth.sample.layout import layout_of
from synth.sample.pigment import painted_pigment
from synth.sample.scene import sample_scene
from synth.scene import REGIONS

ICT_FILE = Path(__file__).parents[3] / "shared" / "heads" / "ict_facekit_f16.npz"


@pytest.fixture(autouse=True)
def data_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def procedural():
    return load_provider("procedural").mean()


def write_obj(path: Path, head, scale: float = 1.0) -> Path:
    """A head as OBJ with UVs, its eyes in a group of their own."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in head.vertices * scale]
    names = {REGIONS.index("eye"): "Eyes", REGIONS.index("lashes"): "eye_lashes"}
    count = 0
    for face, uv, region in zip(head.faces, head.uv, head.region, strict=True):
        lines.append(f"g {names.get(int(region), 'skin')}")
        corners = []
        for vertex, (u, v) in zip(face[face >= 0], uv[face >= 0], strict=True):
            lines.append(f"vt {u:.5f} {v:.5f}")
            count += 1
            corners.append(f"{vertex + 1}/{count}")
        lines.append("f " + " ".join(corners))
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".landmarks.json").write_text(json.dumps(head.landmarks.tolist()))
    return path


def test_unknown_names_and_folders_are_refused_in_one_line(tmp_path):
    for name, message in (
        ("nobody", "procedural, ict-facekit"),
        (tmp_path, "heads install"),
        (tmp_path / "head.obj", "no head provider or file"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load_provider(name)
        assert "\n" not in str(caught.value)
    fbx = tmp_path / "head.fbx"
    fbx.write_bytes(b"Kaydara")
    with pytest.raises(InputError, match=r"\.obj, \.glb or \.blend"):
        load_provider(fbx)


def test_missing_model_names_the_command():
    with pytest.raises(InputError, match="bioface-synth heads install ict-facekit"):
        load_provider("ict-facekit")


@pytest.mark.skipif(not ICT_FILE.exists(), reason="the shared ICT-FaceKit file is absent")
def test_install_from_npz_then_load_by_name(capsys):
    parser = argparse.ArgumentParser()
    install.configure(parser)
    install.run(parser.parse_args(["install", "ict-facekit", "--from", str(ICT_FILE)]))
    assert str(install.folder()) in capsys.readouterr().out
    assert load_provider("ict-facekit").asset_hash == ICT_HASH


def test_install_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        install.install("ict-facekit", tmp_path / "absent")
    with pytest.raises(InputError, match="generic_neutral_mesh"):
        install.install("ict-facekit", tmp_path)
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(InputError, match="not an ICT-FaceKit npz"):
        install.install("ict-facekit", damaged)
    with pytest.raises(InputError, match="unknown head model"):
        install.install("somebody", damaged)
    assert not install.folder().exists()


def test_user_mesh_keeps_shape_units_and_named_parts(tmp_path, procedural):
    head = load_provider(write_obj(tmp_path / "hero.obj", procedural, scale=0.01)).mean()
    assert head.vertices.shape == procedural.vertices.shape
    spread = np.ptp(head.vertices, axis=0) / np.ptp(procedural.vertices, axis=0)
    np.testing.assert_allclose(spread, 1.0, atol=1e-3)
    np.testing.assert_array_equal(head.landmarks, procedural.landmarks)
    eyes = procedural.region == REGIONS.index("eye")
    assert (head.region[eyes] == REGIONS.index("eye")).all()
    lashes = procedural.region == REGIONS.index("lashes")
    assert (head.region[lashes] == REGIONS.index("lashes")).all()
    corners = (head.faces >= 0)[..., None]
    np.testing.assert_allclose(head.uv, procedural.uv * corners, atol=1e-5)


def test_user_mesh_takes_landmarks_as_points(tmp_path, procedural):
    path = write_obj(tmp_path / "hero.obj", procedural)
    points = procedural.vertices[procedural.landmarks].tolist()
    path.with_suffix(".landmarks.json").write_text(json.dumps(points))
    np.testing.assert_array_equal(load_provider(path).mean().landmarks, procedural.landmarks)


def test_a_user_mesh_takes_its_pigments_from_a_texture(tmp_path, procedural):
    path = write_obj(tmp_path / "hero.obj", procedural)
    plain = load_provider(path)
    texel = (np.arange(32) + 0.5) / 32
    melanin = np.broadcast_to(0.05 + 0.3 * texel[::-1, None], (32, 32)).astype(np.float32).copy()
    melanin[0, 0] = 0.0  # as an estimate leaves what it did not see
    write_exr(path.with_suffix(".skin.exr"), {"melanin": melanin, "haemoglobin": melanin / 10})
    provider = load_provider(path)
    assert provider.asset_hash != plain.asset_hash
    assert provider.mean().pigment[0, 0, 0] == pytest.approx(0.2, abs=0.01)

    scene = sample_scene(np.random.default_rng(0), SampleConfig(), provider)
    assert scene.record["pigment"]["group"] == "texture"
    np.testing.assert_array_equal(scene.head.pigment, provider.mean().pigment)
    layout = layout_of(provider)
    height = np.zeros(len(layout.region))
    real = procedural.faces >= 0
    height[procedural.faces[real]] = procedural.uv[real][:, 1]
    expected = 0.05 + 0.3 * height[layout.skin]
    near = np.abs(scene.attributes["melanin"][layout.skin] - expected) < 0.01
    assert near.mean() > 0.999  # all but those at the texel without a value

    write_exr(path.with_suffix(".skin.exr"), {"melanin": melanin})
    with pytest.raises(InputError, match="no channel haemoglobin"):
        load_provider(path)
    write_exr(path.with_suffix(".skin.exr"), {"melanin": 9 * melanin, "haemoglobin": melanin})
    with pytest.raises(InputError, match="between 0 and 1"):
        load_provider(path)


def test_a_texture_is_read_at_uvs_a_hair_below_zero(procedural):
    pigment = np.full((8, 8, 2), 0.1, np.float32)
    head = replace(procedural, uv=np.full_like(procedural.uv, -1e-17), pigment=pigment)
    melanin, _, _ = painted_pigment(head, np.arange(5))
    np.testing.assert_allclose(melanin, 0.1)


@pytest.mark.parametrize("content", ["[1, 2]", "{}", "nonsense", "[" + "1.5," * 67 + "1]"])
def test_bad_landmark_files_are_refused(tmp_path, content):
    path = tmp_path / "hero.obj"
    path.write_text("v 0 0 0\n")
    path.with_suffix(".landmarks.json").write_text(content)
    with pytest.raises(InputError, match="68"):
        load_provider(path)


def test_missing_landmarks_and_uvs_are_refused(tmp_path):
    path = tmp_path / "plain.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(InputError, match=r"landmarks\.json: not found"):
        load_provider(path)
    path.with_suffix(".landmarks.json").write_text(json.dumps([3] * 68))
    with pytest.raises(InputError, match="needs UVs"):
        load_provider(path)
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n")
    with pytest.raises(InputError, match="a landmark is 3"):
        load_provider(path)


def test_obj_reader_splits_polygons_and_counts_from_the_end(tmp_path):
    path = tmp_path / "five.obj"
    path.write_text(
        "# five corners\no body\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0.5 2 0\nv 0 1 0\nvt 0 0\nvt 1 1\n"
        "usemtl skin\nf -5/1 -4/1/1 3/2 4/-1 5/2\ng eyes\nf 1//1 2//1 3//1 4//1\n"
    )
    mesh = read_obj(path)
    assert mesh.faces.tolist() == [[0, 1, 2, -1], [0, 2, 3, -1], [0, 3, 4, -1], [0, 1, 2, 3]]
    assert mesh.uv_indices[1].tolist() == [0, 1, 1, -1]
    assert mesh.parts == ("body//skin", "body/eyes/skin")
    assert mesh.part.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("skin_brown", "face"),
        ("EscapeHatch", "face"),
        ("eyelids", "face"),
        ("Upper_EyeLid", "face"),
        ("flash", "face"),
        ("body/EyeLashes/mat", "lashes"),
        ("eyelash.001", "lashes"),
        ("EYES", "eye"),
        ("lefteye", "eye"),
        ("EyeballR", "eye"),
        ("Brows", "hair"),
        ("haircards_mat", "hair"),
        ("TeethUpper", "mouth"),
        ("gums", "mouth"),
        ("sunglasses", "accessory"),
        ("hat01", "accessory"),
    ],
)
def test_whole_words_of_names_say_what_is_not_skin(name, region):
    faces = np.zeros((2, 4), np.int32)
    nothing = np.zeros((0, 2))
    mesh = PolygonMesh(nothing, faces, nothing, faces, np.array([0, 1]), ("skin", name))
    found = _named_regions(mesh, np.full(2, REGIONS.index("face"), np.uint8))
    assert [REGIONS[number] for number in found] == ["face", region]


def test_tabs_part_words_as_blanks_do(tmp_path):
    path = tmp_path / "tabs.obj"
    path.write_text("v\t0 0 0\nv\t1\t0 0\nv 1 1 0\nvt\t0 0\nusemtl\tskin\nf\t1/1\t2/1 3/1\n")
    mesh = read_obj(path)
    assert mesh.faces.tolist() == [[0, 1, 2, -1]]
    assert mesh.parts == ("//skin",)


def test_negative_indices_count_from_the_line_they_stand_on(tmp_path):
    path = tmp_path / "two.obj"
    square = (
        "v 0 0 0\nv 1 0 0 # corner\nv 1 1 0 1 0 0\nvt 0 0\nvt 1 0 0\nvt 1\nf -3/-3 -2/-2 -1/-1\n"
    )
    path.write_text("o first\n" + square + "o second\n" + square)
    mesh = read_obj(path)
    assert mesh.faces.tolist() == [[0, 1, 2, -1], [3, 4, 5, -1]]
    assert mesh.uv_indices.tolist() == [[0, 1, 2, -1], [3, 4, 5, -1]]
    assert mesh.vertices[2].tolist() == [1, 1, 0]
    assert mesh.uvs[2].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v 0 0\nv a b c\n", "vertex lines"),
        ("v 0 0\nv 1 0\nv 1 1\nf 1 2 3\n", "vertex lines"),
        ("v 0 0\nv 0 0 0 0\nf 1 2 2\n", "vertex lines"),
        ("v 0 0 nan\nf 1 1 1\n", "vertex lines"),
        ("v 0 0 0\nvt a b\nf 1 1 1\n", "damaged UV on line 2"),
        ("v 0 0 0\nvt\nf 1 1 1\n", "damaged UV on line 2"),
        ("v 0 0 0\nf 1 1 -9\n", "damaged face on line 2"),
        ("v 0 0 0\nf 1 1 0\n", "damaged face on line 2"),
        ("v 0 0 0\nf -1 -1 -2\nv 1 0 0\n", "damaged face on line 2"),
        ("v 0 0 0\nvt 0 0\nf 1/-2 1/1 1/1\n", "damaged face on line 3"),
        ("v 0 0 0\nf 1 2\n", "damaged face on line 2"),
        ("v 0 0 0\n", "no faces"),
        ("v 0 0 0\nf 1 2 3\n", "does not hold"),
    ],
)
def test_damaged_obj_files_are_named(tmp_path, text, message):
    path = tmp_path / "bad.obj"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_obj(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_vertices(tmp_path / "absent.obj")
