"""Clothes around neck and shoulders, fitted to a head: a deterministic builder. Lengths in cm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.heads.parts import Patch
from synth.heads.shapes import join, polar_angle, sheet, unit_vectors
from synth.scene import HeadMesh

_EYE_DISTANCE = 6.3
_COLUMNS = 80
_ROWS = 42
_LENGTH = 34.0  # from the neckline to below anything that a portrait shows
_BASE_RADIUS = 7.2  # the neck ends and the shoulder begins where it is this wide,
_LONGEST_NECK = 5.2  # or so far below the chin
_BANDWIDTH = 0.9
_FITTED_POINTS = 1500
_LEVEL = 0.5  # bandwidths between the heights at which it is fitted
_MARGIN = 1.1  # by which a neckline stays above the lower edge of the head's mesh

KINDS = ("crew", "v", "scoop", "wide", "shirt", "roll")
"""Necklines that can be built."""

# Rise over the base of the neck, fall to the front, extra fall of a V and its half angle (degrees).
_NECKLINES = {
    "crew": (0.4, 3.2, 0.0, 40.0),
    "v": (0.2, 2.2, 4.5, 50.0),
    "scoop": (-0.9, 4.5, 0.0, 40.0),
    "wide": (-1.5, 2.6, 0.0, 40.0),
    "shirt": (2.4, 3.0, 2.6, 30.0),
    "roll": (3.6, 2.0, 0.0, 40.0),
}


@dataclass(frozen=True)
class ClothesShape:
    """Measures on a head of average size.

    Attributes
    ----------
    kind
        One of `KINDS`.
    shoulder
        Half the width across the shoulders.
    slope
        Fall of the shoulder from the base of the neck to its end.
    chest
        Depth of the chest in front of the neck's axis.
    drop
        By which the neckline lies lower than usual, in front.
    thickness
        Of the cloth and its hem.
    """

    kind: str
    shoulder: float = 19.0
    slope: float = 5.5
    chest: float = 10.0
    drop: float = 0.0
    thickness: float = 0.35


@dataclass(frozen=True)
class _Neck:
    """The head below the jaw, about an upright axis: azimuth (0 in front), height, radius (N,)."""

    axis: np.ndarray
    azimuth: np.ndarray
    height: np.ndarray
    radius: np.ndarray
    base: float
    unit: float

    @classmethod
    def of(cls, head: HeadMesh) -> _Neck:
        marks = head.vertices[head.landmarks].astype(np.float64)
        unit = float(np.linalg.norm(marks[42:48].mean(0) - marks[36:42].mean(0))) / _EYE_DISTANCE
        axis = np.array([marks[27:31, 0].mean(), 0.0, marks[[0, 16], 2].mean() - 4.4 * unit])
        offset = head.vertices.astype(np.float64) - axis
        azimuth, radius = polar_angle(offset[:, 0], offset[:, 2]), np.hypot(*offset[:, ::2].T)
        below = marks[8, 1] - offset[:, 1]
        chin = (np.abs(azimuth) < 1.3) & (radius > 7 * unit) & (below < 3.5 * unit)
        kept = np.flatnonzero((below > 0.5 * unit) & ~chin)
        azimuth, height, radius = azimuth[kept], offset[kept, 1], radius[kept]
        side = np.abs(np.abs(azimuth) - np.pi / 2) < 0.3
        wide = height[side & (radius > _BASE_RADIUS * unit)]
        base = float(max([marks[8, 1] - _LONGEST_NECK * unit, *wide]))
        return cls(axis, azimuth, height, radius, base, unit)

    def lowest(self, around: np.ndarray) -> np.ndarray:
        """Height (K,) of the mesh's lower edge at azimuths (K,); -inf without a mesh there."""
        near = np.abs(_turn(around[:, None] - self.azimuth)) < 0.12
        low = np.where(near, self.height, np.inf).min(1, initial=np.inf)
        return np.where(np.isfinite(low), low, -np.inf)

    def reach(self, around: np.ndarray, height: np.ndarray) -> np.ndarray:
        """Radius (rows, K) of the surface at azimuths (K,), heights (rows, K); 0 off the mesh.

        A plane through the nearby vertices, weighted by a bell of width `_BANDWIDTH`; between
        levels of height, a line.
        """
        some = slice(None, None, len(self.radius) // _FITTED_POINTS + 1)
        width = _BANDWIDTH * self.unit
        lowest = max(height.min(), self.height.min() - 4 * width)  # below, nothing is near enough
        step = _LEVEL * width
        levels = np.arange(lowest, max(height.max(), lowest) + 2 * step, step)
        arc = 6 * self.unit / width
        across = arc * _turn(self.azimuth[some] - around[:, None])
        along = (self.height[some] - levels[:, None]) / width
        fitted = _fitted_planes(across, along, self.radius[some])
        place = np.maximum((height - lowest) / step, 0)
        below = place.astype(int)
        low, high = (np.take_along_axis(fitted, below + k, 0) for k in (0, 1))
        return low + (place - below) * (high - low)


def _fitted_planes(across: np.ndarray, along: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Planes through `values` (N,) at the origin of offsets (K, N) and (L, N): (L, K), 0 far off.

    The weight is a bell of each offset, so that every sum over the points is a matrix product.
    """
    bell_across, bell_along = np.exp(-0.5 * across**2), np.exp(-0.5 * along**2)

    def moments(terms: np.ndarray | float) -> list[list[np.ndarray]]:
        columns = [(bell_across * terms * across**k).T for k in range(3)]
        return [[bell_along * along**j @ column for column in columns] for j in range(3)]

    (one, x, xx), (y, xy, _), (yy, *_) = moments(1.0)
    (right, right_x, _), (right_y, *_), _ = moments(values)
    normal = np.stack([one, x, y, x, xx, xy, y, xy, yy], -1).reshape(*one.shape, 3, 3)
    sums = np.stack([right, right_x, right_y], -1)[..., None]
    fitted = np.linalg.solve(normal + 0.02 * np.eye(3), sums)[..., 0, 0]
    return np.where(one > 1, np.clip(fitted, 0, 25), 0.0)


def build_clothes(head: HeadMesh, shape: ClothesShape) -> tuple[Patch, np.ndarray]:
    """The cloth on the posed `head` (without hair), and (V,) cm that it lies below its edge."""
    neck = _Neck.of(head)
    around = np.linspace(-np.pi, np.pi, _COLUMNS, endpoint=False)
    edge = _neckline(neck, shape, around)
    share = np.linspace(0, 1, _ROWS)[:, None] ** 1.7
    floor = neck.base - _LENGTH * neck.unit
    height = edge + share * (floor - edge)
    bust = neck.reach(around, height)
    body = _body(neck, shape, around, height, bust)
    inside = np.maximum(bust[0], body[0] * 0.5)
    azimuth = np.broadcast_to(around, height.shape)
    skin = np.stack([body * np.sin(azimuth), height, body * np.cos(azimuth)], -1) + neck.axis
    outward = _outward(skin)
    thick = shape.thickness * neck.unit
    lip = skin[0] + ((inside - body[0])[:, None] - 0.5 * neck.unit) * _radial(around)
    lip[:, 1] -= 0.4 * neck.unit
    hem = [skin[0] + share * thick * outward[0] for share in (-0.2, 0.7)]
    hem[1][:, 1] += 0.25 * thick
    loose = thick + 0.25 * neck.unit * np.clip((edge - height) / (2 * neck.unit), 0, 1)
    cloth = skin + loose[..., None] * outward
    rows = np.concatenate([[lip], hem, cloth])
    below = np.concatenate([np.zeros((3, _COLUMNS)), edge - height])
    pieces = [sheet(rows, closed=True)]
    depths = [below.ravel()]
    if shape.kind == "shirt":
        collar = _collar(cloth, outward, edge - height, around, neck.unit)
        pieces.append(sheet(collar))
        depths.append(np.zeros(collar.shape[0] * collar.shape[1]))
    return join(pieces), np.concatenate(depths)


def _turn(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _radial(around: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(around), np.zeros_like(around), np.cos(around)], -1)


def _neckline(neck: _Neck, shape: ClothesShape, around: np.ndarray) -> np.ndarray:
    """Heights (K,) of the edge."""
    rise, fall, point, half = _NECKLINES[shape.kind]
    front = ((1 + np.cos(around)) / 2) ** 1.7
    v = np.maximum(1 - np.sqrt(around**2 + 0.01) / np.radians(half), 0)
    edge = neck.base + neck.unit * (rise - (fall + shape.drop) * front - point * v)
    edge = np.maximum(edge, neck.lowest(around) + _MARGIN * neck.unit)
    for _ in range(2):
        edge = (np.roll(edge, 1) + 2 * edge + np.roll(edge, -1)) / 4
    return edge


def _body(
    neck: _Neck, shape: ClothesShape, around: np.ndarray, height: np.ndarray, bust: np.ndarray
) -> np.ndarray:
    """Radius (rows, columns): the head's own `bust`, and shoulders and chest around it."""
    unit = neck.unit
    down = (neck.base - height) / unit
    run = np.clip(down / (1.35 * shape.slope), 0, 1)
    sides = neck.reach(np.array([-np.pi / 2, np.pi / 2]), np.full((1, 2), neck.base))
    start = float(np.clip(sides.mean() / unit, 4.0, _BASE_RADIUS))
    side = start + (shape.shoulder - start) * (1 - (1 - run) ** 1.8)
    front = 3.5 + (shape.chest - 3.5) * _ease((down + 1.0) / 16)
    back = 4.0 + (shape.chest - 3.0) * _ease((down + 2.0) / 11)
    deep = np.where(np.cos(around) > 0, front, back)
    power = 2.3
    ring = (np.abs(np.sin(around)) / side) ** power + (np.abs(np.cos(around)) / deep) ** power
    body = unit * ring ** (-1 / power)
    body = np.maximum(body, np.maximum.accumulate(bust, 0))
    for _ in range(2):
        body = (np.roll(body, 1, 1) + 2 * body + np.roll(body, -1, 1)) / 4
        body[1:-1] = (body[:-2] + 2 * body[1:-1] + body[2:]) / 4
    return body


def _ease(x: np.ndarray) -> np.ndarray:
    return np.sin(np.pi / 2 * np.clip(x, 0, 1))


def _outward(rows: np.ndarray) -> np.ndarray:
    """Unit normals (rows, columns, 3) of a closed sheet whose rows run downwards."""
    across = np.roll(rows, -1, 1) - np.roll(rows, 1, 1)
    return unit_vectors(np.cross(np.gradient(rows, axis=0), across))


def _collar(
    cloth: np.ndarray, outward: np.ndarray, below: np.ndarray, around: np.ndarray, unit: float
) -> np.ndarray:
    """The turned-down leaf (rows, columns, 3) of a shirt's collar, open in front."""
    columns = np.flatnonzero(np.abs(around) > 0.1)
    columns = np.roll(
        columns, -int((around[columns] < 0).sum())
    )  # from the left point to the right
    point = np.exp(-(((np.abs(around) - 0.45) / 0.4) ** 2))
    length = unit * (2.6 + 1.5 * point) * np.clip((np.abs(around) - 0.05) / 0.35, 0.05, 1)
    shares = np.array([0.0, 0.0, 0.2, 0.45, 0.7, 0.9, 1.0, 1.0])
    lift = unit * np.array([0.05, 0.3, 0.5, 0.5, 0.45, 0.4, 0.3, 0.02])
    leaf = np.empty((len(shares), len(columns), 3))
    for at, k in enumerate(columns):
        depth = shares * length[k]
        for axis in range(3):
            leaf[:, at, axis] = np.interp(depth, below[:, k], cloth[:, k, axis])
            leaf[:, at, axis] += lift * np.interp(depth, below[:, k], outward[:, k, axis])
    return leaf
