"""Spectacle frames fitted to a head: a deterministic builder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.heads.parts import Patch
from synth.heads.shapes import fan, join, tube
from synth.scene import REGIONS, HeadMesh

_EYE_DISTANCE = 6.3
_RIM_POINTS = 40
_TEMPLE_POINTS = 14
_EARS = (REGIONS.index("ear_left"), REGIONS.index("ear_right"))

SHAPES = ("round", "rectangular", "panto", "aviator")
"""Outlines of the lenses."""


@dataclass(frozen=True)
class GlassesShape:
    """Measures of a frame in cm on a head of average size.

    Attributes
    ----------
    outline
        One of `SHAPES`.
    width, height
        Half extent of a lens.
    rim
        Half thickness of the rim, seen from the front.
    drop
        How far the lenses' centres lie below the pupils.
    wrap
        How strongly the front bends around the face, 1/cm.
    """

    outline: str
    width: float
    height: float
    rim: float
    drop: float = 0.2
    wrap: float = 0.012


def build_glasses(head: HeadMesh, shape: GlassesShape) -> tuple[Patch, Patch]:
    """The frame (rims, bridge and temples) and the lenses, fitted to the posed `head`.

    The front stands clear of brows, lashes and nose; the temples run along the sides of the head
    and bend down behind the ears (from the jaw landmarks where a mesh labels no ears).
    """
    marks = head.vertices[head.landmarks].astype(np.float64)
    eyes = marks[36:42].mean(0), marks[42:48].mean(0)
    unit = float(np.linalg.norm(eyes[1] - eyes[0])) / _EYE_DISTANCE
    middle = (eyes[0] + eyes[1]) / 2
    points = head.vertices.astype(np.float64)
    outlines = [_outline(shape, side, unit) + eye for side, eye in zip((-1, 1), eyes, strict=True)]
    front = _front(points, np.concatenate(outlines), middle[0], shape.wrap / unit, unit)

    def place(flat: np.ndarray) -> np.ndarray:
        depth = front - shape.wrap / unit * (flat[:, 0] - middle[0]) ** 2
        lean = 0.12 * (flat[:, 1] - middle[1])
        return np.stack([flat[:, 0], flat[:, 1], depth + np.minimum(lean, 0.0)], -1)

    rims = [place(outline) for outline in outlines]
    deep = (shape.rim * unit, max(shape.rim, 0.1) * unit)
    forward, outward = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
    frame = [tube(rim, forward, deep, closed=True) for rim in rims]
    frame.append(tube(_bridge(rims, middle, unit), forward, deep))
    sides = _side_points(points, head)
    for side, rim in zip((-1, 1), rims, strict=True):
        temple = _temple(head, marks, rim, sides, side, unit)
        frame.append(tube(temple, outward, (max(shape.rim, 0.13) * unit, 0.08 * unit)))
    panes = [fan(rim, rim.mean(0) + np.array([0.0, 0.0, 0.12 * unit])) for rim in rims]
    return join(frame), join(panes)


def _outline(shape: GlassesShape, side: int, unit: float) -> np.ndarray:
    """(K, 3) around the pupil, z = 0; counter-clockwise from the outer end for the left lens."""
    turn = 2 * np.pi * np.arange(_RIM_POINTS) / _RIM_POINTS
    power = {"round": 1.0, "rectangular": 0.5, "panto": 0.85, "aviator": 0.8}[shape.outline]
    x, y = (np.sign(f) * np.abs(f) ** power for f in (np.cos(turn), np.sin(turn)))
    if shape.outline == "panto":
        x = x * (1 + 0.08 * y)
    if shape.outline == "aviator":
        y = np.where(y < 0, y * (1.15 + 0.15 * x), 0.85 * y)
        x = x * (1 + 0.12 * y)
    scale = np.array([side * shape.width, shape.height, 0.0]) * unit
    return np.stack([x, y, 0 * x], -1) * scale - np.array([0.0, shape.drop * unit, 0.0])


def _front(points: np.ndarray, rims: np.ndarray, middle: float, wrap: float, unit: float) -> float:
    """Depth z of the frame's middle so that every rim point clears the head."""
    ahead = points[points[:, 2] > rims[:, 2].min() - 3 * unit]
    behind = _near(rims[:, :2], ahead[:, :2], 0.45 * unit)
    height = np.where(behind, ahead[:, 2], -np.inf).max(1)
    bent = height + wrap * (rims[:, 0] - middle) ** 2
    # The pads hold the frame on the nose: the inner ends may come as close as its side allows.
    return float(np.percentile(bent[np.isfinite(bent)], 92)) + 0.3 * unit


