"""Reading and writing EXR files with numpy alone, for Pythons without the OpenEXR package.

Single-part scanline files, uncompressed or ZIP: what `bioface.exr` writes and what Blender writes
for it. Inside Blender the OpenEXR package cannot be relied on: its symbols clash with those of
Blender's own OpenEXR library.

File layout: https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC = 20000630
_LONG_NAMES = 0x400
_UNSUPPORTED = 0x200 | 0x800 | 0x1000  # tiles, deep data, several parts
_TYPES: tuple[Any, ...] = (np.dtype("<u4"), np.dtype("<f2"), np.dtype("<f4"))
_LINES = {0: 1, 2: 1, 3: 16}  # scan lines in a block: uncompressed, ZIPS, ZIP
_ZIP = 3


class PlainExrError(ValueError):
    """A file that is damaged or of a kind that is not read here."""


def write_planes(path: str | Path, planes: Mapping[str, np.ndarray]) -> None:
    """Write (H, W) float16 or float32 planes of one shape, ZIP compressed.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    names = sorted(planes)
    height, width = planes[names[0]].shape
    kinds = [_TYPES.index(planes[name].dtype.newbyteorder("<")) for name in names]
    channels = b"".join(
        name.encode() + struct.pack("<xiBxxxii", kind, 0, 1, 1)
        for name, kind in zip(names, kinds, strict=True)
    )
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = (
        ("channels", "chlist", channels + b"\0"),
        ("compression", "compression", bytes([_ZIP])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    )
    flags = _LONG_NAMES if max(map(len, names)) > 31 else 0
    header = struct.pack("<ii", _MAGIC, 2 | flags)
    for name, kind, value in attributes:
        header += name.encode() + b"\0" + kind.encode() + b"\0"
        header += struct.pack("<i", len(value)) + value
    header += b"\0"
    lines = _LINES[_ZIP]
    starts = range(0, height, lines)
    raw = [
        np.ascontiguousarray(planes[name], planes[name].dtype.newbyteorder("<")) for name in names
    ]
    offset = len(header) + 8 * len(starts)
    table, blocks = b"", []
    for start in starts:
        rows = range(start, min(start + lines, height))
        data = b"".join(plane[row].tobytes() for row in rows for plane in raw)
        packed = zlib.compress(_shuffled(data), 4)
        data = packed if len(packed) < len(data) else data
        table += struct.pack("<q", offset)
        blocks.append(struct.pack("<ii", start, len(data)) + data)
        offset += len(blocks[-1])
    with open(path, "wb") as file:
        file.write(header + table)
        file.writelines(blocks)


def read_planes(path: str | Path) -> dict[str, np.ndarray]:
    """Every channel as float32 (H, W).

    Raises
    ------
    PlainExrError
        The file is damaged, or tiled, deep, of several parts or compressed in another way.
    """
    content = Path(path).read_bytes()
    try:
        return _parse(content)
    except (struct.error, zlib.error, KeyError, IndexError, ValueError) as error:
        raise PlainExrError(str(error)) from error


def _parse(content: bytes) -> dict[str, np.ndarray]:
    magic, version = struct.unpack_from("<ii", content)
    if magic != _MAGIC or version & _UNSUPPORTED:
        raise ValueError("not a single-part scan line EXR")
    header, place = _header(content, 8)
    lines = _LINES[header["compression"][0]]
    left, top, right, bottom = struct.unpack("<4i", header["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    channels = _channels(header["channels"])
    row_bytes = sum(width * kind.itemsize for _, kind in channels)
    table = np.zeros((height, row_bytes), np.uint8)
    count = -(-height // lines)
    for offset in struct.unpack_from(f"<{count}q", content, place):
        first, size = struct.unpack_from("<ii", content, offset)
        first -= top
        rows = min(lines, height - first)
        data = content[offset + 8 : offset + 8 + size]
        if size < rows * row_bytes:
            data = _unshuffled(zlib.decompress(data))
        if len(data) != rows * row_bytes:
            raise ValueError("a block is cut short")
        table[first : first + rows] = np.frombuffer(data, np.uint8).reshape(rows, row_bytes)
    planes, at = {}, 0
    for name, kind in channels:
        end = at + width * kind.itemsize
        planes[name] = np.ascontiguousarray(table[:, at:end]).view(kind).astype(np.float32)
        at = end
    return planes


def _header(content: bytes, place: int) -> tuple[dict[str, bytes], int]:
    """Attribute name to its bytes, and where the header ends."""
    attributes = {}
    while content[place]:
        name, place = _text(content, place)
        _, place = _text(content, place)
        (size,) = struct.unpack_from("<i", content, place)
        attributes[name] = content[place + 4 : place + 4 + size]
        place += 4 + size
    return attributes, place + 1


def _channels(value: bytes) -> list[tuple[str, Any]]:
    channels, place = [], 0
    while value[place]:
        name, place = _text(value, place)
        kind, _, across, down = struct.unpack_from("<iBxxxii", value, place)
        if (across, down) != (1, 1):
            raise ValueError("subsampled channels")
        channels.append((name, _TYPES[kind]))
        place += 16
    return channels


def _text(content: bytes, place: int) -> tuple[str, int]:
    end = content.index(b"\0", place)
    return content[place:end].decode(), end + 1


def _shuffled(data: bytes) -> bytes:
    """OpenEXR's preparation for deflate: even bytes before odd ones, then differences."""
    values = np.frombuffer(data, np.uint8)
    mixed = np.concatenate([values[::2], values[1::2]])
    out = mixed.copy()
    out[1:] = mixed[1:] - mixed[:-1] + np.uint8(128)
    return out.tobytes()


def _unshuffled(data: bytes) -> bytes:
    steps = np.frombuffer(data, np.uint8).copy()
    steps[1:] -= np.uint8(128)
    mixed = np.cumsum(steps, dtype=np.uint8)
    half = (len(mixed) + 1) // 2
    out = np.empty_like(mixed)
    out[::2], out[1::2] = mixed[:half], mixed[half:]
    return out.tobytes()
