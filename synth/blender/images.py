"""Arrays as Blender images that hold numbers, not colours."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def data_image(bpy: Any, name: str, values: np.ndarray) -> Any:
    """A packed float image with colour space Non-Color.

    Parameters
    ----------
    values
        (H, W) or (H, W, 3), row 0 at the top; one plane fills red, green and blue.

    Returns
    -------
    A `bpy.types.Image` that is saved inside the .blend and never resampled through a colour
    transform, premultiplied or stored as half floats on the graphics card.
    """
    image = _filled(bpy, name, values)
    image.pack()
    return image


def tiled_image(bpy: Any, name: str, tiles: Mapping[int, np.ndarray]) -> Any:
    """`data_image` for one value array per UDIM tile; an ordinary image where 1001 is the only one.

    Parameters
    ----------
    tiles
        UDIM number (1001 is the tile [0, 1) x [0, 1)) to values, as `data_image` takes them.
    """
    if set(tiles) == {1001}:
        return data_image(bpy, name, tiles[1001])
    with tempfile.TemporaryDirectory(prefix="tiles-") as folder:
        for number, values in tiles.items():
            single = _filled(bpy, name, values)
            single.filepath_raw = str(Path(folder, f"{name}.{number}.exr"))
            single.file_format = "OPEN_EXR"
            single.save()
            bpy.data.images.remove(single)
        image = _new(bpy, name, (8, 8), tiled=True)
        image.filepath = str(Path(folder, f"{name}.<UDIM>.exr"))
        image.source = "TILED"
        for number in sorted(set(tiles) - {1001}):
            image.tiles.new(number)
        if 1001 not in tiles:
            image.tiles.remove(image.tiles.get(1001))
        image.reload()
        image.colorspace_settings.name = "Non-Color"
        image.pack()
        image.filepath_raw = f"//{name}.<UDIM>.exr"
    return image


def _new(bpy: Any, name: str, size: tuple[int, int], *, tiled: bool = False) -> Any:
    image = bpy.data.images.new(
        name, *size, alpha=False, float_buffer=True, is_data=True, tiled=tiled
    )
    image.alpha_mode = "NONE"
    image.use_half_precision = False
    return image


def _filled(bpy: Any, name: str, values: np.ndarray) -> Any:
    height, width = values.shape[:2]
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = values[::-1].reshape(height, width, -1)
    image = _new(bpy, name, (width, height))
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    return image
