"""Read photos of every usual kind; find them in folders.

Writing and reading estimates is in `bioface.photo.result`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioface.errors import BiofaceError, InputError, MissingDependencyError, install_advice

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"})
"""What a folder given as input is searched for."""

MAX_PIXELS = 64_000_000
MAX_SIDE = 30_000
MIN_SIDE = 32

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""How the content of every PNG begins."""

_TIFF_SIGNATURES = frozenset({b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"})
_ORIENTATION_TAG, _BITS_TAG, _FORMAT_TAG = 0x0112, 0x0102, 0x0153
_UNSIGNED = frozenset({1, 4})  # sample formats: unsigned integers, and none that is told
_LINEAR_GREY = 160  # of 255: how a linear profile shows 128, at least; it is 188 for exactly linear
_SIXTEEN_BIT = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})


def read_photo(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a photo as sRGB: (H, W, 3) float32 in 0-1, upright by its EXIF orientation.

    Eight and sixteen bits a channel, grey (the three channels are then equal), palette, CMYK and
    alpha are all accepted. An embedded ICC profile is honoured (in eight bits); without one, or
    with one that cannot be used, the file is taken for sRGB. Transparent parts are laid over
    white, as viewers show them. Of several frames the first is read. EXIF that cannot be read
    turns nothing.

    Raises
    ------
    InputError
        Missing, not an image, truncated, of floating-point or 32-bit values, fewer than 32 pixels
        a side or more than 64 million in all.
    """
    return read_photo_depth(path)[0]


def read_photo_depth(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """`read_photo`, and the bits a channel that it was read with: 8 or 16."""
    source = Path(path)
    pillow = _pillow()
    try:
        content = source.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{source}: no such photo") from error
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow on odd metadata and on sizes checked below
        try:
            bits, unsigned = _tiff_values(content)
            if bits > 16 or not unsigned:
                raise InputError(f"{source}: {_too_fine('TIFF')}")
            with pillow.open(io.BytesIO(content)) as image:
                if image.mode == "F":
                    raise InputError(f"{source}: {_too_fine('image')}")
                _check_size(source, image.size)
                image.load()
                orientation = _orientation(image)
                deep = _sixteen_bit(image, content, bits)
                values = np.asarray(_to_srgb(image), np.float32) / 255 if deep is None else deep
                upright = np.ascontiguousarray(_turn(values, orientation))
                return upright, 8 if deep is None else 16
        except pillow.UnidentifiedImageError as error:
            raise InputError(
                f"{source}: not an image that can be read; give a JPEG, PNG, TIFF, WebP or BMP"
            ) from error
        except pillow.DecompressionBombError as error:
            raise InputError(f"{source}: {_too_large()}") from error
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{source}: truncated or damaged; export it again") from error


def to_bytes(srgb: np.ndarray) -> np.ndarray:
    """sRGB in 0-1 (H, W, 3) to uint8, rounded."""
    return np.round(np.clip(srgb, 0, 1) * 255).astype(np.uint8)


def png_bytes(srgb: np.ndarray, bits: int) -> bytes:
    """A PNG of sRGB in 0-1 (H, W, 3), 8 or 16 bits a channel; Pillow writes 8, OpenCV 16."""
    if bits == 8:
        target = io.BytesIO()
        _pillow().fromarray(to_bytes(srgb)).save(target, format="PNG")
        return target.getvalue()
    import cv2

    deep = np.round(np.clip(srgb, 0, 1) * 65535).astype(np.uint16)
    return bytes(cv2.imencode(".png", deep[..., ::-1])[1])


def pixels_sha256(srgb: np.ndarray) -> str:
    """Checksum of a photo's pixels in eight bits: tells whether two files hold one picture."""
    return hashlib.sha256(to_bytes(srgb).tobytes()).hexdigest()


def is_photo_of(picture: Path, record: Mapping[str, Any]) -> bool:
    """Whether a picture beside a result is the photo that the result was read from.

    Parameters
    ----------
    record
        The result's `photo`: its `path` tells, or where that leads nowhere the `sha256` of the
        pixels.
    """
    path = record.get("path")
    try:
        if path and (picture.parent / path).exists():
            return picture.samefile(picture.parent / path)
        return pixels_sha256(read_photo(picture)) == record.get("sha256")
    except (BiofaceError, OSError, TypeError, ValueError):
        return False


def find_photos(inputs: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The photos among files and folders; a folder stands for the images in it, sorted by name.

    Pictures that `bioface estimate` wrote into a folder are none of its photos. A photo that is
    given twice counts once.

    Raises
    ------
    InputError
        A folder without photos, or two photos with one stem, whose results would collide.
        (A missing file is reported by `read_photo`, so that it does not stop a batch.)
    """
    photos: list[Path] = []
    for entry in map(Path, inputs):
        if not entry.is_dir():
            photos.append(entry)
            continue
        inside = sorted(
            file
            for file in entry.iterdir()
            if file.suffix.lower() in SUFFIXES
            and file.is_file()
            and file.name[0] != "."
            and not _is_montage(file)
        )
        if not inside:
            raise InputError(f"{entry}: no photos in this folder ({', '.join(sorted(SUFFIXES))})")
        photos += inside
    seen: dict[str, Path] = {}
    for photo in photos:
        other = seen.setdefault(photo.stem, photo)
        if other.resolve() != photo.resolve():
            raise InputError(
                f"{other} and {photo} would both be written as {photo.stem}; rename one of them"
            )
    return list(seen.values())


def _is_montage(picture: Path) -> bool:
    """Whether `bioface estimate` wrote a picture: with the maps and numbers beside it."""
    if picture.suffix != ".png" or not picture.with_suffix(".exr").is_file():
        return False
    try:
        content = json.loads(picture.with_suffix(".json").read_text(encoding="utf-8"))
        ours = {"skin_model", "skin_constants", "version"} <= content.keys()
        return ours and not is_photo_of(picture, content.get("photo", {}))
    except (AttributeError, OSError, ValueError):
        return False


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError(
            f"Pillow is not installed; run: {install_advice('train')}"
        ) from error
    return Image


def _too_large() -> str:
    return f"at most {MAX_PIXELS // 1_000_000} million pixels can be read; scale it down"


def _too_fine(kind: str) -> str:
    return f"floating-point (or 32-bit) {kind}; save it in 8 or 16 bits"


def _tiff_values(content: bytes) -> tuple[int, bool]:
    """Bits a channel of a TIFF's first image, and whether they are unsigned; (0, True) of others.

    Pillow reads wider and signed ones as black and white, or not at all.
    """
    if content[:4] in _TIFF_SIGNATURES:
        from PIL.TiffImagePlugin import ImageFileDirectory_v2

        with suppress(Exception):  # a damaged one is told of when it is opened
            tags = ImageFileDirectory_v2(content[: 16 if b"+" in content[:4] else 8])
            stream = io.BytesIO(content)
            stream.seek(tags.next)
            tags.load(stream)
            return max(tags.get(_BITS_TAG, (1,))), _UNSIGNED.issuperset(tags.get(_FORMAT_TAG, ()))
    return 0, True


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where the EXIF is damaged."""
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        return 1


def _check_size(source: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise InputError(f"{source}: {width}x{height} pixels; {_too_large()}")
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{source}: {width}x{height} pixels is too small to read a face; "
            f"{MIN_SIDE} a side are the least"
        )


def _sixteen_bit(image: Image.Image, content: bytes, tiff_bits: int) -> np.ndarray | None:
    """The photo at sixteen bits a channel, as it is stored, or None where eight serve as well.

    Pillow reads sixteen-bit colour as eight bits, so OpenCV decodes these. Its profiles work in
    eight bits only: a file that needs one is left to Pillow.
    """
    grey = image.mode in _SIXTEEN_BIT
    if image.format not in {"PNG", "TIFF"} or not (grey or image.mode in {"RGB", "RGBA"}):
        return None
    bits = content[24] if image.format == "PNG" else tiff_bits
    if bits <= 8 or _foreign_profile(image) is not None:
        return None
    if image.format == "PNG":
        content = _without_remarks(content)
    try:
        import cv2
    except ImportError:
        return None
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        return None
    values = decoded.astype(np.float32) / 65535
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    elif values.shape[2] == 4:
        alpha = values[..., 3:]
        values = values[..., 2::-1] * alpha + (1 - alpha)
    else:
        values = values[..., ::-1]
    return values


def _without_remarks(png: bytes) -> bytes:
    """A PNG without the chunks that pixels do not need: libpng prints of damaged ones."""
    kept, start = [png[:8]], 8
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")
        kind = png[start + 4 : start + 8]
        if kind[:1].isupper() or kind == b"tRNS":
            kept.append(png[start:end])
        start = end
    return b"".join(kept)


def _turn(values: np.ndarray, orientation: int) -> np.ndarray:
    """Bring an image (H, W, C) stored with an EXIF orientation (1-8) upright."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values


def _foreign_profile(image: Image.Image) -> Any | None:
    """The embedded ICC profile, unless it is absent, unusable or sRGB."""
    content = image.info.get("icc_profile")
    if not content:
        return None
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        name = ImageCms.getProfileDescription(profile)
        return None if "srgb" in name.lower() and not _is_linear(profile) else profile
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _is_linear(profile: Any) -> bool:
    """Whether an RGB profile shows middle grey far lighter than sRGB does."""
    from PIL import Image, ImageCms

    if profile.profile.xcolor_space.strip() != "RGB":
        return False
    grey = Image.new("RGB", (1, 1), (128, 128, 128))
    shown = ImageCms.profileToProfile(grey, profile, ImageCms.createProfile("sRGB"))
    return shown is not None and np.asarray(shown).min() > _LINEAR_GREY


def _to_srgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as sRGB, mode RGB."""
    from PIL import Image, ImageCms

    profile = _foreign_profile(image)
    if image.mode in _SIXTEEN_BIT:
        high = np.clip(np.asarray(image, np.float64) / 257, 0, 255)
        image = Image.fromarray(np.round(high).astype(np.uint8))
    if image.mode in {"P", "PA", "LA", "La", "RGBa"} or "transparency" in image.info:
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colour = image.convert("RGB") if image.mode == "RGBA" else image
    if profile is not None:
        try:
            converted = ImageCms.profileToProfile(
                colour, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            colour = converted or colour
        except ImageCms.PyCMSError:
            pass  # a profile for another kind of data than the file holds
    colour = colour.convert("RGB")
    if alpha is None:
        return colour
    white = Image.new("RGB", colour.size, (255, 255, 255))
    return Image.composite(colour, white, alpha)
