"""An estimate as `bioface estimate` writes it: maps in an EXR, landmarks in the JSON beside it.

Ground truth of a scene (`synth.blender.ground_truth`) reads the same, without landmarks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioface.errors import InputError, MissingDependencyError
from bioface.exr import read_exr
from bioface.spectral.skin import SkinModel

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
        (68, 2) x, y pixels of the photo's largest face, iBUG order; None where they are not known
        and only a camera tells where the face is.
    skin
        The skin model the maps belong to, with the constants it was used with.
    """

    maps: dict[str, np.ndarray]
    landmarks: np.ndarray | None
    skin: SkinModel

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.maps["mask"].shape
        return height, width


def read_estimate(path: str | Path) -> Estimate:
    """Read RESULT.exr and RESULT.json; of several faces, the first (the largest) counts.

    Raises
    ------
    InputError
        A file is missing or damaged, or was not written by `bioface estimate`.
    """
    source = Path(path)
    maps = read_channels(source)
    absent = [name for name in CHANNELS if name not in maps]
    if absent:
        raise InputError(f"{source}: no channel {absent[0]}; make the file with bioface estimate")
    return Estimate(maps, *_numbers(source.with_suffix(".json")))


def _numbers(record: Path) -> tuple[np.ndarray | None, SkinModel]:
    """Landmarks and skin model of an estimate's JSON."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        given = content["faces"][0]["landmarks"]
        landmarks = None if given is None else np.array(given, np.float64)
        shape = (68, 2) if landmarks is None else landmarks.shape
        if shape != (68, 2) or (landmarks is not None and not np.isfinite(landmarks).all()):
            raise ValueError("landmarks")
        skin = SkinModel.load(content["skin_model"])
        constants = {name: float(value) for name, value in content["skin_constants"].items()}
        return landmarks, skin.with_constants(**constants)
    except InputError as error:
        raise InputError(f"{record}: {error}; estimate the photo again") from error
    except OSError as error:
        raise InputError(f"{record}: cannot be read; keep it beside the EXR") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{record}: not an estimate's JSON; estimate the photo again") from error


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
