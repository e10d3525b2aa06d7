"""Hair as strands: what gives hair, beard and brows their outline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from synth.heads.parts import Patch
from synth.heads.shapes import ribbons, sheet, unit_vectors
from synth.heads.strands import Surface, grow, roots_on
from synth.sample.attach import Part
from synth.sample.face import vertex_normals
from synth.sample.fields import smooth_noise, smoothstep
from synth.sample.hair import Hair
from synth.sample.layout import Layout
from synth.scene import HeadMesh

Steer = Callable[[np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class Style:
    """How the strands of a hair style run.

    Attributes
    ----------
    count, steps
        Number of strands and of segments of each.
    length, lift, gravity, curl
        (lowest, highest) cm; rise from the scalp at the root; fall towards the tip; waviness, all
        relative to the combing direction.
    comb
        `crown` (away from the whorl), `part` (to both sides of a parting) or `back`.
    width
        Of a strand at its root, cm: a lock of hair.
    """

    count: int
    steps: int
    length: tuple[float, float]
    lift: tuple[float, float]
    gravity: tuple[float, float]
    curl: tuple[float, float]
    comb: str
    width: float


STYLES = {
    "cropped": Style(2500, 2, (0.35, 0.9), (0.8, 1.6), (0.0, 0.1), (0.0, 0.3), "crown", 0.07),
    "short": Style(3000, 4, (1.2, 3.5), (0.1, 0.6), (0.1, 0.5), (0.0, 0.6), "crown", 0.12),
    "side": Style(3000, 5, (3.0, 7.0), (0.1, 0.45), (0.4, 0.9), (0.0, 0.5), "part", 0.13),
    "back": Style(2800, 5, (4.0, 8.0), (0.1, 0.5), (0.0, 0.3), (0.0, 0.3), "back", 0.13),
    "bun": Style(2600, 5, (5.0, 8.0), (0.0, 0.1), (0.0, 0.1), (0.0, 0.1), "back", 0.12),
    "bob": Style(2600, 7, (9.0, 14.0), (0.1, 0.35), (1.2, 2.2), (0.0, 0.35), "part", 0.23),
    "long": Style(2600, 8, (18.0, 30.0), (0.1, 0.35), (1.4, 2.4), (0.0, 0.45), "part", 0.26),
    "curly": Style(3400, 6, (2.0, 6.0), (0.9, 1.6), (0.0, 0.5), (1.2, 2.4), "crown", 0.16),
}
"""Styles by name, with their ranges."""


def sample_strands(
    rng: np.random.Generator,
    layout: Layout,
    head: HeadMesh,
    normals: np.ndarray,
    hair: Hair,
    worn: Sequence[Part] = (),
) -> tuple[list[Part], dict[str, Any]]:
    """Strands for the hair that `hair` paints, in region `hair`.

    Parameters
    ----------
    head
        The posed head with its shell of hair, of the provider of `layout`.
    normals
        Its `vertex_normals`.
    worn
        What strands fall over, like clothes.
    """
    field = _Field(layout, head, normals, worn)
    parts: list[Part] = []
    counts = {
        "scalp": _scalp(rng, field, hair, parts),
        "beard": _beard(rng, field, hair, parts),
        "brows": _brows(rng, field, hair, parts),
    }
    return parts, {"strands": counts}


class _Field:
    """The posed head as something to plant strands on."""

    def __init__(
        self,
        layout: Layout,
        head: HeadMesh,
        normals: np.ndarray,
        worn: Sequence[Part],
    ) -> None:
        self.layout, self.head = layout, head
        self.unit = layout.anatomy.unit
        self.vertices, self.normals = head.vertices.astype(np.float64), normals
        self.marks = self.vertices[head.landmarks]
        self._worn = [part.patch for part in worn]

    @cached_property
    def surface(self) -> Surface:
        """Skin and what is worn."""
        skin, worn = self.layout.skin, self._worn
        return Surface(
            np.concatenate([self.vertices[skin], *(patch.vertices for patch in worn)]),
            np.concatenate(
                [
                    self.normals[skin],
                    *(vertex_normals(patch.vertices, patch.faces) for patch in worn),
                ]
            ),
        )

    @cached_property
    def _area(self) -> np.ndarray:
        """(F,) twice the area of every face."""
        vertices, faces = self.vertices, self.head.faces
        third = np.where(faces[:, 3] < 0, faces[:, 2], faces[:, 3])
        across = vertices[faces[:, 2]] - vertices[faces[:, 0]]
        return np.linalg.norm(np.cross(across, vertices[third] - vertices[faces[:, 1]]), axis=1)

    def plant(
        self, rng: np.random.Generator, density: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Roots and normals (S, 3) and mean-head points (S, 3), by `density` (N,) over skin."""
        spread = np.zeros(len(self.vertices))
        spread[self.layout.skin] = density
        faces = self.head.faces
        weight = self._area * spread[faces[:, :3]].mean(1)
        if weight.sum() <= 0:
            return np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3))
        chosen = rng.choice(len(weight), count, p=weight / weight.sum())
        inside = rng.random((count, 2))
        roots, _ = roots_on(self.vertices, faces, chosen, inside)
        normals, _ = roots_on(self.normals, faces, chosen, inside)
        mean, _ = roots_on(self.layout.canonical, faces, chosen, inside)
        return roots, unit_vectors(normals), mean


