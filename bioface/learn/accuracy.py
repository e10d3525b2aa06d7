"""A small accuracy report on held-out samples: pigments in u, absolute and within the face."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioface.errors import InputError
from bioface.learn.encoder import Encoder, Prediction
from bioface.learn.losses import LOG_FLOOR
from bioface.learn.relight import Relighter, Targets
from bioface.spectral.colour import ITA_CLASSES, ita, ita_class, reflectance_to_xyz, xyz_to_lab
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

_SURE_SKIN = 0.95
_LEAST_PIXELS = 16
_BATCH = 16
_ATTEMPTS = 4  # photos drawn for each that counts, at most


@torch.no_grad()
def held_out_accuracy(
    encoder: Encoder, relighter: Relighter, indices: np.ndarray, photos: int, seed: int
) -> dict[str, Any]:
    """RMSE of an encoder on photos drawn from held-out samples.

    Photos with more than 16 pixels of skin (mask > .95) count, every such pixel once; they are
    fewer than `photos` where most draws show less. `within` subtracts each photo's mean error;
    `prior` is the standard deviation of the truth (what predicting its mean would score).

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
    encoder.eval()
    rows: list[dict[str, float]] = []
    for image, targets in _drawn(relighter, indices, photos, seed):
        if len(rows) >= photos:
            break
        rows += _measure(encoder(image), targets, relighter.skin)
    rows = rows[:photos]
    if not rows:
        raise _no_skin(relighter)
    groups = defaultdict(list)
    for row in rows:
        groups[ITA_CLASSES[int(row["group"])]].append(row)
    return {
        "photos": len(rows),
        **_summary(rows),
        "groups": {
            name: {"photos": len(groups[name]), **_pigments(groups[name], ("rmse", "within"))}
            for name in ITA_CLASSES
            if groups[name]
        },
    }


def require_skin(relighter: Relighter, indices: np.ndarray, photos: int, seed: int) -> None:
    """Raise before training the `InputError` that `held_out_accuracy` would raise after it."""
    drawn = _drawn(relighter, indices, photos, seed)
    if not any(len(_measurable(targets)) for _, targets in drawn):
        raise _no_skin(relighter)


def _drawn(
    relighter: Relighter, indices: np.ndarray, photos: int, seed: int
) -> Iterator[tuple[Tensor, Targets]]:
    for step in range(-(-_ATTEMPTS * photos // _BATCH)):
        rng = np.random.default_rng(np.random.SeedSequence([seed, step]))
        yield relighter.draw(rng.choice(indices, _BATCH), rng)


def _no_skin(relighter: Relighter) -> InputError:
    return InputError(
        f"{relighter.packed.path}: none of the samples held out shows {_LEAST_PIXELS} pixels of "
        f"skin at size {relighter.size}; generate more samples, or train at a larger --size"
    )


def _measurable(targets: Targets) -> list[int]:
    """Which photos of a batch show enough skin."""
    pixels = (targets.mask > _SURE_SKIN).sum((1, 2))
    return torch.nonzero(pixels > _LEAST_PIXELS)[:, 0].tolist()


def _measure(prediction: Prediction, targets: Targets, skin: SkinModel) -> list[dict[str, float]]:
    """Sums over the sure skin of every photo."""
    rows = []
    sure = targets.mask > _SURE_SKIN
    for i in _measurable(targets):
        row = {"pixels": float(sure[i].sum())}
        for name in ("melanin", "haemoglobin"):
            true = getattr(targets, f"{name}_u")[i][sure[i]]
            error = getattr(prediction, f"{name}_u")[i][sure[i]] - true
            row |= _moments(f"{name}_error", error) | _moments(f"{name}_true", true)
        log = prediction.diffuse_shading[i][sure[i]].clamp_min(LOG_FLOOR).log()
        log = log - targets.diffuse_shading[i][sure[i]].clamp_min(LOG_FLOOR).log()
        row |= _moments("diffuse_error", log)
        root = prediction.specular_shading[i][sure[i]].sqrt()
        row |= _moments("specular_error", root - targets.specular_shading[i][sure[i]].sqrt())
        row["mask_error"] = float((prediction.mask[i] - targets.mask[i]).abs().mean())
        median = [
            from_unit(float(getattr(targets, f"{name}_u")[i][sure[i]].median()), bounds)
            for name, bounds in (("melanin", MELANIN_RANGE), ("haemoglobin", HAEMOGLOBIN_RANGE))
        ]
        lab = xyz_to_lab(reflectance_to_xyz(skin.reflectance(*median)))
        row["group"] = float(ita_class(ita(lab)))
        rows.append(row)
    return rows


def _moments(name: str, values: Tensor) -> dict[str, float]:
    return {f"{name}_mean": float(values.mean()), f"{name}_square": float(values.square().mean())}


def _summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    return {
        **_pigments(rows, ("rmse", "within", "face", "prior", "prior_within")),
        "log_diffuse": _spread(rows, "diffuse_error"),
        "sqrt_specular": _root(rows, "specular_error"),
        "mask": round(float(np.mean([row["mask_error"] for row in rows])), 4),
    }


def _pigments(rows: list[dict[str, float]], wanted: tuple[str, ...]) -> dict[str, Any]:
    out = {}
    for name in ("melanin", "haemoglobin"):
        error, true = f"{name}_error", f"{name}_true"
        means = np.array([row[f"{true}_mean"] for row in rows])
        pixels = np.array([row["pixels"] for row in rows])
        level = np.average(means, weights=pixels)
        squares = [row[f"{true}_square"] for row in rows]
        values = {
            "rmse": _root(rows, error),
            "within": _spread(rows, error),
            "face": round(float(np.sqrt(np.mean([row[f"{error}_mean"] ** 2 for row in rows]))), 4),
            "prior": round(float(np.sqrt(np.average(squares, weights=pixels) - level**2)), 4),
            "prior_within": _spread(rows, true),
        }
        out[name] = {key: values[key] for key in wanted}
    return out


def _root(rows: list[dict[str, float]], name: str) -> float:
    pixels = [row["pixels"] for row in rows]
    return round(float(np.sqrt(np.average([r[f"{name}_square"] for r in rows], weights=pixels))), 4)


def _spread(rows: list[dict[str, float]], name: str) -> float:
    """Pooled standard deviation about each photo's mean."""
    pixels = [row["pixels"] for row in rows]
    within = [max(r[f"{name}_square"] - r[f"{name}_mean"] ** 2, 0.0) for r in rows]
    return round(float(np.sqrt(np.average(within, weights=pixels))), 4)
