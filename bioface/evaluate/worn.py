"""What hair, make-up, glasses and clothes cost: the same people with and without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bioface.scores.faces import Rows
from bioface.scores.summary import summarise

Sample = Mapping[str, Any]

ITEMS: Mapping[str, Callable[[Sample], bool]] = {
    "scalp hair": lambda sample: sample["hair"]["strands"]["scalp"] > 0,
    "brows": lambda sample: sample["hair"]["strands"]["brows"] > 0,
    "beard": lambda sample: sample["hair"]["strands"]["beard"] > 0,
    "make-up": lambda sample: bool(sample["make_up"]["reflectance"]),
    "glasses": lambda sample: sample["glasses"]["shown"],
    "headwear": lambda sample: sample["headwear"]["kind"] != "none",
    "clothes": lambda sample: sample["clothes"]["kind"] != "none",
}
"""What a sample's JSON (DESIGN, Sample) tells of what covers its skin."""


def by_worn(
    worn: Rows, bare: Rows, dressed: Sequence[Sample], undressed: Sequence[Sample]
) -> dict[str, dict[str, Any]]:
    """Figures of those who show an item, beside those of the same people with bare skin.

    Parameters
    ----------
    worn, bare
        Faces of the two sets, whose `identity` ends in the position of the sample.
    dressed, undressed
        JSON of the samples of either set.

    Returns
    -------
    Item to `worn` and `bare`: figures of `bioface.scores.summary.summarise`, without groups.
    Empty where the sets do not show the same heads; items that nobody shows are left out.
    """
    both = range(min(len(dressed), len(undressed)))
    same = [k for k in both if dressed[k].get("identity") == undressed[k].get("identity")]
    found = {}
    for item, shows in ITEMS.items():
        people = [k for k in same if _told(dressed[k]) and shows(dressed[k])]
        rows = [of.where(np.isin(_positions(of), people)) for of in (worn, bare)]
        if all(map(len, rows)):
            pair = (summarise(part) for part in rows)
            found[item] = {
                name: {k: v for k, v in figures.items() if k != "groups"}
                for name, figures in zip(("worn", "bare"), pair, strict=True)
            }
    return found


def _told(sample: Sample) -> bool:
    return {"hair", "make_up", "glasses", "headwear", "clothes"} <= sample.keys()


def _positions(rows: Rows) -> np.ndarray:
    return np.array([int(name.rsplit(":", 1)[1]) for name in rows.identity])
