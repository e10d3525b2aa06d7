"""Reading and writing EXR files with numpy alone, for Pythons without the OpenEXR package.

Single-part scanline files, uncompressed or ZIP: what `bioface.exr` writes and what Blender writes
for it. Inside Blender the OpenEXR package cannot be relied on: its symbols clash with those of
Blender's own OpenEXR library.

File layout: https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC = 20000630
_LONG_NAMES = 0x400
_UNSUPPORTED = 0x200 | 0x800 | 0x1000  # tiles, deep data, several parts
_TYPES: tuple[Any, ...] = (np.dtype("<u4"), np.dtype("<f2"), np.dtype("<f4"))
_LINES = {0: 1, 2: 1, 3: 16}  # scan lines in a block: uncompressed, ZIPS, ZIP
_LINES_OF_OTHERS = {1: 1, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}  # RLE, PIZ, PXR24, B44(A), DWA
_ZIP = 3


_Bytes = bytes | mmap.mmap


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
    with _named_damage():
        return _parse(content)


def check_blocks(path: str | Path) -> None:
    """Ask whether a file's scan lines are where it says, without reading them.

    OpenEXR prints lines of its own about files that are cut short; so ask here first. Of tiles and
    several parts nothing is asked.

    Raises
    ------
    PlainExrError
        Not an EXR, or truncated.
    """
    with (
        _named_damage(),
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        _layout(content)


@dataclass(frozen=True)
class _Layout:
    """Where a single-part scan line EXR keeps its pixels.

    `window` is left, top, right, bottom; a block holds `lines` scan lines, the last one fewer.
    """

    header: dict[str, bytes]
    window: tuple[int, int, int, int]
    lines: int
    blocks: list[tuple[int, int, int]]
    """First scan line of each block, where its data begin, and their bytes."""

    @property
    def compression(self) -> int:
        return self.header["compression"][0]


@contextmanager
def _named_damage() -> Iterator[None]:
    """One kind of error for all that is met where bytes are not what they should be."""
    try:
        yield
    except PlainExrError:
        raise
    except (struct.error, zlib.error, KeyError, IndexError, ValueError) as error:
        raise PlainExrError("truncated or damaged") from error


def _layout(content: _Bytes) -> _Layout | None:
    """What the header and the heads of the blocks say; None of tiles, deep data, several parts.

    Raises PlainExrError where blocks do not lie inside the file, or do not make up the picture.
    """
    magic, version = struct.unpack_from("<ii", content)
    if magic != _MAGIC:
        raise PlainExrError("not an EXR")
    if version & _UNSUPPORTED:
        return None
    header, place = _header(content, 8)
    lines = (_LINES | _LINES_OF_OTHERS)[header["compression"][0]]
    window = struct.unpack("<4i", header["dataWindow"])
    _, top, _, bottom = window
    starts = range(top, bottom + 1, lines)
    blocks = []
    for offset in struct.unpack_from(f"<{len(starts)}q", content, place):
        first, size = struct.unpack_from("<ii", content, offset)
        if not 0 < size <= len(content) - offset - 8:
            raise PlainExrError("truncated or damaged")
        blocks.append((first, offset + 8, size))
    if not starts or sorted(first for first, *_ in blocks) != list(starts):
        raise PlainExrError("truncated or damaged")
    return _Layout(header, window, lines, blocks)


def _parse(content: bytes) -> dict[str, np.ndarray]:
    layout = _layout(content)
    if layout is None:
        raise PlainExrError("not a single-part scan line EXR")
    if layout.compression not in _LINES:
        raise PlainExrError("compressed in another way than ZIP")
    left, top, right, bottom = layout.window
    width, height = right - left + 1, bottom - top + 1
    channels = _channels(layout.header["channels"])
    row_bytes = sum(width * kind.itemsize for _, kind in channels)
    table = np.zeros((height, row_bytes), np.uint8)
    for first, start, size in layout.blocks:
        row = first - top
        rows = min(layout.lines, height - row)
        data = content[start : start + size]
        if size < rows * row_bytes:
            data = _unshuffled(zlib.decompress(data))
        if len(data) != rows * row_bytes:
            raise PlainExrError("truncated or damaged")
        table[row : row + rows] = np.frombuffer(data, np.uint8).reshape(rows, row_bytes)
    planes, at = {}, 0
    for name, kind in channels:
        end = at + width * kind.itemsize
        planes[name] = np.ascontiguousarray(table[:, at:end]).view(kind).astype(np.float32)
        at = end
    return planes


def _header(content: _Bytes, place: int) -> tuple[dict[str, bytes], int]:
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
            raise PlainExrError("subsampled channels")
        channels.append((name, _TYPES[kind]))
        place += 16
    return channels


def _text(content: _Bytes, place: int) -> tuple[str, int]:
    end = content.find(b"\0", place)
    if end < 0:
        raise PlainExrError("truncated or damaged")
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
