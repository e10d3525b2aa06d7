"""Colour drawn on the fly: transport from a packed file, everything else from a random generator.

One rendered sample becomes as many exactly labelled photos as training asks for: crop, pigments,
light groups, one or two illuminants, camera, exposure, white balance, tone, noise, blur, JPEG.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bioface.learn.degrade import DegradeConfig, degrade
from bioface.packed import PackedDataset
from bioface.spectral import illuminant
from bioface.spectral.camera import METHODS, CameraModel, Method
from bioface.spectral.colour import SRGB_TO_XYZ
from bioface.spectral.formation import Camera, decode
from bioface.spectral.grid import bernstein_basis
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit, to_unit

GROUPS = ("key", "fill", "environment")
CHANNELS = (
    *(f"diffuse_shading.{g}" for g in GROUPS),
    *(f"specular_shading.{g}" for g in GROUPS),
    "melanin",
    "haemoglobin",
    "mask",
    "coverage",
    *(f"reflectance.{k}" for k in range(4)),
)
PIGMENT_LIMITS = (-0.2, 1.2)
"""Drawn pigments are clipped to these u."""


@dataclass(frozen=True)
class RelightConfig:
    """How much of everything is drawn; pairs are (low, high) of a uniform draw.

    Attributes
    ----------
    zoom, shift, rotation_degrees
        Scale of the crop against the render, shift in crop widths, roll. Half are mirrored.
    redraw
        Share of faces whose pigments get a new mean, uniform in u, and contrast.
    mean_range, contrast
        In u, and as factors on the differences within the face.
    group_log_sd, drop_group
        Brightness of the light groups; probability that one is switched off.
    two_lights
        Probability of a second illuminant on one of the groups.
    tint_sd
        Log sd of a colour cast of single groups.
    specular_log_sd
        Of a gain on gloss.
    log_exposure
        Mean and sd of the log of mean diffuse shading on a face of middle tone.
    gain_sd
        Log sd of the white-balance error.
    methods
        Ways from raw to XYZ, drawn once a batch.
    degrade
        What happens to the linear image afterwards.
    """

    zoom: tuple[float, float] = (0.85, 1.2)
    shift: float = 0.06
    rotation_degrees: float = 10.0
    redraw: float = 0.8
    mean_range: tuple[float, float] = (0.0, 1.0)
    contrast: tuple[float, float] = (0.5, 1.8)
    group_log_sd: float = 0.5
    drop_group: float = 0.15
    two_lights: float = 0.35
    tint_sd: float = 0.04
    specular_log_sd: float = 0.6
    log_exposure: tuple[float, float] = (-0.35, 0.35)
    gain_sd: float = 0.035
    methods: tuple[Method, ...] = METHODS
    degrade: DegradeConfig = dataclasses.field(default_factory=DegradeConfig)

    @classmethod
    def clean(cls) -> RelightConfig:
        """The proof of concept's conditions: no tone, tint, saturation, blur or JPEG."""
        return cls(tint_sd=0.0, gain_sd=0.02, degrade=DegradeConfig.clean())


@dataclass(frozen=True)
class Targets:
    """The truth behind a batch of drawn photos; maps are (B, H, W), meaningful on skin.

    `illuminant_weights` (B, 14), `daylight_kelvin` (B,) and `spd` (B, 33) are of the mixture over
    skin; `linear` (B, H, W, 3) is the clean image before the degradations; `method` is how raw
    became XYZ in this batch. The rest is as in `Prediction`.
    """

    melanin_u: Tensor
    haemoglobin_u: Tensor
    diffuse_shading: Tensor
    specular_shading: Tensor
    mask: Tensor
    b: Tensor
    illuminant_weights: Tensor
    daylight_kelvin: Tensor
    spd: Tensor
    gains: Tensor
    tone: Tensor
    linear: Tensor
    method: Method


