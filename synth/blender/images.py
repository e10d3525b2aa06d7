"""Arrays as Blender images that hold numbers, not colours."""

from __future__ import annotations

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
    height, width = values.shape[:2]
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = values[::-1].reshape(height, width, -1)
    image = bpy.data.images.new(name, width, height, alpha=False, float_buffer=True, is_data=True)
    image.alpha_mode = "NONE"
    image.use_half_precision = False
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    image.pack()
    return image
