"""Volume fractions and the unit u in which networks and scores count them (DESIGN, Unit u)."""

from __future__ import annotations

from typing import Any

MELANIN_RANGE = (0.03, 0.45)
"""Volume fraction of melanosomes in the epidermis at u = 0 and u = 1."""

HAEMOGLOBIN_RANGE = (0.002, 0.06)
"""Volume fraction of blood in the dermis at u = 0 and u = 1."""

UNIT_RANGE = (-0.25, 1.25)
"""Range of u in which pigments are read: 0.8-68 % melanosomes, 0.02-9.6 % blood."""


def to_unit(fraction: Any, bounds: tuple[float, float]) -> Any:
    """Volume fraction (>= 0, any array) to u: cube-root spacing, 0 and 1 at `bounds`, unclipped."""
    lo, hi = bounds[0] ** (1 / 3), bounds[1] ** (1 / 3)
    return (fraction ** (1 / 3) - lo) / (hi - lo)


def from_unit(u: Any, bounds: tuple[float, float]) -> Any:
    """The inverse of `to_unit`, for u above the value at which the fraction is 0."""
    lo, hi = bounds[0] ** (1 / 3), bounds[1] ** (1 / 3)
    return (lo + u * (hi - lo)) ** 3


def unit_slope(fraction: Any, bounds: tuple[float, float]) -> Any:
    """Growth of a volume fraction per u there: turns small errors of u into its own."""
    lo, hi = bounds[0] ** (1 / 3), bounds[1] ** (1 / 3)
    return 3 * (hi - lo) * fraction ** (2 / 3)
