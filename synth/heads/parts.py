"""Patches of the procedural head beside its grid: ears, eyeballs, teeth and lashes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_EAR_RINGS = np.array(
    [0.1, 0.2, 0.3, 0.4, 0.48, 0.55, 0.61, 0.67, 0.73, 0.79, 0.85, 0.9, 0.95, 1.0]
)
# Behind the ear: share of the outline and cm towards the head.
_EAR_BACK = ((1.0, 0.16), (0.9, 0.3), (0.7, 0.75), (0.5, 1.5))
_EAR_SPOKES = 44
_EYE_RINGS = np.radians([*range(2, 28, 2), *range(30, 60, 5), *range(60, 181, 12)])
_EYE_SPOKES = 32
_CORNEA = 0.04
_TOOTH_COLUMNS = 28
_TOOTH_ROWS = 4


@dataclass(frozen=True)
class Patch:
    """A piece of mesh: vertices (V, 3) cm, faces (F, 4) with -1 padding, uv (F, 4, 2) in 0-1."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray


def ear(size: float = 1.0, flare: float = 23.0) -> Patch:
    """The left ear around its hollow: `size` scales it, `flare` is its angle from the head."""
    around = 2 * np.pi * np.arange(_EAR_SPOKES) / _EAR_SPOKES
    sine, cosine = np.sin(around), np.cos(around)
    across = np.where(cosine > 0, 2.0 + 0.45 * sine, 1.2 + 0.25 * sine)
    back = across * cosine
    up = np.where(sine > 0, 3.1, 2.95) * sine
    rho = _EAR_RINGS[:, None]
    rings = [(rho * back, rho * up, _ear_relief(rho, around))]
    for share, sunk in _EAR_BACK:
        rings.append((share * back[None], share * up[None], np.full((1, _EAR_SPOKES), 0.25 - sunk)))
    plane = [np.concatenate([ring[k] for ring in rings]) for k in range(3)]
    vertices = _ear_to_head(plane[0], plane[1], plane[2], size, flare).reshape(-1, 3)
    count = len(plane[0])
    centre = _ear_to_head(np.zeros(1), np.zeros(1), np.full(1, -0.55), size, flare)
    return _disc(np.concatenate([vertices, centre]), count, _EAR_SPOKES)


