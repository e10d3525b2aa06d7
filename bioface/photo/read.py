"""A photo to skin maps: find the faces, ask the network, recover detail, lay all on the photo.

Where the faces are known, numpy and onnxruntime are enough.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bioface.errors import InputError, install_advice
from bioface.photo.balance import balanced
from bioface.photo.crop import SIZES, Crop
from bioface.photo.detail import Pixels, SkinColours, refine
from bioface.photo.explain import scene_of
from bioface.photo.face import Face, FaceBox
from bioface.photo.files import pixels_sha256, read_photo, to_bytes
from bioface.photo.find import can_find, find_faces
from bioface.photo.known import NOTHING, KnownScene
from bioface.photo.levels import levelled
from bioface.photo.locate import locate_face
from bioface.photo.network import (
    MULTIPLE,
    Network,
    Reading,
    Runtime,
    as_network,
    load_network,
)
from bioface.photo.resample import fill_outside
from bioface.photo.result import COLOURS, SCALARS, STDS, Estimate, FaceEstimate
from bioface.photo.skin_mask import REACH, skin_mask
from bioface.spectral.colour import (
    ita,
    linear_srgb_to_xyz,
    remove_tone,
    srgb_decode,
    srgb_encode,
    xyz_to_lab,
)
from bioface.spectral.illuminant import NAMES
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit, unit_slope

if TYPE_CHECKING:
    from bioface.learn.weights import TrainedModel

FaceSquare = tuple[float, float, float]
"""Left, top and side of the square around a face: brows to chin, ear to ear."""

SURE = 0.95
"""Mask from which a pixel counts in a face's medians."""

_LEVELS = 65536
_LEAST_MASK = 1 / 255


def estimate(
    photo: str | os.PathLike[str] | np.ndarray,
    *,
    weights: str | os.PathLike[str] | Network | TrainedModel | None = None,
    size: int | None = None,
    runtime: Runtime = "auto",
    face_box: FaceSquare | Sequence[FaceSquare] | None = None,
    known: KnownScene = NOTHING,
) -> Estimate:
    """Read melanin, haemoglobin, shading, light and camera of every face in a photo.

    Parameters
    ----------
    photo
        Path of an image file, or sRGB (H, W, 3): uint8, or floats in 0-1.
    weights
        Weight file (`.safetensors`, or `.onnx` of `bioface export onnx`), or a network from
        `bioface.photo.network.load_network` (load it once for many photos); None takes the weights
        that ship with the package.
    size
        Side in pixels of the square in which the network sees a face, 32-1024, rounded up to a
        multiple of 32; None takes the size that it was trained at. Detail beyond it is recovered
        at the photo's own resolution.
    runtime
        What runs the network: `torch`, `onnx` (onnxruntime) or `auto`, by what is installed: see
        `bioface.photo.network.load_network`. Both give the same maps within 1e-4.
    face_box
        Where the face is, if that is known: (x, y, side) of the square from brows to chin, x and y
        its top left corner in pixels; or several. The faces must be upright. None looks for them,
        with MediaPipe where it is installed, otherwise with the network (`bioface.photo.locate`:
        one upright face that fills the picture). Without MediaPipe there are no landmarks.
    known
        Light, camera and white balance, as far as they are known: see
        `bioface.photo.known.KnownScene.of`.

    Returns
    -------
    `Estimate`, its maps on the photo's pixel grid.

    Raises
    ------
    InputError
        The photo cannot be read, shows no face, a face box lies outside it, the weights do not
        fit, or something is known that they cannot be told.
    MissingDependencyError
        Neither torch nor onnxruntime is installed, or not the one that is needed.

    Examples
    --------
    >>> result = estimate("portrait.jpg")                    # doctest: +SKIP
    >>> result.faces[0].skin["melanin_median"]               # doctest: +SKIP
    0.081
    """
    name = "photo" if isinstance(photo, np.ndarray) else os.fspath(photo)
    srgb = as_srgb(photo) if isinstance(photo, np.ndarray) else read_photo(photo)
    if weights is None or isinstance(weights, str | os.PathLike):
        network = load_network(weights, runtime)
    else:
        network = as_network(weights)
    faces = faces_in(srgb, name, network, face_box)
    return read_faces(srgb, faces, network, size=size, known=known)


