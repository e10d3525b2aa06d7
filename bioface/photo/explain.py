"""What a network's reading of a crop explains of it, through the physics."""

from __future__ import annotations

import numpy as np

from bioface.photo.network import Reading
from bioface.spectral.formation import Camera, decode
from bioface.spectral.illuminant import mix
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit


def rendered(reading: Reading, skin: SkinModel) -> np.ndarray:
    """What the network explains of a crop: (h, w, 3) linear sRGB, before the tone curve."""
    maps = {
        "melanin": from_unit(reading.melanin_u, MELANIN_RANGE),
        "haemoglobin": from_unit(reading.haemoglobin_u, HAEMOGLOBIN_RANGE),
        "diffuse_shading": reading.diffuse_shading,
        "specular_shading": reading.specular_shading,
    }
    spd = mix(reading.illuminant_weights, reading.daylight_kelvin, validate=False)
    camera = Camera(reading.sensitivities, reading.gains, reading.method)
    linear: np.ndarray = decode(maps, spd, camera, skin=skin)
    return linear
