"""Skin maps as pictures to look at inside Blender: false colours above a colour bar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.photo.result import STDS
from synth.project import MAPS
from synth.project.estimate import read_maps

SIDE = 512
"""Longest side of the pictures."""

_RAMPS = {
    "melanin": ((1.00, 0.96, 0.88), (0.70, 0.45, 0.25), (0.16, 0.07, 0.04)),
    "haemoglobin": ((1.00, 0.95, 0.92), (0.90, 0.38, 0.30), (0.33, 0.00, 0.06)),
    **dict.fromkeys(STDS, ((0.95, 0.97, 1.00), (0.35, 0.55, 0.80), (0.04, 0.09, 0.26))),
}
"""sRGB from little to much: light to dark, so that they are readable in grey as well."""
_OUTSIDE = (0.19, 0.19, 0.19)
_BAR, _GAP = 0.06, 0.02
"""Height of the colour bar and of the gap above it, as parts of the side."""
_MARGIN = 0.08
_ICON = 256


@dataclass(frozen=True)
class ShownMap:
    """One map as a picture.

    Attributes
    ----------
    image
        A `bpy.types.Image` in false colours, whose preview icon shows the same.
    low, high
        Volume fractions at the ends of its colour bar: the 1st and 99th percentile of the skin.
    median
        Over the skin.
    """

    image: Any
    low: float
    high: float
    median: float


def show_maps(bpy: Any, path: str | Path) -> dict[str, ShownMap]:
    """Pictures of the melanin and haemoglobin in an EXR, replacing those of an earlier call.

    By channel; with them the standard deviations `melanin_std` and `haemoglobin_std`, in an EXR
    that holds these.

    Raises
    ------
    InputError
        The file is missing, damaged, lacks a map or holds no skin.
    """
    planes = read_maps(path)
    skin = planes["mask"] > 0.5
    if not skin.any():
        raise InputError(f"{path}: holds no skin")
    window = _window(skin)
    shown = {}
    for name in (*MAPS, *(name for name in STDS if name in planes)):
        low, median, high = (float(v) for v in np.percentile(planes[name][skin], (1, 50, 99)))
        high = max(high, low + 1e-6)
        picture = false_colours(planes[name][window], skin[window], name, low, high)
        image = _picture(bpy, f"{Path(path).stem} {name} preview", picture)
        shown[name] = ShownMap(image, low, high, median)
    return shown


def false_colours(
    plane: np.ndarray, skin: np.ndarray, name: str, low: float, high: float, side: int = SIDE
) -> np.ndarray:
    """A square picture (side, side, 4), sRGB and alpha in 0-1: the map, and its colour bar below.

    Parameters
    ----------
    plane, skin
        (H, W) volume fractions and which of them count.
    name
        Of the map, which decides the colours.
    low, high
        Fractions at the ends of the bar.
    """
    bar, gap = round(_BAR * side), round(_GAP * side)
    out = np.zeros((side, side, 4), np.float32)
    room = side - bar - gap
    step = max(plane.shape) / room
    rows, columns = (
        np.minimum(((np.arange(max(round(length / step), 1)) + 0.5) * step).astype(int), length - 1)
        for length in plane.shape
    )
    picture = _ramp(name, (plane[np.ix_(rows, columns)] - low) / (high - low))
    picture[~skin[np.ix_(rows, columns)]] = _OUTSIDE
    top, left = (room - len(rows)) // 2, (side - len(columns)) // 2
    out[top : top + len(rows), left : left + len(columns), :3] = picture
    out[top : top + len(rows), left : left + len(columns), 3] = 1
    out[side - bar :, :, :3] = _ramp(name, np.linspace(0, 1, side))
    out[side - bar :, :, 3] = 1
    return out


def _ramp(name: str, position: np.ndarray) -> np.ndarray:
    colours = np.array(_RAMPS[name])
    nodes = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(position, nodes, colours[:, k]) for k in range(3)], -1)


def _window(skin: np.ndarray) -> tuple[slice, slice]:
    """The part of the photo around the skin."""
    rows, columns = np.flatnonzero(skin.any(1)), np.flatnonzero(skin.any(0))
    margin = int(_MARGIN * max(np.ptp(rows), np.ptp(columns))) + 1
    return tuple(
        slice(max(int(part[0]) - margin, 0), int(part[-1]) + margin + 1) for part in (rows, columns)
    )  # type: ignore[return-value]


def _picture(bpy: Any, name: str, rgba: np.ndarray) -> Any:
    """An 8-bit image of that name, its pixels packed and its preview icon set."""
    former = bpy.data.images.get(name)
    if former is not None:
        bpy.data.images.remove(former)
    side = len(rgba)
    image = bpy.data.images.new(name, side, side, alpha=True)
    image.pixels.foreach_set(np.ascontiguousarray(rgba[::-1], np.float32).ravel())
    image.update()
    image.pack()
    icon = image.preview_ensure()
    step = side // _ICON
    small = rgba[::-1][:: step or 1, :: step or 1]
    icon.image_size = small.shape[1], small.shape[0]
    icon.image_pixels_float.foreach_set(np.ascontiguousarray(small, np.float32).ravel())
    return image
