"""An estimate as `bioface estimate` writes it: maps in an EXR, landmarks in the JSON beside it.

Ground truth of a scene (`synth.blender.ground_truth`) reads the same, without landmarks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.exr import read_exr
from bioface.spectral.skin import SkinModel

CHANNELS = ("melanin", "haemoglobin", "mask")

_ROUNDING = 1e-3  # of maps that went through half floats


@dataclass(frozen=True)
class Estimate:
    """What projection needs of an estimate.

    Attributes
    ----------
    maps
        Channel name to (H, W) float32: at least `melanin`, `haemoglobin` (volume fractions) and
        `mask` (0-1 skin).
    landmarks
        (68, 2) x, y pixels of the photo's largest face, iBUG order; None where they are not known.
    box
        (left, top, right, bottom) of that face in pixels; None where only a camera tells where it
        is.
    skin
        The skin model the maps belong to, with the constants it was used with.
    """

    maps: dict[str, np.ndarray]
    landmarks: np.ndarray | None
    box: tuple[float, float, float, float] | None
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
    return Estimate(read_maps(path), *_numbers(Path(path).with_suffix(".json")))


def read_maps(path: str | Path) -> dict[str, np.ndarray]:
    """The channels of an EXR of `bioface estimate`, `CHANNELS` among them and in their range.

    Raises
    ------
    InputError
        The file is missing or damaged, or was not written by `bioface estimate`.
    """
    maps = read_exr(path)
    absent = [name for name in CHANNELS if name not in maps]
    if absent:
        raise InputError(f"{path}: no channel {absent[0]}; make the file with bioface estimate")
    for name in CHANNELS:
        low, high = maps[name].min(), maps[name].max()
        if not -_ROUNDING <= low <= high <= 1 + _ROUNDING:
            raise InputError(
                f"{path}: channel {name} holds values of {low:g} to {high:g} instead of 0 to 1; "
                "estimate the photo again"
            )
    return maps


def _numbers(
    record: Path,
) -> tuple[np.ndarray | None, tuple[float, float, float, float] | None, SkinModel]:
    """Landmarks, face box and skin model of an estimate's JSON."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        face = content["faces"][0]
        landmarks = _array(face["landmarks"], (68, 2))
        box = _array(face.get("face_box"), (4,))
        if box is not None and not (box[0] < box[2] and box[1] < box[3]):
            raise InputError("face_box is empty")
        corners = None if box is None else (box[0], box[1], box[2], box[3])
        return landmarks, corners, skin_of(content)
    except InputError as error:
        raise InputError(f"{record}: {error}; estimate the photo again") from error
    except OSError as error:
        raise InputError(f"{record}: cannot be read; keep it beside the EXR") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{record}: not an estimate's JSON; estimate the photo again") from error


def skin_of(content: Mapping[str, Any]) -> SkinModel:
    """The skin model that the JSON of maps names, with the constants they were read with."""
    constants = {name: float(value) for name, value in content["skin_constants"].items()}
    return SkinModel.load(content["skin_model"]).with_constants(**constants)


def _array(given: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    if given is None:
        return None
    values = np.array(given, np.float64)
    if values.shape != shape or not np.isfinite(values).all():
        raise ValueError(f"shape {values.shape} instead of {shape}")
    return values
