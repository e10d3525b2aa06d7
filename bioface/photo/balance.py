"""White balance and exposure of a reading, fitted to its photo.

The network guesses the gains of white balance from what it sees; but once pigments, shading, light
and camera are read, the photo itself says which gains and which exposure suit them best: three
factors a photo, one a raw channel, by least squares in the photo's linear light,

    argmin over h of  sum_pixels | photo - curve(M T diag(g h) raw) |^2,

with raw what the reading explains, g its gains and curve its tone curve. The factor of green is
exposure and goes into the shading, the others into the gains. No pixel is fitted by itself: that
is `bioface.photo.detail`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bioface.photo.explain import fit_to, photographed, rendered, scene_of
from bioface.photo.known import NOTHING, KnownScene
from bioface.photo.network import Reading
from bioface.spectral.colour import srgb_decode
from bioface.spectral.skin import SkinModel

LOG_REACH = 0.3
"""How far the logarithm of a factor may go."""

_STEPS = 3
_DIFFERENCE = 1e-3


def balanced(
    reading: Reading, srgb: np.ndarray, skin: SkinModel, known: KnownScene = NOTHING
) -> Reading:
    """The reading with the white balance and the exposure that suit its crop best.

    Parameters
    ----------
    reading
        What the network says of the crop.
    srgb
        (h, w, 3) sRGB in 0-1: the crop that it read.
    skin
        The decoder's skin model.
    known
        Light and camera as far as they were told: they stand for what the network says of them.
        Told gains stay; exposure alone is fitted.
    """
    chosen = fit_to(reading, srgb)
    if chosen is None:
        return reading
    spd, camera = scene_of(reading, known)
    matrix = np.asarray(camera.raw_to_srgb(spd))
    explained = np.asarray(rendered(reading, skin, known)[chosen], np.float64)
    # (N, rgb, raw channel): what each raw channel adds to the linear image.
    parts = (explained @ np.linalg.inv(matrix).T)[:, None, :] * matrix
    if known.gains is not None:
        parts = parts.sum(axis=2, keepdims=True)
    photo = np.asarray(srgb_decode(srgb[chosen].astype(np.float64)))
    logs = np.zeros(parts.shape[2])
    for _ in range(_STEPS):
        each = parts * np.exp(logs)
        linear = each.sum(axis=2)
        seen = photographed(linear, reading.tone)
        slope = (photographed(linear + _DIFFERENCE, reading.tone) - seen) / _DIFFERENCE
        jacobian = each * slope[..., None]
        normal = np.einsum("nci,ncj->ij", jacobian, jacobian) / len(each)
        moved = np.einsum("nci,nc->i", jacobian, photo - seen) / len(each)
        ridge = 1e-6 * np.trace(normal) + 1e-12
        logs = logs + np.linalg.solve(normal + ridge * np.eye(len(logs)), moved)
        logs = logs.clip(-LOG_REACH, LOG_REACH)
    red, green, blue = np.broadcast_to(np.exp(logs), 3)
    return replace(
        reading,
        diffuse_shading=reading.diffuse_shading * np.float32(green),
        specular_shading=reading.specular_shading * np.float32(green),
        gains=np.asarray(camera.gains) * (np.array([red, blue]) / green),
    )
