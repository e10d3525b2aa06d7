"""Files are written whole or not at all, and damaged ones are named."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bioface.atomic import replacing, write_text
from bioface.errors import BiofaceError, InputError
from bioface.exr import read_exr, write_exr
from bioface.npz import read_npz
from bioface.packed import MAGIC, read_packed, write_packed

PLANE = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)


def test_a_failing_block_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def fail():
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"
    with pytest.raises(BiofaceError, match=r"a\.txt: exists already; pass --overwrite"):
        write_text(target, "new", overwrite=False)


@pytest.mark.parametrize("letter", ["a", "\N{GRINNING FACE}"])
def test_names_may_be_as_long_as_the_system_takes(tmp_path, letter):
    name = letter * (250 // len(letter.encode())) + ".txt"
    write_text(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_new_files_have_the_usual_permissions(tmp_path):
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "text")
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["missing/a.txt", "folder"])
def test_places_that_cannot_be_written_are_named(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(BiofaceError, match=name):
        write_text(tmp_path / name, "text")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_exr_there_and_back_with_the_same_bytes(tmp_path):
    pytest.importorskip("OpenEXR")
    planes = {"b.R": PLANE, "a": 1000 * PLANE}
    for name in ("1.exr", "2.exr"):
        write_exr(tmp_path / name, planes, full_precision={"a"})
    assert (tmp_path / "1.exr").read_bytes() == (tmp_path / "2.exr").read_bytes()
    found = read_exr(tmp_path / "1.exr")
    assert np.array_equal(found["a"], planes["a"])
    assert np.array_equal(found["b.R"], PLANE.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(
    ("planes", "complaint"),
    [
        ({}, "no channels"),
        ({"a": PLANE, "b": PLANE.T}, "channel b has shape"),
        ({"a": PLANE + np.nan}, "channel a holds values that are not finite"),
        ({"a": PLANE + 1e6}, "channel a holds values that are not finite"),
    ],
)
def test_planes_that_are_no_image_are_named(tmp_path, planes, complaint):
    pytest.importorskip("OpenEXR")
    with pytest.raises(InputError, match=complaint):
        write_exr(tmp_path / "a.exr", planes, full_precision=())
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_exr_is_named_and_nothing_else_is_printed(tmp_path, capfd):
    pytest.importorskip("OpenEXR")
    path = tmp_path / "a.exr"
    write_exr(path, {"a": PLANE})
    content = path.read_bytes()
    for damaged in (content[:-20], content[:60], content[:4], b""):
        path.write_bytes(damaged)
        with pytest.raises(
            InputError, match=r"a\.exr: not a readable EXR \(truncated or damaged\)"
        ):
            read_exr(path)
    with pytest.raises(InputError, match=r"b\.exr: no such file"):
        read_exr(tmp_path / "b.exr")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "kind", ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA"]
)
def test_files_of_other_programs_are_read_however_compressed(tmp_path, kind):
    openexr = pytest.importorskip("OpenEXR")
    plane = np.linspace(0, 1, 70 * 40, dtype=np.float16).reshape(70, 40)
    header = {"compression": getattr(openexr, f"{kind}_COMPRESSION"), "type": openexr.scanlineimage}
    openexr.File(header, {"Y": plane}).write(str(tmp_path / "a.exr"))
    assert read_exr(tmp_path / "a.exr")["Y"] == pytest.approx(plane.astype(np.float32), abs=0.02)


def test_arrays_of_an_npz_are_read_by_name(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=PLANE, b=PLANE.T, pickled=np.array([{}], object))
    assert list(read_npz(path, ["a"], "write it anew")) == ["a"]
    assert np.array_equal(read_npz(path, ["b"], "write it anew")["b"], PLANE.T)
    with pytest.raises(InputError, match=r"a\.npz: holds no array 'c'; write it anew"):
        read_npz(path, ["a", "c"], "write it anew")
    for arguments in ({"names": ["pickled"]}, {"names": [], "others": True}):
        with pytest.raises(InputError, match=r"a\.npz: not a readable npz file; write it anew"):
            read_npz(path, **arguments, advice="write it anew")
    with pytest.raises(InputError, match=r"none\.npz: no such file"):
        read_npz(tmp_path / "none.npz", ["a"], "write it anew")


@pytest.mark.parametrize("compressed", [True, False])
def test_damaged_npz_files_are_named(tmp_path, compressed):
    path = tmp_path / "a.npz"
    noise = np.random.default_rng(0).random((64, 64))
    (np.savez_compressed if compressed else np.savez)(path, a=noise)
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[100:200] = bytes(100)
    np.save(tmp_path / "a.npy", noise)
    alone = (tmp_path / "a.npy").read_bytes()
    for bad in (bytes(damaged), content[:-30], content[:1000], b"", b"text", alone):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"a\.npz: not a readable npz file; write it anew"):
            read_npz(path, ["a"], "write it anew")


def test_damaged_npz_files_are_named_by_all_who_read_them(tmp_path, monkeypatch):
    pytest.importorskip("scipy")
    from bioface import SkinModel
    from bioface.learn import proxy
    from synth.sample.skin import Residuals

    path = tmp_path / "face_shape.npz"
    noise = np.random.default_rng(0).random((64, 64))
    names = ("points", "normals", "landmarks", "wavelength", "reflectance", "subject")
    np.savez_compressed(path, **dict.fromkeys(names, noise))
    content = bytearray(path.read_bytes())
    content[100:-2000] = bytes(len(content) - 2100)
    monkeypatch.setattr(proxy, "DATA", tmp_path)
    for bad in (bytes(content), b"", b"PK\3\4"):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"face_shape\.npz: not a readable.*install bioface"):
            proxy._face.__wrapped__()
        with pytest.raises(InputError, match=r"face_shape\.npz: not a readable npz file; spectra"):
            Residuals.load(path, SkinModel.load())
    words = np.full((2, 3), "x")
    np.savez(path, wavelength=np.arange(3), reflectance=words, subject=["a", "b"])
    with pytest.raises(InputError, match=r"face_shape\.npz: wavelength and reflectance must hold"):
        Residuals.load(path, SkinModel.load())


FULL_DISK = """
import resource, signal, sys
import numpy as np
from bioface.errors import BiofaceError
from bioface.exr import write_exr
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
noise = np.random.default_rng(0).random((128, 128), np.float32)
try:
    write_exr(sys.argv[1], {"a": noise})
