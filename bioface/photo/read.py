"""A photo to skin maps: find the faces, ask the network, recover detail, lay all on the photo."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bioface.errors import InputError, MissingDependencyError
from bioface.photo.crop import Crop, fill_outside
from bioface.photo.detail import Pixels, SkinColours, refine
from bioface.photo.files import read_photo, to_bytes
from bioface.photo.find import Face, find_faces
from bioface.photo.landmarks import bounding_box, skin_region
from bioface.photo.result import COLOURS, SCALARS, Estimate, FaceEstimate
from bioface.spectral.colour import (
    ita,
    linear_srgb_to_xyz,
    remove_tone,
    srgb_decode,
    srgb_encode,
    xyz_to_lab,
)
from bioface.spectral.illuminant import NAMES, mix
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

if TYPE_CHECKING:
    from bioface.learn.weights import TrainedModel
    from bioface.photo.network import Reading

SURE = 0.95
"""Mask from which a pixel counts in a face's medians."""

_LEVELS = 65536
_LEAST_MASK = 1 / 255


def estimate(
    photo: str | os.PathLike[str] | np.ndarray,
    *,
    weights: str | os.PathLike[str] | TrainedModel | None = None,
    size: int | None = None,
) -> Estimate:
    """Read melanin, haemoglobin, shading, light and camera of every face in a photo.

    Parameters
    ----------
    photo
        Path of an image file, or sRGB (H, W, 3): uint8, or floats in 0-1.
    weights
        Weight file, or a model from `bioface.learn.weights.load_weights` (load it once for many
        photos); None takes the weights that ship with the package.
    size
        Side in pixels of the square in which the network sees a face; None takes the size that it
        was trained at. Detail beyond it is recovered at the photo's own resolution.

    Returns
    -------
    `Estimate`, its maps on the photo's pixel grid.

    Raises
    ------
    InputError
        The photo cannot be read, shows no face, or the weights do not fit.
    MissingDependencyError
        torch or MediaPipe is not installed.

    Examples
    --------
    >>> result = estimate("portrait.jpg")                    # doctest: +SKIP
    >>> result.faces[0].skin["melanin_median"]               # doctest: +SKIP
    0.081
    """
    name = "photo" if isinstance(photo, np.ndarray) else os.fspath(photo)
    srgb = as_srgb(photo) if isinstance(photo, np.ndarray) else read_photo(photo)
    if weights is None or isinstance(weights, str | os.PathLike):
        model = load_model(weights)
    else:
        model = weights
    return read_faces(srgb, faces_in(srgb, name), model, size=size)


def faces_in(srgb: np.ndarray, name: str | os.PathLike[str] = "photo") -> list[Face]:
    """The faces of a photo of sRGB floats, the largest first; `InputError` naming it for none."""
    faces = find_faces(to_bytes(srgb))
    if not faces:
        raise InputError(
            f"{name}: no face found; use a photo in which a face is unobstructed and at least "
            "20 pixels wide"
        )
    return faces


def read_faces(
    srgb: np.ndarray, faces: Sequence[Face], model: TrainedModel, *, size: int | None = None
) -> Estimate:
    """`estimate` for faces already found in a photo (H, W, 3) of sRGB floats in 0-1.

    Where faces overlap, a pixel belongs to the one whose centre is nearest in units of its size.
    """
    from bioface.photo.network import decoder_skin

    if size is not None and not 32 <= size <= 1024:
        raise InputError(f"size {size}: the network sees faces in squares of 32-1024 pixels a side")
    shape = (srgb.shape[0], srgb.shape[1])
    maps = {name: np.zeros(shape, np.float32) for name in SCALARS}
    maps |= {name: np.zeros((*shape, 3), np.float32) for name in COLOURS}
    skin = decoder_skin(model)
    size = size or int(model.encoder.config.size)
    read = []
    for face in faces:
        others = [other for other in faces if other is not face]
        read.append(_read_face(srgb, face, others, model, skin, size, maps))
    record = {"path": None, "sha256": pixels_sha256(srgb)}
    return Estimate(maps, tuple(read), skin, model.sha256, record)


