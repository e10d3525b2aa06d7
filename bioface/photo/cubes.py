"""Multispectral images: ISET .mat, ENVI, EXR and npz, read as reflectance times shading."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.exr import read_exr
from bioface.npz import read_npz
from bioface.photo.resample import shrink
from bioface.spectral.grid import WAVELENGTHS

BAND = re.compile(r"(?<!\d)(\d{3,4}(?:[.,]\d+)?)(?!\d)")
"""A wavelength in nm inside a channel's name."""

_ENVI_TYPES = {
    **{"1": "u1", "2": "i2", "3": "i4", "4": "f4", "5": "f8"},
    **{"12": "u2", "13": "u4", "14": "i8", "15": "u8"},
}
_ENVI_DATA = ("", ".img", ".raw", ".dat", ".bin", ".bil", ".bip", ".bsq")
_NEEDED_BANDS = 8


@dataclass(frozen=True)
class Cube:
    """A multispectral image.

    Attributes
    ----------
    wavelength
        (W,) nm, rising.
    values
        (H, W', W) float32 reflectance times shading, of any one scale: what a white surface sends
        back is the same in all bands.
    mask
        (H, W') 0-1 where skin is, or None where the file does not say.
    truth
        Maps (H, W') by name that the file holds beside the bands: `melanin`, `haemoglobin` ...
    """

    wavelength: np.ndarray
    values: np.ndarray
    mask: np.ndarray | None = None
    truth: Mapping[str, np.ndarray] | None = None


def read_cube(path: str | os.PathLike[str]) -> Cube:
    """Read a multispectral image by its suffix.

    `.mat`
        ISET's: `mcCOEF` (H, W, K) coefficients of `basis` (`.basis` (W, K), `.wave` nm), to which
        `imgMean` (W,) is added: photons. They are divided by those of `illuminant` (`.wavelength`
        nm, `.data` in energy, or `.data.photons`); without one they count as reflectance.
    `.hdr`, or the data file beside it
        ENVI, bands with a `wavelength` field in nm or micrometres.
    `.exr`
        Channels named by their wavelength in nm; `mask` and others as they are.
    `.npz`
        `wavelength` (W,) nm and `reflectance` (H, W', W); if need be `mask` and others (H, W').

    Raises
    ------
    InputError
        The file cannot be read, holds another layout, or fewer than 8 bands within 400-720 nm.
    """
    source = Path(path)
    readers: dict[str, Callable[[Path], Cube]] = {
        ".mat": _read_mat, ".exr": _read_exr, ".npz": _read_npz, ".hdr": _read_envi
    }  # fmt: skip
    suffix = source.suffix.lower()
    if not source.exists():
        raise InputError(f"{source}: no such file")
    if source.is_dir():
        raise InputError(f"{source}: a folder; name the images in it")
    if suffix not in readers and suffix not in _ENVI_DATA:
        raise InputError(f"{source}: not a multispectral image; .mat, .hdr, .exr or .npz are read")
    try:
        return _checked(source, readers.get(suffix, _read_envi)(source))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: cannot be read as {suffix or 'ENVI'} ({error})") from error


def _checked(source: Path, cube: Cube) -> Cube:
    wavelength = np.asarray(cube.wavelength, np.float64).reshape(-1)
    values = np.asarray(cube.values, np.float32)
    if values.ndim != 3 or values.shape[2] != len(wavelength) or values.size == 0:
        raise InputError(
            f"{source}: {len(wavelength)} wavelengths for values of shape {values.shape}; "
            "(H, W, bands) is needed"
        )
    if wavelength.max() < 10:
        wavelength = 1000 * wavelength
    order = np.argsort(wavelength)
    wavelength, values = wavelength[order], values[..., order]
    seen = (wavelength >= 400) & (wavelength <= 720)
    if seen.sum() < _NEEDED_BANDS or wavelength[seen][0] > 440 or wavelength[seen][-1] < 660:
        raise InputError(
            f"{source}: its bands span {wavelength[0]:g}-{wavelength[-1]:g} nm; at least "
            f"{_NEEDED_BANDS} over 440-660 nm are needed"
        )
    if not np.isfinite(values).all():
        raise InputError(f"{source}: holds NaN or infinity")
    if cube.mask is not None and cube.mask.shape != values.shape[:2]:
        raise InputError(f"{source}: the mask has shape {cube.mask.shape}, not that of the bands")
    return Cube(wavelength[seen], np.maximum(values[..., seen], 0), cube.mask, cube.truth)