def _scalp(rng: np.random.Generator, field: _Field, hair: Hair, parts: list[Part]) -> int:
    if hair.style not in STYLES or hair.scalp.max() <= 0:
        return 0
    style, unit, anatomy = STYLES[hair.style], field.unit, field.layout.anatomy
    roots, normals, mean = field.plant(rng, hair.scalp, style.count)
    length, lift, gravity, curl = (
        rng.uniform(*bounds) for bounds in (style.length, style.lift, style.gravity, style.curl)
    )
    parting = rng.choice([-1, 0, 1]) * rng.uniform(1.0, 3.5) * unit
    fringe = rng.random() < 0.4 and style.comb != "back" and hair.style != "cropped"
    ends = field.marks[19:25, 1].mean() + rng.uniform(0.3, 3.0) * unit
    whorl = anatomy.axis + unit * np.array([rng.uniform(-1, 1), 9.5, -4.0])
    knot = anatomy.axis + unit * np.array([0.0, rng.uniform(1.0, 10.0), -6.5])
    lengths = length * unit * np.exp(0.18 * rng.standard_normal(style.count))
    front = (anatomy.azimuth(mean) < 48) & (anatomy.above_hairline(mean) < 3.5) & fringe
    lengths = np.where(front, np.maximum(1.1 * (roots[:, 1] - ends), 0.5), lengths)
    if hair.style == "bun":
        lengths = np.minimum(lengths, 0.9 * np.linalg.norm(roots - knot, axis=1))
    wave = np.stack([smooth_noise(rng, roots, 1.1 * unit) for _ in range(3)], -1)
    wave = 0.22 * wave + (0.08 + 0.1 * curl) * rng.standard_normal(roots.shape)
    phase, turns = rng.uniform(0, 2 * np.pi, style.count), rng.uniform(1.0, 3.0)
    away = np.where(roots[:, 0] > parting, 1.0, -1.0)
    brow = float(field.marks[17:27, 1].max())
    frame = rng.uniform(0.85, 1.05) * float(field.marks[16, 0] - field.marks[0, 0]) / 2

    def steer(points: np.ndarray, share: float) -> np.ndarray:
        if style.comb == "crown":
            comb = points - whorl
        elif style.comb == "part":
            comb = np.stack([1.3 * away, 0 * away - 0.1, 0 * away - 0.45], -1)
        else:
            comb = knot - points
        comb = unit_vectors(field.surface.along(points, unit_vectors(comb)))
        if style.comb == "part":  # over the top of the head; then it hangs
            high = smoothstep(points[:, 1] - anatomy.axis[1], 0.0, 7.0 * unit)
            comb = (1 - share) * high[:, None] * comb
        comb = comb + np.where(front[:, None], [0.0, -0.6, 0.9], 0.0)
        swing = 2 * np.pi * turns * share + phase
        bend = curl * np.stack([np.cos(swing), np.sin(1.3 * swing), np.sin(swing)], -1)
        out = comb + lift * (1 - share) * normals + (1 - 0.6 * share) * wave + bend
        out[:, 1] -= (gravity + 1.5 * front) * share**0.5
        # Long hair falls beside the face, not over it.
        facing = (points[:, 2] > anatomy.axis[2] + 3 * unit) & ~front & (points[:, 1] < brow + 2.5)
        narrow = facing & (np.abs(points[:, 0]) < frame)
        out[:, 0] += np.where(narrow, 1.2 * np.sign(points[:, 0]), 0.0)
        out[:, 2] -= np.where(narrow, 1.2, 0.0)
        return out

    volume = rng.uniform(0.05, 0.5) * unit * (0.2 if hair.style in ("bun", "cropped") else 1.0)
    paths = grow(
        roots - 0.05 * normals,
        steer,
        lengths,
        style.steps,
        field.surface,
        volume * rng.random(style.count),
    )
    _add(rng, parts, hair, paths, normals, style.width * unit)
    if hair.style == "bun":
        parts.append(_knot(rng, hair, knot, unit))
    return style.count


