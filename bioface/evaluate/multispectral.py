"""The benchmark of Alotaibi & Smith (2019, Table 1) on multispectral images of faces.

Pseudo ground truth comes from fitting the dichromatic skin model to every spectrum; the photo that
the network reads is the same image under D65 as the mean camera sees it. Needs MediaPipe only where
a file holds no mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.evaluate.dichromatic import fit_dichromatic
from bioface.evaluate.tables import number, table
from bioface.photo.crop import Crop
from bioface.photo.cubes import Cube, read_cube, resized, to_grid
from bioface.photo.explain import rendered
from bioface.photo.files import to_bytes
from bioface.photo.network import Network
from bioface.scores.faces import LEAST_PIXELS, SURE_SKIN, albedo_of
from bioface.spectral.camera import CameraModel
from bioface.spectral.colour import srgb_encode
from bioface.spectral.formation import Camera
from bioface.spectral.illuminant import illuminant
from bioface.spectral.skin import SkinModel

PAPER = {
    "BioFaceNet (published)": {
        "diffuse_shading": 0.172, "specular_shading": 0.0875, "albedo": 0.1154,
        "melanin": 0.5972, "haemoglobin": 0.2912, "reconstruction": 0.0713,
    },
    "SfSNet (published)": {
        "diffuse_shading": 0.1898, "albedo": 0.1452, "reconstruction": 0.2831,
    },
}  # fmt: skip
"""RMSE in Table 1 of the paper; it counts pigments from -1 to 1."""

MAPS = ("diffuse_shading", "specular_shading", "albedo", "melanin", "haemoglobin", "reconstruction")
PAPER_UNITS_PER_U = 2.0
BRIGHTEST = 0.8
"""Linear sRGB that 99 % of the skin stay below."""
_BLACK = 1e-9


@dataclass(frozen=True)
class Scene:
    """One multispectral face, cropped: what the network sees, and the fit that it is held against.

    Attributes
    ----------
    srgb
        (S, S, 3) sRGB 0-1 in 8-bit steps, the crop under D65.
    linear
        The same, linear, before rounding.
    skin
        (S, S) which pixels count.
    maps
        The fit at these pixels (P,): `diffuse_shading`, `specular_shading`, `melanin` and
        `haemoglobin` in u, `albedo` (P, 3).
    residual
        RMSE of the fitted spectra over their mean.
    """

    srgb: np.ndarray
    linear: np.ndarray
    skin: np.ndarray
    maps: Mapping[str, np.ndarray]
    residual: float


def benchmark(paths: Sequence[Path], network: Network) -> dict[str, Any]:
    """Read every image and hold the network's maps against the fit.

    Returns
    -------
    JSON-ready: `images`, one entry a file with `name`, `pixels`, `fit_residual` and `rmse` of
    `MAPS` (pigments in u; `diffuse_scale_free` lets the shading's scale free), and `mean` over
    them.

    Raises
    ------
    InputError
        A file cannot be read, or shows no face.
    """
    images: list[dict[str, Any]] = []
    for path in paths:
        scene = prepare(read_cube(path), path, network.size, network.skin)
        errors = compare(scene, network)
        images.append(
            {
                "name": path.stem,
                "pixels": int(scene.skin.sum()),
                "fit_residual": scene.residual,
                "rmse": errors,
            }
        )
    mean = {name: float(np.mean([i["rmse"][name] for i in images])) for name in images[0]["rmse"]}
    return {"images": images, "mean": mean}


def prepare(cube: Cube, path: Path, size: int, skin: SkinModel) -> Scene:
    """Crop the face, render it, and fit the skin model to its spectra."""
    projection = mean_camera_under_d65()
    linear = to_grid(cube) @ projection
    values, mask = cube.values, cube.mask
    if mask is None:
        values, linear, mask = _crop_face(values, linear, path, size)
    else:
        values, linear, mask = (resized(plane, size) for plane in (values, linear, mask))
    sure = mask > SURE_SKIN
    if sure.sum() <= LEAST_PIXELS:
        raise InputError(f"{path}: shows {int(sure.sum())} pixels of skin at size {size}")
    brightest = float(np.quantile(linear[sure].max(-1), 0.99))
    if not brightest > _BLACK:
        raise InputError(f"{path}: its skin is black; give reflectance, or radiance with the light")
    scale = BRIGHTEST / brightest
    linear = linear * scale
    fit = fit_dichromatic(values[sure] * scale, cube.wavelength, skin)
    spread = float(np.sqrt((fit.residual**2).mean()) / (values[sure].mean() * scale))
    return Scene(
        srgb=np.round(255 * np.clip(srgb_encode(linear), 0, 1)).astype(np.float32) / 255,
        linear=linear.astype(np.float32),
        skin=sure,
        maps={
            "diffuse_shading": fit.diffuse_shading,
            "specular_shading": fit.specular_shading,
            "melanin": fit.melanin_u,
            "haemoglobin": fit.haemoglobin_u,
            "albedo": albedo_of(skin, fit.melanin_u, fit.haemoglobin_u),
        },
        residual=spread,
    )


def compare(scene: Scene, network: Network) -> dict[str, float]:
    """RMSE of every map of `MAPS`, and `diffuse_scale_free`."""
    reading = network.read(scene.srgb)
    on = scene.skin
    said = {
        "diffuse_shading": reading.diffuse_shading[on],
        "specular_shading": reading.specular_shading[on],
        "melanin": reading.melanin_u[on],
        "haemoglobin": reading.haemoglobin_u[on],
        "albedo": albedo_of(network.skin, reading.melanin_u[on], reading.haemoglobin_u[on]),
        "reconstruction": rendered(reading, network.skin)[on],
    }
    true = dict(scene.maps) | {"reconstruction": scene.linear[on]}
    errors = {name: _rmse(said[name], true[name]) for name in MAPS}
    p, t = said["diffuse_shading"].astype(np.float64), true["diffuse_shading"]
    errors["diffuse_scale_free"] = _rmse(p * (p @ t) / (p @ p), t)
    return errors


def _rmse(predicted: np.ndarray, true: np.ndarray) -> float:
    return float(np.sqrt(((np.asarray(predicted, np.float64) - true) ** 2).mean()))


def mean_camera_under_d65() -> np.ndarray:
    """(33, 3) projection from reflectance to linear sRGB."""
    model = CameraModel.load()
    sensitivities = model.sensitivities(np.zeros(len(model.deviations)))
    projection: np.ndarray = Camera(sensitivities, method="fitted").projection(illuminant("D65"))
    return projection


def _crop_face(
    values: np.ndarray, linear: np.ndarray, path: Path, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from bioface.photo.find import find_faces

    exposed = linear * (BRIGHTEST / max(float(np.quantile(linear, 0.98)), 1e-9))
    faces = find_faces(to_bytes(np.clip(np.asarray(srgb_encode(exposed)), 0, 1)))
    if not faces:
        raise InputError(f"{path}: no face found; give an npz with a mask of the skin instead")
    crop = Crop.around(faces[0].landmarks, size)
    planes = [crop.extract(np.ascontiguousarray(values[..., k])) for k in range(values.shape[2])]
    colours = crop.extract(linear.astype(np.float32))
    return np.stack(planes, -1), colours, crop.extract(faces[0].mask)


def as_table(results: Mapping[str, Any]) -> str:
    """Markdown: a row an image, their mean, and the paper's Table 1 in its units and in u."""
    header = (
        *("RMSE", "diffuse", "specular", "albedo", "melanin", "haemoglobin", "reconstruction"),
        *("diffuse, scale-free", "fit / spectrum"),
    )
    images = results["images"]
    rows = [[entry["name"], *_cells(entry["rmse"], 1.0, entry["fit_residual"])] for entry in images]
    residual = float(np.mean([entry["fit_residual"] for entry in images]))
    for title, factor in (("u", 1.0), ("the paper's units", PAPER_UNITS_PER_U)):
        rows.append([f"**mean, {title}**", *_cells(results["mean"], factor, residual)])
    rows += [[name, *_cells(errors, 1.0)] for name, errors in PAPER.items()]
    return table(header, rows)


def _cells(errors: Mapping[str, float], factor: float, residual: float | None = None) -> list[str]:
    scaled = {
        name: errors.get(name) and errors[name] * (factor if name in MAPS[3:5] else 1.0)
        for name in MAPS
    }
    scale_free = errors.get("diffuse_scale_free")
    return [*(number(scaled[name]) for name in MAPS), number(scale_free), number(residual)]
