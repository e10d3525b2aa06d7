"""Colour drawn on the fly: transport from a packed file, everything else from a random generator.

One rendered sample becomes as many exactly labelled photos as training asks for: crop, pigments,
light groups, one or two illuminants, camera, exposure, white balance, tone, noise, blur, JPEG.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bioface.learn.conditions import RelightConfig
from bioface.learn.degrade import degrade
from bioface.learn.lights import LightSampler, nearest_weights
from bioface.learn.pigments import draw_pigments
from bioface.learn.planes import (
    CHANNELS,
    COVERAGE,
    DIFFUSE,
    LIPS,
    MASK,
    REFLECTANCE,
    SPECULAR,
    Planes,
    move,
)
from bioface.learn.splits import Splits
from bioface.packed import PackedDataset
from bioface.spectral import illuminant
from bioface.spectral.camera import CameraModel, Method
from bioface.spectral.colour import SRGB_TO_XYZ
from bioface.spectral.formation import Camera, decode
from bioface.spectral.grid import bernstein_basis
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

CHUNK = 131072
"""Pixels painted at once on a CPU: few enough for its cache, enough to hide the cost of calls."""


@dataclass(frozen=True)
class Targets:
    """The truth behind a batch of drawn photos; maps are (B, H, W), meaningful on skin.

    Attributes
    ----------
    melanin_u, haemoglobin_u, diffuse_shading, specular_shading, mask, gains, tone
        As in `Prediction`.
    lips
        (B, H, W) share of the pixel that is lips, which scores leave out.
    b
        (B, N) camera coefficients; of a measured camera those of the nearest in the model.
    sensitivities
        (B, 33, 3) of the camera that took the photo.
    method
        How raw became XYZ in this batch.
    illuminant_weights, daylight_kelvin
        (B, 14) and (B,) of the mixture of lights over skin.
    illuminant_exact
        (B,) 1 where these two make up `spd`, 0 where LEDs had to be approximated.
    spd
        (B, 33) the mixture itself.
    linear
        (B, H, W, 3) the clean image before the degradations.
    """

    melanin_u: Tensor
    haemoglobin_u: Tensor
    diffuse_shading: Tensor
    specular_shading: Tensor
    mask: Tensor
    lips: Tensor
    b: Tensor
    sensitivities: Tensor
    method: Method
    illuminant_weights: Tensor
    daylight_kelvin: Tensor
    illuminant_exact: Tensor
    spd: Tensor
    gains: Tensor
    tone: Tensor
    linear: Tensor


@dataclass(frozen=True)
class _Light:
    """Light and camera of a batch: what turns shading and pigments into raw and into sRGB.

    `group_gain` and `gloss_gain` (B, 3) scale the light groups' diffuse and specular shading,
    `second` (B, 3) marks the groups under the second of `spds` (B, 2, 33), `tints` (B, 3, 3) are
    colour casts (group, channel), `matrix` (B, 3, 3) takes white-balanced raw to linear sRGB.
    """

    group_gain: Tensor
    gloss_gain: Tensor
    second: Tensor
    spds: Tensor
    spd: Tensor
    tints: Tensor
    sensitivities: Tensor
    matrix: Tensor

    def of(self, images: slice) -> _Light:
        return _Light(*(getattr(self, name)[images] for name in self.__dataclass_fields__))


class Relighter:
    """Draws photos and their truth from a packed file.

    Parameters
    ----------
    packed
        Opened with `bioface.packed.read_packed`.
    size
        Side of the drawn photos, pixels.
    config, skin
        Defaults: `RelightConfig()`, the calibrated skin model.
    cameras
        Model that cameras are drawn from and that b refers to; the one without the cameras held
        out (`CameraModel.load(name="training")`) when None.
    measured
        (K, 33, 3) measured cameras to draw from beside the model: a share `config.measured`.
    lights
        Names of the illuminants to draw from; all but those held out when None.
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
        measured: np.ndarray | None = None,
        lights: Sequence[str] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.packed = packed
        self.size = size
        self.config = config or RelightConfig()
        self.skin = skin or SkinModel.load()
        self.cameras = cameras or CameraModel.load(name="training")
        if isinstance(self.cameras.mean, Tensor):
            self.cameras = self.cameras.with_mean(self.cameras.mean.detach().cpu().double().numpy())
        self.measured = measured
        self.lights = LightSampler(lights or Splits.load().training_illuminants)
        self.device = torch.device(device)
        self._clean = self.config.cleaned()
        self._planes = Planes(packed, size)
        self._basis = self._tensor(bernstein_basis(4))

    @classmethod
    def for_test(
        cls,
        packed: PackedDataset,
        size: int,
        conditions: Literal["clean", "full"],
        *,
        database: str | os.PathLike[str] | None = None,
        skin: SkinModel | None = None,
        device: str | torch.device = "cpu",
    ) -> Relighter:
        """The draws that accuracy is measured on: see `RelightConfig.clean` and `full`.

        Lights, and with `database` (rawtoaces52.npz) cameras, are those held out in `splits.json`.
        Without it cameras come from the training model, and a report should say so. Which samples
        are held out, `bioface.learn.splits.split_samples` says.
        """
        splits = Splits.load()
        return cls(
            packed,
            size,
            config=RelightConfig.clean() if conditions == "clean" else RelightConfig.full(),
            skin=skin,
            measured=None if database is None else splits.cameras(database),
            lights=splits.test_illuminants,
            device=device,
        )

    @torch.no_grad()
    def draw(self, indices: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Targets]:
        """Photos (B, 3, size, size) sRGB 0-1 of the samples at `indices`, and their targets.

        The same `rng` state gives the same batch.
        """
        config = self._clean if rng.random() < self.config.clean_share else self.config
        planes = self._moved(np.asarray(indices), config, rng)
        mask = planes[:, MASK]
        pigments = draw_pigments(planes, config, rng)
        light, truth = self._light(planes, config, rng)

        photo = planes.new_empty(len(planes), 3, *mask.shape[1:])
        linear = torch.empty_like(photo)
        shadings = torch.empty_like(photo[:, :2])
        tones = []
        for images in self._chunks(len(planes)):
            part = planes[images]
            rgb, diffuse, specular = self._paint(part, pigments[images], light.of(images))
            scale = self._exposure(rgb, diffuse, part, config, rng)
            torch.mul(rgb, scale[:, None], out=linear[images])
            on_skin = scale * (part[:, MASK] > 0)
            torch.mul(diffuse, on_skin, out=shadings[images, 0])
            torch.mul(specular, on_skin, out=shadings[images, 1])
            photo[images], tone = degrade(linear[images], part[:, COVERAGE], config.degrade, rng)
            tones.append(tone)
        return photo, Targets(
            melanin_u=pigments[:, 0],
            haemoglobin_u=pigments[:, 1],
            diffuse_shading=shadings[:, 0],
            specular_shading=shadings[:, 1],
            mask=mask.contiguous(),
            lips=planes[:, LIPS].contiguous(),
            tone=torch.cat(tones),
            linear=linear.permute(0, 2, 3, 1),
            **truth,
        )

    def _chunks(self, count: int) -> Iterator[slice]:
        step = max(1, CHUNK // self.size**2) if self.device.type == "cpu" else count
        for first in range(0, count, step):
            yield slice(first, first + step)

    def _moved(
        self, indices: np.ndarray, config: RelightConfig, rng: np.random.Generator
    ) -> Tensor:
        """Planes (B, 15, size, size) of the samples, cropped, rolled and mirrored."""
        count = len(indices)
        zoom = rng.uniform(*config.zoom, count)
        angle = np.deg2rad(config.rotation_degrees) * rng.uniform(-1, 1, count)
        shift = 2 * config.shift * rng.uniform(-1, 1, (count, 2))
        mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0)
        cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
        affine = self._tensor(
            np.stack(
                [
                    np.stack([cosine * mirror, -sine, shift[:, 0]], 1),
                    np.stack([sine * mirror, cosine, shift[:, 1]], 1),
                ],
                1,
            )
        )
        planes = torch.empty(count, len(CHANNELS), self.size, self.size, device=self.device)
        for images in self._chunks(count):
            read = self._planes.read(indices[images]).to(self.device)
            planes[images] = move(read, affine[images], self.size)
        return planes

    def _light(
        self, planes: Tensor, config: RelightConfig, rng: np.random.Generator
    ) -> tuple[_Light, dict[str, Any]]:
        """Light and camera, and what `Targets` says of them."""
        count = len(planes)
        brightness = (planes[:, DIFFUSE] * planes[:, MASK, None]).sum((2, 3))
        spare = (brightness < brightness.amax(1, keepdim=True)).cpu().numpy()
        group_gain = np.exp(config.group_log_sd * rng.standard_normal((count, 3)))
        group_gain *= rng.random((count, 3)) >= config.drop_group * spare
        gloss_gain = np.exp(config.specular_log_sd * rng.standard_normal((count, 1))).clip(0.1, 4)
        lit = brightness.double().cpu().numpy() * group_gain
        share = lit / np.maximum(lit.sum(1, keepdims=True), 1e-6)

        drawn = self.lights.draw(config, count, rng)
        of_second = (share * drawn.second).sum(1)
        shares = np.stack([1 - of_second, of_second], 1)
        mixture = (shares[..., None] * drawn.weights).sum(1)
        spds = illuminant.mix(drawn.weights, np.stack([drawn.kelvin] * 2, 1), validate=False)
        spd = self._tensor(illuminant.mix(mixture, drawn.kelvin, validate=False))
        weights, kelvin, exact = nearest_weights(mixture, drawn.kelvin)

        b, sensitivities = self._cameras(config, count, rng)
        method = self._method(config, rng)
        log_gains = config.gain_sd * rng.standard_normal((count, 2))
        gains = self._tensor(np.exp(log_gains.clip(-0.25, 0.25)))
        tints = np.exp(config.tint_sd * rng.standard_normal((count, 3, 3)))
        light = _Light(
            group_gain=self._tensor(group_gain),
            gloss_gain=self._tensor(group_gain * gloss_gain),
            second=self._tensor(drawn.second),
            spds=self._tensor(spds),
            spd=spd,
            tints=self._tensor(tints / tints.mean(2, keepdims=True)),
            sensitivities=sensitivities,
            matrix=Camera(sensitivities, gains, method).raw_to_srgb(spd),
        )
        return light, {
            "b": b,
            "sensitivities": sensitivities,
            "method": method,
            "illuminant_weights": self._tensor(weights),
            "daylight_kelvin": self._tensor(kelvin),
            "illuminant_exact": self._tensor(exact),
            "spd": spd,
            "gains": gains,
        }

    def _cameras(
        self, config: RelightConfig, count: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Coefficients (B, N) within 3 and sensitivities (B, 33, 3)."""
        b = rng.standard_normal((count, len(self.cameras.deviations))).clip(-3, 3)
        sensitivities = np.asarray(self.cameras.sensitivities(b))
        measured = rng.random(count) < config.measured
        pick = rng.random(count)
        if self.measured is not None:
            chosen = self.measured[(pick * len(self.measured)).astype(int)]
            nearest = self.cameras.coefficients(chosen).clip(-3, 3)
            sensitivities = np.where(measured[:, None, None], chosen, sensitivities)
            b = np.where(measured[:, None], nearest, b)
        return self._tensor(b), self._tensor(sensitivities)

    @staticmethod
    def _method(config: RelightConfig, rng: np.random.Generator) -> Method:
        fitted = rng.random() < config.fitted
        wanted: Method = "fitted" if fitted else "pseudo_inverse"
        return wanted if wanted in config.methods else config.methods[0]

    def _paint(
        self, planes: Tensor, pigments: Tensor, light: _Light
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Linear sRGB (n, 3, H, W), and diffuse and specular shading (n, H, W), before exposure.

        The dichromatic model in white-balanced raw, summed over light groups.
        """
        count, _, height, width = planes.shape
        diffuse = planes[:, DIFFUSE].reshape(count, 3, -1)
        specular = planes[:, SPECULAR].reshape(count, 3, -1)
        white = torch.einsum("bw,bwc->bc", light.spd, light.sensitivities)
        raw = planes.new_zeros(count, 3, height * width)
        for k in range(2):
            belongs = light.second if k else 1 - light.second
            lit = belongs.sum(1).nonzero()[:, 0] if k else torch.arange(count)
            if len(lit) == 0:
                continue
            own: Any = lit if k else slice(None)
            spd = light.spds[own, k]
            sensitivities = light.sensitivities[own]
            colour = torch.einsum("bw,bwc->bc", spd, sensitivities) / white[own]
            colour = colour[:, :, None] * (light.tints[own] * belongs[own, :, None]).mT
            colour_of_gloss = colour * light.gloss_gain[own, None]
            reflected = self._reflected(planes[own], pigments[own], spd, sensitivities)
            part = torch.bmm(colour * light.group_gain[own, None], diffuse[own])
            part.mul_(reflected)
            coverage = planes[own, COVERAGE].reshape(len(lit), 1, -1)
            part.addcmul_(torch.bmm(colour_of_gloss, specular[own]), coverage)
            raw[own] += part
        image = torch.bmm(light.matrix, raw).reshape(count, 3, height, width)
        total = torch.bmm(light.group_gain[:, None], diffuse).reshape(count, height, width)
        gloss = torch.bmm(light.gloss_gain[:, None], specular).reshape(count, height, width)
        return image, total, gloss

    def _reflected(
        self, planes: Tensor, pigments: Tensor, spd: Tensor, sensitivities: Tensor
    ) -> Tensor:
        """(n, 3, H W) white-balanced raw of the pixels' reflectance: skin and everything else.

        A camera whose matrix undoes XYZ to sRGB leaves the decoder's colours in raw.
        """
        camera = Camera(sensitivities, matrix=SRGB_TO_XYZ)
        mask = planes[:, MASK]
        maps = {
            "melanin": from_unit(pigments[:, 0], MELANIN_RANGE),
            "haemoglobin": from_unit(pigments[:, 1], HAEMOGLOBIN_RANGE),
            "diffuse_shading": mask,
            "specular_shading": torch.zeros_like(mask),
        }
        skin = decode(maps, spd, camera, skin=self.skin).permute(0, 3, 1, 2).flatten(2)
        basis = (self._basis @ camera.response(spd)).mT
        return torch.baddbmm(skin, basis, planes[:, REFLECTANCE].flatten(2))

    def _exposure(
        self,
        linear: Tensor,
        shading: Tensor,
        planes: Tensor,
        config: RelightConfig,
        rng: np.random.Generator,
    ) -> Tensor:
        """(n, 1, 1) scale: cameras partly make up for dark skin, and nobody lets it clip."""
        level, spread = config.log_exposure
        drawn = self._tensor(level + spread * rng.standard_normal(len(linear)))
        power = self._tensor(rng.uniform(*config.compensation, len(linear)))
        mask = planes[:, MASK]
        area = mask.sum((1, 2)).clamp_min(1e-3)
        luminance = (linear[:, 1] * mask).sum((1, 2)) / area
        light = ((shading * mask).sum((1, 2)) / area).clamp_min(1e-4)
        albedo = (luminance / light).clamp(0.02, 1)
        scale = drawn.exp() * (0.3 / albedo) ** power / light
        scale = torch.minimum(scale, 0.75 / luminance.clamp_min(1e-4))
        return scale[:, None, None]

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=self.device)
