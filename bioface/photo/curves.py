"""Spectral curves that people have measured, from CSV and npz files onto the grid."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bioface.errors import InputError
from bioface.npz import read_npz
from bioface.spectral.grid import WAVELENGTHS

COVERED = (400.0, 700.0)
"""nm that a file must cover; beyond, its last value is held."""

LARGEST_STEP = 20.0
"""nm: curves with wider gaps are refused."""

_BAND = 5.0  # nm to either side that finer curves are averaged over
_NOISE = 0.02  # share of the peak that a value may be negative by


def read_curves(path: str | os.PathLike[str], names: Sequence[str]) -> np.ndarray:
    """Curves (C, 33) on the grid from a CSV file: wavelength in nm, then a column a curve.

    Columns are separated by commas, semicolons or blanks; lines that start with # and one line of
    titles are passed over. The scale of a curve is kept.

    Parameters
    ----------
    names
        What the columns after the wavelength hold, for messages.

    Raises
    ------
    InputError
        The file cannot be read, has other columns, or `on_grid` refuses its curves.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable text file") from error
    lines = [line.strip().rstrip(",;") for line in text.splitlines()]
    rows = [re.split(r"\s*[,;]\s*|\s+", line) for line in lines if line and line[0] != "#"]
    if rows and not _is_number(rows[0][0]):
        rows = rows[1:]
    columns = f"wavelength in nm, {', '.join(names)}"
    if not rows or any(len(row) != 1 + len(names) for row in rows):
        raise InputError(f"{path}: each line must hold {1 + len(names)} numbers: {columns}")
    try:
        values = np.array(rows, np.float64)
    except ValueError as error:
        raise InputError(f"{path}: holds something else than numbers ({columns})") from error
    return on_grid(path, values[:, 0], values[:, 1:].T, names)


def read_npz_camera(path: str | os.PathLike[str], name: str | None = None) -> np.ndarray:
    """Red, green and blue sensitivities (3, 33) on the grid from an npz file.

    Parameters
    ----------
    path
        `wavelength` (W,) nm and `sens` (W, 3); or `sens` (N, W, 3) and `names` (N,).
    name
        Which of several, whatever its case.

    Raises
    ------
    InputError
        The file cannot be read or has another layout, the name is missing or unknown, or `on_grid`
        refuses the curves.
    """
    advice = "a camera has wavelength in nm, sens and, for several, names"
    arrays = read_npz(path, ("wavelength", "sens"), advice)
    try:
        wavelength = np.asarray(arrays["wavelength"], np.float64)
        values = np.asarray(arrays["sens"], np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: wavelength and sens must hold numbers") from error
    if values.ndim == 3:
        names = [str(n) for n in read_npz(path, ("names",), advice)["names"].reshape(-1)]
        found = [k for k, n in enumerate(names) if name and n.lower() == name.lower()]
        if len(found) != 1 or found[0] >= len(values):
            wanted = f"no one camera {name!r}" if name else "holds several cameras"
            raise InputError(f"{path}: {wanted}; tell {path}:NAME, of {', '.join(sorted(names))}")
        values = values[found[0]]
    elif name:
        raise InputError(f"{path}: holds one camera without a name; tell the file alone")
    if values.ndim != 2 or values.shape[1] != 3:
        raise InputError(f"{path}: sens has shape {values.shape}; (W, 3) or (N, W, 3) is needed")
    return on_grid(path, wavelength, values.T, ("red", "green", "blue"))


def on_grid(
    path: str | os.PathLike[str], wavelength: np.ndarray, curves: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Curves (C, W) at wavelengths (W,) nm on the grid (C, 33), never negative.

    Finer curves are averaged over 10 nm, others interpolated linearly.

    Raises
    ------
    InputError
        Shapes do not fit, values are not finite, negative or all 0 there, or the wavelengths do not
        increase, do not cover 400-700 nm or lie more than 20 nm apart; names the file.
    """
    if wavelength.ndim != 1 or curves.shape[1:] != wavelength.shape or len(wavelength) < 2:
        raise InputError(
            f"{path}: {curves.shape[-1]} values for wavelengths of shape {wavelength.shape}"
        )
    if not (np.isfinite(wavelength).all() and np.isfinite(curves).all()):
        raise InputError(f"{path}: holds NaN or infinite values; leave those bands out")
    steps = np.diff(wavelength)
    if not (steps > 0).all():
        raise InputError(f"{path}: wavelengths must increase")
    low, high = COVERED
    if wavelength[0] > low or wavelength[-1] < high:
        raise InputError(
            f"{path}: wavelengths cover {wavelength[0]:g}-{wavelength[-1]:g}; "
            f"{low:g}-{high:g} nm are needed"
        )
    if steps.max() > LARGEST_STEP:
        raise InputError(
            f"{path}: wavelengths lie up to {steps.max():g} nm apart; at most {LARGEST_STEP:g}"
        )
    fine = steps.max() < 2 * _BAND
    around = np.arange(-_BAND, _BAND + 1) if fine else np.zeros(1)
    at = WAVELENGTHS[:, None] + around
    found = np.stack([np.interp(at, wavelength, curve.clip(0)).mean(1) for curve in curves])
    for curve, seen, name in zip(curves, found, names, strict=True):
        if seen.max() <= 0 or curve.min() < -_NOISE * curve.max():
            raise InputError(f"{path}: {name} is negative, or 0 throughout 400-720 nm")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
