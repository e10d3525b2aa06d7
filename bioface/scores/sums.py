"""Error measures as functions of sums, so that a group of faces, or a resample of them, is a sum.

The pooled measures count every pixel once. *Within* subtracts each face's mean from both sides,
then pools; *face* compares the faces' means, each face once (DESIGN, Scores).
"""

from __future__ import annotations

import numpy as np

SUMS = (
    *("pixels", "p", "t", "pp", "tt", "pt", "ee"),
    *("within_pp", "within_tt", "within_pt", "within_ee", "scale_free_ee"),
    *("faces", "face_p", "face_t", "face_pp", "face_tt", "face_pt", "face_ee"),
)
"""What `pair_sums` adds up; p predicted, t true, e their difference."""

SCORES = (
    *("rmse", "r2", "correlation", "prior", "bias"),
    *("within_rmse", "within_r2", "within_correlation", "within_prior"),
    *("face_rmse", "face_r2", "face_correlation", "face_prior"),
    "scale_free_rmse",
)
"""What `scores` returns."""


def pair_sums(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """`SUMS` (19,) of one face: values (P,), or (P, C) whose C channels count as pixels.

    Within-face sums are about the mean over all values; no pixels give zeros.
    """
    p = np.asarray(predicted, np.float64).reshape(-1)
    t = np.asarray(true, np.float64).reshape(-1)
    if len(t) == 0:
        return np.zeros(len(SUMS))
    e, mean_p, mean_t = p - t, p.mean(), t.mean()
    mean_e = mean_p - mean_t
    q, u = p - mean_p, t - mean_t
    pp, tt, pt = float(p @ p), float(t @ t), float(p @ t)
    return np.array(
        [
            *(len(t), p.sum(), t.sum(), pp, tt, pt, e @ e),
            *(q @ q, u @ u, q @ u, (q - u) @ (q - u), tt - pt**2 / max(pp, 1e-30)),
            *(1, mean_p, mean_t, mean_p**2, mean_t**2, mean_p * mean_t, mean_e**2),
        ]
    )


def scores(sums: np.ndarray) -> dict[str, np.ndarray]:
    """`SCORES`, each (...), of pooled sums (..., 19).

    Returns
    -------
    `prior` are standard deviations of the truth: what predicting its mean would score.
    `scale_free_rmse` lets each face choose the factor on its predictions that suits it best. A
    measure that is not defined (no pixels, or a truth without spread) is NaN.
    """
    s = dict(zip(SUMS, np.moveaxis(np.asarray(sums, np.float64), -1, 0), strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = _measures(s["pixels"], *(s[k] for k in ("p", "t", "pp", "tt", "pt", "ee")))
        zero = np.zeros_like(s["pixels"])
        within = _measures(
            s["pixels"], zero, zero, *(s[f"within_{k}"] for k in ("pp", "tt", "pt", "ee"))
        )
        face = _measures(s["faces"], *(s[f"face_{k}"] for k in ("p", "t", "pp", "tt", "pt", "ee")))
        out = pooled | {"bias": (s["p"] - s["t"]) / s["pixels"]}
        out |= {f"within_{name}": value for name, value in within.items()}
        out |= {f"face_{name}": value for name, value in face.items()}
        out["scale_free_rmse"] = np.sqrt(np.maximum(s["scale_free_ee"], 0) / s["pixels"])
    return {name: out[name] for name in SCORES}


def _measures(
    n: np.ndarray,
    p: np.ndarray,
    t: np.ndarray,
    pp: np.ndarray,
    tt: np.ndarray,
    pt: np.ndarray,
    ee: np.ndarray,
) -> dict[str, np.ndarray]:
    spread_p, spread_t = (np.maximum(x2 / n - (x / n) ** 2, 0) for x, x2 in ((p, pp), (t, tt)))
    tiny = 1e-12 * np.maximum(np.maximum(pp, tt) / n, 1e-30)
    spread_p, spread_t = (np.where(s > tiny, s, np.nan) for s in (spread_p, spread_t))
    return {
        "rmse": np.sqrt(ee / n),
        "r2": 1 - ee / n / spread_t,
        "correlation": (pt / n - p * t / n**2) / np.sqrt(spread_p * spread_t),
        "prior": np.sqrt(np.nan_to_num(spread_t)),
    }


def resampled(
    sums: np.ndarray, identities: np.ndarray, rng: np.random.Generator, draws: int = 1000
) -> np.ndarray:
    """Sums (draws, ...) of bootstrap resamples of identities, all photos of one going together.

    Parameters
    ----------
    sums
        (F, ...) one entry a face.
    identities
        (F,) whose face it is: any sortable labels.
    """
    people, owner = np.unique(identities, return_inverse=True)
    of_person = np.zeros((len(people), *sums.shape[1:]))
    np.add.at(of_person, owner, sums)
    counts = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), draws)
    drawn: np.ndarray = np.tensordot(counts.astype(np.float64), of_person, 1)
    return drawn


def interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of resampled values (draws,), undefined ones left out."""
    kept = values[np.isfinite(values)]
    if len(kept) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(kept, (0.025, 0.975))
    return float(low), float(high)
