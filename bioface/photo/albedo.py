"""Skin maps of an albedo texture: what character artists have. No light, no camera, no network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from bioface import __version__
from bioface.errors import InputError
from bioface.photo.files import read_photo, to_bytes
from bioface.photo.result import check_outputs, skin_record, write_files
from bioface.spectral.backend import like
from bioface.spectral.colour import srgb_decode, srgb_encode
from bioface.spectral.fast import decode_maps
from bioface.spectral.inverse import albedo_projection, invert
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, to_unit

RESIDUAL_EDGE = (0.02, 0.04)
"""Unexplained encoded sRGB at which the mask leaves 1 and reaches 0."""


def read_albedo(srgb: np.ndarray, skin: SkinModel | None = None) -> dict[str, np.ndarray]:
    """Melanin and haemoglobin of an albedo texture.

    Parameters
    ----------
    srgb
        (H, W, 3) encoded sRGB, 0-1: diffuse reflectance under D65, no shading, no gloss.
    skin
        Skin model; the default one when None.

    Returns
    -------
    float32 planes: (H, W) `melanin`, `haemoglobin` (volume fractions), `mask` (1 where the model
    explains the colour, 0 where it is no skin); (H, W, 3) `albedo` (the texture, linear) and
    `reconstruction` (what the pigments give). All 0 where the mask is.
    """
    skin = SkinModel.load() if skin is None else skin
    albedo = srgb_decode(np.asarray(srgb, np.float32))
    melanin, haemoglobin, residual = invert(albedo, skin=skin)
    low, high = RESIDUAL_EDGE
    mask = np.clip((high - residual) / (high - low), 0, 1).astype(np.float32)
    inside = mask > 0
    lit = (melanin, haemoglobin, np.ones_like(mask), np.zeros_like(mask))
    planes = {
        "melanin": melanin,
        "haemoglobin": haemoglobin,
        "mask": mask,
        "albedo": albedo,
        "reconstruction": decode_maps(skin, like(albedo, albedo_projection()), lit),
    }
    return {
        name: np.where(inside if plane.ndim == 2 else inside[..., None], plane, 0).astype(
            np.float32
        )
        for name, plane in planes.items()
    }


def write_albedo_maps(
    texture: str | os.PathLike[str], folder: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Read an albedo texture and write its maps beside each other; returns the path of the EXR.

    `<stem>.exr` holds `melanin`, `haemoglobin`, `mask`, `albedo.R/.G/.B` and
    `reconstruction.R/.G/.B`; `<stem>.json` the medians over skin, the skin model and its constants;
    `<stem>.png` the texture, both maps over unit u and the reconstruction. All or none of them.

    Raises
    ------
    InputError
        The texture cannot be read, or nothing in it is skin.
    BiofaceError
        A file exists and `overwrite` is false, the picture would replace the texture, or the folder
        cannot be written.
    """
    source = Path(texture)
    check_outputs(folder, [source], overwrite=overwrite)
    maps = read_albedo(read_photo(source))
    skin = maps["mask"] > 0.95
    if not skin.any():
        raise InputError(f"{source}: no pixel has the colour of skin; is it an albedo in sRGB?")
    planes = {name: maps[name] for name in ("melanin", "haemoglobin", "mask")}
    for name in ("albedo", "reconstruction"):
        planes |= {f"{name}.{c}": maps[name][..., k] for k, c in enumerate("RGB")}
    numbers = {
        "skin": {
            "melanin_median": float(np.median(maps["melanin"][skin])),
            "haemoglobin_median": float(np.median(maps["haemoglobin"][skin])),
            "pixels": int(skin.sum()),
        },
        **skin_record(SkinModel.load()),
        "version": __version__,
    }
    return write_files(folder, source.stem, planes, numbers, _picture(maps), overwrite=overwrite)


def _picture(maps: dict[str, np.ndarray]) -> np.ndarray:
    """Texture, melanin, haemoglobin and reconstruction side by side, (h, 4 w, 3) uint8."""
    step = max(1, max(maps["mask"].shape) // 512)
    small = {name: plane[::step, ::step] for name, plane in maps.items()}
    grey = [
        np.repeat(to_unit(small[name], limits)[..., None], 3, axis=-1)
        for name, limits in (("melanin", MELANIN_RANGE), ("haemoglobin", HAEMOGLOBIN_RANGE))
    ]
    colour = [srgb_encode(small[name]) for name in ("albedo", "reconstruction")]
    return to_bytes(np.concatenate([colour[0], *grey, colour[1]], axis=1))
