"""Caps, beanies and headscarves fitted to a head: deterministic builders. Lengths in cm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.heads.parts import Patch
from synth.heads.shapes import join, polar_angle, sheet, unit_vectors
from synth.scene import REGIONS, HeadMesh

_EYE_DISTANCE = 6.3
_COLUMNS = 56
_REACH = np.cos(np.radians(10.0))  # a direction touches the vertices this near to it
_EARS = (REGIONS.index("ear_left"), REGIONS.index("ear_right"))

KINDS = ("cap", "beanie", "scarf")
"""What can be built."""


@dataclass(frozen=True)
class HeadwearShape:
    """Measures on a head of average size.

    Attributes
    ----------
    kind
        One of `KINDS`.
    edge
        Height of the front edge above the brows.
    slope
        Fall of the edge towards the back, cm per cm (not for a scarf).
    room
        Space between head and cloth at the crown.
    brim
        Length of a cap's brim.
    turn
        Degrees by which a cap's brim is turned to the side; 180 is worn backwards.
    """

    kind: str
    edge: float
    slope: float
    room: float
    brim: float = 6.5
    turn: float = 0.0


@dataclass(frozen=True)
class _Frame:
    """The plane of the lower edge: its centre and unit axes to the left, forwards and up."""

    centre: np.ndarray
    axes: np.ndarray
    unit: float

    def above(self, points: np.ndarray) -> np.ndarray:
        return (points - self.centre) @ self.axes[2]


def build_headwear(head: HeadMesh, shape: HeadwearShape) -> tuple[Patch, np.ndarray]:
    """The cloth on the posed `head` (without hair), and (V,) 0-1 which vertices it presses on."""
    marks = head.vertices[head.landmarks].astype(np.float64)
    points = head.vertices.astype(np.float64)
    eyes = marks[42:48].mean(0) - marks[36:42].mean(0)
    unit = float(np.linalg.norm(eyes)) / _EYE_DISTANCE
    frame = _edge_plane(marks, shape, unit)
    if shape.kind == "scarf":
        return _scarf(points, marks, shape, unit), np.ones(len(points))
    ears = np.isin(head.region, _EARS)
    listed = head.faces[ears]
    skull = np.ones(len(points), bool)
    skull[listed[listed >= 0]] = shape.kind == "beanie"
    pressed = np.clip(0.5 + frame.above(points) / (0.6 * unit), 0, 1)
    crown = _crown(points[skull & (frame.above(points) > -1.5 * unit)], shape, frame)
    pieces = [sheet(crown, closed=True)]
    if shape.kind == "cap":
        pieces.append(sheet(_brim(crown[1], shape, frame)))
    return join(pieces), pressed


def _edge_plane(marks: np.ndarray, shape: HeadwearShape, unit: float) -> _Frame:
    brow = marks[17:27].max(0)
    depth = marks[[0, 16], 2].mean() - 3.5 * unit
    middle = float(marks[27:31, 0].mean())
    height = brow[1] + shape.edge * unit + shape.slope * (depth - brow[2])
    forward = np.array([0.0, shape.slope, 1.0]) / np.hypot(1, shape.slope)
    left = np.array([1.0, 0.0, 0.0])
    return _Frame(
        np.array([middle, height, depth]), np.stack([left, forward, np.cross(forward, left)]), unit
    )


def _reach(points: np.ndarray, centre: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(rows, columns) how far the points extend from `centre` in directions (rows, columns, 3)."""
    offset = points - centre
    along = directions.reshape(-1, 3) @ offset.T
    near = along > _REACH * np.linalg.norm(offset, axis=1)
    reach = np.where(near, along, 0.0).max(1).reshape(directions.shape[:2])
    for _ in range(2):
        reach = (np.roll(reach, 1, 1) + 2 * reach + np.roll(reach, -1, 1)) / 4
        padded = np.pad(reach, ((1, 1), (0, 0)), "edge")
        reach = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return reach