class Relighter:
    """Draws photos and their truth from a packed file.

    Parameters
    ----------
    packed
        Opened with `bioface.packed.read_packed`.
    size
        Side of the drawn photos, pixels.
    config, skin, cameras
        Defaults: `RelightConfig()`, the calibrated skin model, the shipped camera model.
    device
        Where the batches are made.
    """

    def __init__(
        self,
        packed: PackedDataset,
        size: int = 128,
        *,
        config: RelightConfig | None = None,
        skin: SkinModel | None = None,
        cameras: CameraModel | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.packed = packed
        self.size = size
        self.config = config or RelightConfig()
        self.skin = skin or SkinModel.load()
        self.cameras = cameras or CameraModel.load()
        self.device = torch.device(device)
        self._channels = packed.index(CHANNELS)
        self._basis = self._tensor(bernstein_basis(4))

    def draw(self, indices: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Targets]:
        """Photos (B, 3, size, size) sRGB 0-1 of the samples at `indices`, and their targets.

        The same `rng` state gives the same batch.
        """
        config, count = self.config, len(indices)
        planes = self._transform(self._load(indices), rng)
        shading, gloss = planes[:, 0:3], planes[:, 3:6]
        mask, coverage = planes[:, 8], planes[:, 9]
        melanin_u, haemoglobin_u = self._pigments(planes[:, 6:8], mask, rng)

        group_gain = np.exp(config.group_log_sd * rng.standard_normal((count, 3)))
        group_gain *= rng.random((count, 3)) >= config.drop_group * self._spare(planes)
        gloss_gain = np.exp(config.specular_log_sd * rng.standard_normal(count)).clip(0.1, 4)
        shading = shading * self._tensor(group_gain)[..., None, None]
        gloss = gloss * self._tensor(group_gain * gloss_gain[:, None])[..., None, None]

        skin_total = (shading * mask[:, None]).sum((2, 3))
        share = skin_total / skin_total.sum(1, keepdim=True).clamp_min(1e-6)
        lights, kelvin, second = self._lights(rng, count)
        light_share = torch.stack([(share * (1 - second)).sum(1), (share * second).sum(1)], 1)
        weights = (light_share[..., None] * lights).sum(1)
        spds = illuminant.mix(lights, kelvin[:, None].expand(-1, 2), validate=False)
        spd = illuminant.mix(weights, kelvin, validate=False)

        b = self._tensor(rng.standard_normal((count, len(self.cameras.deviations))).clip(-3, 3))
        sensitivities = self.cameras.sensitivities(b)
        method = config.methods[rng.integers(len(config.methods))]
        log_gains = config.gain_sd * rng.standard_normal((count, 2))
        gains = self._tensor(np.exp(log_gains.clip(-0.25, 0.25)))
        tints = self._tensor(np.exp(config.tint_sd * rng.standard_normal((count, 3, 3))))
        tints = tints / tints.mean(2, keepdim=True)

        raw = self._raw(
            planes, (shading, gloss), (melanin_u, haemoglobin_u), spds, spd, sensitivities,
            second, tints,
        )  # fmt: skip
        matrix = Camera(sensitivities, gains, method).raw_to_srgb(spd)
        linear = torch.einsum("bij,bhwj->bhwi", matrix, raw)

        scale = self._exposure(linear, shading.sum(1), mask, coverage, rng)
        linear = linear * scale[..., None]
        photo, tone = degrade(linear, coverage, config.degrade, rng)
        on_skin = (mask > 0).float()
        targets = Targets(
            melanin_u=melanin_u,
            haemoglobin_u=haemoglobin_u,
            diffuse_shading=shading.sum(1) * scale * on_skin,
            specular_shading=gloss.sum(1) * scale * on_skin,
            mask=mask,
            b=b,
            illuminant_weights=weights,
            daylight_kelvin=kelvin,
            spd=spd,
            gains=gains,
            tone=tone,
            linear=linear,
            method=method,
        )
        return photo, targets

    def _load(self, indices: np.ndarray) -> Tensor:
        """(B, 14, S, S) channels in the order of `CHANNELS`, each weighted by its coverage."""
        images = np.stack([self.packed.images[i][self._channels] for i in indices])
        planes = torch.from_numpy(images).to(self.device).float()
        mask, coverage = planes[:, 8:9], planes[:, 9:10]
        other = (coverage - mask).clamp_min(0)
        planes = torch.cat(
            [
                planes[:, :6] * coverage,
                to_unit(planes[:, 6:7].clamp_min(0), MELANIN_RANGE) * mask,
                to_unit(planes[:, 7:8].clamp_min(0), HAEMOGLOBIN_RANGE) * mask,
                mask,
                coverage,
                planes[:, 10:] * other,
            ],
            1,
        )
        if planes.shape[-1] > self.size:
            planes = functional.interpolate(planes, (self.size, self.size), mode="area")
        return planes

    def _transform(self, planes: Tensor, rng: np.random.Generator) -> Tensor:
        """Crop, roll and mirror, then divide shading and pigments by coverage again.

        Not-skin reflectance stays weighted by its coverage.
        """
        config, count = self.config, len(planes)
        zoom = rng.uniform(*config.zoom, count)
        angle = np.deg2rad(config.rotation_degrees) * rng.uniform(-1, 1, count)
        shift = 2 * config.shift * rng.uniform(-1, 1, (count, 2))
        mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0)
        cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
        affine = np.stack(
            [
                np.stack([cosine * mirror, -sine, shift[:, 0]], 1),
                np.stack([sine * mirror, cosine, shift[:, 1]], 1),
            ],
            1,
        )
        shape = [count, planes.shape[1], self.size, self.size]
        grid = functional.affine_grid(self._tensor(affine), shape, align_corners=False)
        planes = functional.grid_sample(planes, grid, align_corners=False)
        mask, coverage = planes[:, 8:9], planes[:, 9:10]
        return torch.cat(
            [
                planes[:, :6] / coverage.clamp_min(1e-3),
                planes[:, 6:8] / mask.clamp_min(1e-3),
                planes[:, 8:],
            ],
            1,
        )

    def _pigments(
        self, fields: Tensor, mask: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """The sample's own fields (in u) or an affine change of them."""
        config, count = self.config, len(fields)
        redraw = rng.random(count) < config.redraw
        mean = rng.uniform(*config.mean_range, (count, 2))
        contrast = rng.uniform(*config.contrast, (count, 2))
        inside = (mask > 0.5).float()[:, None]
        own = (fields * inside).sum((2, 3)) / inside.sum((2, 3)).clamp_min(1)
        keep = self._tensor(redraw == 0)[:, None]
        mean_u = keep * own + (1 - keep) * self._tensor(mean)
        contrast_u = keep + (1 - keep) * self._tensor(contrast)
        fields = mean_u[..., None, None] + contrast_u[..., None, None] * (
            fields - own[..., None, None]
        )
        fields = fields.clamp(*PIGMENT_LIMITS) * (mask > 0)[:, None]
        return fields[:, 0], fields[:, 1]

    @staticmethod
    def _spare(planes: Tensor) -> np.ndarray:
        """(B, 3) whether a group may be switched off: it is not the brightest."""
        brightness = (planes[:, 0:3] * planes[:, 8:9]).sum((2, 3))
        return (brightness < brightness.amax(1, keepdim=True)).cpu().numpy()

    def _lights(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (B, 2, 14) of two lights, daylight temperature (B,), groups (B, 3) of the 2nd."""
        names = len(illuminant.NAMES)
        kind = rng.random((count, 2))
        single = np.eye(names)[
            np.where(kind < 0.2, 0, np.where(kind < 0.6, 1, rng.integers(2, names, (count, 2))))
        ]
        mixture = rng.dirichlet(np.full(names, 0.2), (count, 2))
        lights = np.where(kind[..., None] < 0.85, single, mixture)
        kelvin = 1e6 / rng.uniform(1e6 / 25000, 1e6 / 4000, count)
        near_d65 = rng.random(count) < 0.4
        kelvin = np.where(near_d65, rng.normal(5800, 700, count).clip(4000, 25000), kelvin)
        two = rng.random(count) < self.config.two_lights
        second = np.eye(3)[rng.integers(0, 3, count)] * two[:, None]
        return self._tensor(lights), self._tensor(kelvin), self._tensor(second)

    def _raw(
        self,
        planes: Tensor,
        shadings: tuple[Tensor, Tensor],
        pigments: tuple[Tensor, Tensor],
        spds: Tensor,
        spd: Tensor,
        sensitivities: Tensor,
        second: Tensor,
        tints: Tensor,
    ) -> Tensor:
        """White-balanced raw (B, H, W, 3): the dichromatic model, summed over light groups.

        A camera whose matrix undoes XYZ to sRGB leaves the decoder's colours in raw.
        """
        mask, coverage, reflectance = planes[:, 8], planes[:, 9], planes[:, 10:14]
        white = torch.einsum("bw,bwc->bc", spd, sensitivities)
        raw = torch.zeros((*mask.shape, 3), device=self.device)
        for light in range(2):
            belongs = second if light else 1 - second
            lit = belongs.sum(1).nonzero()[:, 0]
            if len(lit) == 0:
                continue
            camera = Camera(sensitivities[lit], matrix=SRGB_TO_XYZ)
            light_white = torch.einsum("bw,bwc->bc", spds[lit, light], sensitivities[lit])
            colour = (light_white / white[lit])[:, None] * tints[lit] * belongs[lit, :, None]
            diffuse = torch.einsum("bghw,bgc->bhwc", shadings[0][lit], colour)
            specular = torch.einsum("bghw,bgc->bhwc", shadings[1][lit], colour)
            maps = {
                "melanin": from_unit(pigments[0][lit], MELANIN_RANGE),
                "haemoglobin": from_unit(pigments[1][lit], HAEMOGLOBIN_RANGE),
                "diffuse_shading": mask[lit],
                "specular_shading": torch.zeros_like(mask[lit]),
            }
            skin = decode(maps, spds[lit, light], camera, skin=self.skin)
            basis = self._basis @ camera.response(spds[lit, light])
            other = torch.einsum("bkhw,bkc->bhwc", reflectance[lit], basis)
            raw[lit] += diffuse * (skin + other) + specular * coverage[lit, ..., None]
        return raw

    def _exposure(
        self,
        linear: Tensor,
        shading: Tensor,
        mask: Tensor,
        coverage: Tensor,
        rng: np.random.Generator,
    ) -> Tensor:
        """(B, 1, 1) scale: photographers half compensate for dark skin, and avoid clipping it."""
        level, spread = self.config.log_exposure
        drawn = self._tensor(level + spread * rng.standard_normal(len(linear)))
        area = mask.sum((1, 2)).clamp_min(1e-3)
        luminance = (linear[..., 1] * mask).sum((1, 2)) / area
        light = ((shading * mask).sum((1, 2)) / area).clamp_min(1e-4)
        albedo = (luminance / light).clamp(0.02, 1)
        scale = drawn.exp() * (0.3 / albedo) ** 0.35 / light
        scale = torch.minimum(scale, 0.75 / luminance.clamp_min(1e-4))
        return scale[:, None, None]

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=self.device)
