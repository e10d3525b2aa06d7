"""Read photos of every usual kind; find them in folders.

Writing and reading estimates is in `bioface.photo.result`.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioface.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"})
"""What a folder given as input is searched for."""

MAX_PIXELS = 64_000_000
MAX_SIDE = 30_000
MIN_SIDE = 32

_ORIENTATION_TAG = 0x0112
_SIXTEEN_BIT = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})


def read_photo(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a photo as sRGB: (H, W, 3) float32 in 0-1, upright by its EXIF orientation.

    Eight and sixteen bits a channel, grey (the three channels are then equal), palette, CMYK and
    alpha are all accepted. An embedded ICC profile is honoured (in eight bits); without one, or
    with one that cannot be used, the file is taken for sRGB. Transparent parts are laid over
    white, as viewers show them. Of several frames the first is read.

    Raises
    ------
    InputError
        Missing, not an image, truncated, fewer than 32 pixels a side or more than 64 million in
        all.
    """
    return read_photo_depth(path)[0]


def read_photo_depth(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """`read_photo`, and the bits a channel that it was read with: 8 or 16."""
    source = Path(path)
    pillow, image_ops = _pillow()
    try:
        content = source.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{source}: no such photo") from error
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow on odd metadata and on sizes checked below
        try:
            with pillow.open(io.BytesIO(content)) as image:
                _check_size(source, image.size)
                image.load()
                orientation = image.getexif().get(_ORIENTATION_TAG, 1)
                deep = _sixteen_bit(image, content, orientation)
                if deep is not None:
                    return deep, 16
                upright = image_ops.exif_transpose(image)
                return np.asarray(_to_srgb(upright), np.float32) / 255, 8
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
        _pillow()[0].fromarray(to_bytes(srgb)).save(target, format="PNG")
        return target.getvalue()
    import cv2

    deep = np.round(np.clip(srgb, 0, 1) * 65535).astype(np.uint16)
    return bytes(cv2.imencode(".png", deep[..., ::-1])[1])


def find_photos(inputs: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The photos among files and folders; a folder stands for the images in it, sorted by name.

    Raises
    ------
    InputError
        A folder without images, or two photos with one stem, whose results would collide.
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
            if file.suffix.lower() in SUFFIXES and file.is_file() and file.name[0] != "."
        )
        if not inside:
            raise InputError(f"{entry}: no photos in this folder ({', '.join(sorted(SUFFIXES))})")
        photos += inside
    seen: dict[str, Path] = {}
    for photo in photos:
        other = seen.setdefault(photo.stem, photo)
        if other is not photo:
            raise InputError(
                f"{other} and {photo} would both be written as {photo.stem}; rename one of them"
            )
    return photos


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingDependencyError(
            "Pillow is not installed; run: pip install 'bioface[train]'"
        ) from error
    return Image, ImageOps


def _too_large() -> str:
    return f"at most {MAX_PIXELS // 1_000_000} million pixels can be read; scale it down"


def _check_size(source: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise InputError(f"{source}: {width}x{height} pixels; {_too_large()}")
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{source}: {width}x{height} pixels is too small to read a face; "
            f"{MIN_SIDE} a side are the least"
        )


def _sixteen_bit(image: Image.Image, content: bytes, orientation: int) -> np.ndarray | None:
    """The photo at sixteen bits a channel, or None where eight serve as well.

    Pillow reads sixteen-bit colour as eight bits, so OpenCV decodes these. Its profiles work in
    eight bits only: a file that needs one is left to Pillow.
    """
    grey = image.mode in _SIXTEEN_BIT
    if image.format not in {"PNG", "TIFF"} or not (grey or image.mode in {"RGB", "RGBA"}):
        return None
    if _foreign_profile(image) is not None:
        return None
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
    return np.ascontiguousarray(_turn(values, orientation))


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
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return None if "srgb" in name.lower() else profile


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
