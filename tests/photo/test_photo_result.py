"""An estimate on disk: complete, exact, all or nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bioface.errors import BiofaceError, InputError
from bioface.exr import read_exr, write_exr
from bioface.photo import result
from bioface.photo.files import pixels_sha256, png_bytes
from bioface.photo.montage import montage
from bioface.photo.result import STDS, check_outputs, read_estimate, write_estimate
from bioface.spectral.grid import WAVELENGTHS

pytest.importorskip("OpenEXR")
pytest.importorskip("PIL")

CHANNELS = {
    *("melanin", "haemoglobin", "diffuse_shading", "specular_shading", "mask"),
    *("albedo.R", "albedo.G", "albedo.B"),
    *("reconstruction.R", "reconstruction.G", "reconstruction.B"),
    *("melanin_std", "haemoglobin_std"),
}
PICTURE = np.zeros((8, 8, 3), np.uint8)


def test_files_are_as_the_design_says(tmp_path, by_hand):
    _, estimate = by_hand
    write_estimate(tmp_path, "a", estimate, PICTURE)
    assert {path.name for path in tmp_path.iterdir()} == {"a.exr", "a.json", "a.png"}
    planes = read_exr(tmp_path / "a.exr")
    assert set(planes) == CHANNELS
    assert all(plane.shape == (40, 60) for plane in planes.values())
    content = json.loads((tmp_path / "a.json").read_text())
    keys = {"face_box", "landmarks", "skin", "illuminant", "camera", "faces"}
    assert keys | {"skin_model", "weights_sha256", "version"} <= set(content)
    assert {"melanin_median", "haemoglobin_median"} <= set(content["skin"])
    assert {"weights", "cct_kelvin", "spd", "daylight_kelvin"} <= set(content["illuminant"])
    assert {"b", "gains", "tone"} <= set(content["camera"])
    assert content["illuminant"]["cct_kelvin"] == pytest.approx(6504, abs=10)
    assert content["skin_model"] == "calibrated"
    assert len(content["landmarks"]) == 68


def test_there_and_back(tmp_path, by_hand):
    _, estimate = by_hand
    moved = estimate.skin.with_constants(
        **{name: value * 1.01 for name, value in estimate.skin.constants.items()}
    )
    written = replace(estimate, skin=moved, photo={"path": "../a.jpg", "sha256": "ab"})
    write_estimate(tmp_path, "my.face", written, PICTURE)
    for name in ("my.face.exr", "my.face.json", "my.face"):
        read = read_estimate(tmp_path / name)
        for key, plane in estimate.maps.items():
            assert np.array_equal(read.maps[key], plane)
        assert dict(read.skin.constants) == dict(moved.constants)
        assert read.photo == written.photo
        face, original = read.faces[0], estimate.faces[0]
        assert np.array_equal(face.sensitivities, original.sensitivities)
        assert np.array_equal(face.tone, original.tone)
        assert np.allclose(face.landmarks, original.landmarks)
        assert face.to_json() == original.to_json()


@pytest.mark.parametrize("sure", [True, False])
def test_results_with_and_without_standard_deviations(tmp_path, by_hand, sure):
    """Earlier files, and those of networks that give none, stay good for every reader."""
    from bioface.photo.edit import edit
    from synth.project import read_estimate as read_for_projection

    photo, estimate = by_hand
    if not sure:
        maps = {name: p for name, p in estimate.maps.items() if not name.endswith("_std")}
        estimate = replace(estimate, maps=maps)
    boxed = replace(estimate.faces[0], landmarks=None)
    path = write_estimate(tmp_path, "a", replace(estimate, faces=(boxed,)), None)
    assert set(read_exr(path)) == (CHANNELS if sure else CHANNELS - set(STDS))
    read = read_estimate(path)
    assert set(read.maps) == set(estimate.maps)
    assert not np.array_equal(edit(photo, read, melanin=2), photo)
    assert montage(photo, read).ndim == 3
    projected = read_for_projection(path)
    assert set(STDS) <= set(projected.maps) if sure else not set(STDS) & set(projected.maps)
    assert projected.landmarks is None
    assert projected.box == boxed.box


def test_existing_results_need_overwrite(tmp_path, by_hand):
    _, estimate = by_hand
    (tmp_path / "a.json").write_text("mine")
    with pytest.raises(BiofaceError, match=r"a\.json: exists already; pass --overwrite"):
        write_estimate(tmp_path, "a", estimate, PICTURE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "mine"
    write_estimate(tmp_path, "a", estimate, PICTURE, overwrite=True)
    assert read_estimate(tmp_path / "a").shape == (40, 60)


def test_a_failure_leaves_nothing(tmp_path, by_hand, monkeypatch):
    _, estimate = by_hand

    def full(*_arguments, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(result, "fill_exr", full)
    with pytest.raises(BiofaceError, match="No space left"):
        write_estimate(tmp_path, "a", estimate, PICTURE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("earlier", [[], ["a.exr", "a.png"], ["a.exr"]])
@pytest.mark.parametrize("links", [True, False])
def test_one_that_cannot_be_replaced_leaves_the_others_as_they_were(
    tmp_path, by_hand, monkeypatch, earlier, links
):
    _, estimate = by_hand

    def no_links(*_arguments):
        raise OSError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(result.os, "link", no_links)
    for name in earlier:
        (tmp_path / name).write_text(f"old {name}")
    (tmp_path / "a.json").mkdir()
    for picture in (PICTURE, None):
        with pytest.raises(BiofaceError, match=r"a\.json: cannot be written"):
            write_estimate(tmp_path, "a", estimate, picture, overwrite=True)
        assert {path.name for path in tmp_path.iterdir()} == {"a.json", *earlier}
        for name in earlier:
            assert (tmp_path / name).read_text() == f"old {name}"


def test_an_earlier_picture_does_not_stay_beside_new_numbers(tmp_path, by_hand):
    _, estimate = by_hand
    write_estimate(tmp_path, "a", estimate, PICTURE)
    write_estimate(tmp_path, "a", estimate, None, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"a.exr", "a.json"}


@pytest.mark.parametrize("name", ["under/a/file", "file"])
def test_folder_that_cannot_be_written(tmp_path, name):
    (tmp_path / name.split("/")[0]).write_text("a file")
    with pytest.raises(BiofaceError, match="--out"):
        check_outputs(tmp_path / name, ["a"])


def test_read_only_folder():
    with pytest.raises(BiofaceError, match=r"/proc/1/out: .*--out"):
        check_outputs("/proc/1/out", ["a"])


def test_outputs_are_checked_before_work(tmp_path):
    folder = tmp_path / "new" / "folder"
    check_outputs(folder, ["a"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="--out names no folder"):
        check_outputs("", ["a"])
    folder.mkdir(parents=True)
    (folder / "b.png").touch()
    check_outputs(folder, ["a"])
    check_outputs(folder, ["a", "b"], overwrite=True)
    with pytest.raises(BiofaceError, match=r"b\.png: exists already"):
        check_outputs(folder, ["a", "b"])


def test_damaged_results(tmp_path, by_hand):
    _, estimate = by_hand
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        read_estimate(tmp_path / "none.exr")
    write_estimate(tmp_path, "a", estimate, PICTURE)
    content = (tmp_path / "a.json").read_text()
    for damaged in ("", "[]", content[:500], content.replace("sensitivities", "other")):
        (tmp_path / "a.json").write_text(damaged)
        with pytest.raises(InputError, match="not a result of this version"):
            read_estimate(tmp_path / "a")
    (tmp_path / "a.json").write_text(content)
    write_exr(tmp_path / "a.exr", {"melanin": np.zeros((4, 4), np.float32)})
    with pytest.raises(InputError, match="not a result of this version"):
        read_estimate(tmp_path / "a")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("photo", "path"), 5, r"photo\.path is no text"),
        (("photo", "sha256"), [], r"photo\.sha256 is no text"),
        (("skin_constants", "melanin_power"), float("nan"), "skin_constants give no reflectance"),
        (("skin_constants", "wax"), 1.0, "skin model calibrated has no constant 'wax'"),
        (("skin_model",), "wax", "unknown skin model 'wax'"),
        (("face_box",), [5, 5, float("nan"), 9], "face_box: not finite"),
        (("face_box",), [5, 5, 5, 9], "face_box is empty"),
        (("landmarks",), [[float("inf"), 1]] * 68, "landmarks: not finite"),
        (("illuminant", "weights", "A"), -0.5, "weights: one is negative"),
        (("illuminant", "daylight_kelvin"), 0, "daylight_kelvin is not above 0"),
        (("illuminant", "spd"), [0] * 33, "spd is negative or 0 throughout"),
        (("illuminant", "spd"), [-1, *[1] * 32], "spd is negative or 0 throughout"),
        (("camera", "b"), [float("nan")], "b: not finite"),
        (("camera", "sensitivities"), [[1, 0, 1]] * 33, "sensitivities are negative or 0"),
        (("camera", "gains"), [0, 1], "gains are not above 0"),
        (("camera", "tone"), [0, 1.5], "tone: its contrast is not within 1"),
        (("camera", "method"), "magic", "method 'magic' is not known"),
    ],
)
def test_numbers_that_no_estimate_has_are_named(tmp_path, by_hand, place, value, message):
    write_estimate(tmp_path, "a", by_hand[1], None)
    content = json.loads((tmp_path / "a.json").read_text())
    *path, last = place
    for entry in (content, content["faces"][0]):
        for key in path:
            entry = entry.get(key, {})
        entry[last] = value
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"a\.json: {message}.*; estimate the photo again$"):
        read_estimate(tmp_path / "a")


def test_a_number_too_large_to_read_is_named(tmp_path, by_hand):
    write_estimate(tmp_path, "a", by_hand[1], None)
    text = (tmp_path / "a.json").read_text().replace("6504.0", "1" + 400 * "0")
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="not a result of this version"):
        read_estimate(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("melanin", np.nan),
        ("melanin", -0.1),
        ("haemoglobin", 1.1),
        ("mask", 2),
        ("diffuse_shading", -1),
        ("specular_shading", np.inf),
        ("melanin_std", -1),
        ("reconstruction.G", np.nan),
    ],
)
def test_maps_that_no_estimate_has_are_named(tmp_path, by_hand, name, value):
    openexr = pytest.importorskip("OpenEXR")
    path = write_estimate(tmp_path, "a", by_hand[1], None)
    planes = read_exr(path)
    planes[name][20, 30] = value
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    openexr.File(header, planes).write(str(path))
    with pytest.raises(InputError, match=rf"a\.exr: channel {name} holds .*; estimate the photo"):
        read_estimate(path)


def test_maps_rounded_to_half_floats_are_read_within_their_range(tmp_path, by_hand):
    path = write_estimate(tmp_path, "a", by_hand[1], None)
    planes = read_exr(path)
    planes["mask"][20, 30], planes["melanin"][20, 30] = 1.0005, -1e-4
    write_exr(path, planes, full_precision=())
    maps = read_estimate(path).maps
    assert maps["mask"].max() == 1
    assert maps["melanin"].min() == 0


@pytest.mark.parametrize("recorded", ["a.png", None])
def test_the_photo_itself_is_neither_removed_nor_replaced(tmp_path, by_hand, recorded):
    photo, estimate = by_hand
    (tmp_path / "a.png").write_bytes(png_bytes(photo, 8))
    before = (tmp_path / "a.png").read_bytes()
    record = {"path": recorded, "sha256": pixels_sha256(photo)}
    own = replace(estimate, photo=record)
    write_estimate(tmp_path, "a", own, None, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"a.exr", "a.json", "a.png"}
    with pytest.raises(BiofaceError, match=r"a\.png: its picture would replace it"):
        write_estimate(tmp_path, "a", own, PICTURE, overwrite=True)
    assert (tmp_path / "a.png").read_bytes() == before


FULL_DISK = """
import resource, signal, sys
import numpy as np
from bioface.errors import BiofaceError
from bioface.photo.result import write_files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
noise = np.random.default_rng(0).random((128, 128), np.float32)
try:
    write_files(sys.argv[1], "a", {"a": noise}, {}, None)
except BiofaceError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
def test_a_full_disk_is_told_of_the_result(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"{tmp_path / 'a.exr'}: cannot be written; is the disk full?\n"
    assert list(tmp_path.iterdir()) == []


def test_montage_is_a_picture(by_hand):
    photo, estimate = by_hand
    picture = montage(photo, estimate)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.std() > 10


def test_a_light_without_colour_temperature(tmp_path, by_hand):
    photo, estimate = by_hand
    blue = np.exp(-(((WAVELENGTHS - 450) / 8) ** 2))
    lit = replace(estimate, faces=(replace(estimate.faces[0], spd=blue / blue.sum()),))
    write_estimate(tmp_path, "a", lit, montage(photo, lit))
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["illuminant"]["cct_kelvin"] is None
    assert read_estimate(tmp_path / "a").faces[0].cct_kelvin is None


def test_montage_without_skin(by_hand):
    photo, estimate = by_hand
    empty = {name: np.zeros_like(plane) for name, plane in estimate.maps.items()}
    assert montage(photo, replace(estimate, maps=empty)).shape[2] == 3
