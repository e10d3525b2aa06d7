"""What a method says of drawn photos held against their truth: one row of sums a face."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np

from bioface.errors import InputError
from bioface.scores.sums import SUMS, pair_sums
from bioface.spectral.camera import CameraModel
from bioface.spectral.colour import (
    ITA_CLASSES,
    ita,
    ita_class,
    linear_srgb_to_xyz,
    xyz_to_lab,
)
from bioface.spectral.fast import decode_maps
from bioface.spectral.inverse import albedo_projection
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

SURE_SKIN = 0.95
"""Mask over which a pixel counts (DESIGN, Scores)."""

LEAST_PIXELS = 16
"""A face counts when more pixels than these do."""

CLIPPED = 0.98
"""Encoded value from which a channel counts as clipped: the pixel's shading is not compared."""

LOG_FLOOR = 1e-2
"""Shading below this is counted as this in log shading (DESIGN, Scores)."""

QUANTITIES = (
    *("melanin_u", "haemoglobin_u", "melanin", "haemoglobin"),
    *("log_diffuse", "specular", "sqrt_specular", "albedo", "reconstruction"),
)
"""What `FaceRow.sums` compares; shadings and reconstruction on unclipped pixels."""

SCALARS = (
    *("cct_error_mired", "cct_error_kelvin", "camera_error", "mask_error"),
    *("melanin_covered", "haemoglobin_covered"),
)
"""Errors that a face has one of, absolute; `camera_error` is the root mean square difference of
sensitivities over `camera_spread`, so that the mean camera scores about 1; `..._covered` are the
shares of counted pixels whose error is at most the standard deviation that the method gives."""

MAIN_CONDITIONS = ("clean", "full")
"""The conditions that everything is measured under; see `bioface.evaluate.conditions`."""

MELANIN_THIRDS = ("low", "middle", "high")


@dataclass(frozen=True)
class Photos:
    """A batch of drawn photos and the truth behind them, on numpy.

    Attributes
    ----------
    srgb
        (B, H, W, 3) what is seen: sRGB, 0-1.
    mask, counted
        (B, H, W) coverage by skin, 0-1; and whether a pixel counts: sure skin, lips left out.
    melanin_u, haemoglobin_u
        (B, H, W) pigments in u.
    diffuse_shading, specular_shading
        (B, H, W) linear.
    albedo
        (B, H, W, 3) linear sRGB under D65.
    linear
        (B, H, W, 3) linear sRGB after white balance, before everything that degrades it.
    cct_kelvin
        (B,) of the mixed light over skin.
    sensitivities
        (B, 33, 3) of the camera, channels summing to 1.
    light
        (B,) a name of the class of light, for the tables.
    identity
        (B,) who it is.
    targets
        The same truth as tensors, of `bioface.learn.relight`, for networks that are told of it.
    """

    srgb: np.ndarray
    mask: np.ndarray
    counted: np.ndarray
    melanin_u: np.ndarray
    haemoglobin_u: np.ndarray
    diffuse_shading: np.ndarray
    specular_shading: np.ndarray
    albedo: np.ndarray
    linear: np.ndarray
    cct_kelvin: np.ndarray
    sensitivities: np.ndarray
    light: Sequence[str]
    identity: Sequence[str]
    targets: Any = None


@dataclass(frozen=True)
class Readings:
    """What a method says of a batch; None where it says nothing. Shapes as in `Photos`.

    `reconstruction` (B, H, W, 3) is the method's own rendering of `Photos.linear`.
    """

    melanin_u: np.ndarray
    haemoglobin_u: np.ndarray
    diffuse_shading: np.ndarray | None = None
    specular_shading: np.ndarray | None = None
    albedo: np.ndarray | None = None
    reconstruction: np.ndarray | None = None
    mask: np.ndarray | None = None
    cct_kelvin: np.ndarray | None = None
    sensitivities: np.ndarray | None = None
    melanin_u_std: np.ndarray | None = None
    haemoglobin_u_std: np.ndarray | None = None


