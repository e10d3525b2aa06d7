"""The bare head of the procedural provider: a closed surface lofted through cross-sections.

A section is the contour of the head at one height: it passes through a point on the front
midline, the widest point at the side and a point on the back midline, and need not be level (the
contour of the jaw climbs from chin to ear). Sizes follow adult averages (Farkas, "Anthropometry of
the Head and Face", 1994): head 22.5 cm high, 19 long, 15.2 wide; face 13.5 wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COLUMNS = 136
"""Grid columns around the head, dense in front; the seam is at the back."""

POCKET = 6
"""Rows folded inwards between the lips."""

# Rows up to the next section; front (y, z); side (x, y, z); back (y, z); squareness front, back.
_SECTIONS = (
    ("crown", 8, (13.95, -0.7), (0.30, 13.95, -1.0), (13.95, -1.3), 2.0, 2.0),
    ("vertex", 6, (13.3, 3.0), (3.6, 13.3, -1.0), (13.3, -4.4), 2.0, 2.0),
    ("bregma", 8, (12.0, 6.2), (6.1, 11.3, -1.0), (11.4, -7.7), 2.0, 2.0),
    ("hairline", 7, (9.9, 8.3), (7.1, 8.7, -1.0), (8.8, -9.3), 2.1, 2.05),
    ("forehead", 12, (7.6, 9.25), (7.5, 6.7, -0.9), (6.2, -9.7), 2.25, 2.05),
    ("brow", 15, (4.9, 9.6), (7.4, 4.7, -0.5), (3.4, -9.4), 2.4, 2.05),
    ("eye", 15, (3.0, 9.45), (7.3, 3.0, -0.2), (1.4, -8.8), 2.4, 2.05),
    ("bridge", 14, (0.8, 9.4), (7.2, 1.1, 0.1), (-0.4, -8.0), 2.3, 2.05),
    ("subnasale", 16, (-1.3, 9.5), (6.95, -0.6, 0.4), (-2.2, -7.3), 2.2, 2.05),
    ("mouth", 13, (-3.4, 9.5), (6.55, -2.3, 0.7), (-4.0, -6.8), 2.05, 2.05),
    ("mentolabial", 11, (-5.2, 9.3), (6.1, -3.8, 0.9), (-5.6, -6.5), 1.95, 2.05),
    ("pogonion", 9, (-6.9, 9.5), (5.5, -5.0, 0.9), (-7.0, -6.3), 1.85, 2.05),
    ("menton", 7, (-8.2, 8.7), (4.95, -6.0, 0.4), (-8.4, -6.2), 1.85, 2.05),
    ("submental", 6, (-8.75, 6.4), (4.75, -7.2, -0.5), (-9.8, -6.1), 1.95, 2.05),
    ("throat", 5, (-9.9, 4.2), (4.85, -9.0, -1.2), (-11.2, -6.1), 2.0, 2.05),
    ("neck", 5, (-12.6, 3.3), (5.1, -11.8, -1.6), (-13.0, -6.4), 2.0, 2.05),
    ("base", 4, (-15.6, 3.8), (6.3, -14.8, -1.9), (-15.4, -7.0), 2.0, 2.1),
    ("shoulder", 0, (-18.0, 5.2), (10.5, -17.0, -2.0), (-17.4, -7.4), 2.0, 2.2),
)
_NAMES = tuple(section[0] for section in _SECTIONS)
_START = np.cumsum([0, *(section[1] for section in _SECTIONS[:-1])])

# The rows of the pocket lie this far apart, in rows, before the lips place them.
_POCKET_STEP = 0.2
_FINE = 0.05
_BLUR = 0.55

ROWS = int(_START[-1]) + 1 + POCKET
"""Grid rows from crown to shoulders."""


def row_of(section: str) -> int:
    """The grid row of a named section; `mouth` is the line of the upper lip.

    The pocket follows `mouth`, and the line of the lower lip is `POCKET` rows below it.
    """
    row = int(_START[_NAMES.index(section)])
    return row + POCKET * (_NAMES.index(section) > _NAMES.index("mouth"))


@dataclass(frozen=True)
class Shape:
    """Scale factors and offsets (cm) of the loft; the defaults make the mean head."""

    width: float = 1.0
    length: float = 1.0
    vault: float = 0.0
    face_height: float = 1.0
    jaw_width: float = 0.0
    jaw_angle: float = 0.0
    chin_height: float = 0.0
    chin_forward: float = 0.0
    neck: float = 1.0
    forehead_slope: float = 0.0


def loft(shape: Shape) -> np.ndarray:
    """Positions (ROWS, COLUMNS, 3) cm; column COLUMNS // 2 is the front midline.

    Column 0 is the back midline; columns run from the subject's right over the front to the left.
    """
    table = np.array([[*s[2], *s[3], *s[4], s[5], s[6]] for s in _SECTIONS])
    _apply(table, shape)
    profile = _along(table, _row_positions())
    front_y, front_z, width, side_y, side_z, back_y, back_z, front_n, back_n = profile.T[..., None]
    angle = column_angles()
    sine, cosine = np.abs(np.sin(angle)), np.abs(np.cos(angle))
    front = np.abs(angle) <= np.pi / 2
    depth = np.where(front, front_z - side_z, side_z - back_z)
    power = np.where(front, front_n, back_n)
    radius = ((sine / width) ** power + (cosine / depth) ** power) ** (-1 / power)
    end_y = np.where(front, front_y, back_y)
    climb = np.where(front, sine**2 * (1 - 0.35 * cosine), sine**2)
    y = end_y + (side_y - end_y) * climb
    x = radius * np.sin(angle)
    z = side_z + radius * np.cos(angle)
    return np.stack([x, y, z], -1)


def column_angles() -> np.ndarray:
    """(COLUMNS,) radians around the head, -pi at the back over 0 in front."""
    share = np.arange(COLUMNS) / (COLUMNS // 2) - 1
    return np.pi * (0.32 * share + 0.68 * share**3)


def _apply(table: np.ndarray, shape: Shape) -> None:
    """Change the section table in place."""
    index = {name: i for i, name in enumerate(_NAMES)}
    table[:, 2] *= shape.width
    middle = table[:, 4:5].copy()
    skull = slice(0, index["menton"])
    for column in (1, 6):
        table[skull, column] += (table[skull, column] - middle[skull, 0]) * (shape.length - 1)
    top = slice(0, index["forehead"])
    lift = np.linspace(1.0, 0.2, index["forehead"]) * shape.vault
    for column in (0, 3, 5):
        table[top, column] += lift
    table[index["hairline"], 1] -= 0.6 * shape.forehead_slope
    table[index["bregma"], 1] -= 0.5 * shape.forehead_slope
    table[index["forehead"], 1] -= 0.25 * shape.forehead_slope
    eye = index["eye"]
    lower = slice(eye, None)
    for column in (0, 3, 5):
        table[lower, column] = 3.0 + (table[lower, column] - 3.0) * shape.face_height
    for name, share in (
        ("subnasale", 0.2),
        ("mouth", 0.5),
        ("mentolabial", 0.8),
        ("pogonion", 1.0),
        ("menton", 1.0),
        ("submental", 0.6),
    ):
        table[index[name], 2] += share * shape.jaw_width
        table[index[name], 3] -= share * shape.jaw_angle
    for name, share in (("mentolabial", 0.25), ("pogonion", 0.8), ("menton", 1.0)):
        table[index[name], 0] -= share * shape.chin_height
        table[index[name], 1] += share * shape.chin_forward
    table[index["submental"], 0] -= 0.7 * shape.chin_height
    for name in ("throat", "neck", "base"):
        table[index[name], 2] *= shape.neck


def monotone(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Monotone cubic interpolation (Fritsch and Carlson 1980) through (x, y)."""
    step = np.diff(x)
    slope = np.diff(y) / step
    inner = np.zeros(len(slope) - 1)
    same = slope[:-1] * slope[1:] > 0
    left, right = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
    inner[same] = (left + right)[same] / (
        left[same] / slope[:-1][same] + right[same] / slope[1:][same]
    )
    tangent = np.concatenate([slope[:1], inner, slope[-1:]])
    k = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(step) - 1)
    t = (at - x[k]) / step[k]
    return (
        (1 + 2 * t) * (1 - t) ** 2 * y[k]
        + t * (1 - t) ** 2 * step[k] * tangent[k]
        + t**2 * (3 - 2 * t) * y[k + 1]
        + t**2 * (t - 1) * step[k] * tangent[k + 1]
    )


