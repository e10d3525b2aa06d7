"""Photos of spectral truth: cubes that the renderer made band by band, free of our transport model.

A cube holds, for every pixel, what comes back of spectrally flat light. A light and a camera are
drawn as for the other tests; everything after the raw image is the same, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bioface.errors import InputError
from bioface.learn.accuracy import LIPS
from bioface.learn.conditions import RelightConfig
from bioface.learn.degrade import degrade
from bioface.learn.lights import LightSampler, kind_shares, light_kind
from bioface.learn.planes import LIPS_REGION
from bioface.learn.splits import Splits
from bioface.photo.cubes import Cube, resized, to_grid
from bioface.scores.faces import SURE_SKIN, Photos, albedo_of
from bioface.spectral.camera import CameraModel
from bioface.spectral.formation import Camera, composed
from bioface.spectral.grid import bernstein_basis
from bioface.spectral.illuminant import cct, mix
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, to_unit

SUFFIXES = (".exr", ".npz")


def find_cubes(folder: Path) -> list[Path]:
    """Cubes of a dataset (its `samples`) or a plain folder, in order; `InputError` for none."""
    inside = folder / "samples" if (folder / "samples").is_dir() else folder
    found = sorted(path for path in inside.glob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder}: holds no cubes (.exr with bands, or .npz)")
    return found


@dataclass(frozen=True)
class SpectralFace:
    """A cube ready to be photographed.

    Attributes
    ----------
    path
        The file.
    bands
        (H, W, 33) what comes back of flat light, at the cube's own resolution.
    maps
        (size, size, ...) truth at that of the photos, each a mean over skin.
    transport
        (H, W, 33) what the transport model makes of the same maps; None where the cube lacks
        `coverage` or `reflectance.0` ..., of what is not skin.
    """

    path: Path
    bands: np.ndarray
    maps: Mapping[str, np.ndarray]
    transport: np.ndarray | None

    @classmethod
    def of(cls, path: Path, cube: Cube, size: int) -> SpectralFace:
        """A cube for photos of `size` pixels a side.

        The cube also holds `mask`, `melanin` and `haemoglobin` (volume fractions),
        `diffuse_shading` and `specular_shading` (or one for each light group: `.key` ...), and, if
        need be, `region`, `albedo.R`, `.G`, `.B` and `coverage`, the share of a pixel that is not
        background (1 without it).

        Raises
        ------
        InputError
            It lacks one of the maps; names `path`.
        """
        maps = _maps(path, cube, size)
        able = {"coverage", "reflectance.0"} <= set(cube.truth or {})
        transport = _transport_bands(path, cube) if able else None
        return cls(path, to_grid(cube), maps, transport)

    @property
    def as_transport(self) -> SpectralFace:
        """The same person as the transport model makes them; `InputError` without `transport`."""
        if self.transport is None:
            raise InputError(
                f"{self.path}: no channel reflectance.0 or no coverage; transport needs both"
            )
        return replace(self, bands=self.transport)

    def photo(
        self, config: RelightConfig, rng: np.random.Generator, measured: np.ndarray | None = None
    ) -> Photos:
        """A batch of one photo, under a light and by a camera that `rng` draws.

        Parameters
        ----------
        config
            Light, white balance, exposure and degradations; geometry and pigments are the cube's.
        measured
            (K, 33, 3) cameras; those of the training camera model when None.
        """
        mask = self.maps["mask"]
        lights = LightSampler(Splits.load().test_illuminants)
        drawn = lights.draw(config, 1, rng)
        weights = drawn.weights[:, 0]
        spd = np.asarray(mix(weights, drawn.kelvin, validate=False))[0]
        if measured is None:
            model = CameraModel.load(name="training")
            deviations = rng.standard_normal(len(model.deviations)).clip(-3, 3)
            sensitivities = np.asarray(model.sensitivities(deviations))
        else:
            sensitivities = measured[rng.integers(len(measured))]
        gains = np.exp((config.gain_sd * rng.standard_normal(2)).clip(-0.25, 0.25))
        projection = Camera(sensitivities, gains, "fitted").projection(spd)
        linear = resized(self.bands @ projection.astype(np.float32), len(mask))
        scale = _exposure(linear, self.maps, config, rng)
        linear = linear * scale
        planes = torch.from_numpy(np.ascontiguousarray(linear.transpose(2, 0, 1), np.float32))[None]
        coverage = torch.from_numpy(np.ascontiguousarray(self.maps["coverage"], np.float32))[None]
        photo, _ = degrade(planes, coverage, config.degrade, rng)
        return Photos(
            srgb=photo.permute(0, 2, 3, 1).numpy(),
            mask=mask[None],
            counted=((mask > SURE_SKIN) & (self.maps["lips"] < LIPS))[None],
            melanin_u=self.maps["melanin_u"][None],
            haemoglobin_u=self.maps["haemoglobin_u"][None],
            diffuse_shading=scale * self.maps["diffuse_shading"][None],
            specular_shading=scale * self.maps["specular_shading"][None],
            albedo=self.maps["albedo"][None],
            linear=linear[None],
            cct_kelvin=np.asarray(cct(spd)).reshape(1),
            sensitivities=sensitivities[None],
            light=[light_kind(kind_shares(weights)[0])],
            identity=[self.path.stem],
        )


def _transport_bands(path: Path, cube: Cube) -> np.ndarray:
    """(H, W, 33) light that the transport model makes of a cube's own maps: no subsurface
    scattering, grey interreflection, skin as the skin model has it. Of what is not skin it needs
    `coverage` and `reflectance.0` ...
    """
    truth = cube.truth or {}
    fractions = (
        _map(path, truth, name).clip(0, 1).astype(np.float64) for name in ("melanin", "haemoglobin")
    )
    names = sorted(name for name in truth if name.startswith("reflectance."))
    others = np.stack([_map(path, truth, name) for name in names], -1) @ bernstein_basis(len(names))
    diffuse, specular = (_map(path, truth, f"{kind}_shading") for kind in ("diffuse", "specular"))
    mask, coverage = (_map(path, truth, name) for name in ("mask", "coverage"))
    found: np.ndarray = composed(
        SkinModel.load().reflectance(*fractions),
        others,
        mask=mask,
        coverage=np.maximum(coverage, mask),
        diffuse=diffuse,
        specular=specular,
    )
    return found.astype(np.float32)


def _maps(path: Path, cube: Cube, size: int) -> dict[str, np.ndarray]:
    """Maps (size, size, ...) that hold where `mask` is over 0, each a mean over skin."""
    truth = cube.truth or {}
    skin = cube.mask
    if skin is None:
        raise InputError(f"{path}: no channel mask; spectral truth has it")
    mask = resized(skin, size)
    out = {"mask": mask}

    def add(name: str, plane: np.ndarray) -> None:
        deep = (..., None) if plane.ndim == 3 else ...
        out[name] = resized(plane * skin[deep], size) / np.maximum(mask[deep], 1e-3)

    add("melanin_u", to_unit(_map(path, truth, "melanin"), MELANIN_RANGE))
    add("haemoglobin_u", to_unit(_map(path, truth, "haemoglobin"), HAEMOGLOBIN_RANGE))
    for name in ("diffuse_shading", "specular_shading"):
        add(name, _map(path, truth, name))
    if "albedo.R" in truth:
        add("albedo", np.stack([truth[f"albedo.{c}"] for c in "RGB"], -1))
    else:
        out["albedo"] = albedo_of(SkinModel.load(), out["melanin_u"], out["haemoglobin_u"])
    # Without it everything in the cube counts as being there.
    out["coverage"] = resized(truth.get("coverage", np.ones(skin.shape)), size)
    lips = truth["region"] == LIPS_REGION if "region" in truth else np.zeros(skin.shape)
    add("lips", lips.astype(np.float32))
    return out


def _map(path: Path, truth: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """A map, or the sum of its light groups; 0 at least."""
    planes = [plane for key, plane in truth.items() if key == name or key.startswith(f"{name}.")]
    if not planes:
        raise InputError(f"{path}: no channel {name}; spectral truth has it")
    total: np.ndarray = np.maximum(np.sum(planes, axis=0), 0)
    return total


def _exposure(
    linear: np.ndarray,
    maps: Mapping[str, np.ndarray],
    config: RelightConfig,
    rng: np.random.Generator,
) -> float:
    """Scale of the light, as `Relighter` draws it for a test."""
    level, spread = config.log_exposure
    drawn = float(np.exp(level + spread * rng.standard_normal()))
    mask = maps["mask"]
    area = max(float(mask.sum()), 1e-3)
    luminance = float((linear[..., 1] * mask).sum()) / area
    light = max(float((maps["diffuse_shading"] * mask).sum()) / area, 1e-4)
    albedo = float(np.clip(luminance / light, 0.02, 1))
    scale = drawn * (0.3 / albedo) ** rng.uniform(*config.compensation) / light
    return float(min(scale, 0.75 / max(luminance, 1e-4)))