def _ear_relief(rho: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Height (rings, spokes) cm out of the ear's plane."""

    def between(low: float, high: float, soft: float = 25.0) -> np.ndarray:
        turn = np.degrees(around)
        middle, half = (low + high) / 2, (high - low) / 2
        off = np.abs((turn - middle + 180) % 360 - 180) - half
        return np.clip(0.5 - off / (2 * soft), 0, 1)

    hollow = -0.6 * np.exp(-((rho / 0.42) ** 4))
    antihelix = 0.34 * np.exp(-(((rho - 0.6) / 0.11) ** 2)) * between(-50, 110)
    helix = 0.42 * np.exp(-(((rho - 0.93) / 0.085) ** 2)) * between(-40, 205)
    rim = -0.12 * (rho > 0.97)
    lobe = 0.22 * np.exp(-(((rho - 0.72) / 0.2) ** 2)) * between(-115, -65)
    tragus = 0.5 * np.exp(-(((rho - 0.62) / 0.16) ** 2)) * between(182, 210, 18)
    sunk = -0.45 * rho**2 * between(165, 225)
    return 0.1 + sunk + hollow + antihelix + helix + rim + lobe + tragus


def _ear_to_head(
    back: np.ndarray, up: np.ndarray, out: np.ndarray, size: float, flare: float
) -> np.ndarray:
    turn, lean = np.radians(flare), np.radians(12.0)
    rear = np.array([np.sin(turn), 0.0, -np.cos(turn)])
    rise = np.array([0.06, np.cos(lean), -np.sin(lean)])
    face = np.cross(rise, -rear)
    face /= np.linalg.norm(face)
    return size * (back[..., None] * rear + up[..., None] * rise + out[..., None] * face)


def eyeball(radius: float, yaw: float = 0.0, pitch: float = 0.0) -> Patch:
    """An eyeball looking along +Z, or turned by degrees to the left and up; the cornea bulges."""
    ring, spoke = _EYE_RINGS[:, None], 2 * np.pi * np.arange(_EYE_SPOKES) / _EYE_SPOKES
    bulge = radius * (1 + _CORNEA * np.exp(-((ring / np.radians(17)) ** 4)))
    vertices = np.stack(
        [
            bulge * np.sin(ring) * np.cos(spoke),
            bulge * np.sin(ring) * np.sin(spoke),
            bulge * np.cos(ring) * np.ones_like(spoke),
        ],
        -1,
    ).reshape(-1, 3)
    vertices = np.concatenate([vertices, [[0.0, 0.0, radius * (1 + _CORNEA)]]])
    a, b = np.radians([yaw, pitch])
    turn = np.array(
        [
            [np.cos(a), -np.sin(a) * np.sin(b), np.sin(a) * np.cos(b)],
            [0, np.cos(b), np.sin(b)],
            [-np.sin(a), -np.cos(a) * np.sin(b), np.cos(a) * np.cos(b)],
        ]
    )
    return _disc(vertices @ turn.T, len(_EYE_RINGS), _EYE_SPOKES)


def teeth(top: float, bottom: float, front: float) -> Patch:
    """A dental arch between two heights, its foremost point at z = `front`."""
    x = np.linspace(-2.1, 2.1, _TOOTH_COLUMNS)
    y = np.linspace(top, bottom, _TOOTH_ROWS)
    z = front - 0.42 * x**2 + 0.03 * np.abs(np.sin(np.pi * x / 0.72))
    grid = np.stack(np.broadcast_arrays(x, y[:, None], z), -1)
    faces = grid_faces(_TOOTH_ROWS, _TOOTH_COLUMNS)
    unit = np.stack(np.meshgrid(np.linspace(0, 1, len(x)), np.linspace(1, 0, len(y))), -1)
    return Patch(grid.reshape(-1, 3), faces, unit.reshape(-1, 2)[faces])


def lashes(edge: np.ndarray, length: float) -> Patch:
    """A strip growing from the lid's edge (K, 3) forwards and up."""
    share = np.linspace(0, 1, len(edge))
    reach = length * (0.35 + 0.65 * np.sin(np.pi * np.clip(share, 0.02, 0.98)) ** 0.5)
    tips = edge + reach[:, None] * np.array([0.0, 0.45, 0.9])
    faces = grid_faces(2, len(edge))
    unit = np.stack(np.meshgrid(share, np.array([1.0, 0.0])), -1).reshape(-1, 2)
    return Patch(np.concatenate([tips, edge]), faces, unit[faces])


def mirrored(patch: Patch) -> Patch:
    """The patch on the other side of the head, faces still counter-clockwise from outside."""
    turned = np.where(patch.faces[:, 3:] < 0, [[0, 2, 1, 3]], [[0, 3, 2, 1]])
    return Patch(
        patch.vertices * np.array([-1.0, 1.0, 1.0]),
        np.take_along_axis(patch.faces, turned, 1),
        np.take_along_axis(patch.uv, turned[..., None], 1),
    )


def grid_faces(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Quads (F, 4) of a grid numbered row by row, rows downwards; `closed` joins the columns."""
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, 1)
    if not closed:
        index, right = index[:, :-1], right[:, :-1]
    return np.stack([index[:-1], index[1:], right[1:], right[:-1]], -1).reshape(-1, 4)


def _disc(vertices: np.ndarray, rings: int, spokes: int) -> Patch:
    """Rings from the inside out, counter-clockwise seen from the front, then their centre."""
    quads = grid_faces(rings, spokes, closed=True)
    inner = np.arange(spokes)
    centre = np.full(spokes, rings * spokes)
    fan = np.stack([centre, inner, np.roll(inner, -1), np.full(spokes, -1)], -1)
    faces = np.concatenate([quads, fan])
    radius = 0.49 * (np.arange(rings) + 1.0)[:, None] / rings
    angle = 2 * np.pi * np.arange(spokes) / spokes
    flat = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(-1, 2) + 0.5
    unit = np.concatenate([flat, [[0.5, 0.5]]])
    return Patch(vertices, faces, unit[faces])
