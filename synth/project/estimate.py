"""An estimate as `bioface estimate` writes it: maps in an EXR, landmarks in the JSON beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioface.errors import InputError, MissingDependencyError
from bioface.exr import read_exr

CHANNELS = ("melanin", "haemoglobin", "mask")


@dataclass(frozen=True)
class Estimate:
    """What projection needs of an estimate.

    Attributes
    ----------
    maps
        Channel name to (H, W) float32: at least `melanin`, `haemoglobin` (volume fractions) and
        `mask` (0-1 skin).
    landmarks
        (68, 2) x, y pixels of the photo, iBUG order; None when the JSON holds none.
    """

    maps: dict[str, np.ndarray]
    landmarks: np.ndarray | None

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.maps["mask"].shape
        return height, width


def read_estimate(path: str | Path) -> Estimate:
    """Read RESULT.exr and RESULT.json; of several faces, the first (the largest) counts.

    Raises
    ------
    InputError
        A file is missing or damaged, a channel is absent, or the landmarks are not 68 points.
    """
    source = Path(path)
    maps = read_channels(source)
    absent = [name for name in CHANNELS if name not in maps]
    if absent:
        raise InputError(f"{source}: no channel {absent[0]}; make the file with bioface estimate")
    return Estimate(maps, _landmarks(source.with_suffix(".json")))


def _landmarks(record: Path) -> np.ndarray | None:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{record}: cannot be read; keep it beside the EXR") from error
    except ValueError as error:
        raise InputError(f"{record}: not valid JSON; estimate the photo again") from error
    try:
        faces = content.get("faces") or [content]
        points = faces[0].get("landmarks")
        if points is None:
            return None
        landmarks = np.array(points, np.float64)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{record}: not an estimate's JSON; estimate the photo again") from error
    if landmarks.shape != (68, 2) or not np.isfinite(landmarks).all():
        raise InputError(f"{record}: landmarks must be 68 points, got shape {landmarks.shape}")
    return landmarks


def read_channels(path: str | Path) -> dict[str, np.ndarray]:
    """Every channel of an EXR as float32 (H, W), by OpenEXR or by the OpenImageIO inside Blender.

    Raises
    ------
    InputError
        The file is missing or not a readable EXR.
    MissingDependencyError
        Neither library is there.
    """
    try:
        return read_exr(path)
    except MissingDependencyError:
        try:
            import OpenImageIO
        except ImportError:
            raise MissingDependencyError(
                "reading EXR files needs OpenEXR; run: pip install 'bioface[render]'"
            ) from None
    source = Path(path)
    if not source.is_file():
        raise InputError(f"{source}: no such file")
    image = OpenImageIO.ImageInput.open(str(source))
    pixels = image.read_image(OpenImageIO.FLOAT) if image else None
    if pixels is None:
        raise InputError(f"{source}: not a readable EXR (truncated or damaged)")
    names = image.spec().channelnames
    image.close()
    return {name: np.ascontiguousarray(pixels[..., i]) for i, name in enumerate(names)}