def _knot(rng: np.random.Generator, hair: Hair, centre: np.ndarray, unit: float) -> Part:
    """A bun: a lumpy ball around `centre`, (3,)."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rise = np.linspace(np.pi / 2, -np.pi / 2, 14)[:, None]
    ball = np.stack(
        [
            np.cos(rise) * np.sin(turn),
            np.sin(rise) * np.ones_like(turn),
            np.cos(rise) * np.cos(turn),
        ],
        -1,
    )
    lumps = smooth_noise(rng, ball.reshape(-1, 3), 0.35).reshape(ball.shape[:2])
    size = rng.uniform(1.8, 3.2) * unit
    patch = sheet(centre + size * ball * (1 + 0.05 * lumps)[..., None], closed=True)
    streak = np.exp(0.25 * lumps.ravel())[:, None]
    return Part(patch, "hair", np.clip(hair.colour * streak, 0.004, 1), 0.5, 0.35)


def _beard(rng: np.random.Generator, field: _Field, hair: Hair, parts: list[Part]) -> int:
    if hair.beard.max() <= 0 or hair.beard_length < 0.25:
        return 0
    count, unit = 2200, field.unit
    roots, normals, _ = field.plant(rng, hair.beard**1.5, count)
    wave = 0.35 * rng.standard_normal(roots.shape)

    def steer(points: np.ndarray, share: float) -> np.ndarray:
        return 0.5 * normals + wave + np.array([0.0, -0.6 - 0.6 * share, 0.15])

    lengths = hair.beard_length * unit * np.exp(0.3 * rng.standard_normal(count))
    paths = grow(roots, steer, lengths, 3, field.surface, np.full(count, 0.03 * unit))
    _add(rng, parts, hair, paths, normals, 0.06 * unit)
    return count


def _brows(rng: np.random.Generator, field: _Field, hair: Hair, parts: list[Part]) -> int:
    if hair.brows.max() <= 0:
        return 0
    count, unit = int(rng.uniform(220, 480)), field.unit
    roots, normals, _ = field.plant(rng, hair.brows, count)
    outer = float(field.marks[26, 0] - field.marks[17, 0]) / 2
    side = np.sign(roots[:, 0])
    inner = smoothstep(np.abs(roots[:, 0]), 0.55 * outer, 0.2 * outer)
    along = np.stack([side * (1 - 0.6 * inner), 0.05 + 0.7 * inner, -0.35 * (1 - inner)], -1)
    wave = 0.18 * rng.standard_normal(roots.shape)

    def steer(points: np.ndarray, share: float) -> np.ndarray:
        return along + 0.25 * normals + wave

    lengths = rng.uniform(0.45, 0.75) * unit * np.exp(0.2 * rng.standard_normal(count))
    paths = grow(roots, steer, lengths, 2, field.surface, np.full(count, 0.03 * unit))
    _add(rng, parts, hair, paths, normals, 0.045 * unit)
    return count


def _add(
    rng: np.random.Generator,
    parts: list[Part],
    hair: Hair,
    paths: np.ndarray,
    normals: np.ndarray,
    width: float,
) -> None:
    """Append the paths (S, K, 3) as ribbons that taper and turn out of the surface's plane."""
    count, steps = paths.shape[:2]
    along = unit_vectors(paths[:, -1] - paths[:, 0])
    flat = unit_vectors(np.cross(along, normals))
    turn = 0.6 * rng.standard_normal(count)[:, None]
    sides = np.cos(turn) * flat + np.sin(turn) * normals
    taper = 1 - 0.75 * np.linspace(0, 1, steps) ** 2
    patch: Patch = ribbons(paths, sides, width * taper * np.ones((count, 1)))
    shade = np.exp(0.22 * smooth_noise(rng, paths[:, 0], 0.8) + 0.22 * rng.standard_normal(count))
    colour = np.clip(hair.colour * np.repeat(shade, 2 * steps)[:, None], 0.004, 1)
    parts.append(Part(patch, "hair", colour, 0.5, 0.3))
