"""Expressions of the procedural head, as displacements of its sculpted surface."""

from __future__ import annotations

import numpy as np

from synth.heads.features import LIP_LINE, MOUTH_HALF, Domain, Expression, bell
from synth.heads.loft import POCKET, row_of

_HINGE = np.array([0.0, 0.6, 0.6])
_JAW_DEGREES = 11.0


def animate(vertices: np.ndarray, domain: Domain | None, expression: Expression) -> np.ndarray:
    """Move the surface (ROWS, COLUMNS, 3) by `expression`; lids move when they are sculpted.

    Without a domain the vertices (N, 3) are part of the lower jaw and only turn with it.
    """
    if domain is None:
        return vertices + _jaw(vertices, expression.jaw_open)
    out = vertices + _jaw(vertices, expression.jaw_open) * _jaw_weight(domain)[..., None]
    side = np.sign(domain.x)
    corner = bell(domain, MOUTH_HALF, LIP_LINE, 1.5, 1.3)
    cheek = bell(domain, 3.6, -0.6, 1.5, 1.4)
    out[..., 0] += expression.smile * side * (0.5 * corner + 0.12 * cheek)
    out[..., 1] += expression.smile * (0.38 * corner + 0.28 * cheek)
    out[..., 2] += expression.smile * (0.24 * cheek - 0.28 * corner)
    lips = bell(domain, 0.0, LIP_LINE, 1.6, 1.2)
    out[..., 0] -= expression.pucker * 0.28 * domain.x * bell(domain, 0.0, LIP_LINE, 3.2, 1.4)
    out[..., 2] += expression.pucker * 0.55 * lips
    brow = bell(domain, 3.0, 5.3, 2.2, 1.1)
    out[..., 1] += expression.brow_raise * 0.5 * brow
    inner = bell(domain, 1.5, 5.1, 1.3, 0.9)
    out[..., 1] -= expression.brow_lower * (0.32 * inner + 0.15 * brow)
    out[..., 0] -= expression.brow_lower * 0.2 * side * np.minimum(np.abs(domain.x), 1.0) * inner
    out[..., 2] += expression.brow_lower * 0.08 * inner
    return out


def _jaw(vertices: np.ndarray, amount: float) -> np.ndarray:
    """Displacement by the jaw's turn about the axis through both joints."""
    angle = np.radians(_JAW_DEGREES) * amount
    y, z = vertices[..., 1] - _HINGE[1], vertices[..., 2] - _HINGE[2]
    out = np.zeros_like(vertices)
    out[..., 1] = y * np.cos(angle) - z * np.sin(angle) - y
    out[..., 2] = y * np.sin(angle) + z * np.cos(angle) - z
    return out


def _jaw_weight(domain: Domain) -> np.ndarray:
    """How much every grid vertex moves with the jaw, 0-1."""
    upper, lower = row_of("mouth"), row_of("mouth") + POCKET
    x = np.abs(domain.x)
    span = np.clip(1 - (x / MOUTH_HALF) ** 2, 0, 1)
    ramp = np.clip((LIP_LINE + 1.0 - domain.y) / 2.6, 0, 1)
    cheek = ramp * ramp * (3 - 2 * ramp)
    share = np.clip((domain.row - upper) / (lower - upper), 0, 1)
    mix = np.clip(span * 1.6, 0, 1) * np.exp(-(((domain.y - LIP_LINE) / 1.6) ** 4))
    weight = cheek + (share - cheek) * mix
    neck = np.clip((domain.row - row_of("menton")) / (row_of("throat") - row_of("menton")), 0, 1)
    return weight * (1 - neck) * np.clip(domain.front * 1.2, 0, 1)
