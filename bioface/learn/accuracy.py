"""A small accuracy report on held-out samples: pigments in u, absolute and within the face."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioface.learn.encoder import Encoder, Prediction
from bioface.learn.losses import LOG_FLOOR
from bioface.learn.relight import Relighter, Targets
from bioface.spectral.colour import ITA_CLASSES, ita, ita_class, reflectance_to_xyz, xyz_to_lab
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

_SURE_SKIN = 0.95
_BATCH = 16


@torch.no_grad()
def held_out_accuracy(
    encoder: Encoder, relighter: Relighter, indices: np.ndarray, photos: int, seed: int
) -> dict[str, Any]:
    """RMSE of an encoder on photos drawn from held-out samples.

    Every skin pixel (mask > .95) counts once. `within` subtracts each photo's mean error; `prior`
    is the standard deviation of the truth (what predicting its mean would score).

    Returns
    -------
    dict with `photos`, for each of `melanin` and `haemoglobin` `rmse`, `within`, `face` (of the
    face means), `prior` and `prior_within` in u, `log_diffuse` (scale-free), `sqrt_specular`,
    `mask` (mean absolute), and `groups`: the pigments' `rmse` and `within` by ITA class of the
    median true albedo.
    """
    encoder.eval()
    rows: list[dict[str, float]] = []
    step = 0
    while len(rows) < photos:
        rng = np.random.default_rng(np.random.SeedSequence([seed, step]))
        image, targets = relighter.draw(rng.choice(indices, _BATCH), rng)
        rows += _measure(encoder(image), targets, relighter.skin)
        step += 1
    rows = rows[:photos]
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


def _measure(prediction: Prediction, targets: Targets, skin: SkinModel) -> list[dict[str, float]]:
    """Sums over the sure skin of every photo."""
    rows = []
    sure = targets.mask > _SURE_SKIN
    for i in torch.nonzero(sure.sum((1, 2)) > 16)[:, 0].tolist():
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
