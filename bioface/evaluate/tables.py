"""Pieces of the accuracy page that others use too: figures, Markdown tables, groups and floors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NETWORK = "network"
"""Name of the method under test."""

TOLD = "network, told light and camera"
"""The same network where it knows what a photographer may know."""

SPECTRAL = "spectral truth"
"""What stands for the kind of heads where a set is spectral truth."""

TRANSPORT = "network, transport of the same"
"""The network on photos of the same people as the transport model makes them."""

SMALLER = "network, the same taken smaller"
"""The network on photos of the same people, lights and cameras that are as small as it reads."""


def value(figures: Mapping[str, Any], quantity: str, score: str) -> float | None:
    """One score of one method's figures; None where it has none."""
    found = figures["quantities"].get(quantity)
    return None if found is None else found[score][0]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def number(figure: float | None, digits: int = 3) -> str:
    """A figure for a table; a dash for none."""
    return "-" if figure is None else f"{figure:.{digits}f}"


def signed(figure: float | None, digits: int = 3) -> str:
    """A figure with its sign; a dash for none."""
    return "-" if figure is None else f"{figure:+.{digits}f}"


def with_interval(figures: Sequence[float | None], digits: int = 3) -> str:
    """`value (low-high)`."""
    middle, low, high = (number(figure, digits) for figure in figures)
    return middle if "-" in (low, high) else f"{middle} ({low} to {high})"


def floors(results: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Rows of the information floor that belong beside these tests."""
    titles = {
        "nothing, with specular": "nothing known",
        "white balance": "white balance known, no gloss",
        "light, camera": "light and camera known, no gloss",
    }
    rows = {row["case"]: row for row in results["floor"] or () if row["prior"] == "uniform"}
    return [(title, rows[case]) for case, title in titles.items() if case in rows]


def tone_floor(results: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    """ITA class to the floor of one pixel of such skin, nothing known; empty without a table."""
    floor = dict(floors(results)).get("nothing known", {})
    found: Mapping[str, Mapping[str, float]] = floor.get("tones", {})
    return found


def group_table(
    figures: Mapping[str, Any],
    grouping: str,
    floor: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """Errors of one method by the groups of one grouping, their means and ratios to the whole's.

    With the groups' own `floor` (see `tone_floor`) also the ratios to these.
    """
    whole = {q: value(figures, q, "rmse") for q in ("melanin_u", "haemoglobin_u")}
    rows = []
    for name, group in figures["groups"][grouping].items():
        cells = []
        for quantity in ("melanin_u", "haemoglobin_u"):
            rmse = value(group, quantity, "rmse")
            cells += [
                with_interval(group["quantities"][quantity]["rmse"]),
                signed(value(group, quantity, "bias")),
                number(ratio(rmse, whole[quantity]), 2),
                number(value(group, quantity, "within_rmse")),
            ]
            if floor:
                cells.append(number(ratio(rmse, floor.get(name, {}).get(quantity)), 2))
        cells.append(number(value(group, "albedo", "rmse")))
        rows.append([name, str(group["photos"]), *cells])
    more = ("/ floor",) if floor else ()
    header = (
        *("group", "photos", "melanin RMSE, u", "mean", "/ all", "within", *more),
        *("haemoglobin RMSE, u", "mean", "/ all", "within", *more, "albedo"),
    )
    return table(header, rows)


def ratio(figure: float | None, whole: float | None) -> float | None:
    """One over the other; None where either is missing or the latter 0."""
    return figure / whole if figure is not None and whole else None
