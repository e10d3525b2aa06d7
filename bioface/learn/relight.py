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
from bioface.learn.departures import draw_departures, with_grain
from bioface.learn.larger import averaged
from bioface.learn.lights import LightSampler, kind_shares, nearest_weights
from bioface.learn.paint import Light, expose, white_balanced_raw
from bioface.learn.parallel import empty_for_loader
from bioface.learn.pigments import draw_pigments
from bioface.learn.planes import (
    COVERAGE,
    DIFFUSE,
    GROUPS,
    INDIRECT,
    LIPS,
    MASK,
    NORMALS,
    PLANES,
    Planes,
)
from bioface.learn.splits import Splits
from bioface.learn.tensors import map_tensors
from bioface.packed import PackedDataset
from bioface.spectral import illuminant
from bioface.spectral.camera import CameraModel, Method
from bioface.spectral.formation import Camera
from bioface.spectral.skin import SkinModel

CHUNK = 131072
"""Pixels painted at once on a CPU: few enough for its cache, enough to hide the cost of calls."""


def photos_at_once(size: int) -> int:
    """How many photos of `size` pixels a side that makes."""
    return max(1, CHUNK // size**2)


@dataclass(frozen=True)
class Targets:
    """The truth behind a batch of drawn photos; maps are (B, H, W), meaningful on skin.

    Attributes
    ----------
    melanin_u, haemoglobin_u, diffuse_shading, specular_shading, mask, gains, tone
        As in `Prediction`.
    lips
        (B, H, W) share of the pixel that is lips, which scores leave out.
    normals
        (B, 3, H, W) unit normals of the skin, relief included, x to the right, y up, z to the
        camera; 0 where there is less than half of skin.
    b
        (B, N) camera coefficients; of a measured camera those of the nearest in the model.
    sensitivities
        (B, 33, 3) of the camera that took the photo.
    method
        How raw became XYZ in this batch.
    illuminant_weights, daylight_kelvin
        (B, 14) and (B,) of the mixture of lights over skin.
    light_shares
        (B, 4) how much of the mixture each of `lights.LIGHT_KINDS` makes up; what is of LEDs these
        two only approximate.
    spd
        (B, 33) the mixture itself.
    linear
        (B, H, W, 3) the clean image before the degradations.
    departing
        (B,) 1 where it shows what transport and the skin model leave out
        (`bioface.learn.departures`): these maps and this light do not explain it exactly.
    """

    melanin_u: Tensor
    haemoglobin_u: Tensor
    diffuse_shading: Tensor
    specular_shading: Tensor
    mask: Tensor
    lips: Tensor
    normals: Tensor
    b: Tensor
    sensitivities: Tensor
    method: Method
    illuminant_weights: Tensor
    daylight_kelvin: Tensor
    light_shares: Tensor
    spd: Tensor
    gains: Tensor
    tone: Tensor
    linear: Tensor
    departing: Tensor

    def explained(self) -> Tensor:
        """(B, H, W) `mask` of the photos without departures, 0 elsewhere."""
        return self.mask * (1 - self.departing)[:, None, None]

    def pin_memory(self) -> Targets:
        """The same in page-locked memory; a `DataLoader` asks for it."""
        pinned: Targets = map_tensors(self, Tensor.pin_memory)
        return pinned


class Relighter:
    """Draws photos and their truth from a packed file.

    Parameters
    ----------
    packed
        Opened with `bioface.packed.read_packed`.
    size
        Side of the drawn photos, pixels.
    factor
        Photos are made so many times as large and averaged down: what spoils them does so at the
        larger size, as with photos from which `bioface estimate` cuts a face.
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
    at_once
        Photos that are painted together on a CPU, as many as its cache likes when None. What is
        drawn of exposure, noise and the like depends on it, and on nothing else of `size`.
    """

    def __init__(
        self,
        packed: PackedDataset,
        size: int = 128,
        *,
        factor: int = 1,
        config: RelightConfig | None = None,
        skin: SkinModel | None = None,
        cameras: CameraModel | None = None,
        measured: np.ndarray | None = None,
        lights: Sequence[str] | None = None,
        device: str | torch.device = "cpu",
        at_once: int | None = None,
    ) -> None:
        self.packed = packed
        self.size = size
        self.factor = factor
        self._side = size * factor
        self.at_once = at_once or photos_at_once(self._side)
        self.config = config or RelightConfig()
        self.skin = skin or SkinModel.load()
        self.cameras = cameras or CameraModel.load(name="training")
        if isinstance(self.cameras.mean, Tensor):
            self.cameras = self.cameras.with_mean(self.cameras.mean.detach().cpu().double().numpy())
        self.measured = measured
        self.lights = LightSampler(lights or Splits.load().training_illuminants)
        self.device = torch.device(device)
        self._clean = self.config.cleaned()
        self._singles = tuple(self.config.singles().values())
        self._planes = Planes(packed, self._side)

    @classmethod
    def for_test(
        cls,
        packed: PackedDataset,
        size: int,
        conditions: RelightConfig | Literal["clean", "full"],
        *,
        factor: int = 1,
        database: str | os.PathLike[str] | None = None,
        skin: SkinModel | None = None,
        device: str | torch.device = "cpu",
        at_once: int | None = None,
    ) -> Relighter:
        """The draws that accuracy is measured on: see `RelightConfig.clean` and `full`, or others.

        Lights, and with `database` (rawtoaces52.npz) cameras, are those held out in `splits.json`.
        Without it cameras come from the training model, and a report should say so. Which samples
        are held out, `bioface.learn.splits.split_samples` says.
        """
        splits = Splits.load()
        named = {"clean": RelightConfig.clean, "full": RelightConfig.full}
        return cls(
            packed,
            size,
            factor=factor,
            config=named[conditions]() if isinstance(conditions, str) else conditions,
            skin=skin,
            measured=None if database is None else splits.cameras(database),
            lights=splits.test_illuminants,
            device=device,
            at_once=at_once,
        )

    @torch.no_grad()
    def draw(self, indices: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Targets]:
        """Photos (B, 3, size, size) sRGB 0-1 of the samples at `indices`, and their targets.

        The same `rng` state gives the same batch.
        """
        photo, targets = self._drawn(np.asarray(indices), rng)
        return (photo, targets) if self.factor == 1 else averaged(photo, targets, self.factor)

    def _drawn(self, indices: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Targets]:
        """What `draw` returns before anything is averaged."""
        config = self._condition(rng)
        planes = self._moved(indices, self._placement(len(indices), config, rng))
        side = (self._side, self._side)
        photo, linear, normals = (self._empty((len(planes), 3, *side)) for _ in range(3))
        maps = self._empty((6, len(planes), *side))
        melanin_u, haemoglobin_u, diffuse, specular, mask, lips = maps
        mask.copy_(planes[:, MASK])
        lips.copy_(planes[:, LIPS])
        normals.copy_(planes[:, NORMALS])
        pigments = draw_pigments(planes, config, rng)
        melanin_u.copy_(pigments[:, 0])
        haemoglobin_u.copy_(pigments[:, 1])
        departures = None
        if config.departing > 0:
            mean_u = (maps[:2] * mask).sum((2, 3)) / mask.sum((1, 2)).clamp_min(1e-3)
            departures = draw_departures(config.departing, mean_u[0], mean_u[1], self.skin, rng)
            if not self._planes.indirect:
                planes[:, INDIRECT] = _even_shares(departures.shares, mask, planes[:, COVERAGE])
        brightness = torch.bmm(planes[:, DIFFUSE].flatten(2), mask.flatten(1)[..., None])[..., 0]
        light, truth = self._light(brightness, config, rng)
        tones = []
        for images in self._chunks(len(planes)):
            part, own, clean = planes[images], light.of(images), linear[images]
            cast = None if departures is None else departures.of(images)
            raw = white_balanced_raw(part, pigments[images], own, self.skin, cast)
            scale = self._exposure(
                raw, mask[images].flatten(1), brightness[images], own, config, rng
            )
            expose(raw, part, own, scale, (clean, diffuse[images], specular[images]))
            seen = clean if cast is None else with_grain(clean, self.factor * cast.grain, rng)
            photo[images], tone = degrade(seen, part[:, COVERAGE], config.degrade, rng)
            tones.append(tone)
        return photo, Targets(
            melanin_u=melanin_u,
            haemoglobin_u=haemoglobin_u,
            diffuse_shading=diffuse,
            specular_shading=specular,
            mask=mask,
            lips=lips,
            normals=normals,
            tone=torch.cat(tones),
            linear=linear.permute(0, 2, 3, 1),
            departing=torch.zeros_like(mask[:, 0, 0])
            if departures is None
            else departures.departing,
            **truth,
        )

    def draw_scenes(self, count: int, rng: np.random.Generator) -> dict[str, Any]:
        """Lights and cameras alone of `count` photos whose groups of lights are equally bright.

        Returns
        -------
        `b`, `sensitivities`, `method`, `illuminant_weights`, `daylight_kelvin`,
        `light_shares`, `spd` and `gains` as in `Targets`.
        """
        equal = torch.ones(count, len(GROUPS), device=self.device)
        return self._light(equal, self._condition(rng), rng)[1]

    def _empty(self, shape: tuple[int, ...]) -> Tensor:
        """Room for what is drawn, in memory that a loader can hand over unless it is averaged."""
        if self.factor > 1:
            return torch.empty(shape, device=self.device)
        return empty_for_loader(shape, self.device)

    def _condition(self, rng: np.random.Generator) -> RelightConfig:
        """What a batch is drawn by: everything, clean, or all but clean."""
        share = rng.random()
        if share < self.config.clean_share:
            return self._clean
        if share < self.config.clean_share + self.config.single_share:
            return self._singles[rng.integers(len(self._singles))]
        return self.config

    def _chunks(self, count: int) -> Iterator[slice]:
        step = self.at_once if self.device.type == "cpu" else count
        for first in range(0, count, step):
            yield slice(first, first + step)

    def _placement(self, count: int, config: RelightConfig, rng: np.random.Generator) -> Tensor:
        """How samples are cropped, rolled and mirrored: (B, 2, 3) from the photo to the sample."""
        zoom = rng.uniform(*config.zoom, count)
        angle = np.deg2rad(config.rotation_degrees) * rng.uniform(-1, 1, count)
        shift = 2 * config.shift * rng.uniform(-1, 1, (count, 2))
        mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0)
        cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
        return self._tensor(
            np.stack(
                [
                    np.stack([cosine * mirror, -sine, shift[:, 0]], 1),
                    np.stack([sine * mirror, cosine, shift[:, 1]], 1),
                ],
                1,
            )
        )

    def _moved(self, indices: np.ndarray, affine: Tensor) -> Tensor:
        """Planes (B, 20, side, side) of the samples, cropped, rolled and mirrored."""
        count = len(indices)
        planes = torch.empty(count, PLANES, self._side, self._side, device=self.device)
        for images in self._chunks(count):
            self._planes.crop(indices[images], affine[images], planes[images])
        return planes

    def _light(
        self, brightness: Tensor, config: RelightConfig, rng: np.random.Generator
    ) -> tuple[Light, dict[str, Any]]:
        """Light and camera, and what `Targets` says of them.

        `brightness` (B, 3) is what the light groups contribute to the face.
        """
        count = len(brightness)
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
        weights, kelvin = nearest_weights(mixture, drawn.kelvin)

        b, sensitivities = self._cameras(config, count, rng)
        method = self._method(config, rng)
        log_gains = config.gain_sd * rng.standard_normal((count, 2))
        gains = self._tensor(np.exp(log_gains.clip(-0.25, 0.25)))
        tints = np.exp(config.tint_sd * rng.standard_normal((count, 3, 3)))
        light = Light(
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
            "light_shares": self._tensor(kind_shares(mixture)),
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

    def _exposure(
        self,
        raw: Tensor,
        mask: Tensor,
        brightness: Tensor,
        light: Light,
        config: RelightConfig,
        rng: np.random.Generator,
    ) -> Tensor:
        """(n,) scale: cameras partly make up for dark skin, and nobody lets it clip.

        From raw (n, 3, H W), mask (n, H W) and its sums with the groups' shading (n, 3).
        """
        level, spread = config.log_exposure
        drawn = self._tensor(level + spread * rng.standard_normal(len(raw)))
        power = self._tensor(rng.uniform(*config.compensation, len(raw)))
        area = mask.sum(1).clamp_min(1e-3)
        green = torch.bmm(light.matrix[:, 1:2], torch.bmm(raw, mask[..., None]))
        luminance = green.flatten() / area
        irradiance = ((light.group_gain * brightness).sum(1) / area).clamp_min(1e-4)
        albedo = (luminance / irradiance).clamp(0.02, 1)
        scale = drawn.exp() * (0.3 / albedo) ** power / irradiance
        return torch.minimum(scale, 0.75 / luminance.clamp_min(1e-4))

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=self.device)


def _even_shares(shares: Tensor, mask: Tensor, coverage: Tensor) -> Tensor:
    """(B, 2, H, W) indirect shares of diffuse and specular shading, the same all over a photo.

    From shares (B, 3) of what skin scatters, of what everything else scatters, and of gloss.
    """
    on_skin, on_others, of_gloss = shares[..., None, None].unbind(1)
    skin = mask / coverage.clamp_min(1e-3)
    return torch.stack([on_others + (on_skin - on_others) * skin, of_gloss.expand_as(mask)], 1)