except BiofaceError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    pytest.importorskip("OpenEXR")
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.exr")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a.exr: cannot be written; is the disk full?" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_packed_files_that_cannot_be_used_are_named(tmp_path):
    good = tmp_path / "good.pack"
    write_packed(good, ["a"], [PLANE[None]], [{"k": 1}], PLANE.shape)
    assert np.array_equal(read_packed(good).images[0, 0], PLANE.astype(np.float16))
    with pytest.raises(InputError, match="no channel b"):
        read_packed(good).index(["a", "b"])
    content = good.read_bytes()
    cases = {
        b"": "not a packed dataset",
        b"something else altogether": "not a packed dataset",
        content[:-1]: "truncated",
        content.replace(b'"count"', b'"kount"'): "damaged header",
        content.replace(b'{"channels', b'["channels'): "damaged header",
        content.replace(b'["a"]', b"12345"): "damaged header",
        content.replace(b'"height": 3', b'"height":""'): "damaged header",
        content.replace(b'"count": 1', b'"count":-1'): "damaged header",
        MAGIC + (1).to_bytes(8, "little") + b"5": "damaged header",
    }
    for bad, complaint in cases.items():
        (tmp_path / "bad.pack").write_bytes(bad)
        with pytest.raises(InputError, match=complaint):
            read_packed(tmp_path / "bad.pack")
    with pytest.raises(InputError, match="cannot be read"):
        read_packed(tmp_path / "missing.pack")


def test_folders_are_told_from_packed_files(tmp_path):
    with pytest.raises(InputError, match="a folder; name a file of bioface-synth pack"):
        read_packed(tmp_path)
    (tmp_path / "dataset.json").touch()
    with pytest.raises(InputError, match="a dataset folder; make one file of it with bioface-"):
        read_packed(tmp_path)


def test_a_pack_without_a_place_is_refused_before_its_images_are_read(tmp_path):
    images = (pytest.fail("an image was read") for _ in range(1))
    with pytest.raises(InputError, match=r"f\.pack: its folder does not exist; make it first"):
        write_packed(tmp_path / "new" / "f.pack", ["a"], images, [{}], PLANE.shape)


def test_a_pack_of_wrong_images_is_not_written(tmp_path):
    path = tmp_path / "a.pack"
    with pytest.raises(InputError, match="sample 0 has shape"):
        write_packed(path, ["a"], [PLANE], [{}], PLANE.shape)
    with pytest.raises(InputError, match="1 images for 2 samples"):
        write_packed(path, ["a"], [PLANE[None]], [{}, {}], PLANE.shape)
    assert list(tmp_path.iterdir()) == []
