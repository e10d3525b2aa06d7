"""Facial features of the procedural head: displacements of the bare head, in cm.

Every feature is a function of `Domain`, where a grid vertex lies on the mean bare head, so that a
vertex keeps its place on the face whatever the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.heads.loft import COLUMNS, POCKET, ROWS, Shape, column_angles, loft, monotone, row_of

EYE = np.array([3.15, 3.0, 7.25])
"""Centre of the left eyeball on the mean head; the right one is its mirror image."""
EYE_RADIUS = 1.5
LID_THICKNESS = 0.11
MOUTH_HALF = 2.5
LIP_LINE = -3.45

_CANTHI = ((1.72, 2.84), (4.52, 3.08))
_LID_ROWS = (3.32, 2.72)


@dataclass(frozen=True)
class Features:
    """Offsets from the mean features: 0 is the mean, about -1 to 1 the plausible range."""

    nose_length: float = 0.0
    nose_height: float = 0.0
    nose_width: float = 0.0
    nose_bridge: float = 0.0
    nose_tip: float = 0.0
    lip_upper: float = 0.0
    lip_lower: float = 0.0
    mouth_width: float = 0.0
    mouth_forward: float = 0.0
    eye_spacing: float = 0.0
    eye_depth: float = 0.0
    eye_open: float = 0.0
    eye_tilt: float = 0.0
    brow_ridge: float = 0.0
    cheekbone: float = 0.0
    cheek_fat: float = 0.0
    chin_boss: float = 0.0


@dataclass(frozen=True)
class Expression:
    """Weights 0-1 of the expressions; `look_left` and `look_up` are -1 to 1."""

    smile: float = 0.0
    jaw_open: float = 0.0
    pucker: float = 0.0
    brow_raise: float = 0.0
    brow_lower: float = 0.0
    blink: float = 0.0
    squint: float = 0.0
    look_left: float = 0.0
    look_up: float = 0.0


@dataclass(frozen=True)
class Domain:
    """Where every grid vertex (ROWS, COLUMNS) lies on the mean bare head, seen from the front.

    Attributes
    ----------
    x, y
        cm; the edges of the eyelids lie on two grid rows.
    front
        1 on the front of the head fading to 0 at its sides.
    opening
        True inside the opening of the eyelids.
    row
        Row number (ROWS, 1).
    lid_rows
        The rows of the edges of upper and lower lids.
    """

    x: np.ndarray
    y: np.ndarray
    front: np.ndarray
    opening: np.ndarray
    row: np.ndarray
    lid_rows: tuple[int, int]


def make_domain() -> tuple[Domain, np.ndarray]:
    """The domain and, (ROWS, COLUMNS, 3), the mean bare head with the lids' edges on grid rows."""
    base = loft(Shape())
    angle = np.broadcast_to(np.abs(column_angles()), (ROWS, COLUMNS))
    front = np.clip((np.radians(86) - angle) / np.radians(14), 0, 1)
    x, y = _canthi_on_columns(base[..., 0]), base[..., 1].copy()
    column = int(np.abs(x[row_of("eye")] - EYE[0]).argmin())
    top, bottom = (int(np.abs(y[:, column] - height).argmin()) for height in _LID_ROWS)
    row = np.arange(ROWS)[:, None]
    share = eye_share(x)
    upper, lower = lid_curves(share)
    beyond = np.maximum(-share, share - 1).clip(0) * (_CANTHI[1][0] - _CANTHI[0][0])
    reach = np.exp(-((beyond / 0.6) ** 2)) * (front > 0)
    between = np.clip((row - top) / (bottom - top), 0, 1)
    anchor = y[top] + between * (y[bottom] - y[top])
    target = upper[top] + between * (lower[bottom] - upper[top])
    away = np.where((row >= top) & (row <= bottom), 0, y - np.where(row < top, y[top], y[bottom]))
    y += (target - anchor) * np.exp(-((away / 1.1) ** 2)) * reach
    opening = (row > top) & (row < bottom) & (share > 0.01) & (share < 0.99) & (front > 0)
    base[..., 0], base[..., 1] = x, y
    return Domain(x, y, front, opening, row, (top, bottom)), base


def _canthi_on_columns(x: np.ndarray) -> np.ndarray:
    """Shift grid columns slightly so that one meets each corner of the eyes."""
    out = x.copy()
    line = x[row_of("eye")]
    for canthus in (_CANTHI[0][0], _CANTHI[1][0]):
        for side in (-1, 1):
            nearest = int(np.abs(line - side * canthus).argmin())
            shift = side * canthus - line[nearest]
            out = out + shift * np.exp(-(((x - side * canthus) / 0.5) ** 2))
    return out


