"""What measured skin says of moving the constants of the calibrated skin model.

Around the calibrated values the objective of `scripts/calibrate_skin`, each spectrum refitted and
the specular offset held, grows as a quadratic form of the departures d:

    cost(d) = d^T P d + sum_k (d_k / s_k)^2 / 4.

P is large along directions in which measured spectra would be fitted worse, and nearly 0 along
those that only change what the pigments mean; the second term, with the spreads s of the
calibration's own prior, holds the latter. A cost of 0.1 raises the median CIEDE2000 of measured
spectra, 1.38, by 0.1 at most, a cost of 3 along the worst directions by 1.
`scripts/derive_skin_prior` writes the table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.spectral.backend import Array, like
from bioface.spectral.tables import DATA

MEANING = 0.25
"""Weight of the squared departure in spreads."""


@dataclass(frozen=True)
class SkinPrior:
    """The quadratic form of one skin model.

    Attributes
    ----------
    names
        Constants, in the order of the rest.
    precision
        (K, K) P, per squared unit of the constants.
    spread
        (K,) s, in the units of the constants.
    """

    names: tuple[str, ...]
    precision: np.ndarray
    spread: np.ndarray

    @staticmethod
    def load(skin: str = "calibrated") -> SkinPrior:
        """That of the skin model called `skin`; `InputError` if it has none."""
        table = _table()
        if skin not in table:
            raise InputError(f"skin model {skin!r} has no prior; use one of {', '.join(table)}")
        entry = table[skin]
        return SkinPrior(
            tuple(entry["names"]), np.array(entry["precision"]), np.array(entry["spread"])
        )

    def cost(self, names: tuple[str, ...], departures: Any) -> Array:
        """Cost (0-d) of departures (K,) of the constants called `names`, others at rest.

        Raises
        ------
        InputError
            A name the prior does not know.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise InputError(f"the prior of skin knows no constant {unknown[0]!r}")
        index = [self.names.index(name) for name in names]
        total = self.precision[np.ix_(index, index)] + np.diag(MEANING / self.spread[index] ** 2)
        return departures @ (like(departures, total) @ departures)


@cache
def _table() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DATA / "skin_prior.json").read_text(encoding="utf-8"))
    models: dict[str, Any] = content["models"]
    return models
