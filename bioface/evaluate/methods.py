"""The methods side by side, for the accuracy page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bioface.evaluate.tables import NETWORK, floors, number, ratio, table, value
from bioface.spectral.colour import ITA_CLASSES


def side_by_side(entry: Mapping[str, Any], condition: str, results: Mapping[str, Any]) -> str:
    """The section of a condition: every method's errors beside the floors of one pixel."""
    rows = []
    for method, figures in entry["conditions"][condition].items():
        cells = [
            *pairs(figures),
            *(
                number(value(figures, quantity, score))
                for quantity, score in (
                    ("albedo", "rmse"),
                    ("log_diffuse", "within_rmse"),
                    ("specular", "r2"),
                    ("reconstruction", "rmse"),
                )
            ),
        ]
        rows.append([f"{_shown(method)} ({figures['photos']})", *cells])
    for name, floor in floors(results):
        cells = [number(floor["melanin_u"]), "", number(floor["haemoglobin_u"])]
        rows.append([f"*floor of one pixel: {name}*", *cells, "", "", "", "", ""])
    header = (
        *("method (photos)", "melanin", "within", "haemoglobin", "within"),
        *("albedo", "log diffuse", "specular R2", "reconstruction"),
    )
    return f"""## Methods, {condition}

RMSE in u / R2 of the pigments, RMSE of albedo and reconstruction (linear sRGB), scale-free RMSE of
log diffuse shading, R2 of specular shading; shadings on unclipped pixels.

{table(header, rows)}

{_fractions(entry["conditions"][condition])}

{_tones(entry["conditions"][condition])}"""


def _fractions(found: Mapping[str, Any]) -> str:
    """Every method's volume fractions and correlations."""
    rows = []
    for method, figures in found.items():
        cells = []
        for pigment, digits in (("melanin", 3), ("haemoglobin", 4)):
            for prefix in ("", "within_"):
                rmse, r2 = (value(figures, pigment, f"{prefix}{score}") for score in ("rmse", "r2"))
                alike = value(figures, f"{pigment}_u", f"{prefix}correlation")
                cells.append(f"{number(rmse, digits)} / {number(r2, 2)} / {number(alike, 2)}")
        rows.append([_shown(method), *cells])
    header = ("method", "melanin", "within", "haemoglobin", "within")
    return f"""Volume fractions: RMSE / R2, and the correlation in u.

{table(header, rows)}"""


def _tones(found: Mapping[str, Any]) -> str:
    """Every method's errors by skin tone."""
    tones = [
        tone for tone in ITA_CLASSES if any(tone in f["groups"]["tone"] for f in found.values())
    ]
    rows = []
    for method, figures in found.items():
        groups = figures["groups"]["tone"]
        cells = []
        for tone in tones:
            scores = (
                value(groups[tone], quantity, "rmse") if tone in groups else None
                for quantity in ("melanin_u", "haemoglobin_u")
            )
            cells.append(" / ".join(map(number, scores)))
        rows.append([_shown(method), *cells])
    return f"""By skin tone (ITA class): RMSE in u of melanin / haemoglobin.

{table(("method", *tones), rows)}"""


def _shown(method: str) -> str:
    return f"**{method}**" if method == NETWORK else method


def pairs(figures: Mapping[str, Any], *beside: Mapping[str, Any] | None) -> list[str]:
    """RMSE / R2 of both pigments, absolute and within, with the ratios to the RMSE of others."""
    cells = []
    for quantity in ("melanin_u", "haemoglobin_u"):
        for prefix in ("", "within_"):
            rmse, r2 = (value(figures, quantity, f"{prefix}{score}") for score in ("rmse", "r2"))
            others = (value(o, quantity, f"{prefix}rmse") if o else None for o in beside)
            ratios = "; ".join(number(ratio(rmse, other), 2) for other in others)
            cells.append(f"{number(rmse)} / {number(r2, 2)}" + f" ({ratios})" * bool(beside))
    return cells