def _read_npz(source: Path) -> Cube:
    needed = ("wavelength", "reflectance")
    advice = "wavelength (W,) nm and reflectance (H, W', W) are needed"
    others = read_npz(source, needed, advice, others=True)
    wavelength, reflectance = (others.pop(name) for name in needed)
    return Cube(wavelength, reflectance, others.get("mask"), others)


def _read_exr(source: Path) -> Cube:
    bands, others = {}, {}
    for name, pixels in read_exr(source).items():
        found = BAND.search(name)
        nanometres = float(found.group(1).replace(",", ".")) if found else 0.0
        if 300 <= nanometres <= 2500:
            bands[nanometres] = pixels
        else:
            others[name] = pixels
    if not bands:
        raise InputError(f"{source}: no channel is named by a wavelength in nm")
    wavelength = sorted(bands)
    values = np.stack([bands[w] for w in wavelength], -1)
    return Cube(np.array(wavelength), values, others.get("mask"), others)


def _read_mat(source: Path) -> Cube:
    from scipy.io import loadmat

    try:
        file = loadmat(source, squeeze_me=True, struct_as_record=False)
    except NotImplementedError as error:
        raise InputError(f"{source}: MATLAB 7.3; save it with -v7 instead") from error
    except Exception as error:
        raise InputError(
            f"{source}: cannot be read as .mat (truncated or damaged); save it again with -v7"
        ) from error
    for name in ("mcCOEF", "basis"):
        if name not in file:
            raise InputError(f"{source}: no variable {name}; a multispectral scene of ISET has it")
    coefficients, basis = np.asarray(file["mcCOEF"], np.float64), file["basis"]
    if not (hasattr(basis, "basis") and hasattr(basis, "wave")):
        raise InputError(f"{source}: basis has no fields basis and wave; a scene of ISET has them")
    functions = np.asarray(basis.basis, np.float64)
    wave = np.asarray(basis.wave, np.float64)
    if functions.ndim == 1:
        functions = functions[:, None]
    if coefficients.ndim == 2:
        coefficients = coefficients[..., None]
    photons = coefficients @ functions.T
    mean = np.asarray(file.get("imgMean", 0.0), np.float64)
    if mean.size not in (0, 1, len(wave)):
        raise InputError(f"{source}: imgMean holds {mean.size} values for {len(wave)} bands")
    photons = photons + (mean.reshape(-1) if mean.size else 0.0)
    if "illuminant" in file:
        photons = photons / _photons(source, file["illuminant"], wave)
    scale = np.quantile(photons, 0.99)
    return Cube(wave, photons / max(scale, 1e-30))


def _photons(source: Path, illuminant: Any, wave: np.ndarray) -> np.ndarray:
    """(W,) the illuminant in photons, of mean 1, at the bands."""
    data = illuminant.data
    wavelength = getattr(illuminant, "wavelength", None)
    wavelength = wave if wavelength is None else np.asarray(wavelength, np.float64)
    in_photons = hasattr(data, "photons")
    values = np.asarray(data.photons if in_photons else data, np.float64).reshape(-1)
    if len(values) != len(wavelength):
        raise InputError(f"{source}: the illuminant is not one spectrum over its wavelengths")
    photons = values if in_photons else values * wavelength
    here = np.interp(wave, wavelength, photons)
    if not (here > 0).all():
        raise InputError(f"{source}: the illuminant has no light in some of the bands")
    spectrum: np.ndarray = here / here.mean()
    return spectrum


