"""Rows of faces to the figures of a report: scores with intervals, overall and by group."""

from __future__ import annotations

from typing import Any

import numpy as np

from bioface.scores.faces import MELANIN_THIRDS, QUANTITIES, SCALARS, Rows
from bioface.scores.sums import SCORES, interval, resampled, scores
from bioface.spectral.colour import ITA_CLASSES

DRAWS = 1000
"""Bootstrap resamples of identities."""

FEWEST = 3
"""People whose figures get an interval."""

GROUPINGS = {"tone": ITA_CLASSES, "third": MELANIN_THIRDS, "light": None}
"""Ways to group faces and the order of their groups; None sorts the names."""


def summarise(rows: Rows, seed: int = 0) -> dict[str, Any]:
    """JSON-ready figures of one method under one condition.

    Returns
    -------
    A mapping with `photos`, `identities`, `quantities` (for each of `QUANTITIES` that the method
    predicts: each of `SCORES` as [value, low, high], the bounds of the 95 % bootstrap interval
    over identities), `scalars` (of `SCALARS`: `mean`, `median`, `p90`), and `groups`: for each of
    `GROUPINGS` and each group in it the same again.
    """
    out = _figures(rows, np.random.default_rng(seed))
    groups: dict[str, Any] = {}
    for grouping, order in GROUPINGS.items():
        labels = getattr(rows, grouping)
        present = set(labels.tolist())
        groups[grouping] = {
            name: _figures(rows.where(labels == name), np.random.default_rng(seed))
            for name in (order or sorted(present))
            if name in present
        }
    return out | {"groups": groups}


def _figures(rows: Rows, rng: np.random.Generator) -> dict[str, Any]:
    people = len(np.unique(rows.identity))
    drawn = scores(resampled(rows.sums, rows.identity, rng, DRAWS))
    whole = scores(rows.sums.sum(0))
    said = rows.sums[:, :, 0].sum(0) > 0
    quantities = {
        name: {
            score: [_number(v) for v in (whole[score][q], *bounds(drawn[score][:, q], people))]
            for score in SCORES
        }
        for q, name in enumerate(QUANTITIES)
        if said[q]
    }
    scalars = {}
    for k, name in enumerate(SCALARS):
        values = rows.scalars[:, k]
        values = values[np.isfinite(values)]
        if len(values):
            scalars[name] = {
                "mean": _number(values.mean()),
                "median": _number(np.median(values)),
                "p90": _number(np.quantile(values, 0.9)),
            }
    return {
        "photos": len(rows),
        "identities": people,
        "quantities": quantities,
        "scalars": scalars,
    }


def bounds(drawn: np.ndarray, people: int) -> tuple[float, float]:
    """The 95 % interval of resampled values (draws,); NaN for fewer people than `FEWEST`.

    Resamples of so few are hardly anything but one person again and again.
    """
    return interval(drawn) if people >= FEWEST else (np.nan, np.nan)


def _number(value: Any) -> float | None:
    """Four significant digits; None for what is not defined."""
    return float(f"{value:.4g}") if np.isfinite(value) else None