def faces_in(
    srgb: np.ndarray,
    name: str | os.PathLike[str] = "photo",
    network: Network | None = None,
    face_box: FaceSquare | Sequence[FaceSquare] | None = None,
) -> list[FaceBox]:
    """The faces of a photo of sRGB floats, the largest first: those given, or those found.

    Parameters
    ----------
    network
        Finds the face where MediaPipe is not installed.
    face_box
        As in `estimate`.

    Raises
    ------
    InputError
        No face is found, or a box lies outside the photo; names the photo.
    """
    shape = (srgb.shape[0], srgb.shape[1])
    if face_box is not None:
        squares = np.atleast_2d(np.asarray(face_box, np.float64))
        if squares.ndim != 2 or squares.shape[1] != 3:
            raise InputError(f"face_box {face_box!r}: x, y and side in pixels, or several of them")
        given = [FaceBox.square(x, y, side, shape) for x, y, side in squares.tolist()]
        return sorted(given, key=lambda face: -face.size)
    if network is not None and not can_find():
        located = locate_face(srgb, network)
        if located is None:
            raise InputError(
                f"{name}: no face found without MediaPipe; tell where it is with --face-box "
                f"(face_box), or run: {install_advice('train')}"
            )
        return [located]
    faces = find_faces(to_bytes(srgb))
    if not faces:
        raise InputError(
            f"{name}: no face found; use a photo in which a face is unobstructed and at least "
            "20 pixels wide, or tell where it is with --face-box (face_box)"
        )
    return list(faces)


def read_faces(
    srgb: np.ndarray,
    faces: Sequence[FaceBox],
    model: Network | TrainedModel,
    *,
    size: int | None = None,
    known: KnownScene = NOTHING,
) -> Estimate:
    """`estimate` for faces already found in a photo (H, W, 3) of sRGB floats in 0-1.

    Where faces overlap, a pixel belongs to the one whose centre is nearest in units of its size.
    """
    network = as_network(model)
    shape = (srgb.shape[0], srgb.shape[1])
    maps = {name: np.zeros(shape, np.float32) for name in SCALARS}
    maps |= {name: np.zeros((*shape, 3), np.float32) for name in COLOURS}
    read = []
    for index, face in enumerate(faces):
        seen = ask(srgb, face, network, size=size, known=known)
        read.append(_read_face(srgb, seen, faces, index, network, maps))
    record = {"path": None, "sha256": pixels_sha256(srgb)}
    return Estimate(maps, tuple(read), network.skin, network.sha256, record, known.record)


@dataclass(frozen=True)
class SeenFace:
    """What the network says of one face, before detail is recovered.

    Attributes
    ----------
    face
        Where the face is; with its mesh, if it has one.
    estimate
        The face with its light and camera; `skin` is empty as yet.
    crop, reading
        The square that the network saw, and what it said of it.
    """

    face: FaceBox
    estimate: FaceEstimate
    crop: Crop
    reading: Reading


