"""Change skin, light or camera of a photo through the physics, keeping what it cannot explain."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from bioface.errors import InputError
from bioface.photo.continued import continued, surroundings
from bioface.photo.files import pixels_sha256, read_photo_depth
from bioface.photo.known import read_camera, read_light
from bioface.photo.read import nearest_share
from bioface.photo.result import Estimate, FaceEstimate
from bioface.spectral.camera import raw_to_xyz
from bioface.spectral.colour import SRGB_TO_XYZ, apply_tone, remove_tone
from bioface.spectral.formation import Camera, decode

MOST = 10.0
"""Largest factor on a map."""

_ROWS = 1 << 15


def edit(
    srgb: np.ndarray,
    estimate: Estimate,
    *,
    melanin: float = 1.0,
    haemoglobin: float = 1.0,
    specular: float = 1.0,
    illuminant: str | None = None,
    rebalance: bool = False,
    camera: str | os.PathLike[str] | None = None,
) -> np.ndarray:
    """Re-render the skin of a photo with changed pigments, gloss, light or camera.

    The difference between the decoder's picture with and without the change, both no brighter than
    white, is added to the photo in linear light, by the mask; so whatever the decoder does not
    explain stays, and without a change the photo is returned as it was, bit by bit. Where a face's
    landmarks are known, what the mask knows of skin around its brows changes as the skin beside
    them does (`bioface.photo.continued`).

    Parameters
    ----------
    srgb
        The photo (H, W, 3), sRGB floats in 0-1.
    estimate
        What was read from it.
    melanin, haemoglobin, specular
        Factors, 0-10, on the volume fractions and on the specular shading.
    illuminant
        The light to show the skin under, as `bioface.photo.known.KnownScene.of` takes it: A, F11,
        D65, D5000, 5600K, or a CSV file; None keeps the estimated one. The light's brightness stays
        what it was.
    rebalance
        True: the camera adapts its white balance to the new light. False: it keeps the estimated
        one, so that the light's colour shows.
    camera
        The camera to show the skin through, as `bioface.photo.known.KnownScene.of` takes it: its
        measured sensitivities, a CSV or npz file; None keeps the estimated one. It balances the
        estimated light, errs in that by the estimated gains, and has a raw-to-XYZ matrix of its
        own; with `illuminant` the light then changes before it.

    Returns
    -------
    (H, W, 3) sRGB in 0-1, the dtype of `srgb`.

    Raises
    ------
    InputError
        A factor out of range, an unknown light or camera, a photo of another size than the
        estimate's, or an estimate whose numbers give no finite picture.
    """
    factors = {"melanin": melanin, "haemoglobin": haemoglobin, "specular": specular}
    for name, factor in factors.items():
        if not 0 <= factor <= MOST:
            raise InputError(f"{name} factor {factor:g}: must lie in 0-{MOST:g}")
    if rebalance and illuminant is None:
        raise InputError("rebalance needs another light; name one with illuminant")
    if srgb.shape[:2] != estimate.shape:
        height, width = estimate.shape
        raise InputError(
            f"the photo has {srgb.shape[1]}x{srgb.shape[0]} pixels, its estimate {width}x{height}"
        )
    light = None if illuminant is None else read_light(illuminant)
    sensitivities = None if camera is None else read_camera(camera)
    edited = srgb.copy()
    if light is None and sensitivities is None and all(factor == 1 for factor in factors.values()):
        return edited
    for index, face in enumerate(estimate.faces):
        scene = _changed_scene(face, light, sensitivities, rebalance=rebalance)
        everywhere = (slice(0, estimate.shape[0]), slice(0, estimate.shape[1]))
        inside = estimate.maps["mask"] > 0
        if len(estimate.faces) > 1:
            inside &= nearest_share(estimate.faces, index, everywhere)
        pixels = np.flatnonzero(inside)
        for start in range(0, len(pixels), _ROWS):
            part = np.unravel_index(pixels[start : start + _ROWS], inside.shape)
            edited[part] = _edit_pixels(srgb[part], part, face, estimate, factors, scene)
        _carry_on(srgb, edited, np.where(inside, estimate.maps["mask"], 0), face)
    if not np.isfinite(edited).all():
        raise InputError("the estimate's numbers give no picture; estimate the photo again")
    return edited


def photo_of(estimate: Estimate, folder: str | Path, photo: str | Path | None = None) -> np.ndarray:
    """The photo (H, W, 3 sRGB floats) an estimate was read from, see `find_photo`."""
    return find_photo(estimate, folder, photo)[1]


def find_photo(
    estimate: Estimate, folder: str | Path, photo: str | Path | None = None
) -> tuple[Path, np.ndarray, int]:
    """Where the photo of an estimate is, the photo (H, W, 3 sRGB floats) and its bits a channel.

    Parameters
    ----------
    folder
        Where the estimate lies: the recorded path starts there.
    photo
        Where the photo is now; None takes the recorded path.

    Raises
    ------
    InputError
        The photo cannot be found or read, or is another picture than the one that was estimated.
    """
    if photo is None:
        recorded = estimate.photo.get("path")
        if not recorded:
            raise InputError("the estimate does not say where its photo is; pass --photo FILE")
        source = Path(folder) / recorded
        if not source.is_file():
            raise InputError(f"{source}: the photo is no longer there; pass --photo FILE")
    else:
        source = Path(photo)
    srgb, bits = read_photo_depth(source)
    if pixels_sha256(srgb) != estimate.photo.get("sha256"):
        raise InputError(f"{source}: not the picture that was estimated; pass it with --photo FILE")
    return source, srgb, bits


def relit(face: FaceEstimate, spd: np.ndarray, *, rebalance: bool) -> tuple[Camera, float]:
    """Camera, and factor on both shadings, for the face under another light (33,).

    Without `rebalance` the camera's white-balance factors and raw-to-XYZ matrix stay those of the
    estimated light; the factor keeps the luminance of a white diffuser what it was.
    """
    camera = face.camera
    if not rebalance:
        sensitivities = face.sensitivities
        white = (spd @ sensitivities) / (face.spd @ sensitivities)
        gains = face.gains * white[[0, 2]] / white[1]
        matrix = np.asarray(raw_to_xyz(sensitivities, face.spd, face.method))
        camera = replace(camera, gains=gains, matrix=matrix)
    before, after = (
        float(SRGB_TO_XYZ[1] @ np.asarray(c.projection(e)).sum(axis=0))
        for c, e in ((face.camera, face.spd), (camera, spd))
    )
    return camera, before / after


def _changed_scene(
    face: FaceEstimate,
    light: np.ndarray | None,
    sensitivities: np.ndarray | None,
    *,
    rebalance: bool,
) -> tuple[np.ndarray, Camera, float]:
    """Light, camera, and factor on both shadings, that an edit shows the face by.

    Without another light the factor is 1: green raw of a white diffuser is what it was.
    """
    if sensitivities is not None:
        face = replace(face, sensitivities=sensitivities)
    if light is None:
        return face.spd, face.camera, 1.0
    return light, *relit(face, light, rebalance=rebalance)


def _carry_on(srgb: np.ndarray, edited: np.ndarray, mask: np.ndarray, face: FaceEstimate) -> None:
    """Change `edited` in place where brows interrupt the skin."""
    if face.landmarks is None:
        return
    window = surroundings(face, face.landmarks, (mask.shape[0], mask.shape[1]))
    places = face.landmarks - [window[1].start, window[0].start]
    tone = face.tone.astype(np.float32)
    before, after = (np.asarray(remove_tone(image[window], tone)) for image in (srgb, edited))
    changed = continued(before, after, mask[window], face.size, places)
    touched = (changed != after).any(axis=-1)
    edited[window][touched] = np.clip(np.asarray(apply_tone(changed[touched], tone)), 0, 1)


def _edit_pixels(
    srgb: np.ndarray,
    part: tuple[np.ndarray, ...],
    face: FaceEstimate,
    estimate: Estimate,
    factors: dict[str, float],
    scene: tuple[np.ndarray, Camera, float],
) -> np.ndarray:
    """New values (N, 3) of the pixels at `part` of one face."""
    names = ("melanin", "haemoglobin", "diffuse_shading", "specular_shading")
    maps = {name: estimate.maps[name][part] for name in names}
    before = np.asarray(decode(maps, face.spd, face.camera, skin=estimate.skin, path="exact"))
    spd, camera, brightness = scene
    changed = {
        "melanin": np.clip(maps["melanin"] * factors["melanin"], 0, 1),
        "haemoglobin": np.clip(maps["haemoglobin"] * factors["haemoglobin"], 0, 1),
        "diffuse_shading": maps["diffuse_shading"] * brightness,
        "specular_shading": maps["specular_shading"] * (factors["specular"] * brightness),
    }
    after = np.asarray(decode(changed, spd, camera, skin=estimate.skin, path="exact"))
    mask = estimate.maps["mask"][part][:, None]
    tone = face.tone.astype(np.float32)
    linear = np.asarray(remove_tone(srgb, tone))
    shown = np.asarray(apply_tone(linear, tone))
    # What a photo cannot show of before, it cannot lose: highlights are white on either side.
    change = np.minimum(after, 1) - np.minimum(before, 1)
    new = np.asarray(apply_tone(linear + mask * change, tone))
    return np.clip(srgb + (new - shown), 0, 1)