class Reader(Protocol):
    """A method under test."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    def read(self, photos: Photos) -> Readings:
        """Read a batch; `srgb` and `counted` are all it may look at."""


@dataclass(frozen=True)
class FaceRow:
    """One face of one drawn photo.

    Attributes
    ----------
    sums
        (len(QUANTITIES), len(SUMS)) of `bioface.scores.sums.pair_sums`; zeros where the
        method says nothing.
    scalars
        (len(SCALARS),) NaN where it says nothing.
    identity, light, tone, third
        Whose face, under what class of light, of what ITA class (of the median true albedo) and
        third of melanin (of the mean, in u).
    """

    sums: np.ndarray
    scalars: np.ndarray
    identity: str
    light: str
    tone: str
    third: str


def measure(photos: Photos, readings: Readings) -> list[FaceRow]:
    """A row for every face that shows enough skin."""
    return [_row(photos, readings, i) for i in measurable(photos.counted)]


def measurable(counted: np.ndarray) -> list[int]:
    """Which photos of a batch (B, H, W) show more than `LEAST_PIXELS` counted pixels."""
    found: list[int] = np.flatnonzero(counted.sum((1, 2)) > LEAST_PIXELS).tolist()
    return found


def albedo_of(skin: SkinModel, melanin_u: np.ndarray, haemoglobin_u: np.ndarray) -> np.ndarray:
    """Albedo (..., 3), linear sRGB under D65, of pigments (...) in u."""
    melanin = from_unit(np.asarray(melanin_u, np.float32), MELANIN_RANGE)
    haemoglobin = from_unit(np.asarray(haemoglobin_u, np.float32), HAEMOGLOBIN_RANGE)
    maps = melanin, haemoglobin, np.ones_like(melanin), np.zeros_like(melanin)
    albedo: np.ndarray = decode_maps(skin, albedo_projection(), maps)
    return albedo


@cache
def camera_spread() -> float:
    """Root of the summed variance of measured sensitivities, as far as the camera model goes."""
    return float(np.sqrt((CameraModel.load().deviations ** 2).sum()))


def _row(photos: Photos, readings: Readings, i: int) -> FaceRow:
    on = photos.counted[i]
    lit = on & (photos.srgb[i].max(-1) < CLIPPED)
    sums = np.zeros((len(QUANTITIES), len(SUMS)))

    def add(name: str, predicted: np.ndarray, true: np.ndarray) -> None:
        if not np.isfinite(predicted).all():
            raise InputError(f"a method predicts values of {name} that are not finite")
        sums[QUANTITIES.index(name)] = pair_sums(predicted, true)

    for name, bounds in (("melanin", MELANIN_RANGE), ("haemoglobin", HAEMOGLOBIN_RANGE)):
        pair = getattr(readings, f"{name}_u")[i][on], getattr(photos, f"{name}_u")[i][on]
        add(f"{name}_u", *pair)
        add(name, *(from_unit(np.asarray(u, np.float64), bounds) for u in pair))
    if readings.diffuse_shading is not None:
        pair = readings.diffuse_shading[i][lit], photos.diffuse_shading[i][lit]
        add("log_diffuse", *(np.log(np.maximum(shading, LOG_FLOOR)) for shading in pair))
    if readings.specular_shading is not None:
        pair = readings.specular_shading[i][lit], photos.specular_shading[i][lit]
        add("specular", *pair)
        add("sqrt_specular", *(np.sqrt(np.maximum(shading, 0)) for shading in pair))
    if readings.albedo is not None:
        add("albedo", readings.albedo[i][on], photos.albedo[i][on])
    if readings.reconstruction is not None:
        add("reconstruction", readings.reconstruction[i][lit], photos.linear[i][lit])
    lab = xyz_to_lab(linear_srgb_to_xyz(np.median(photos.albedo[i][on], axis=0)))
    melanin = float(photos.melanin_u[i][on].mean())
    return FaceRow(
        sums=sums,
        scalars=_scalars(photos, readings, i),
        identity=str(photos.identity[i]),
        light=str(photos.light[i]),
        tone=ITA_CLASSES[int(ita_class(ita(lab)))],
        third=MELANIN_THIRDS[int(np.clip(3 * melanin, 0, 2))],
    )


def _scalars(photos: Photos, readings: Readings, i: int) -> np.ndarray:
    out = dict.fromkeys(SCALARS, np.nan)
    if readings.cct_kelvin is not None:
        pair = float(readings.cct_kelvin[i]), float(photos.cct_kelvin[i])
        out["cct_error_kelvin"] = abs(pair[0] - pair[1])
        out["cct_error_mired"] = abs(1e6 / pair[0] - 1e6 / pair[1])
    if readings.sensitivities is not None:
        error = readings.sensitivities[i] - photos.sensitivities[i]
        out["camera_error"] = float(np.sqrt((error**2).sum()) / camera_spread())
    if readings.mask is not None:
        out["mask_error"] = float(np.abs(readings.mask[i] - photos.mask[i]).mean())
    for name in ("melanin", "haemoglobin"):
        deviation = getattr(readings, f"{name}_u_std")
        if deviation is not None:
            error = getattr(readings, f"{name}_u")[i] - getattr(photos, f"{name}_u")[i]
            covered = np.abs(error) <= deviation[i]
            out[f"{name}_covered"] = float(covered[photos.counted[i]].mean())
    return np.array([out[name] for name in SCALARS])


@dataclass(frozen=True)
class Rows:
    """Many `FaceRow`s as arrays: `sums` (F, Q, S), `scalars` (F, K), labels (F,) of strings."""

    sums: np.ndarray
    scalars: np.ndarray
    identity: np.ndarray
    light: np.ndarray
    tone: np.ndarray
    third: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[FaceRow]) -> Rows:
        """Gather rows; there must be one at least."""
        kept = list(rows)
        return cls(
            np.stack([row.sums for row in kept]),
            np.stack([row.scalars for row in kept]),
            *(
                np.array([getattr(row, name) for row in kept])
                for name in ("identity", "light", "tone", "third")
            ),
        )

    def __len__(self) -> int:
        return len(self.sums)

    def where(self, chosen: np.ndarray) -> Rows:
        """Some of the rows: a mask (F,) or indices."""
        return Rows(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))
