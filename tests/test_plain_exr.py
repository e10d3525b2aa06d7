"""EXR files with numpy alone: the same as the OpenEXR package reads and writes."""

import struct
import sys

import numpy as np
import pytest

from bioface import exr
from bioface.errors import InputError
from bioface.plain_exr import PlainExrError, check_blocks, read_planes, write_planes

PLANES = {
    "melanin": np.random.default_rng(0).random((37, 21), np.float32).astype(np.float16),
    "depth": np.linspace(-1, 1e10, 37 * 21, dtype=np.float32).reshape(37, 21),
    "a_name_that_is_longer_than_31_characters": np.zeros((37, 21), np.float32),
}


def equal(found, expected):
    assert found.keys() == expected.keys()
    for name, plane in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], plane.astype(np.float32))


def test_each_reads_what_the_other_writes(tmp_path):
    pytest.importorskip("OpenEXR")
    write_planes(tmp_path / "plain.exr", PLANES)
    equal(read_planes(tmp_path / "plain.exr"), PLANES)
    equal(exr.read_exr(tmp_path / "plain.exr"), PLANES)
    exr.write_exr(tmp_path / "package.exr", PLANES, full_precision=set(PLANES) - {"melanin"})
    equal(read_planes(tmp_path / "package.exr"), PLANES)


def test_it_takes_over_where_openexr_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    exr.write_exr(tmp_path / "a.exr", {"R": PLANES["depth"]})
    equal(exr.read_exr(tmp_path / "a.exr"), {"R": PLANES["depth"]})
    (tmp_path / "text.exr").write_text("text")
    with pytest.raises(InputError, match=r"text\.exr: not a readable EXR"):
        exr.read_exr(tmp_path / "text.exr")


def test_damaged_files_are_refused(tmp_path):
    write_planes(tmp_path / "whole.exr", PLANES)
    content = (tmp_path / "whole.exr").read_bytes()
    for length in (3, 60, 500, len(content) - 20):
        (tmp_path / "cut.exr").write_bytes(content[:length])
        with pytest.raises(PlainExrError):
            read_planes(tmp_path / "cut.exr")
    (tmp_path / "tiled.exr").write_bytes(content[:5] + bytes([content[5] | 2]) + content[6:])
    with pytest.raises(PlainExrError, match="single-part"):
        read_planes(tmp_path / "tiled.exr")


def test_scan_lines_that_stand_twice_are_refused(tmp_path):
    path = tmp_path / "a.exr"
    write_planes(path, PLANES)
    content = bytearray(path.read_bytes())
    table = content.index(b"screenWindowWidth") + 33  # the last attribute
    (offset,) = struct.unpack_from("<q", content, table + 8)
    assert struct.unpack_from("<i", content, offset) == (16,)
    struct.pack_into("<i", content, offset, 0)
    path.write_bytes(content)
    for read in (read_planes, check_blocks):
        with pytest.raises(PlainExrError, match="damaged"):
            read(path)