def lid_curves(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights of the edges of upper and lower lid at shares 0-1 of the way to the outer canthus."""
    share = np.clip(share, 0, 1)
    line = _CANTHI[0][1] + share * (_CANTHI[1][1] - _CANTHI[0][1])
    upper = line + 0.53 * np.sin(np.pi * share**0.88) ** 0.8
    return upper, line - 0.36 * np.sin(np.pi * share**1.2) ** 0.9


def eye_share(x: np.ndarray) -> np.ndarray:
    """Share of the way from inner to outer canthus at |x|."""
    return (np.abs(x) - _CANTHI[0][0]) / (_CANTHI[1][0] - _CANTHI[0][0])


def sculpt(
    base: np.ndarray,
    domain: Domain,
    features: Features,
    expression: Expression,
    eyes_forward: float = 0.0,
) -> np.ndarray:
    """The bare head (ROWS, COLUMNS, 3) with its face, its eyes `eyes_forward` cm before `EYE`."""
    out = base.copy()
    _soft_tissue(out, domain, features)
    _lids(out, domain, features, expression, EYE[2] + eyes_forward)
    _nose(out, domain, features)
    _mouth(out, domain, features)
    return out


def bell(domain: Domain, x: float, y: float, across: float, along: float) -> np.ndarray:
    """Bells of height 1 and widths `across`, `along` cm at (x, y) and its mirror image."""
    height = ((domain.y - y) / along) ** 2
    sides = [np.exp(-(((domain.x - s) / across) ** 2) - height) for s in {x, -x}]
    return domain.front * np.sum(sides, 0)


def smooth_max(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Polynomial smooth maximum: differs from max where |a - b| < blend."""
    h = np.clip(0.5 + 0.5 * (a - b) / blend, 0, 1)
    return b + (a - b) * h + blend * h * (1 - h)


def _soft_tissue(out: np.ndarray, domain: Domain, p: Features) -> None:
    z = out[..., 2]
    z += (0.34 + 0.22 * p.brow_ridge) * bell(domain, 2.8, 5.0, 2.0, 0.65)
    z += (0.16 + 0.15 * p.brow_ridge) * bell(domain, 0.0, 4.75, 1.0, 0.8)
    z -= 1.15 * bell(domain, 2.85, 3.1, 1.75, 1.0)
    z -= 0.45 * bell(domain, 1.35, 3.25, 0.6, 0.8)
    z += (0.40 + 0.30 * p.cheekbone) * bell(domain, 4.5, 1.0, 1.5, 1.0)
    z += (0.35 + 0.35 * p.cheek_fat) * bell(domain, 3.3, -0.5, 1.7, 1.5)
    z -= (0.30 - 0.45 * p.cheek_fat) * bell(domain, 4.9, -2.8, 1.3, 1.6)
    z += (0.75 + 0.25 * p.mouth_forward) * bell(domain, 0.0, -3.3, 2.5, 1.9)
    z -= 0.32 * bell(domain, 0.0, -5.15, 1.6, 0.5)
    z += (0.55 + 0.35 * p.chin_boss) * bell(domain, 0.0, -6.9, 1.4, 1.0)
    side = np.sign(domain.x)
    out[..., 0] += side * (0.25 + 0.25 * p.cheekbone) * bell(domain, 5.6, 1.0, 1.4, 1.2)
    out[..., 0] -= side * 0.25 * bell(domain, 6.4, 5.4, 1.4, 1.8)
    out[..., 0] += side * 0.35 * p.cheek_fat * bell(domain, 5.0, -2.8, 1.6, 1.9)
    z -= 0.13 * domain.front * np.exp(-((_fold_distance(domain) / 0.32) ** 2))


def _fold_distance(domain: Domain) -> np.ndarray:
    start, end = np.array([1.85, -0.7]), np.array([3.25, -4.1])
    point = np.stack([np.abs(domain.x), domain.y], -1)
    along = np.clip((point - start) @ (end - start) / ((end - start) ** 2).sum(), 0, 1)
    return np.linalg.norm(point - start - along[..., None] * (end - start), axis=-1)


def _lids(
    out: np.ndarray, domain: Domain, p: Features, expression: Expression, depth: float
) -> None:
    """Skin drawn over the eyeballs, open between the lids."""
    closing = _lid_motion(domain, expression)
    out[..., 1] += closing
    flat = np.hypot(np.abs(domain.x) - EYE[0], domain.y + closing - EYE[1])
    ball = EYE_RADIUS + LID_THICKNESS
    lid = depth + np.sqrt(np.maximum(ball**2 - np.minimum(flat, 0.98 * ball) ** 2, 0))
    lid -= 4.0 * np.maximum(flat - 0.98 * ball, 0)
    near = flat < 2.6
    z = out[..., 2]
    covered = smooth_max(lid, z, 0.35)
    upper, _ = lid_curves(eye_share(domain.x))
    fold = np.exp(-(((domain.y - upper - 0.36) / 0.13) ** 2)) * (flat < 1.7)
    covered = covered - 0.07 * fold
    bag = np.exp(-((((domain.y - EYE[1]) + 1.05) / 0.2) ** 2) - ((flat - 1.05) / 0.7) ** 2)
    covered = covered - 0.05 * bag
    behind = depth + np.sqrt(np.maximum((EYE_RADIUS - 0.3) ** 2 - flat**2, 0)) - 0.1
    z[...] = np.where(near & (domain.front > 0), covered, z)
    z[...] = np.where(domain.opening, np.minimum(behind, z - 0.25), z)
    weight = eye_weight(domain)
    out[..., 0] += 0.22 * p.eye_spacing * np.sign(domain.x) * weight
    z += 0.18 * p.eye_depth * weight
    tilt = np.clip((np.abs(domain.x) - EYE[0]) / 1.4, -1, 1)
    out[..., 1] += 0.12 * p.eye_tilt * tilt * weight
    lid_side = np.where(domain.y > EYE[1], 1.0, -0.4) * np.exp(-((flat / 1.3) ** 4))
    inside = np.clip(np.sin(np.pi * np.clip(eye_share(domain.x), 0, 1)), 0, 1)
    out[..., 1] += 0.09 * p.eye_open * lid_side * inside * domain.front


def eye_weight(domain: Domain) -> np.ndarray:
    """1 around the eyeballs, where the skin moves with them, fading to 0 beside the sockets."""
    flat = np.hypot(np.abs(domain.x) - EYE[0], domain.y - EYE[1])
    fade = np.clip((2.9 - flat) / 1.2, 0, 1)
    return fade * fade * (3 - 2 * fade) * domain.front


def _lid_motion(domain: Domain, expression: Expression) -> np.ndarray:
    """Vertical motion (ROWS, COLUMNS) cm of the lids when blinking or squinting."""
    upper, lower = lid_curves(eye_share(domain.x))
    opened = np.where((eye_share(domain.x) > 0) & (eye_share(domain.x) < 1), upper - lower, 0)
    top, bottom = domain.lid_rows
    above = np.exp(-((np.maximum(domain.y - upper, 0) / 0.7) ** 2))
    below = np.exp(-((np.maximum(lower - domain.y, 0) / 0.7) ** 2))
    between = np.clip((domain.row - top) / (bottom - top), 0, 1)
    down = np.where(domain.row <= top, above, 1 - between) * (domain.row < bottom)
    up = np.where(domain.row >= bottom, below, between) * (domain.row > top)
    near = domain.front * (np.abs(np.abs(domain.x) - EYE[0]) < 2.0)
    blink = -0.98 * expression.blink * down
    squint = expression.squint * (0.3 * up - 0.15 * down)
    return opened * (blink + squint) * near


def _nose(out: np.ndarray, domain: Domain, p: Features) -> None:
    x, y = np.abs(domain.x), domain.y
    heights = np.array(
        [
            *((-1.85, 0.0), (-1.53, 0.18), (-1.3, 0.7), (-1.06, 1.5), (-0.78, 2.2), (-0.4, 2.42)),
            *((-0.02, 2.3), (0.55, 1.95), (1.3, 1.38), (2.2, 0.72), (3.0, 0.32), (3.7, 0.15)),
            (4.7, 0.0),
        ]
    )
    grown = 1 + 0.13 * p.nose_height
    bridge = 0.28 * p.nose_bridge * np.exp(-(((y - 1.7) / 1.2) ** 2))
    ridge = monotone(heights[:, 0], heights[:, 1], np.clip(y, -1.85, 4.7)) * grown
    ridge = ridge + bridge * (ridge > 0)
    widths = np.array(
        [
            *((-1.55, 0.55), (-1.05, 0.75), (-0.68, 0.98), (-0.2, 0.95), (0.4, 0.86), (1.1, 0.78)),
            *((2.0, 0.7), (3.0, 0.75)),
        ]
    )
    width = np.interp(y, *widths.T)
    section = 0.7 * np.exp(-((x / width) ** 2.4)) + 0.3 * np.exp(-((x / (1.9 * width)) ** 2))
    height = ridge * section
    tip = 0.84 + 0.10 * p.nose_tip
    ball = grown * 2.46 - 0.85 * ((x / tip) ** 2 + ((y + 0.45) / tip) ** 2)
    height = smooth_max(height, np.maximum(ball, -1.0), 0.5)
    wing = 1.32 * grown - 1.25 * (((x - 1.14) / 0.58) ** 2 + ((y + 0.7) / 0.64) ** 2)
    height = smooth_max(height, np.maximum(wing, -1.0), 0.28)
    nostril = np.exp(-(((x - 0.58) / 0.30) ** 2) - ((y + 1.19) / 0.21) ** 2)
    height = np.maximum(height - 0.9 * nostril, 0.0)
    fade = np.clip((2.6 - np.abs(domain.x)) / 0.6, 0, 1) * domain.front
    height = height * fade
    below = np.clip((1.0 - y) / 1.6, 0, 1)
    out[..., 2] += height
    out[..., 1] -= (0.14 - 0.05 * p.nose_tip) * height * below
    whole = np.exp(-((x / 2.1) ** 4)) * domain.front
    out[..., 1] -= 0.38 * p.nose_length * whole * np.exp(-(((y + 0.9) / 1.6) ** 2))
    out[..., 0] += 0.15 * p.nose_width * domain.x * whole * np.exp(-(((y + 0.8) / 1.6) ** 2))


def _mouth(out: np.ndarray, domain: Domain, p: Features) -> None:
    """Lips with their line on a grid row, and a pocket between them."""
    upper_row, lower_row = row_of("mouth"), row_of("mouth") + POCKET
    x = np.abs(domain.x)
    span = np.clip(1 - (x / MOUTH_HALF) ** 2, 0, 1) * domain.front
    line = LIP_LINE + 0.05 * np.exp(-((x / 0.9) ** 2)) - 0.04 * np.exp(-(((x - 1.2) / 0.7) ** 2))
    is_upper, is_lower = domain.row <= upper_row, domain.row >= lower_row
    anchor = np.where(is_upper, domain.y[upper_row], domain.y[lower_row])
    share = np.clip((domain.row - upper_row) / POCKET, 0, 1)
    anchor = np.where(is_upper | is_lower, anchor, domain.y)
    gap = 0.03 * (0.5 - share)
    reach = np.exp(-(((domain.y - anchor) / 1.4) ** 2))
    edge = np.clip(span * 6, 0, 1)
    out[..., 1] += (line + gap - anchor) * reach * edge
    y = domain.y - anchor
    top, bottom = lip_heights(x)
    up = np.clip(y / np.maximum(top, 1e-3), 0, 1)
    down = np.clip(-y / np.maximum(bottom, 1e-3), 0, 1)
    taper = np.sqrt(span)
    upper = (0.40 + 0.22 * p.lip_upper) * _lip_section(up) * is_upper * (up < 1)
    lower = (0.46 + 0.24 * p.lip_lower) * _lip_section(down) * is_lower * (down < 1)
    z = out[..., 2]
    z += taper * (upper + lower)
    crease = np.exp(-((y / 0.16) ** 2)) * (is_upper | is_lower) + ~(is_upper | is_lower)
    z -= 0.16 * crease * np.clip(span * 4, 0, 1)
    z -= 2.2 * np.sin(np.pi * share) ** 0.6 * span * ~(is_upper | is_lower)
    z -= 0.08 * bell(domain, MOUTH_HALF + 0.1, LIP_LINE, 0.45, 0.55)
    groove = np.exp(-((domain.x / 0.24) ** 2)) - 0.7 * np.exp(-(((x - 0.46) / 0.2) ** 2))
    z -= 0.10 * groove * np.exp(-(((domain.y + 2.1) / 0.5) ** 2)) * domain.front
    grow = np.exp(-(((domain.y - LIP_LINE) / 1.5) ** 2)) * np.exp(-((x / 3.6) ** 6))
    out[..., 0] += 0.11 * p.mouth_width * domain.x * grow * domain.front
    thick = p.lip_upper * is_upper * up * (1 - 0.6 * up) + p.lip_lower * is_lower * down * -0.4
    out[..., 1] += 0.25 * thick * taper


def lip_heights(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights of the vermilion above and below the lip line at |x|."""
    share = np.clip(np.abs(x) / MOUTH_HALF, 0, 1)
    bow = 0.15 * np.exp(-((x / 0.26) ** 2))
    return 0.80 * (1 - share**1.7) - bow * (share < 1), 0.98 * (1 - share**2.4)


def _lip_section(share: np.ndarray) -> np.ndarray:
    """Bulge of a lip from its line (share 0) to its border (share 1)."""
    return np.sqrt(np.maximum(share, 1e-9)) * (1 - share) ** 0.8 * 2.1
