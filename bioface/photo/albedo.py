"""Skin maps of an albedo texture: what character artists have. No light, no camera, no network."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bioface import __version__
from bioface.atomic import replacing
from bioface.errors import BiofaceError, InputError
from bioface.exr import write_exr
from bioface.photo.files import read_photo, to_bytes
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
    `reconstruction.R/.G/.B`; `<stem>.json` the medians over skin and the skin model;
    `<stem>.png` the texture, both maps over unit u and the reconstruction. All or none of them.

    Raises
    ------
    InputError
        The texture cannot be read, or nothing in it is skin.
    BiofaceError
        A file exists and `overwrite` is false, or the folder cannot be written.
    """
    from PIL import Image

    source = Path(texture)
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
        "skin_model": SkinModel.load().name,
        "version": __version__,
    }
    base = Path(folder) / source.stem
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BiofaceError(f"{folder}: cannot be made ({error.strerror})") from error
    exr, text, picture = (Path(f"{base}{suffix}") for suffix in (".exr", ".json", ".png"))
    with ExitStack() as stack:
        ready = [
            stack.enter_context(replacing(p, overwrite=overwrite)) for p in (exr, text, picture)
        ]
        write_exr(ready[0], planes)
        ready[1].write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        Image.fromarray(_picture(maps)).save(ready[2], format="PNG")
    return exr


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