def _read_envi(source: Path) -> Cube:
    header = source if source.suffix.lower() == ".hdr" else _header_of(source)
    fields = _envi_fields(header)
    kind = _ENVI_TYPES.get(fields["data type"])
    if kind is None:
        raise InputError(
            f"{header}: data type {fields['data type']} is not read; save real numbers"
        )
    byte_order = ">" if fields.get("byte order", "0") == "1" else "<"
    lines, samples, bands = (int(fields[name]) for name in ("lines", "samples", "bands"))
    data = source if source != header else _data_of(header)
    values = np.fromfile(data, byte_order + kind, offset=int(fields.get("header offset", 0)))
    if values.size != lines * samples * bands:
        raise InputError(
            f"{data}: {values.size} values; its header says {lines} x {samples} x {bands}"
        )
    interleave = fields.get("interleave", "bsq").lower()
    shapes = {
        "bsq": ((bands, lines, samples), (1, 2, 0)),
        "bil": ((lines, bands, samples), (0, 2, 1)),
        "bip": ((lines, samples, bands), (0, 1, 2)),
    }
    if interleave not in shapes:
        raise InputError(f"{header}: interleave {interleave!r} is not bsq, bil or bip")
    shape, order = shapes[interleave]
    wavelength = np.array([float(w) for w in fields["wavelength"].strip("{} ").split(",")])
    scale = float(fields.get("reflectance scale factor", 1.0))
    return Cube(wavelength, values.reshape(shape).transpose(order).astype(np.float32) / scale)


def _header_of(data: Path) -> Path:
    for candidate in (data.with_suffix(".hdr"), data.with_name(data.name + ".hdr")):
        if candidate.exists():
            return candidate
    raise InputError(f"{data}: no ENVI header {data.with_suffix('.hdr').name} beside it")


def _data_of(header: Path) -> Path:
    for suffix in _ENVI_DATA:
        candidate = header.with_suffix(suffix)
        if candidate.exists():
            return candidate
    raise InputError(f"{header}: no data file beside it, such as {header.stem}.img")


def _envi_fields(header: Path) -> dict[str, str]:
    text = header.read_text(encoding="latin-1")
    if not text.lstrip().startswith("ENVI"):
        raise InputError(f"{header}: not an ENVI header")
    pairs = re.findall(r"^\s*([^=\n{]+?)\s*=\s*(\{[^}]*\}|[^\n]*)", text, re.MULTILINE)
    fields = {key.lower(): value.strip() for key, value in pairs}
    for name in ("lines", "samples", "bands", "data type", "wavelength"):
        if name not in fields:
            raise InputError(f"{header}: has no field {name!r}")
    return fields


def to_grid(cube: Cube) -> np.ndarray:
    """(H, W', 33): the bands on the grid of 400-720 nm, the outermost repeated beyond them."""
    units = np.eye(len(cube.wavelength))
    matrix = np.stack([np.interp(WAVELENGTHS, cube.wavelength, row) for row in units])
    values: np.ndarray = cube.values @ matrix.astype(np.float32)
    return values


def resized(plane: np.ndarray, size: int) -> np.ndarray:
    """The largest central square at `size` pixels a side: means over area, or linearly enlarged."""
    height, width = plane.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = plane[top : top + side, left : left + side].astype(np.float32)
    if size < side:
        return shrink(square, (size, size))
    shares = _shares(side, size)
    rows = np.tensordot(shares, square, (1, 0))
    return np.moveaxis(np.tensordot(shares, rows, (1, 1)), 0, 1)


def _shares(side: int, size: int) -> np.ndarray:
    """(size, side) weights of linear interpolation; rows sum to 1."""
    centre = (np.arange(size) + 0.5) * side / size - 0.5
    weights = np.maximum(1 - np.abs(np.arange(side) - centre[:, None]), 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
