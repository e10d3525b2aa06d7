"""A crop and its mirror image, read together: what a face is does not depend on its side."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from array_api_compat import array_namespace

from bioface.spectral.backend import Array

TEMPERATURE = "daylight_kelvin"


def read_with_mirror(srgb: Array, read: Callable[[Array], Mapping[str, Array]]) -> dict[str, Array]:
    """What `read` says of crops (B, 3, H, W) by name, merged with what it says of their mirrors.

    `read` is shown both as one batch (2 B, 3, H, W), the mirror images after the crops.
    """
    xp = array_namespace(srgb)
    return merge(read(xp.concat([srgb, xp.flip(srgb, axis=-1)])))


def merge(readings: Mapping[str, Array]) -> dict[str, Array]:
    """Means of what was read of crops and of their mirror images.

    Parameters
    ----------
    readings
        Values (2 B, ...) by name: of B crops, then of their mirror images in the same order.
        What has height and width (2 B, h, w) is a map.

    Returns
    -------
    Values (B, ...); maps are mirrored back before, temperatures are averaged as reciprocals.
    """
    merged = {}
    for name, values in readings.items():
        xp, half = array_namespace(values), values.shape[0] // 2
        seen, mirrored = values[:half, ...], values[half:, ...]
        if values.ndim == 3:
            mirrored = xp.flip(mirrored, axis=-1)
        if name == TEMPERATURE:
            merged[name] = 2 / (1 / seen + 1 / mirrored)
        else:
            merged[name] = 0.5 * (seen + mirrored)
    return merged
