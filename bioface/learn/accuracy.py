"""Trained networks under test: drawn photos for `bioface.evaluate`, and its measures in brief."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioface.errors import InputError
from bioface.learn.crop_reading import read_crops
from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Encoder, Known
from bioface.learn.lights import light_kind
from bioface.learn.relight import Relighter, Targets
from bioface.learn.weights import TrainedModel
from bioface.scores.faces import (
    LEAST_PIXELS,
    SURE_SKIN,
    Photos,
    Readings,
    Rows,
    albedo_of,
    measurable,
    measure,
)
from bioface.scores.summary import summarise
from bioface.spectral import illuminant

BATCH = 16
LIPS = 0.05
"""Share of lips in a pixel from which it does not count."""

_ATTEMPTS = 4  # photos drawn for each that counts, at most


@torch.no_grad()
def held_out_accuracy(
    encoder: Encoder, relighter: Relighter, indices: np.ndarray, photos: int, seed: int
) -> dict[str, Any]:
    """RMSE of an encoder on photos drawn from held-out samples: the report of training.

    Photos with more than 16 counted pixels of skin count, every such pixel once; they are fewer
    than `photos` where most draws show less. `within` subtracts each photo's mean error; `prior`
    is the standard deviation of the truth (what predicting its mean would score).

    Returns
    -------
    dict with `photos`, for each of `melanin` and `haemoglobin` `rmse`, `within`, `face` (of the
    face means), `prior` and `prior_within` in u, `log_diffuse` (scale-free), `sqrt_specular`,
    `mask` (mean absolute), and `groups`: the pigments' `rmse` and `within` by ITA class of the
    median true albedo.

    Raises
    ------
    InputError
        None of the drawn photos shows enough skin.
    """
    reader = NetworkReader("network", encoder)
    found = []
    for drawn in drawn_photos(relighter, indices, _ATTEMPTS * photos, seed):
        found += measure(drawn, reader.read(drawn))
        if len(found) >= photos:
            break
    if not found:
        raise _no_skin(relighter)
    rows = Rows.of(found[:photos])
    summary = summarise(rows)
    quantities = summary["quantities"]
    return {
        "photos": len(rows),
        **_pigments(quantities, ("rmse", "within", "face", "prior", "prior_within")),
        "log_diffuse": quantities["log_diffuse"]["within_rmse"][0],
        "sqrt_specular": quantities["sqrt_specular"]["rmse"][0],
        "mask": summary["scalars"]["mask_error"]["mean"],
        "groups": {
            name: {"photos": group["photos"], **_pigments(group["quantities"], ("rmse", "within"))}
            for name, group in summary["groups"]["tone"].items()
        },
    }


_SCORE_OF = {
    "rmse": "rmse",
    "within": "within_rmse",
    "face": "face_rmse",
    "prior": "prior",
    "prior_within": "within_prior",
}


def _pigments(quantities: dict[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    return {
        name: {key: quantities[f"{name}_u"][_SCORE_OF[key]][0] for key in wanted}
        for name in ("melanin", "haemoglobin")
    }


def require_skin(relighter: Relighter, indices: np.ndarray, photos: int, seed: int) -> None:
    """Raise before training the `InputError` that `held_out_accuracy` would raise after it."""
    drawn = drawn_photos(relighter, indices, _ATTEMPTS * photos, seed)
    if not any(measurable(photos.counted) for photos in drawn):
        raise _no_skin(relighter)


def _no_skin(relighter: Relighter) -> InputError:
    return InputError(
        f"{relighter.packed.path}: none of the samples held out shows {LEAST_PIXELS} pixels of "
        f"skin at size {relighter.size}; generate more samples, or train at a larger --size"
    )


@torch.no_grad()
def drawn_photos(
    relighter: Relighter, indices: np.ndarray, count: int, seed: int, batch: int = BATCH
) -> Iterator[Photos]:
    """`count` photos in batches, going through the samples at `indices` in turn.

    Batch k depends on (seed, k) alone, and conditions that differ only in what degrades the
    image show the same faces under the same light: their scores can be compared photo by photo.
    """
    order = np.random.default_rng(seed).permutation(np.asarray(indices))
    for step, start in enumerate(range(0, count, batch)):
        chosen = order[np.arange(start, min(start + batch, count)) % len(order)]
        rng = np.random.default_rng(np.random.SeedSequence([seed, step]))
        yield _photos(relighter, chosen, *relighter.draw(chosen, rng))


def _photos(relighter: Relighter, chosen: np.ndarray, image: Tensor, targets: Targets) -> Photos:
    def array(tensor: Tensor) -> np.ndarray:
        values: np.ndarray = tensor.cpu().numpy()
        return values

    name = relighter.packed.path.name
    counted = (targets.mask > SURE_SKIN) & (targets.lips < LIPS)
    return Photos(
        srgb=array(image.permute(0, 2, 3, 1)),
        mask=array(targets.mask),
        counted=array(counted),
        melanin_u=array(targets.melanin_u),
        haemoglobin_u=array(targets.haemoglobin_u),
        diffuse_shading=array(targets.diffuse_shading),
        specular_shading=array(targets.specular_shading),
        albedo=albedo_of(relighter.skin, array(targets.melanin_u), array(targets.haemoglobin_u)),
        linear=array(targets.linear),
        cct_kelvin=array(illuminant.cct(targets.spd)),
        sensitivities=array(targets.sensitivities),
        light=[light_kind(shares) for shares in array(targets.light_shares)],
        identity=[f"{name}:{index:06d}" for index in chosen],
        targets=targets,
    )


def _everything(targets: Targets) -> Known:
    given = torch.ones(len(targets.b), 3, device=targets.b.device)
    return Known(targets.b, targets.spd, targets.gains, given)


def test_device() -> str:
    """Where photos are drawn and networks run: a GPU, if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class NetworkReader:
    """An encoder as a method under test; with its decoder it also tells albedo and light.

    When `told`, the encoder knows light, camera and white balance of photos that have `targets`;
    a camera only as the nearest one of the camera model.
    """

    name: str
    encoder: Encoder
    decoder: Decoder | None = None
    told: bool = False

    @classmethod
    def of(cls, name: str, model: TrainedModel, *, told: bool = False) -> NetworkReader:
        """A trained model on the GPU, if there is one."""
        device = test_device()
        return cls(name, model.encoder.to(device), model.decoder.to(device), told)

    @torch.no_grad()
    def read(self, photos: Photos) -> Readings:
        """Run the network on a batch."""
        self.encoder.eval()
        device = next(self.encoder.parameters()).device
        image = torch.from_numpy(photos.srgb).permute(0, 3, 1, 2).to(device)
        known = _everything(photos.targets) if self.told else None
        prediction = read_crops(self.encoder, image, known)
        on_host = prediction.map(lambda tensor: tensor.float().cpu())
        readings = {
            name: getattr(on_host, name).numpy()
            for name in (
                *("melanin_u", "haemoglobin_u", "diffuse_shading", "specular_shading"),
                *("melanin_u_std", "haemoglobin_u_std"),
            )
        }
        spd = illuminant.mix(on_host.illuminant_weights, on_host.daylight_kelvin, validate=False)
        more: dict[str, np.ndarray] = {}
        if self.decoder is not None:
            decoder = self.decoder
            skin = decoder.skin()
            numbers = {name: float(value) for name, value in skin.constants.items()}
            more["albedo"] = albedo_of(
                skin.with_constants(**numbers), readings["melanin_u"], readings["haemoglobin_u"]
            )
            more["reconstruction"] = decoder.render(prediction).float().cpu().numpy()
            more["sensitivities"] = decoder.camera(prediction).sensitivities.cpu().numpy()
        return Readings(
            **readings, **more, mask=on_host.mask.numpy(), cct_kelvin=illuminant.cct(spd).numpy()
        )