def load_model(weights: str | os.PathLike[str] | None = None) -> TrainedModel:
    """`bioface.learn.weights.load_weights` with a readable error where torch is missing."""
    try:
        from bioface.learn.weights import load_weights
    except ImportError as error:
        raise MissingDependencyError(
            f"{error.name or 'torch'} is not installed; run: pip install 'bioface[train]'"
        ) from error
    return load_weights(weights)


def as_srgb(photo: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 sRGB in 0-1 of a uint8 or floating array; InputError for another."""
    if photo.ndim != 3 or photo.shape[2] != 3 or min(photo.shape[:2]) < 1:
        raise InputError(f"a photo of shape {photo.shape}; (H, W, 3) is needed")
    if photo.dtype == np.uint8:
        return photo.astype(np.float32) / 255
    if not np.issubdtype(photo.dtype, np.floating):
        raise InputError(f"a photo of {photo.dtype}; uint8, or floats in 0-1, are needed")
    if not np.isfinite(photo).all() or photo.min() < 0 or photo.max() > 1:
        raise InputError("a photo with values that are not in 0-1; give sRGB floats in 0-1")
    return photo.astype(np.float32)


def pixels_sha256(srgb: np.ndarray) -> str:
    """Checksum of a photo's pixels in eight bits: tells whether two files hold one picture."""
    return hashlib.sha256(to_bytes(srgb).tobytes()).hexdigest()


def nearest_share(
    face: Face | FaceEstimate, others: Sequence[Face | FaceEstimate], window: tuple[slice, slice]
) -> np.ndarray:
    """Which pixels of `window` belong to `face` rather than to another: bool (h, w)."""
    rows, columns = window
    y, x = np.mgrid[rows, columns].astype(np.float32) + 0.5

    def distance(one: Face | FaceEstimate) -> np.ndarray:
        left, top, right, bottom = one.box
        return np.hypot(x - (left + right) / 2, y - (top + bottom) / 2) / one.size

    own = distance(face)
    nearest = np.ones(own.shape, bool)
    for other in others:
        nearest &= own < distance(other)
    return nearest


def _read_face(
    srgb: np.ndarray,
    face: Face,
    others: Sequence[Face],
    model: TrainedModel,
    skin: SkinModel,
    size: int,
    maps: dict[str, np.ndarray],
) -> FaceEstimate:
    """Read one face and write its pixels into `maps`."""
    from bioface.photo.network import read_crop

    crop = Crop.around(face.landmarks, size)
    reading = read_crop(model, _crop_srgb(srgb, crop))
    spd = np.asarray(mix(reading.illuminant_weights, reading.daylight_kelvin, validate=False))
    found = FaceEstimate(
        box=face.box,
        landmarks=face.landmarks,
        skin={},
        illuminant_weights=dict(zip(NAMES, map(float, reading.illuminant_weights), strict=True)),
        daylight_kelvin=reading.daylight_kelvin,
        spd=spd,
        b=reading.b,
        sensitivities=reading.sensitivities,
        gains=reading.gains,
        tone=reading.tone,
        method=reading.method,
    )
    window = _window(face)
    prior, network_mask = _on_photo(reading, crop, window)
    corner = np.array([window[1].start, window[0].start])
    mask = skin_region(face.mesh - corner, _shape(window)) * network_mask
    if others:
        mask = mask * nearest_share(face, others, window)
    inside = mask > _LEAST_MASK
    pixels = prior[inside]
    photo = srgb[window][inside]
    colours = SkinColours.of(skin, np.asarray(found.camera.projection(spd)))
    linear = _linear(photo, reading.tone)
    result = refine(linear, photo, Pixels(*pixels.T), mask[inside], colours)
    planes = {
        "melanin": from_unit(result.melanin_u, MELANIN_RANGE),
        "haemoglobin": from_unit(result.haemoglobin_u, HAEMOGLOBIN_RANGE),
        "diffuse_shading": result.diffuse_shading,
        "specular_shading": result.specular_shading,
        "mask": mask[inside],
        "albedo": colours.albedo(result),
        "reconstruction": colours.render(result),
    }
    for name, values in planes.items():
        maps[name][window][inside] = values
    return FaceEstimate(**{**vars(found), "skin": _summary(planes)})


def _crop_srgb(srgb: np.ndarray, crop: Crop) -> np.ndarray:
    """The crop, averaged in linear light and encoded again."""
    rows, columns = crop.window((srgb.shape[0], srgb.shape[1]))
    corner = (crop.centre[0] - columns.start, crop.centre[1] - rows.start)
    part = Crop(corner, crop.side, crop.roll, crop.size)
    linear = _linear(srgb[rows, columns], np.zeros(2))
    return np.clip(np.asarray(srgb_encode(part.extract(linear))), 0, 1).astype(np.float32)


def _linear(srgb: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Linear sRGB of encoded values, tone removed, through a table of 16 bits."""
    levels = np.linspace(0, 1, _LEVELS)
    table = remove_tone(levels, tone) if np.any(tone) else srgb_decode(levels)
    table = np.asarray(table, np.float32)
    return table[np.round(srgb * (_LEVELS - 1)).astype(np.uint16)]


def _window(face: Face) -> tuple[slice, slice]:
    """Rows and columns of the photo around the face mesh."""
    left, top, right, bottom = bounding_box(face.mesh)
    margin = 0.05 * max(right - left, bottom - top) + 2
    rows = slice(max(int(top - margin), 0), min(int(bottom + margin) + 1, face.shape[0]))
    columns = slice(max(int(left - margin), 0), min(int(right + margin) + 1, face.shape[1]))
    return rows, columns


def _shape(window: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = window
    return rows.stop - rows.start, columns.stop - columns.start


def _on_photo(
    reading: Reading, crop: Crop, window: tuple[slice, slice]
) -> tuple[np.ndarray, np.ndarray]:
    """The network's maps (h, w, 4), in the order of `Pixels`, and its mask (h, w) in `window`.

    What the network says off the skin means nothing: skin values are continued there first, so
    that they do not bleed in over the mask's edge. Shading is enlarged as a logarithm or a root,
    so that it neither overshoots below zero nor rings.
    """
    planes = np.stack(
        [
            reading.melanin_u,
            reading.haemoglobin_u,
            np.log(np.maximum(reading.diffuse_shading, 1e-4)),
            np.sqrt(reading.specular_shading),
        ],
        axis=-1,
    )
    planes = fill_outside(planes, np.clip(2 * reading.mask - 1, 0, 1))
    placed = crop.place(np.dstack([planes, reading.mask]), window)
    placed[..., 2] = np.exp(placed[..., 2])
    placed[..., 3] = placed[..., 3] ** 2
    return placed[..., :4], np.clip(placed[..., 4], 0, 1)


def _summary(planes: dict[str, np.ndarray]) -> dict[str, float | int | list[float] | None]:
    """The face's numbers over its surest pixels (all of its pixels where none is sure)."""
    mask = planes["mask"]
    sure = mask > SURE
    if not sure.any():
        sure = mask > 0.5 * mask.max(initial=0)
    count = int(sure.sum())
    if not count:
        return {
            "melanin_median": None,
            "haemoglobin_median": None,
            "albedo_median": None,
            "ita_degrees": None,
            "pixels": 0,
        }
    albedo = np.median(planes["albedo"][sure], axis=0)
    return {
        "melanin_median": float(np.median(planes["melanin"][sure])),
        "haemoglobin_median": float(np.median(planes["haemoglobin"][sure])),
        "albedo_median": [float(value) for value in albedo],
        "ita_degrees": float(ita(xyz_to_lab(linear_srgb_to_xyz(albedo)))),
        "pixels": count,
    }
