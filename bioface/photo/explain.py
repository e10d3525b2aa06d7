"""What a network's reading of a crop explains of it, through the physics."""

from __future__ import annotations

import numpy as np

from bioface.photo.known import NOTHING, KnownScene
from bioface.photo.network import Reading
from bioface.spectral.colour import apply_tone, srgb_decode
from bioface.spectral.formation import Camera, decode
from bioface.spectral.illuminant import mix
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

CLIPPED = 0.98
"""Encoded value from which a pixel tells nothing of colour."""

LEAST_PIXELS = 64
"""Pixels of skin that it takes to fit what holds for a whole face."""

_SURE = 0.9


def fit_to(reading: Reading, srgb: np.ndarray) -> np.ndarray | None:
    """Pixels (h, w) of a crop of sRGB that are surely skin and not clipped; None if too few."""
    chosen: np.ndarray = (reading.mask > _SURE) & (srgb.max(axis=-1) < CLIPPED)
    return chosen if chosen.sum() >= LEAST_PIXELS else None


def scene_of(reading: Reading, known: KnownScene = NOTHING) -> tuple[np.ndarray, Camera]:
    """Spectrum of the light (33,) and the camera: as they are known, otherwise as read."""
    spd = known.spd
    if spd is None:
        spd = mix(reading.illuminant_weights, reading.daylight_kelvin, validate=False)
    camera = Camera(
        reading.sensitivities if known.sensitivities is None else known.sensitivities,
        reading.gains if known.gains is None else known.gains,
        reading.method,
    )
    return np.asarray(spd), camera


def rendered(reading: Reading, skin: SkinModel, known: KnownScene = NOTHING) -> np.ndarray:
    """What the network explains of a crop: (h, w, 3) linear sRGB, before the tone curve."""
    maps = {
        "melanin": from_unit(reading.melanin_u, MELANIN_RANGE),
        "haemoglobin": from_unit(reading.haemoglobin_u, HAEMOGLOBIN_RANGE),
        "diffuse_shading": reading.diffuse_shading,
        "specular_shading": reading.specular_shading,
    }
    spd, camera = scene_of(reading, known)
    linear: np.ndarray = decode(maps, spd, camera, skin=skin)
    return linear


def photographed(linear: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """The photo's linear light (..., 3) where the decoder's is `linear`: the tone curve applied."""
    return np.asarray(srgb_decode(apply_tone(linear, tone)))