def _crown(points: np.ndarray, shape: HeadwearShape, frame: _Frame) -> np.ndarray:
    """Rings (rows, columns, 3) from inside the lower edge to the top."""
    around = np.linspace(0, 2 * np.pi, _COLUMNS, endpoint=False)
    rise = np.radians([0, 0, 4, 8, 12, 15, 22, 30, 38, 46, 54, 62, 70, 78, 84, 89])[:, None]
    local = np.stack(
        [
            np.cos(rise) * np.sin(around),
            np.cos(rise) * np.cos(around),
            np.sin(rise) * np.ones_like(around),
        ],
        -1,
    )
    directions = local @ frame.axes
    reach = _reach(points, frame.centre, directions)
    height = np.sin(rise)
    room = 0.3 + shape.room * height**1.5
    if shape.kind == "cap":
        room = room + 0.5 * np.maximum(np.cos(around), 0) * np.sin(2 * rise)
    else:
        room = room + 0.35 * (rise < np.radians(13))
    room = room + np.zeros_like(reach)
    room[0] = 0.05
    rings = frame.centre + directions * (reach + room * frame.unit)[..., None]
    if shape.kind == "beanie":
        rings = rings - 0.8 * shape.room * frame.unit * (height**4)[..., None] * frame.axes[1]
    return rings


def _brim(edge: np.ndarray, shape: HeadwearShape, frame: _Frame) -> np.ndarray:
    """Rows (rows, columns, 3) from the crown's edge (K, 3) outwards."""
    turn = np.radians(shape.turn)
    ahead = np.cos(turn) * frame.axes[1] + np.sin(turn) * frame.axes[0]
    across = np.cos(turn) * frame.axes[0] - np.sin(turn) * frame.axes[1]
    offset = edge - frame.centre
    angle = polar_angle(offset @ across, offset @ ahead)
    wide = np.radians(np.linspace(-62, 62, 25))
    order = np.argsort(angle)
    start = np.stack(
        [np.interp(wide, angle[order], edge[order, k], period=2 * np.pi) for k in range(3)], -1
    )
    length = shape.brim * frame.unit * np.maximum(np.cos(wide * 90 / 62), 0) ** 0.6
    share = np.linspace(0, 1, 7)[:, None]
    side = ((start - frame.centre) @ across) / (6.5 * frame.unit)
    sink = (0.12 * length * share + 1.3 * frame.unit * side**2 * share**0.7)[..., None]
    return start + (length * share)[..., None] * ahead - sink * frame.axes[2]


def _scarf(points: np.ndarray, marks: np.ndarray, shape: HeadwearShape, unit: float) -> Patch:
    """Cloth from an opening around the face over head, ears and neck."""
    centre = np.array([0.0, marks[27:31, 1].mean(), marks[[0, 16], 2].mean() - 2.5 * unit])
    brow = marks[17:27].max(0)
    top = brow[1] + shape.edge * unit
    under = marks[4:13] + unit * np.array([0.0, -0.7, -0.3])
    sides = marks[[2, 1, 0, 14, 15, 16]] * np.array([1.05, 1.0, 1.0])
    temple = np.array([marks[26, 0] + 0.7 * unit, 0.6 * top + 0.4 * brow[1], marks[26, 2] - unit])
    high = np.array([marks[24, 0], top - 0.3 * unit, brow[2] - 0.5 * unit])
    peak = np.array([[0.0, top, brow[2]]])
    mirror = np.array([-1.0, 1.0, 1.0])
    ring = [
        under,
        sides,
        peak,
        temple[None],
        high[None],
        temple[None] * mirror,
        high[None] * mirror,
    ]
    hoop = unit_vectors(np.concatenate(ring) - centre)
    angle = polar_angle(hoop[:, 0], hoop[:, 1])
    order = np.argsort(angle)
    around = np.linspace(-np.pi, np.pi, _COLUMNS, endpoint=False)
    open_ = np.stack(
        [np.interp(around, angle[order], hoop[order, k], period=2 * np.pi) for k in range(3)], -1
    )
    for _ in range(2):
        open_ = (np.roll(open_, 1, 0) + 2 * open_ + np.roll(open_, -1, 0)) / 4
    back = np.array([0.0, -0.1, -1.0])
    share = np.array([0, 0, 0.03, 0.07, 0.12, *np.linspace(0.2, 0.99, 14)])[:, None]
    # Around the axis to the back: the directions turn, their azimuth about it stays.
    start = np.arccos(np.clip(unit_vectors(open_) @ back, -1, 1))
    flat = unit_vectors(open_ - (open_ @ back)[:, None] * back / (back @ back))
    polar = start * (1 - share)
    directions = np.cos(polar)[..., None] * unit_vectors(back) + np.sin(polar)[..., None] * flat
    reach = _reach(points, centre, directions)
    room = 0.25 + shape.room * np.clip(share / 0.2, 0, 1) + np.zeros_like(reach)
    room[0] = -0.3
    return sheet((centre + directions * (reach + room * unit)[..., None])[:, ::-1], closed=True)
