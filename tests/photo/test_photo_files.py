"""Photos of every kind, and what is said of those that cannot be read."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.photo.files import find_photos, pixels_sha256, read_photo, read_photo_depth, to_bytes

pytest.importorskip("PIL")
cv2 = pytest.importorskip("cv2")
from PIL import Image, ImageCms  # noqa: E402


@pytest.fixture
def gradient() -> np.ndarray:
    """(48, 64, 3) uint8, different in every corner and channel."""
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([4 * x, 5 * y, 255 - 2 * x - 2 * y], axis=-1).astype(np.uint8)


def test_eight_bit_png_is_exact(tmp_path, gradient):
    Image.fromarray(gradient).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert photo.dtype == np.float32
    assert np.array_equal(to_bytes(photo), gradient)


def test_sixteen_bit_colour_keeps_its_precision(tmp_path, gradient):
    deep = gradient.astype(np.uint16) * 257 + 100
    deep = np.minimum(deep, 65535).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), deep[..., ::-1])
    assert np.allclose(read_photo(tmp_path / "a.png"), deep / 65535, atol=1e-6)


def test_sixteen_bit_grey_keeps_its_precision(tmp_path, gradient):
    deep = gradient[..., 0].astype(np.uint16) * 257 // 2 + 7
    Image.fromarray(deep).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert photo.shape == (48, 64, 3)
    assert np.allclose(photo, (deep / 65535)[..., None], atol=1e-6)


def test_sixteen_bit_alpha_is_laid_over_white(tmp_path, gradient):
    alpha = np.full((48, 64, 1), 16384, np.uint16)
    bgra = np.concatenate([gradient[..., ::-1].astype(np.uint16) * 257, alpha], axis=2)
    cv2.imwrite(str(tmp_path / "a.png"), bgra)
    share = 16384 / 65535
    expected = gradient / 255 * share + 1 - share
    assert np.allclose(read_photo(tmp_path / "a.png"), expected, atol=1e-5)


def test_grey_has_three_equal_channels(tmp_path, gradient):
    Image.fromarray(gradient[..., 0]).save(tmp_path / "a.jpg", quality=100)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.shape == (48, 64, 3)
    assert np.ptp(photo, axis=2).max() == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_is_laid_over_white(tmp_path, gradient, mode):
    image = Image.fromarray(gradient).convert("RGBA")
    image.putalpha(0)
    suffix = "tif" if mode == "PA" else "png"
    if mode == "PA":
        image = Image.fromarray(gradient).quantize(16)
        image.info["transparency"] = 0
        suffix = "png"
        image.save(tmp_path / "a.png", transparency=bytes(16))
    else:
        image.convert(mode).save(tmp_path / f"a.{suffix}")
    assert read_photo(tmp_path / f"a.{suffix}").min() == 1


def test_cmyk_is_converted(tmp_path, gradient):
    Image.fromarray(gradient).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.shape == (48, 64, 3)
    assert np.abs(photo - gradient / 255).mean() < 0.1


def test_embedded_profile_is_honoured(tmp_path, gradient):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    lab = ImageCms.profileToProfile(
        Image.fromarray(gradient),
        ImageCms.createProfile("sRGB"),
        profile,
        outputMode="LAB",
    )
    lab.save(tmp_path / "a.tif", icc_profile=profile.tobytes())
    assert np.abs(read_photo(tmp_path / "a.tif") - gradient / 255).mean() < 0.05


def _linear_profile(space: bytes, name: bytes, primaries: dict[bytes, tuple]) -> bytes:
    """An ICC profile of values that are proportional to light: Pillow cannot make one."""
    header = struct.pack(">I4sI4s4s4s", 0, b"none", 0x02400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3I", 63190, 65536, 54061)
    header = header.ljust(128, b"\0")
    described = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + bytes(79)
    contents = {b"wtpt": _xyz(0.9642, 1, 0.8249), b"desc": described}
    curve = b"curv" + bytes(8)
    contents |= {tag: _xyz(*values) for tag, values in primaries.items()}
    contents |= {tag[:1] + b"TRC": curve for tag in primaries or (b"k",)}
    tags, data = [], b""
    start = 128 + 4 + len(contents) * 12
    for tag, content in contents.items():
        tags.append(struct.pack(">4s2I", tag, start + len(data), len(content)))
        data += content + bytes(-len(content) % 4)
    body = header[4:] + struct.pack(">I", len(tags)) + b"".join(tags) + data
    return struct.pack(">I", 4 + len(body)) + body


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * value) for value in values))


SRGB_PRIMARIES = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7139),
}


@pytest.mark.parametrize("deep", [False, True])
def test_linear_srgb_is_not_taken_for_srgb(tmp_path, deep):
    profile = _linear_profile(b"RGB ", b"Linear sRGB", SRGB_PRIMARIES)
    stored = np.full((48, 64, 3), 55, np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(stored).save(path, icc_profile=profile)
    if deep:
        chunk = b"linear\0\0" + zlib.compress(profile)
        path.write_bytes(_with_chunk(stored.astype(np.uint16) * 257, b"iCCP", chunk))
    assert read_photo(path)[0, 0] == pytest.approx(0.502, abs=3e-3)


def test_photos_of_srgb_by_profile_keep_their_values_and_depth(tmp_path, gradient):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored = gradient.astype(np.uint16) * 256 + 77
    content = _with_chunk(stored, b"iCCP", b"srgb\0\0" + zlib.compress(profile))
    (tmp_path / "a.png").write_bytes(content)
    photo, bits = read_photo_depth(tmp_path / "a.png")
    assert bits == 16
    assert np.allclose(photo, stored / 65535, atol=1e-6)


def test_sixteen_bit_grey_keeps_its_profile(tmp_path):
    grey = np.full((48, 64), 55, np.uint8)
    for path, stored in (("8.png", grey), ("16.png", grey.astype(np.uint16) * 257)):
        profile = _linear_profile(b"GRAY", b"Linear grey", {})
        Image.fromarray(stored).save(tmp_path / path, icc_profile=profile)
    eight, sixteen = (read_photo(tmp_path / name) for name in ("8.png", "16.png"))
    assert eight[0, 0] == pytest.approx(0.502, abs=2e-3)
    assert np.array_equal(sixteen, eight)


def test_profile_that_cannot_be_used_is_ignored(tmp_path, gradient):
    Image.fromarray(gradient).save(tmp_path / "a.png", icc_profile=b"not a profile")
    assert np.array_equal(to_bytes(read_photo(tmp_path / "a.png")), gradient)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_exif_orientation(tmp_path, gradient, orientation, deep):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = gradient
    path = tmp_path / "a.png"
    Image.fromarray(stored).save(path, exif=exif)
    expected = read_photo(path)
    if deep:
        _as_sixteen_bits(path, stored, exif)
        assert np.allclose(read_photo(path), expected, atol=1e-6)
    shape = (64, 48, 3) if orientation > 4 else (48, 64, 3)
    assert expected.shape == shape
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0)}
    corner |= {5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    row, column = corner[orientation]
    assert np.array_equal(to_bytes(expected)[row, column], gradient[0, 0])


def _as_sixteen_bits(path, stored, exif) -> None:
    """The same picture as a sixteen-bit PNG with the same EXIF: Pillow cannot write one."""
    body = exif.tobytes().removeprefix(b"Exif\x00\x00")
    path.write_bytes(_with_chunk(stored.astype(np.uint16) * 257, b"eXIf", body))


def _with_chunk(stored, kind: bytes, body: bytes) -> bytes:
    """A PNG of what is stored with one more chunk."""
    content = cv2.imencode(".png", stored[..., ::-1])[1].tobytes()
    chunk = kind + body
    chunk = struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    header = 8 + 25
    return content[:header] + chunk + content[header:]


def test_truncated_jpeg(tmp_path, astronaut):
    buffer = io.BytesIO()
    Image.fromarray(astronaut).save(buffer, format="JPEG")
    path = tmp_path / "cut.jpg"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(InputError, match=r"cut\.jpg: truncated"):
        read_photo(path)


@pytest.mark.parametrize("content", [b"", b"hello", bytes(1000)])
def test_not_an_image(tmp_path, content):
    path = tmp_path / "note.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"note\.jpg: not an image"):
        read_photo(path)


@pytest.mark.parametrize(
    ("kind", "channels"),
    [("float32", 1), ("float64", 1), ("float32", 3), ("int32", 1), ("int16", 1)],
)
def test_tiffs_of_other_numbers_are_refused(tmp_path, gradient, kind, channels):
    values = (gradient if channels == 3 else gradient[..., 0]).astype(kind)
    uncompressed = [cv2.IMWRITE_TIFF_COMPRESSION, 1]
    assert cv2.imwrite(str(tmp_path / "a.tif"), values, uncompressed)
    with pytest.raises(
        InputError, match=r"a\.tif: floating-point \(or 32-bit\) TIFF; save it in 8"
    ):
        read_photo(tmp_path / "a.tif")


def test_floating_point_images_of_other_formats_are_refused(tmp_path, gradient):
    Image.fromarray(gradient[..., 0].astype(np.float32) / 255).save(tmp_path / "a.pfm")
    with pytest.raises(InputError, match=r"a\.pfm: floating-point"):
        read_photo(tmp_path / "a.pfm")


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_tiff_keeps_its_precision(tmp_path, gradient, channels):
    deep = (gradient if channels == 3 else gradient[..., 0]).astype(np.uint16) * 200 + 7
    assert cv2.imwrite(str(tmp_path / "a.tif"), deep[..., ::-1] if channels == 3 else deep)
    photo, bits = read_photo_depth(tmp_path / "a.tif")
    assert bits == 16
    assert np.allclose(photo, (deep if channels == 3 else deep[..., None]) / 65535, atol=1e-6)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("block", [b"garbage!", b"II"])
def test_damaged_exif_turns_nothing(tmp_path, gradient, suffix, block):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(gradient).save(path, dpi=(72, 72))
    plain = read_photo(path)
    Image.fromarray(gradient).save(path, dpi=(72, 72), exif=b"Exif\0\0" + block)
    assert np.array_equal(read_photo(path), plain)


def test_the_orientation_is_read_beside_other_exif_that_is_damaged(tmp_path, gradient):
    turned = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    text_for_a_number = struct.pack(">HHI4s", 0x011A, 2, 4, b"abc")
    block = struct.pack(">2sHIH", b"MM", 42, 8, 2) + turned + text_for_a_number + bytes(4)
    path = tmp_path / "a.jpg"
    Image.fromarray(gradient).save(path, quality=95)
    plain = read_photo(path)
    Image.fromarray(gradient).save(path, quality=95, exif=b"Exif\0\0" + block)
    assert np.array_equal(read_photo(path), np.rot90(plain, -1))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_damaged_profile_is_not_spoken_of(tmp_path, gradient, capfd, bits):
    path = tmp_path / "a.png"
    profile = b"not a profile" * 20
    if bits == 8:
        Image.fromarray(gradient).save(path, icc_profile=profile)
    else:
        stored = gradient.astype(np.uint16) * 257
        path.write_bytes(_with_chunk(stored, b"iCCP", b"icc\0\0" + zlib.compress(profile)))
    photo, found = read_photo_depth(path)
    assert found == bits
    assert np.array_equal(to_bytes(photo), gradient)
    assert capfd.readouterr().err == ""


def test_missing(tmp_path):
    with pytest.raises(InputError, match=r"none\.jpg: no such photo"):
        read_photo(tmp_path / "none.jpg")


def test_folder_instead_of_a_photo(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_photo(tmp_path)


def test_tiny(tmp_path, gradient):
    Image.fromarray(gradient[:20, :20]).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="20x20 pixels is too small"):
        read_photo(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(9000, 8000), (20000, 20000), (40000, 100)])
def test_huge_is_refused_by_its_header(tmp_path, size):
    """Only the header claims the size: nothing of it is decoded."""
    image = Image.new("1", size)
    image.save(tmp_path / "a.png")
    with pytest.raises(InputError, match="at most 64 million pixels"):
        read_photo(tmp_path / "a.png")


def test_folders_are_searched_and_sorted(tmp_path, gradient):
    for name in ("b.jpg", "a.PNG", ".hidden.jpg"):
        Image.fromarray(gradient).save(tmp_path / name)
    (tmp_path / "note.txt").write_text("no photo")
    assert [path.name for path in find_photos([tmp_path])] == ["a.PNG", "b.jpg"]


def test_one_stem_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"would both be written as a; rename"):
        find_photos([tmp_path / "a.jpg", tmp_path / "a.png"])


def test_one_file_twice_counts_once(tmp_path, gradient):
    Image.fromarray(gradient).save(tmp_path / "a.jpg")
    given = [tmp_path / "a.jpg", tmp_path / "none.jpg", tmp_path, f"{tmp_path}/../{tmp_path.name}"]
    found = find_photos([*given, tmp_path / "none.jpg"])
    assert found == [tmp_path / "a.jpg", tmp_path / "none.jpg"]


OURS = {"skin_model": "calibrated", "skin_constants": {}, "version": "1"}


@pytest.mark.parametrize(
    ("content", "left_out"),
    [
        (OURS, True),
        ({**OURS, "photo": {"path": "b.jpg", "sha256": "own"}}, True),
        ({**OURS, "photo": {"path": "moved.jpg", "sha256": "other"}}, True),
        ({**OURS, "photo": {"path": "moved.jpg", "sha256": "own"}}, False),
        ({**OURS, "photo": {"path": "a.png"}}, False),
        ({**OURS, "photo": {"path": None, "sha256": "own"}}, False),
        ({**OURS, "photo": 5}, False),
        ({"version": "1"}, False),
        ([], False),
        (None, False),
    ],
)
def test_pictures_of_results_are_no_photos(tmp_path, gradient, content, left_out):
    for name in ("b.jpg", "a.png"):
        Image.fromarray(gradient).save(tmp_path / name)
    (tmp_path / "a.exr").touch()
    if content is not None:
        own = pixels_sha256(read_photo(tmp_path / "a.png"))
        (tmp_path / "a.json").write_text(json.dumps(content).replace('"own"', f'"{own}"'))
    names = [path.name for path in find_photos([tmp_path])]
    assert names == (["b.jpg"] if left_out else ["a.png", "b.jpg"])
    assert find_photos([tmp_path / "a.png"]) == [tmp_path / "a.png"]


def test_folder_without_photos(tmp_path):
    with pytest.raises(InputError, match="no photos in this folder"):
        find_photos([tmp_path])