def _near(places: np.ndarray, points: np.ndarray, reach: float) -> np.ndarray:
    """(K, N) whether `points` (N, 2) lie within the squares of half side `reach` at (K, 2)."""
    first, second = (np.abs(places[:, k, None] - points[:, k]) < reach for k in (0, 1))
    return first & second


def _bridge(rims: list[np.ndarray], middle: np.ndarray, unit: float) -> np.ndarray:
    ends = []
    for rim in rims:
        inner = np.abs(rim[:, 0] - middle[0])
        high = rim[:, 1] > rim[:, 1].mean() + 0.15 * unit
        ends.append(rim[np.argmin(np.where(high, inner, np.inf))])
    t = np.linspace(0, 1, 9)[:, None]
    arch = np.array([0.0, 0.25, 0.35]) * unit
    return ends[0] + (ends[1] - ends[0]) * t + 4 * t * (1 - t) * arch


def _side_points(points: np.ndarray, head: HeadMesh) -> np.ndarray:
    """Vertices of the head without its ears."""
    ears = np.isin(head.region, _EARS)
    listed = head.faces[ears]
    keep = np.ones(len(points), bool)
    keep[listed[listed >= 0]] = False
    return points[keep]


def _temple(
    head: HeadMesh,
    marks: np.ndarray,
    rim: np.ndarray,
    surface: np.ndarray,
    side: int,
    unit: float,
) -> np.ndarray:
    hinge = rim[np.argmax(side * rim[:, 0] + 0.5 * rim[:, 1])]
    ear = _ear_root(head, marks, side, unit)
    t = np.linspace(0, 1, _TEMPLE_POINTS)[:, None]
    path = hinge + (ear - hinge) * t
    tip = ear + np.array([-0.3 * side, -2.4, -1.4]) * unit
    path = np.concatenate([path, ear + (tip - ear) * np.linspace(0, 1, 6)[1:, None] ** 1.2])
    surface = surface[side * surface[:, 0] > 0]
    beside = _near(path[:, 1:], surface[:, 1:], 0.5 * unit)
    clear = np.where(beside, side * surface[:, 0], -np.inf).max(1, initial=-np.inf) + 0.12 * unit
    out = np.maximum(side * path[:, 0], np.where(np.isfinite(clear), clear, -np.inf))
    out[:3] = np.maximum(out[:3], side * hinge[0] + 0.15 * unit * np.arange(3))
    smooth = np.convolve(np.pad(out, 1, "edge"), [0.25, 0.5, 0.25], "valid")
    path[:, 0] = side * np.maximum(smooth, out)
    return path


def _ear_root(head: HeadMesh, marks: np.ndarray, side: int, unit: float) -> np.ndarray:
    """Where the temple rests: the top of the ear's root, (3,)."""
    index = head.faces[head.region == _EARS[0 if side > 0 else 1]]
    if not index.size:
        return marks[16 if side > 0 else 0] + np.array([0.2 * side, 0.6, -2.0]) * unit
    ear = head.vertices[index[index >= 0]].astype(np.float64)
    low, high = ear.min(0), ear.max(0)
    root = low[0] if side > 0 else high[0]
    return np.array([root + 0.4 * side * unit, high[1] - 0.9 * unit, 0.5 * low[2] + 0.5 * high[2]])