def _row_positions() -> np.ndarray:
    """(ROWS,) where rows lie, in rows of a grid without the pocket."""
    mouth = int(_START[_NAMES.index("mouth")])
    rows = np.arange(ROWS, dtype=np.float64)
    pocket = np.clip(rows - mouth, 0, POCKET)
    position = rows - pocket + _POCKET_STEP * pocket
    below = np.maximum(position - mouth, 0)
    last = ROWS - 1 - POCKET - mouth
    shift = _POCKET_STEP * POCKET
    return np.where(
        position > mouth + shift, mouth + shift + (below - shift) * (last - shift) / last, position
    )


def _along(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Section parameters (len(rows), 9) at fractional rows, blurred along the profile."""
    step = np.linalg.norm(np.diff(table[:, :2], axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(step)])
    fine = np.arange(0.0, length[-1], _FINE)
    radius = int(4 * _BLUR / _FINE)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) * _FINE / _BLUR) ** 2)
    kernel /= kernel.sum()
    at = monotone(_START, length, rows)
    out = []
    for k, column in enumerate(table.T):
        values = monotone(length, column, fine)
        top = values[radius:0:-1]
        if k == 2:
            top = 2 * values[0] - top
        bottom = 2 * values[-1] - values[-2 : -radius - 2 : -1]
        padded = np.concatenate([top, values, bottom])
        out.append(np.interp(at, fine, np.convolve(padded, kernel, mode="valid")))
    return np.stack(out, 1)
