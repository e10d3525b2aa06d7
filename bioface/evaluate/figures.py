"""Plots of the accuracy page. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bioface.atomic import replacing
from bioface.evaluate.tables import NETWORK
from bioface.scores.faces import MAIN_CONDITIONS
from bioface.spectral.colour import ITA_CLASSES

_PIGMENTS = (("melanin_u", "melanin"), ("haemoglobin_u", "haemoglobin"))
_COLOURS = {"clean": "#4c72b0", "full": "#c44e52"}
_DOTS_PER_INCH = 110


def write_figures(results: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Write the plots into an existing folder; returns name to file.

    `methods`: error of every method; `tones`: error of the network by skin tone. A plot is left
    out where the results lack what it shows.
    """
    main = results["sets"][0]["conditions"]
    written = {}
    for name, draw in (("methods", _methods), ("tones", _tones)):
        figure = draw(main)
        if figure is not None:
            path = folder / f"accuracy-{name}.png"
            with replacing(path) as temporary:
                figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH, metadata={})
            written[name] = path
    return written


def _methods(conditions: Mapping[str, Any]) -> Figure | None:
    present = [name for name in MAIN_CONDITIONS if name in conditions]
    if not present or len(conditions[present[0]]) < 2:
        return None
    methods = list(conditions[present[0]])
    figure = Figure(figsize=(9, 0.5 * len(methods) + 1.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    place = np.arange(len(methods))[::-1]
    for axis, (quantity, title) in zip(axes, _PIGMENTS, strict=True):
        for k, condition in enumerate(present):
            values, errors = _intervals(conditions[condition], methods, quantity)
            height = 0.8 / len(present)
            axis.barh(
                place + 0.4 - height * (k + 0.5), values, height,
                xerr=errors, color=_COLOURS[condition], ecolor="#333333", label=condition,
            )  # fmt: skip
        axis.set(title=title, xlabel="RMSE, u", yticks=place, yticklabels=methods)
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=len(labels))
    return figure


def _tones(conditions: Mapping[str, Any]) -> Figure | None:
    present = [n for n in MAIN_CONDITIONS if NETWORK in conditions.get(n, {})]
    if not present:
        return None
    found = {condition: conditions[condition][NETWORK]["groups"]["tone"] for condition in present}
    names = [name for name in ITA_CLASSES if any(name in groups for groups in found.values())]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (quantity, title) in zip(axes, _PIGMENTS, strict=True):
        for k, (condition, groups) in enumerate(found.items()):
            values, errors = _intervals(groups, list(groups), quantity)
            place = np.array([names.index(name) for name in groups])
            place = place + 0.12 * (k - 0.5 * (len(present) - 1))
            style = {"color": _COLOURS[condition], "label": condition}
            axis.errorbar(place, values, errors, fmt="o", capsize=3, **style)
        labels = [f"{name}\n{_photos(name, found)}" for name in names]
        axis.set(title=title, xticks=np.arange(len(names)), xticklabels=labels)
        axis.tick_params(axis="x", labelsize=8)
        axis.grid(axis="y", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("RMSE, u")
    axes[0].legend(frameon=False)
    return figure


def _photos(name: str, found: Mapping[str, Any]) -> str:
    """How many photos a group has: in each condition, where they differ."""
    counts = [groups[name]["photos"] if name in groups else 0 for groups in found.values()]
    return " / ".join(map(str, counts if len(set(counts)) > 1 else counts[:1]))


def _intervals(
    methods: Mapping[str, Any], names: list[str], quantity: str
) -> tuple[np.ndarray, np.ndarray]:
    """RMSE (N,) and its distances (2, N) to both ends of the interval."""
    found = np.array(
        [methods[name]["quantities"][quantity]["rmse"] for name in names], dtype=np.float64
    )
    return found[:, 0], np.abs(found[:, 1:].T - found[:, 0])
