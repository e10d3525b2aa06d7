"""How far transport, re-spectralised, is from spectral truth, and why.

Three pictures of the same scene are compared on skin, in linear sRGB under D65 as the mean camera
sees them: T from the transport channels, L with Lambert skin but all bands rendered, S with
subsurface scattering. L - T is interreflection, which T counts as among surfaces of one grey; S - L
is what scattering below the surface does. Each is rendered with two seeds, and a mean square is the
mean product of the two differences: noise, which the seeds do not share, drops out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bioface.spectral.camera import CameraModel
from bioface.spectral.colour import ITA_CLASSES, ita, ita_class, linear_srgb_to_xyz, xyz_to_lab
from bioface.spectral.formation import Camera
from bioface.spectral.illuminant import illuminant
from synth.sample.skin import Skin
from synth.scene import GROUPS

SURE_SKIN = 0.95
"""Share of a pixel that skin must cover."""


@dataclass(frozen=True)
class Picture:
    """Diffuse light of P pixels of skin from one render, by band.

    Attributes
    ----------
    bands
        (P, 33) radiance under flat light.
    reflectance
        (P, 33) of the skin there.
    """

    bands: np.ndarray
    reflectance: np.ndarray

    def linear(self) -> np.ndarray:
        """Linear sRGB (P, 3)."""
        return self.bands @ _projection()

    def shading(self) -> np.ndarray:
        """(P,) shading that explains the bands best, as one factor on the reflectance."""
        square = (self.reflectance**2).sum(1)
        shading: np.ndarray = (self.bands * self.reflectance).sum(1) / np.maximum(square, 1e-9)
        return shading

    def albedo(self, shading: np.ndarray) -> np.ndarray:
        """Linear sRGB (P, 3) of the reflectance that the bands seem to have under `shading`."""
        return self.linear() / np.maximum(shading, 0.02)[:, None]


def transport_picture(channels: Mapping[str, np.ndarray], skin: Skin, where: np.ndarray) -> Picture:
    """What the loader makes of the transport channels (H, W) at `where`."""
    shading = np.sum([channels[f"diffuse_shading.{group}"][where] for group in GROUPS], 0)
    reflectance = reflectance_at(channels, skin, where)
    return Picture(shading[:, None] * reflectance, reflectance)


def reflectance_at(channels: Mapping[str, np.ndarray], skin: Skin, where: np.ndarray) -> np.ndarray:
    """Reflectance (P, 33) of the stored pigments."""
    melanin, haemoglobin = (
        channels[name][where].astype(np.float64) for name in ("melanin", "haemoglobin")
    )
    return skin.reflectance(melanin, haemoglobin)


def sure_skin(channels: Mapping[str, np.ndarray]) -> np.ndarray:
    """(H, W) pixels that count."""
    return channels["mask"] > SURE_SKIN


def tone(channels: Mapping[str, np.ndarray], where: np.ndarray) -> str:
    """ITA class of the median albedo."""
    albedo = np.array([np.median(channels[f"albedo.{c}"][where]) for c in "RGB"], np.float64)
    return ITA_CLASSES[int(ita_class(ita(xyz_to_lab(linear_srgb_to_xyz(albedo)))))]


def compare(
    transport: Sequence[Picture], lambert: Sequence[Picture], truth: Sequence[Picture]
) -> dict[str, float]:
    """Mean squares of one scene; each argument holds the pictures of two seeds.

    Returns
    -------
    `linear`, `shading`, `albedo` (S - T, noise dropped), `interreflection` (L - T) and
    `subsurface` (S - L) in linear sRGB, `transport_noise` and `truth_noise` (of one picture T, of
    one S), and `level`, `shading_level`, `albedo_level` (mean squares of T itself).
    The shading of albedo is that of its own picture.
    """
    t, el, s = ([p.linear() for p in pictures] for pictures in (transport, lambert, truth))
    lights_t, lights_s = ([p.shading() for p in pictures] for pictures in (transport, truth))
    colours_t, colours_s = (
        [p.albedo(light) for p, light in zip(pictures, lights, strict=True)]
        for pictures, lights in ((transport, lights_t), (truth, lights_s))
    )
    return {
        "linear": _product(s, t),
        "shading": _product(lights_s, lights_t),
        "albedo": _product(colours_s, colours_t),
        "interreflection": _product(el, t),
        "subsurface": _product(s, el),
        "transport_noise": float(np.mean((t[0] - t[1]) ** 2)) / 2,
        "truth_noise": float(np.mean((s[0] - s[1]) ** 2)) / 2,
        "level": float(np.mean(t[0] * t[1])),
        "shading_level": float(np.mean(lights_t[0] * lights_t[1])),
        "albedo_level": float(np.mean(colours_t[0] * colours_t[1])),
    }


def summary(scenes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Root mean squares over all scenes and by `tone`; every scene counts alike.

    Parameters
    ----------
    scenes
        Results of `compare` with `tone` added.

    Returns
    -------
    Group to: `scenes`, RMSE `linear`, `shading`, `albedo`, `interreflection`, `subsurface`, both
    noises (0 where noise leaves a mean product below 0) and the levels as root mean squares.
    """
    groups = {"all": list(scenes)}
    for name in ITA_CLASSES:
        chosen = [scene for scene in scenes if scene["tone"] == name]
        if chosen:
            groups[name] = chosen
    names = [key for key in scenes[0] if key != "tone"]
    return {
        group: {"scenes": len(chosen)}
        | {n: float(np.sqrt(max(np.mean([scene[n] for scene in chosen]), 0.0))) for n in names}
        for group, chosen in groups.items()
    }


def _product(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    return float(np.mean((a[0] - b[0]) * (a[1] - b[1])))


def _projection() -> np.ndarray:
    """(33, 3) from bands under flat light to linear sRGB under D65."""
    return Camera(CameraModel.load().mean).projection(illuminant("D65"))
