"""What `bioface-synth apply` takes for a whole file of Blender's."""

import pytest
from PIL import Image

from bioface.errors import BiofaceError
from synth.apply import _whole


def test_a_whole_picture_passes(tmp_path):
    written = tmp_path / "part.png"
    with _whole(written, tmp_path / "before.png"):
        Image.new("RGB", (4, 4)).save(written)


@pytest.mark.parametrize("name", ["before.png", "head.blend"])
def test_a_file_that_a_full_disk_cut_short_is_named(tmp_path, name):
    written, target = tmp_path / "part", tmp_path / name
    Image.new("RGB", (4, 4)).save(written, "png")
    whole = written.read_bytes()
    for left in (b"", whole[: len(whole) // 2]):
        with (
            pytest.raises(BiofaceError, match=rf"{name}: .*; is the disk full\?$"),
            _whole(written, target),
        ):
            written.write_bytes(left)


def test_what_blender_says_itself_is_one_line(tmp_path):
    with (
        pytest.raises(BiofaceError, match=r"head\.blend: .*; is the disk full\?$") as error,
        _whole(tmp_path / "part.blend", tmp_path / "head.blend"),
    ):
        raise RuntimeError("Error: No space left on device\n")
    assert "\n" not in str(error.value)
