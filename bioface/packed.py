"""The packed training file: a JSON header and one memory-mapped half-float array.

Layout: 8 magic bytes, header length (uint64, little-endian), UTF-8 JSON header, zeros to the next
multiple of 4096, then a C-ordered float16 array (N, C, H, W). `synth` writes it, `bioface.learn`
reads it; numpy is all it takes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioface.atomic import check_target, replacing
from bioface.errors import InputError

MAGIC = b"BFPACK01"
ALIGNMENT = 4096
_REQUIRED = ("channels", "count", "height", "width", "samples")


@dataclass(frozen=True)
class PackedDataset:
    """A read-only view of a packed file.

    Attributes
    ----------
    header
        The JSON header: `channels`, `count`, `height`, `width`, `samples` (one dict each, the
        sample's JSON) and whatever the writer recorded of the dataset.
    images
        float16 memory map (N, C, H, W), channels in the order of `channels`.
    """

    path: Path
    header: dict[str, Any]
    images: np.ndarray

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(self.header["channels"])

    @property
    def sha256(self) -> str:
        """What tells one packed dataset from another: the hash of its header, not of its path."""
        return hashlib.sha256(json.dumps(self.header, sort_keys=True).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    def index(self, names: Iterable[str]) -> list[int]:
        """Positions of the named channels; InputError names one that is absent."""
        order = {name: i for i, name in enumerate(self.channels)}
        missing = [name for name in names if name not in order]
        if missing:
            raise InputError(f"{self.path}: no channel {missing[0]}; pack the dataset again")
        return [order[name] for name in names]


def write_packed(
    path: str | os.PathLike[str],
    channels: Sequence[str],
    images: Iterable[np.ndarray],
    samples: Sequence[dict[str, Any]],
    shape: tuple[int, int],
    **dataset: Any,
) -> None:
    """Write (C, H, W) images one after the other; `dataset` adds entries to the header.

    Raises
    ------
    InputError
        The file's folder does not exist, an image has another shape, or their number is not
        `len(samples)`.
    """
    check_target(path, overwrite=True)
    height, width = shape
    header = json.dumps(
        {
            **dataset,
            "channels": list(channels),
            "count": len(samples),
            "height": height,
            "width": width,
            "samples": list(samples),
        },
        sort_keys=True,
    ).encode()
    start = -(-(len(MAGIC) + 8 + len(header)) // ALIGNMENT) * ALIGNMENT
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(MAGIC + len(header).to_bytes(8, "little") + header)
        file.write(bytes(start - file.tell()))
        written = 0
        for image in images:
            if image.shape != (len(channels), height, width):
                raise InputError(
                    f"{path}: sample {written} has shape {image.shape}, "
                    f"expected {(len(channels), height, width)}"
                )
            file.write(np.ascontiguousarray(image, "<f2").tobytes())
            written += 1
        if written != len(samples):
            raise InputError(f"{path}: {written} images for {len(samples)} samples")


def read_packed(path: str | os.PathLike[str]) -> PackedDataset:
    """Open a packed file without reading the images into memory.

    Raises
    ------
    InputError
        Missing, a folder, not a packed file, truncated, or of another version.
    """
    source = Path(path)
    if source.is_dir():
        if (source / "dataset.json").is_file():
            raise InputError(
                f"{source}: a dataset folder; make one file of it with bioface-synth pack"
            )
        raise InputError(f"{source}: a folder; name a file of bioface-synth pack")
    try:
        with open(source, "rb") as file:
            magic = file.read(len(MAGIC))
            length = int.from_bytes(file.read(8), "little")
            size = source.stat().st_size
            if magic != MAGIC or length > size:
                raise InputError(
                    f"{source}: not a packed dataset; make one with bioface-synth pack"
                )
            header = json.loads(file.read(length))
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: damaged header; pack the dataset again") from error
    shape = _shape(header)
    if shape is None:
        raise InputError(f"{source}: damaged header; pack the dataset again")
    start = -(-(len(MAGIC) + 8 + length) // ALIGNMENT) * ALIGNMENT
    if size != start + 2 * math.prod(shape):
        raise InputError(f"{source}: truncated; pack the dataset again")
    if shape[0] == 0:
        raise InputError(f"{source}: holds no samples; generate some first")
    images = np.memmap(source, "<f2", "r", start, shape)
    return PackedDataset(source, header, images)


def _shape(header: Any) -> tuple[int, int, int, int] | None:
    """(N, C, H, W) as a header tells it; None where it does not."""
    if not isinstance(header, dict) or any(key not in header for key in _REQUIRED):
        return None
    count, height, width = (header[key] for key in ("count", "height", "width"))
    whole = all(type(number) is int and number >= 0 for number in (count, height, width))
    if not whole or not isinstance(header["channels"], list):
        return None
    return count, len(header["channels"]), height, width
