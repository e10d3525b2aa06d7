"""Levels of a face's pigments from its mean colour, where nothing else is left that colours it.

With light, camera and white balance known, and no tone curve, the mean light of a face less its
gloss has the chroma c of its skin alone. Both pigments of all pixels are shifted by m and h, in u:

    argmin  |c - c(m, h)|^2 / s^2 + m^2 / sm^2 + h^2 / sh^2,

with c(m, h) the log chroma that the shifted reading explains without gloss. The gloss is the
network's; an error in it looks like melanin rather than blood, so melanin is held more tightly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bioface.photo.explain import fit_to, scene_of
from bioface.photo.known import KnownScene
from bioface.photo.network import Reading
from bioface.spectral.colour import log_chroma, srgb_decode
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, UNIT_RANGE, from_unit

SPREADS = (0.05, 0.1)
"""sm and sh: how far levels of melanin and haemoglobin are expected to be off, in u."""

CHROMA_SPREAD = 0.015
"""s: how far the log chroma is expected to be off, mostly through gloss."""

REACH = 0.5
"""How far a level may be shifted, in u."""

_DARKEST = 1e-4
_STEPS = 4
_DIFFERENCE = 0.02
_MOST_PIXELS = 2000


def levelled(reading: Reading, srgb: np.ndarray, skin: SkinModel, known: KnownScene) -> Reading:
    """The reading with the levels of both pigments that suit the mean colour of its crop.

    Parameters
    ----------
    reading
        What the network says of the crop.
    srgb
        (h, w, 3) sRGB in 0-1: the crop that it read.
    skin
        The decoder's skin model.
    known
        What was told; unless it is everything (`KnownScene.measured`), the reading stays as it is.
    """
    chosen = fit_to(reading, srgb) if known.measured else None
    if chosen is None:
        return reading
    places = np.flatnonzero(chosen)
    places = places[:: -(-len(places) // _MOST_PIXELS)]
    pigments = np.stack([reading.melanin_u.flat[places], reading.haemoglobin_u.flat[places]])
    diffuse, gloss = (
        np.asarray(plane.flat[places], np.float64)
        for plane in (reading.diffuse_shading, reading.specular_shading)
    )
    spd, camera = scene_of(reading, known)
    projection = np.asarray(camera.projection(spd))

    def chroma(shift: np.ndarray) -> np.ndarray:
        melanin_u, haemoglobin_u = np.clip(pigments + shift[:, None], *UNIT_RANGE)
        reflectance = np.asarray(
            skin.reflectance(
                from_unit(melanin_u, MELANIN_RANGE), from_unit(haemoglobin_u, HAEMOGLOBIN_RANGE)
            )
        )
        return np.asarray(log_chroma(diffuse @ reflectance @ projection, _DARKEST))

    photo = np.asarray(srgb_decode(srgb.reshape(-1, 3)[places].astype(np.float64)))
    seen = photo.mean(axis=0) - gloss.mean() * projection.sum(axis=0)
    wanted = np.asarray(log_chroma(seen, _DARKEST))
    prior = np.diag(np.square(CHROMA_SPREAD / np.array(SPREADS)))
    shift = np.zeros(2)
    for _ in range(_STEPS):
        explained = chroma(shift)
        jacobian = np.stack(
            [(chroma(shift + step) - explained) / _DIFFERENCE for step in _DIFFERENCE * np.eye(2)],
            axis=1,
        )
        moved = jacobian.T @ (wanted - explained) - prior @ shift
        shift = shift + np.linalg.solve(jacobian.T @ jacobian + prior, moved)
        shift = shift.clip(-REACH, REACH)
    melanin, haemoglobin = shift.astype(np.float32)
    return replace(
        reading,
        melanin_u=(reading.melanin_u + melanin).clip(*UNIT_RANGE),
        haemoglobin_u=(reading.haemoglobin_u + haemoglobin).clip(*UNIT_RANGE),
    )
