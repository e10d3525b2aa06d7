"""How a network behaves on real photos, whose truth nobody knows. Imports MediaPipe and torch.

Reconstruction tells whether the physics explains the photo; stability, whether the readings belong
to the face or to the way it was photographed. Only numbers come out of it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import BiofaceError, InputError
from bioface.learn.splits import held_out_photos
from bioface.photo.balance import balanced
from bioface.photo.crop import Crop
from bioface.photo.explain import photographed, rendered
from bioface.photo.files import find_photos, read_photo, to_bytes
from bioface.photo.find import Face, find_faces
from bioface.photo.network import Network, Reading
from bioface.photo.read import estimate
from bioface.photo.result import FaceEstimate
from bioface.scores.faces import CLIPPED, LEAST_PIXELS
from bioface.spectral.colour import srgb_decode, srgb_encode
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, to_unit

RANGES = {"melanin": MELANIN_RANGE, "haemoglobin": HAEMOGLOBIN_RANGE}
GAIN = 0.02
JPEG_QUALITY = 70


def held_out(folders: Sequence[Path], limit: int | None = None) -> list[Path]:
    """Photos in the folders that `splits.json` keeps out of training, the first `limit` of them.

    Raises
    ------
    InputError
        There are none, or there is no such folder.
    """
    for folder in folders:
        if not folder.exists():
            raise InputError(f"{folder}: no such folder")
    photos = held_out_photos(find_photos(folders))
    if not photos:
        raise InputError(f"{folders[0]}: none of its photos is held out by splits.json")
    return photos[:limit]


def portraits(
    photos: Sequence[Path], network: Network, advance: Callable[[int], object] = lambda _: None
) -> dict[str, Any]:
    """Reconstruction and stability over photos, one person each; `advance` after every photo.

    Returns
    -------
    JSON-ready: `photos` that count and `skipped` (no face found); `crop_pixels`: the side of the
    square that the network sees of a photo, in the photo's pixels: least, median and most;
    `reconstruction`, balanced (`bioface.photo.balance`) but before any refinement of single pixels,
    over unclipped skin in the photo's linear light: `rmse`, photos weighing the same,
    `unbalanced_rmse`, the network's own, and `percent`, the mean of each photo's RMSE over its mean
    skin intensity; `between_sd`: spread of the readings (face medians of `bioface estimate`) over
    people, in u; `shift`: for each change of the photo the median absolute change of the readings
    over `between_sd`. Darker by one stop and back is also how brightening by one is tested: so
    nothing clips that did not.

    Raises
    ------
    InputError
        Fewer than two photos show a face, or all read the same.
    """
    own, squares, shares, sides = [], [], [], []
    readings: dict[str, list[tuple[float, float]]] = {}
    skipped = 0
    for path in photos:
        try:
            srgb = read_photo(path)
            face = _face(srgb)
            unbalanced, error, level = _reconstruction(srgb, face, network)
            variants = dict(_variants(srgb))
            found = {name: _reading(image, network) for name, image in variants.items()}
        except BiofaceError:
            skipped += 1
        else:
            own.append(unbalanced)
            squares.append(error)
            shares.append(np.sqrt(error) / level)
            sides.append(Crop.around(face.landmarks, network.size).side)
            for name, reading in found.items():
                readings.setdefault(name, []).append(reading)
        advance(1)
    if len(squares) < 2:
        raise InputError(f"{photos[0].parent}: fewer than two held-out photos show a face")
    table = {name: np.array(values) for name, values in readings.items()}
    original = table.pop("original")
    for name, differs in zip(RANGES, np.ptp(original, axis=0), strict=True):
        if differs == 0:
            raise InputError(
                f"{photos[0].parent}: all held-out photos read the same {name}; give photos of "
                "different people"
            )
    spread = original.std(0)
    return {
        "photos": len(squares),
        "skipped": skipped,
        "crop_pixels": [round(float(side)) for side in np.quantile(sides, (0, 0.5, 1))],
        "reconstruction": {
            "rmse": float(np.sqrt(np.mean(squares))),
            "unbalanced_rmse": float(np.sqrt(np.mean(own))),
            "percent": float(100 * np.mean(shares)),
        },
        "between_sd": dict(zip(RANGES, map(float, spread), strict=True)),
        "shift": {
            name: dict(
                zip(
                    RANGES,
                    map(float, np.median(np.abs(values - original), axis=0) / spread),
                    strict=True,
                )
            )
            for name, values in table.items()
        },
    }


def _face(srgb: np.ndarray) -> Face:
    faces = find_faces(to_bytes(srgb))
    if not faces:
        raise InputError("no face found")
    return faces[0]


def _reconstruction(srgb: np.ndarray, face: Face, network: Network) -> tuple[float, float, float]:
    """Mean squared error over skin, the network's own and balanced; the skin's mean intensity.

    All linear, over the same pixels.
    """
    crop = Crop.around(face.landmarks, network.size)
    linear = crop.extract(np.asarray(srgb_decode(srgb.astype(np.float32))))
    seen = np.clip(srgb_encode(linear), 0, 1).astype(np.float32)
    own = network.read(seen)
    skin = crop.extract(face.mask) * own.mask > 0.5
    skin &= seen.max(-1) < CLIPPED
    if skin.sum() <= LEAST_PIXELS:
        raise InputError("no skin seen")
    before, after = (
        float(np.square(_explained(reading, network) - linear)[skin].mean())
        for reading in (own, balanced(own, seen, network.skin))
    )
    return before, after, float(linear[skin].mean())


def _explained(reading: Reading, network: Network) -> np.ndarray:
    """(h, w, 3) the photo's linear light as the reading explains it."""
    return photographed(rendered(reading, network.skin), reading.tone)


def _reading(srgb: np.ndarray, network: Network) -> tuple[float, float]:
    """Face medians of melanin and haemoglobin in u, as `bioface estimate` reads them."""
    return medians_u(estimate(srgb, weights=network).faces[0])


def medians_u(face: FaceEstimate) -> tuple[float, float]:
    """Medians of melanin and haemoglobin of a face, in u; InputError where no skin was seen."""
    values = [face.skin[f"{name}_median"] for name in RANGES]
    if any(value is None for value in values):
        raise InputError("no skin seen")
    melanin, haemoglobin = (
        float(to_unit(value, bounds)) for value, bounds in zip(values, RANGES.values(), strict=True)
    )
    return melanin, haemoglobin


def _variants(srgb: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The photo and its changed versions, all in 8 bits."""
    linear = np.asarray(srgb_decode(srgb.astype(np.float32)))

    def developed(factor: Any) -> np.ndarray:
        return to_bytes(np.clip(np.asarray(srgb_encode(linear * factor)), 0, 1))

    yield "original", to_bytes(srgb)
    yield "mirrored", np.ascontiguousarray(to_bytes(srgb)[:, ::-1])
    yield "one stop darker", developed(np.float32(0.5))
    for sign, name in ((1, "warmer"), (-1, "cooler")):
        gains = 1 + sign * GAIN * np.array([1, 0, -1], np.float32)
        yield f"{name}: red {sign * GAIN:+.0%}, blue {-sign * GAIN:+.0%}", developed(gains)
    yield f"JPEG {JPEG_QUALITY}", _jpeg(to_bytes(srgb))


def _jpeg(image: np.ndarray) -> np.ndarray:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
    file.seek(0)
    return np.asarray(Image.open(file).convert("RGB"))
