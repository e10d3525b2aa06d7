"""What is known about a photo beside its pixels: its light, its camera, its white balance.

Haemoglobin's level is limited by them (docs/photos.md), so whoever knows them should say so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.photo.curves import read_curves, read_npz_camera
from bioface.spectral.camera import CameraModel, normalised
from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.illuminant import DAYLIGHT_RANGE, Illuminant, daylight

KELVIN_RANGE = (1000.0, 25000.0)
"""Temperatures that a light may be told by: black bodies, from 4000 K on daylight."""

GAIN_RANGE = (0.5, 2.0)
"""White-balance errors that can be told."""

_PLANCK = 1.4388e-2  # second radiation constant, m K
_INDEPENDENT = 0.01  # least third singular value over the first; measured cameras have 0.39
_FILES = frozenset({".csv", ".tsv", ".txt"})


@dataclass(frozen=True)
class KnownScene:
    """Light, camera, white balance and tone curve of a photo, as far as they are known.

    Attributes
    ----------
    spd
        (33,) spectral power distribution of the light, sum 1; None where it is not known.
    sensitivities
        (33, 3) of the camera, channels summing to 1; or None.
    gains
        (2,) factors by which white balance erred in red and blue: (1, 1) after a balance on a grey
        card; or None.
    no_tone_curve
        Whether the photo is known to be the light that the camera measured, sRGB-encoded: developed
        without a tone curve, contrast or saturation.
    shared
        Whether light or camera are the mean of what the network read of a shoot, and not measured.
    record
        What was told, in words and numbers, for the estimate's JSON.
    """

    spd: np.ndarray | None = None
    sensitivities: np.ndarray | None = None
    gains: np.ndarray | None = None
    no_tone_curve: bool = False
    shared: bool = False
    record: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        *,
        illuminant: str | os.PathLike[str] | None = None,
        camera: str | os.PathLike[str] | None = None,
        white_balance: Sequence[float] | None = None,
        no_tone_curve: bool = False,
    ) -> KnownScene:
        """What a person can say.

        Parameters
        ----------
        illuminant
            A name (A, D65, D5000, F1-F12, LED-B1 ...), a temperature (5600K: daylight, under
            4000 K a black body), or a CSV file with wavelength in nm and power of any scale.
        camera
            Measured sensitivities: a CSV file with wavelength in nm, red, green and blue, or an npz
            with `wavelength` (W,) and `sens` (W, 3), or with `sens` (N, W, 3) and `names`, of which
            FILE.npz:NAME chooses one. The three channels may have any scale.
        white_balance
            Errors of white balance in red and blue, 0.5-2; (1, 1) where it was set on a grey card.
        no_tone_curve
            See the attribute.

        Raises
        ------
        InputError
            An unknown light or camera, a file that cannot be used, or a value out of range.
        """
        told = {"illuminant": illuminant, "camera": camera}
        record: dict[str, Any] = {
            name: _in_short(value) for name, value in told.items() if value is not None
        }
        gains = None
        if white_balance is not None:
            gains = np.asarray(white_balance, np.float64)
            low, high = GAIN_RANGE
            if gains.shape != (2,) or not ((gains >= low) & (gains <= high)).all():
                told_gains = " ".join(f"{gain:g}" for gain in gains.flat)
                raise InputError(
                    f"white balance {told_gains}: errors in red and blue are needed, "
                    f"{low:g}-{high:g} each; 1 1 where it was set on a grey card"
                )
            record["white_balance"] = gains.tolist()
        if no_tone_curve:
            record["no_tone_curve"] = True
        return cls(
            spd=None if illuminant is None else read_light(illuminant),
            sensitivities=None if camera is None else read_camera(camera),
            gains=gains,
            no_tone_curve=no_tone_curve,
            record=record,
        )

    @property
    def given(self) -> tuple[bool, bool, bool]:
        """Whether camera, light and white balance are known, in the network's order."""
        return (self.sensitivities is not None, self.spd is not None, self.gains is not None)

    @property
    def measured(self) -> bool:
        """Whether everything is known that colours the photo beside the skin."""
        return all(self.given) and self.no_tone_curve and not self.shared

    def inputs(self, cameras: CameraModel) -> dict[str, np.ndarray]:
        """What the network is told: `b` (N,), `spd` (33,), `gains` (2,) and `given` (3,), float32.

        Parameters
        ----------
        cameras
            The decoder's model. A camera becomes the nearest one that it holds, within the 3
            standard deviations that the network was trained with.
        """
        b = np.zeros(len(cameras.deviations))
        if self.sensitivities is not None:
            b = cameras.coefficients(self.sensitivities).clip(-3, 3)
        spd = np.ones(len(WAVELENGTHS)) if self.spd is None else self.spd
        gains = np.ones(2) if self.gains is None else self.gains
        parts = {"b": b, "spd": spd, "gains": gains, "given": np.array(self.given)}
        return {name: np.asarray(value, np.float32) for name, value in parts.items()}


NOTHING = KnownScene()
"""The usual case."""


def read_light(told: str | os.PathLike[str]) -> np.ndarray:
    """The spectrum (33,), sum 1, of a light told as `KnownScene.of` takes it.

    Raises
    ------
    InputError
        An unknown name, a temperature out of range, or a file that cannot be used.
    """
    text = os.fspath(told)
    if Path(text).suffix.lower() in _FILES:
        spd = read_curves(text, ("power",))[0]
        return spd / spd.sum()
    kelvin = re.fullmatch(r"(\d+(?:\.\d+)?) ?K", text)
    if kelvin:
        return _of_temperature(float(kelvin[1]))
    try:
        light = Illuminant.named(text)
    except InputError as error:
        raise InputError(f"{error}, or tell a temperature such as 5600K, or a CSV file") from error
    return np.asarray(light.spd)


def read_camera(told: str | os.PathLike[str]) -> np.ndarray:
    """Sensitivities (33, 3), channels summing to 1, of a camera told as `KnownScene.of` takes it.

    Raises
    ------
    InputError
        The file cannot be used, holds no or several cameras of that name, or its channels are the
        same or mixtures of each other.
    """
    text = os.fspath(told)
    file, npz, name = text.partition(".npz:")
    if npz or Path(text).suffix.lower() == ".npz":
        curves = read_npz_camera(f"{file}.npz" if npz else text, name or None)
    elif Path(text).suffix.lower() in _FILES:
        curves = read_curves(text, ("red", "green", "blue"))
    else:
        raise InputError(
            f"camera {text!r}: tell its measured sensitivities, a CSV file with wavelength in nm, "
            "red, green and blue, or an npz (FILE.npz:NAME for one of several)"
        )
    sensitivities = np.asarray(normalised(curves.T))
    singular = np.linalg.svd(sensitivities, compute_uv=False)
    if singular[2] < _INDEPENDENT * singular[0]:
        raise InputError(
            f"{text}: red, green and blue are not three different curves; tell those measured of "
            "each channel"
        )
    return sensitivities


def _of_temperature(kelvin: float) -> np.ndarray:
    low, high = KELVIN_RANGE
    if not low <= kelvin <= high:
        raise InputError(f"illuminant {kelvin:g}K: {low:g}-{high:g} K can be told")
    if kelvin >= DAYLIGHT_RANGE[0]:
        return np.asarray(daylight(kelvin))
    metres = WAVELENGTHS * 1e-9
    spd = metres**-5 / np.expm1(_PLANCK / (metres * kelvin))
    return np.asarray(spd / spd.sum())


def _in_short(told: str | os.PathLike[str]) -> str:
    """A name as it is, a path without its folders."""
    return Path(told).name