def ask(
    srgb: np.ndarray,
    face: FaceBox,
    network: Network,
    *,
    size: int | None = None,
    known: KnownScene = NOTHING,
) -> SeenFace:
    """Show the network one face of a photo (H, W, 3) of sRGB floats, and balance its reading.

    What is known stands in the result as it was told, whatever the network makes of it; but the
    weights of the basis illuminants are always the network's.

    Raises
    ------
    InputError
        The size is out of range, or these weights cannot be told what is known.
    """
    check_size(size)
    side = -(-(size or network.size) // MULTIPLE) * MULTIPLE
    landmarks = face.landmarks if isinstance(face, Face) else None
    crop = Crop.around_box(face.box, side) if landmarks is None else Crop.around(landmarks, side)
    seen = _crop_srgb(srgb, crop)
    reading = network.read(seen, known)
    if known.no_tone_curve:
        reading = replace(reading, tone=np.zeros(2))
    reading = levelled(reading, seen, network.skin, known)
    reading = balanced(reading, seen, network.skin, known)
    spd, camera = scene_of(reading, known)
    found = FaceEstimate(
        box=face.box,
        landmarks=landmarks,
        skin={},
        illuminant_weights=dict(zip(NAMES, map(float, reading.illuminant_weights), strict=True)),
        daylight_kelvin=reading.daylight_kelvin,
        spd=spd,
        b=reading.b,
        sensitivities=np.asarray(camera.sensitivities),
        gains=np.asarray(camera.gains),
        tone=reading.tone,
        method=reading.method,
    )
    return SeenFace(face, found, crop, reading)


def check_size(size: int | None) -> None:
    """InputError for a size in which no network sees faces; None is that of its training."""
    if size is not None and not SIZES[0] <= size <= SIZES[1]:
        raise InputError(
            f"size {size}: the network sees faces in squares of {SIZES[0]}-{SIZES[1]} pixels a side"
        )


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


def nearest_share(faces: Sequence[FaceBox], index: int, window: tuple[slice, slice]) -> np.ndarray:
    """Which pixels of `window` belong to `faces[index]` rather than to another: bool (h, w).

    Those as near to two belong to the first of them.
    """
    rows, columns = window
    y, x = np.ogrid[rows, columns]
    y, x = y.astype(np.float32) + 0.5, x.astype(np.float32) + 0.5

    def distance(one: FaceBox) -> np.ndarray:
        return np.hypot(x - one.centre[0], y - one.centre[1]) / one.size

    own = distance(faces[index])
    nearest = np.ones(own.shape, bool)
    for place, other in enumerate(faces):
        if place < index:
            nearest &= own < distance(other)
        elif place > index:
            nearest &= own <= distance(other)
    return nearest


def _read_face(
    srgb: np.ndarray,
    seen: SeenFace,
    faces: Sequence[FaceBox],
    index: int,
    network: Network,
    maps: dict[str, np.ndarray],
) -> FaceEstimate:
    """Recover the detail of `faces[index]` and write its pixels into `maps`."""
    face, crop, reading = seen.estimate, seen.crop, seen.reading
    window = crop.window((srgb.shape[0], srgb.shape[1]), beyond=REACH)
    linear = _linear(srgb[window], reading.tone)
    prior, stds, network_mask = _on_photo(reading, crop, window)
    mask, core = skin_mask(seen.face, crop, window, network_mask, linear)
    if len(faces) > 1:
        mask = mask * nearest_share(faces, index, window)
    inside = mask > _LEAST_MASK
    colours = SkinColours.of(network.skin, np.asarray(face.camera.projection(face.spd)))
    pixels = Pixels(*prior[inside].T)
    result = refine(linear[inside], srgb[window][inside], pixels, mask[inside], colours)
    planes = {
        "melanin": from_unit(result.melanin_u, MELANIN_RANGE),
        "haemoglobin": from_unit(result.haemoglobin_u, HAEMOGLOBIN_RANGE),
        "diffuse_shading": result.diffuse_shading,
        "specular_shading": result.specular_shading,
        "mask": mask[inside],
        "albedo": colours.albedo(result),
        "reconstruction": colours.render(result),
    }
    pigments = ((planes["melanin"], MELANIN_RANGE), (planes["haemoglobin"], HAEMOGLOBIN_RANGE))
    for name, plane, (fraction, bounds) in zip(STDS, stds, pigments, strict=False):
        planes[name] = plane[inside] * unit_slope(fraction, bounds)
        maps.setdefault(name, np.zeros_like(maps["mask"]))
    for name, values in planes.items():
        maps[name][window][inside] = values
    return replace(face, skin=_summary(planes, mask[inside] * core[inside]))


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


def _on_photo(
    reading: Reading, crop: Crop, window: tuple[slice, slice]
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """The network's maps in `window`, enlarged.

    (h, w, 4) in the order of `Pixels`; the standard deviations (h, w) of the pigments in u, in the
    order of `STDS`, none where the network gives none; the mask (h, w).

    What the network says off the skin means nothing: skin values are continued there first, if
    there are any, so that they do not bleed in over the mask's edge. Shading is enlarged as a
    logarithm or a root, so that it neither overshoots below zero nor rings.
    """
    said = (reading.melanin_u_std, reading.haemoglobin_u_std)
    stds = [plane for plane in said if plane is not None]
    planes = np.stack(
        [
            reading.melanin_u,
            reading.haemoglobin_u,
            np.log(np.maximum(reading.diffuse_shading, 1e-4)),
            np.sqrt(reading.specular_shading),
            *stds,
        ],
        axis=-1,
    )
    sure = np.clip(2 * reading.mask - 1, 0, 1)
    if sure.any():
        planes = fill_outside(planes, sure)
    placed = crop.place(np.dstack([planes, reading.mask]), window)
    placed[..., 2] = np.exp(placed[..., 2])
    placed[..., 3] = placed[..., 3] ** 2
    enlarged = [placed[..., 4 + k] for k in range(len(stds))]
    return placed[..., :4], enlarged, np.clip(placed[..., -1], 0, 1)


def _summary(
    planes: dict[str, np.ndarray], trust: np.ndarray
) -> dict[str, float | int | list[float] | None]:
    """The face's numbers over its surest pixels (the better ones where none is sure)."""
    sure = trust > SURE
    if not sure.any():
        sure = trust > 0.5 * trust.max(initial=0)
    count = int(sure.sum())
    medians = {"melanin_median": "melanin", "haemoglobin_median": "haemoglobin"}
    medians |= {name.replace("_std", "_median_std"): name for name in STDS if name in planes}
    if not count:
        return {
            **dict.fromkeys(medians),
            "albedo_median": None,
            "ita_degrees": None,
            "pixels": 0,
        }
    albedo = np.median(planes["albedo"][sure], axis=0)
    return {
        **{key: float(np.median(planes[name][sure])) for key, name in medians.items()},
        "albedo_median": [float(value) for value in albedo],
        "ita_degrees": float(ita(xyz_to_lab(linear_srgb_to_xyz(albedo)))),
        "pixels": count,
    }
