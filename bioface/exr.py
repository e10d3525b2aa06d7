"""Linear multi-channel EXR files as DESIGN defines them: single part, ZIP, half or float32.

`OpenEXR` is imported on first use; it comes with the `render` and `train` extras. Where it is not
installed, as inside Blender, `bioface.plain_exr` takes its place.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bioface.atomic import replacing
from bioface.errors import BiofaceError, InputError
from bioface.plain_exr import PlainExrError, check_blocks, read_planes, write_planes


def _openexr() -> Any:
    """The OpenEXR package, or None."""
    try:
        import OpenEXR
    except ImportError:
        return None
    return OpenEXR


def write_exr(
    path: str | os.PathLike[str],
    channels: Mapping[str, np.ndarray],
    *,
    full_precision: Collection[str] | None = None,
    overwrite: bool = True,
) -> None:
    """Write named (H, W) planes to one EXR; the same planes give the same bytes.

    Parameters
    ----------
    channels
        Channel name to (H, W) array, finite.
    full_precision
        Names stored as float32; the others as half. None stores all as float32.
    overwrite
        Replace an existing file.

    Raises
    ------
    InputError
        No channels, shapes that differ, or a value that is not finite (also after half rounding).
    BiofaceError
        The file cannot be written, or exists and `overwrite` is false.
    """
    with replacing(path, overwrite=overwrite) as temporary:
        fill_exr(temporary, channels, name=path, full_precision=full_precision)


def fill_exr(
    temporary: str | os.PathLike[str],
    channels: Mapping[str, np.ndarray],
    *,
    name: str | os.PathLike[str],
    full_precision: Collection[str] | None = None,
) -> None:
    """`write_exr` into a file that `bioface.atomic.replacing` gave; messages call it `name`."""
    openexr = _openexr()
    if not channels:
        raise InputError(f"{name}: no channels to write")
    shape = next(iter(channels.values())).shape
    planes: dict[str, np.ndarray] = {}
    for channel in sorted(channels):
        single = full_precision is None or channel in full_precision
        with np.errstate(over="ignore"):
            plane = np.ascontiguousarray(channels[channel], np.float32 if single else np.float16)
        if plane.shape != shape or plane.ndim != 2:
            raise InputError(f"{name}: channel {channel} has shape {plane.shape}, expected {shape}")
        if not np.isfinite(plane).all():
            raise InputError(f"{name}: channel {channel} holds values that are not finite")
        planes[channel] = plane
    try:
        if openexr is None:
            write_planes(os.fspath(temporary), planes)
        else:
            header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
            openexr.File(header, planes).write(os.fspath(temporary))
    except OSError as error:
        raise BiofaceError(f"{name}: cannot be written ({error.strerror or error})") from error
    except RuntimeError as error:
        raise BiofaceError(f"{name}: cannot be written; is the disk full?") from error


def read_exr(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read every channel of a single-part EXR as float32 (H, W) planes.

    Raises
    ------
    InputError
        The file is missing, truncated or not an EXR.
    """
    openexr = _openexr()
    source = Path(path)
    if not source.is_file():
        raise InputError(f"{source}: no such file")
    try:
        if openexr is None:
            return read_planes(source)
        check_blocks(source)
    except (OSError, PlainExrError) as error:
        raise InputError(f"{source}: not a readable EXR ({error})") from error
    try:
        with openexr.File(os.fspath(source), separate_channels=True) as file:
            return {
                name: np.asarray(channel.pixels, np.float32)
                for name, channel in file.channels().items()
            }
    except Exception as error:
        raise InputError(f"{source}: not a readable EXR (truncated or damaged)") from error
