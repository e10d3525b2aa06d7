"""The embedded head: parametric, our own, needing no download.

A lofted head (`loft`) with sculpted features (`features`) and patches for ears, eyeballs, teeth
and lashes (`parts`). Each parameter's effect on the mean head becomes one linear mode.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from synth.heads import parts
from synth.heads.anatomy import Anatomy, face_centres, label_skin
from synth.heads.expressions import animate
from synth.heads.features import (
    EYE,
    EYE_RADIUS,
    LIP_LINE,
    MOUTH_HALF,
    Domain,
    Expression,
    Features,
    eye_share,
    eye_weight,
    lip_heights,
    make_domain,
    sculpt,
)
from synth.heads.linear import Family, LinearHeads, draw_expression
from synth.heads.loft import COLUMNS, POCKET, ROWS, Shape, column_angles, loft, row_of
from synth.scene import REGIONS, HeadMesh

# What one standard deviation of each identity parameter is.
_IDENTITY: tuple[tuple[str, float], ...] = (
    ("width", 0.03),
    ("length", 0.03),
    ("vault", 0.35),
    ("face_height", 0.035),
    ("jaw_width", 0.25),
    ("jaw_angle", 0.35),
    ("chin_height", 0.22),
    ("chin_forward", 0.22),
    ("neck", 0.05),
    ("forehead_slope", 0.5),
    *((field.name, 0.6) for field in fields(Features)),
    ("ear_size", 0.07),
    ("ear_flare", 5.0),
)
_EXPRESSION = tuple(field.name for field in fields(Expression))
_NEUTRAL_SHARE = 0.35
_FAMILIES: tuple[Family, ...] = (
    (0.35, 0.9, ("smile",)),
    (0.20, 0.6, ("jaw_open",)),
    (0.10, 0.7, ("pucker",)),
    (0.20, 0.9, ("brow_raise",)),
    (0.20, 0.9, ("brow_lower",)),
    (0.06, 1.0, ("blink",)),
    (0.20, 0.7, ("squint",)),
    (0.30, 0.6, ("look_left",)),
    (0.30, -0.6, ("look_left",)),
    (0.20, 0.5, ("look_up",)),
    (0.20, -0.5, ("look_up",)),
)
_EAR = np.array([7.38, 1.35, -0.85])
_EAR_ROW = row_of("bridge")
_TILES = {"head": (0, 0), "ears": (1, 0), "teeth": (3, 0), "lashes": (6, 0), "eyes": (0, 1)}
_LASH_LENGTH = 0.28
_BALL = EYE_RADIUS - 0.03


@dataclass(frozen=True, eq=False)
class ProceduralHeads(LinearHeads):
    """The embedded heads; see `HeadProvider` and `LinearHeads`. Build them with `create`."""

    identity_names: tuple[str, ...]
    expression_names: tuple[str, ...]

    @classmethod
    def create(cls) -> ProceduralHeads:
        """Build the mean head and its modes; the result is kept for the life of the process."""
        return _create()

    def sample(self, rng: np.random.Generator) -> HeadMesh:
        """Identity N(0, 1) cut at two deviations; a sparse expression."""
        identity = self.draw_identity(rng)
        expression = draw_expression(rng, self.expression_names, _FAMILIES, _NEUTRAL_SHARE)
        return self.deform(identity, expression)


@functools.cache
def _create() -> ProceduralHeads:
    domain, base = make_domain()
    mean = _vertices(domain, base, {})
    faces, uv, region = _topology(domain, mean)
    modes = [_vertices(domain, base, {name: size}) - mean for name, size in _IDENTITY]
    moves = [_vertices(domain, base, {name: 1.0}) - mean for name in _EXPRESSION]
    return ProceduralHeads(
        name="procedural",
        asset_hash=_source_hash(),
        mean_vertices=mean.astype(np.float32),
        identity_modes=np.stack(modes).reshape(len(modes), -1).astype(np.float32),
        expression_modes=np.stack(moves).reshape(len(moves), -1).astype(np.float32),
        faces=faces,
        uv=uv,
        region=region,
        landmarks=_landmarks(domain),
        identity_names=tuple(name for name, _ in _IDENTITY),
        expression_names=_EXPRESSION,
    )


def _source_hash() -> str:
    """sha256 of the modules that define the head: its floats may differ between machines."""
    folder = Path(__file__).parent
    names = ("loft", "features", "expressions", "parts", "procedural")
    text = b"".join((folder / f"{name}.py").read_bytes() for name in names)
    return hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest()


def _vertices(domain: Domain, mean_base: np.ndarray, changes: dict[str, float]) -> np.ndarray:
    """All vertices (V, 3) of the head whose parameters differ from the mean by `changes`."""
    features = Features(**_chosen(Features, changes))
    expression = Expression(**_chosen(Expression, changes))
    shape = _chosen(Shape, changes)
    base = mean_base
    if shape:
        steps = {k: getattr(Shape, k) + v for k, v in shape.items()}
        change = loft(Shape(**steps)) - loft(Shape())
        weight = eye_weight(domain)[..., None]
        rigid = np.where(domain.x[..., None] > 0, 1.0, [-1.0, 1.0, 1.0]) * _eye_shift(
            change, domain
        )
        base = mean_base + change + weight * (rigid - change)
    shift = _eye_shift(base - mean_base, domain)
    sculpted = sculpt(base, domain, features, expression, float(shift[2]))
    skin = animate(sculpted, domain, expression)
    moved = base[_EAR_ROW, _ear_column()] - mean_base[_EAR_ROW, _ear_column()]
    patches = [
        parts.ear(1.0 + changes.get("ear_size", 0.0), 23.0 + changes.get("ear_flare", 0.0)),
        parts.eyeball(_BALL, 25 * expression.look_left, 18 * expression.look_up),
    ]
    right_eye = parts.mirrored(
        parts.eyeball(_BALL, -25 * expression.look_left, 18 * expression.look_up)
    )
    eye = EYE + shift + np.array([0.22 * features.eye_spacing, 0.0, 0.18 * features.eye_depth])
    mirror = np.array([-1.0, 1.0, 1.0])
    ear = patches[0].vertices + _EAR + moved
    upper, lower = _teeth()
    jaw = animate(lower.vertices, None, expression)
    mouth = (base - mean_base)[row_of("mouth"), COLUMNS // 2]
    lash = [parts.lashes(skin[rows, columns], _LASH_LENGTH) for rows, columns in _lid_edges(domain)]
    pieces = [
        skin.reshape(-1, 3),
        skin[0].mean(0, keepdims=True),
        ear,
        ear * mirror,
        patches[1].vertices + eye,
        right_eye.vertices + eye * mirror,
        upper.vertices + mouth,
        jaw + mouth,
        *(patch.vertices for patch in lash),
    ]
    return np.concatenate(pieces)


def _chosen(kind: type, changes: dict[str, float]) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}
    return {name: value for name, value in changes.items() if name in known}


def _ear_column() -> int:
    return int(np.abs(column_angles() - np.pi / 2).argmin())


def _eye_shift(change: np.ndarray, domain: Domain) -> np.ndarray:
    """(3,) how far the loft moved under the left eye."""
    row = domain.lid_rows[0]
    column = int(np.abs(domain.x[row] - EYE[0]).argmin())
    return change[row, column]


def _teeth() -> tuple[parts.Patch, parts.Patch]:
    return (
        parts.teeth(LIP_LINE + 0.6, LIP_LINE - 0.35, 9.4),
        parts.teeth(LIP_LINE - 0.4, LIP_LINE - 1.0, 9.15),
    )


def _lid_edges(domain: Domain) -> list[tuple[int, np.ndarray]]:
    """Row and columns of the upper lids' edges, left eye first, in the order of the columns."""
    row = domain.lid_rows[0]
    share = eye_share(domain.x[row])
    on = (share > -0.01) & (share < 1.01) & (domain.front[row] > 0)
    return [(row, np.flatnonzero(on & side)) for side in (domain.x[row] > 0, domain.x[row] < 0)]


def _topology(domain: Domain, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces (F, 4), UVs (F, 4, 2) and regions (F,) of every part, in the order of `_vertices`."""
    quads = parts.grid_faces(ROWS, COLUMNS, closed=True)
    ring = np.arange(COLUMNS)
    pole = np.full(COLUMNS, ROWS * COLUMNS)
    crown = np.stack([pole, ring, np.roll(ring, -1), np.full(COLUMNS, -1)], -1)
    head = np.concatenate([quads, crown])
    row, column = np.divmod(np.maximum(head, 0), COLUMNS)
    wrapped = np.where((column == 0) & (column.max(1, keepdims=True) > 1), COLUMNS, column)
    wrapped[-COLUMNS:, 0] = ring
    across = wrapped + 0.5 * (np.arange(len(head))[:, None] >= len(quads)) * (head == pole[0])
    height = np.where(head == pole[0], 0.0, row + 1.0)
    uv = np.stack([across / COLUMNS, 1 - height / ROWS], -1) * 0.99 + 0.005
    blocks = [(head, uv, _skin_regions(domain, mean, quads, crown))]
    start = ROWS * COLUMNS + 1
    eye, ear = parts.eyeball(_BALL), parts.ear()
    upper, lower = _teeth()
    lash = [parts.lashes(np.zeros((len(c), 3)), 1.0) for _, c in _lid_edges(domain)]
    for patch, name, tile, slot in (
        (ear, "ear_left", "ears", (0.0, 0.5)),
        (parts.mirrored(ear), "ear_right", "ears", (0.5, 0.5)),
        (eye, "eye", "eyes", (0.0, 0.0)),
        (parts.mirrored(eye), "eye", "eyes", (0.5, 0.0)),
        (upper, "mouth", "teeth", (0.0, 0.5)),
        (lower, "mouth", "teeth", (0.0, 0.0)),
        (lash[0], "lashes", "lashes", (0.0, 0.0)),
        (lash[1], "lashes", "lashes", (0.5, 0.0)),
    ):
        placed = np.array(_TILES[tile]) + slot + 0.01 + 0.48 * patch.uv
        region = np.full(len(patch.faces), REGIONS.index(name), np.uint8)
        blocks.append((np.where(patch.faces < 0, -1, patch.faces + start), placed, region))
        start += len(patch.vertices)
    faces, uvs, regions = (np.concatenate(column) for column in zip(*blocks, strict=True))
    return faces.astype(np.int32), uvs.astype(np.float32), regions.astype(np.uint8)


def _skin_regions(
    domain: Domain, mean: np.ndarray, quads: np.ndarray, crown: np.ndarray
) -> np.ndarray:
    """Regions of the head's own faces: skin by anatomy, then lips, mouth and eye openings."""
    faces = np.concatenate([quads, crown])
    anatomy = Anatomy(mean[_landmarks(domain)])
    region = label_skin(face_centres(mean, faces), anatomy, np.zeros(len(faces), bool))
    row = quads[:, 0] // COLUMNS
    x = np.abs(domain.x.ravel()[quads]).mean(1)
    front = domain.front.ravel()[quads].min(1) > 0
    upper, lower = row_of("mouth"), row_of("mouth") + POCKET
    column = quads % COLUMNS
    y = domain.y.ravel()[quads]
    top, bottom = lip_heights(x)
    above = (y - domain.y[upper][column]).mean(1)
    below = (domain.y[lower][column] - y).mean(1)
    on_lips = front & (x < MOUTH_HALF)
    on_lips &= ((row < upper) & (above < top)) | ((row >= lower) & (below < bottom))
    inside = front & (x < MOUTH_HALF) & (row >= upper) & (row < lower)
    quad_region = region[: len(quads)]
    quad_region[quad_region == REGIONS.index("lips")] = REGIONS.index("face")
    quad_region[on_lips] = REGIONS.index("lips")
    quad_region[inside] = REGIONS.index("mouth")
    quad_region[domain.opening.ravel()[quads].any(1)] = REGIONS.index("eye")
    return region


def _landmarks(domain: Domain) -> np.ndarray:
    """(68,) vertex indices in iBUG order; the left side mirrors the right."""
    middle = COLUMNS // 2
    angles = np.abs(column_angles())

    def at(x: float, y: float) -> int:
        gap = (domain.x - x) ** 2 + (domain.y - y) ** 2 + 99.0 * (domain.front == 0)
        return int(gap.argmin())

    def on_row(row: int, x: float) -> int:
        gap = np.abs(domain.x[row] - x) + 99.0 * (domain.front[row] == 0)
        return row * COLUMNS + int(gap.argmin())

    def on_jaw(degrees: float, y: float) -> int:
        column = int(np.abs(angles[: middle + 1] - np.radians(degrees)).argmin())
        return int(np.abs(domain.y[:, column] - y).argmin()) * COLUMNS + column

    def mirror(index: int) -> int:
        row, column = divmod(index, COLUMNS)
        return row * COLUMNS + (COLUMNS - column) % COLUMNS

    jaw = [on_jaw(a, y) for a, y in _JAW]
    brow = [at(-x, y) for x, y in _BROW]
    bridge = [at(0.0, y) for y in (3.0, 2.0, 0.95, -0.38)]
    base = [at(-1.15, -1.25), at(-0.6, -1.4), at(0.0, -1.5)]
    top, bottom = domain.lid_rows
    start, width = 1.72, 2.80
    eye = [on_row(top, -start - s * width) for s in (1.0, 0.68, 0.32, 0.0)]
    eye += [on_row(bottom, -start - s * width) for s in (0.32, 0.68)]
    upper, lower = row_of("mouth"), row_of("mouth") + POCKET

    def border(x: float, above: bool) -> int:
        rise, drop = lip_heights(np.array(x))
        line = domain.y[upper if above else lower, middle]
        return at(-x, float(line + rise if above else line - drop))

    outer = [on_row(upper, -MOUTH_HALF), border(1.5, True), border(0.6, True), border(0.0, True)]
    under = [border(0.0, False), border(0.8, False), border(1.6, False)]
    inner = [on_row(upper, x) for x in (-2.1, -1.0, 0.0)]
    inner_under = [on_row(lower, x) for x in (0.0, -1.0)]
    left = [mirror(index) for index in eye]
    return np.array(
        [
            *(*jaw, *map(mirror, jaw[-2::-1])),
            *(*brow, *map(mirror, brow[::-1])),
            *bridge,
            *(*base, *map(mirror, base[-2::-1])),
            *eye,
            *(left[3], left[2], left[1], left[0], left[5], left[4]),
            *(*outer, *map(mirror, outer[-2::-1])),
            *(*map(mirror, under[:0:-1]), *under),
            *(*inner, *map(mirror, inner[-2::-1])),
            *(mirror(inner_under[1]), *inner_under),
        ],
        np.int32,
    )


# Azimuth (degrees) and height (cm) of landmarks 0-8; (|x|, y) of landmarks 17-21.
_JAW = (
    *((67.0, 3.2), (67.0, 1.3), (65.0, -0.6), (61.0, -2.4), (54.0, -4.2), (44.0, -5.7)),
    *((32.0, -6.9), (17.0, -7.7), (0.0, -8.1)),
)
_BROW = ((5.4, 4.75), (4.7, 5.3), (3.7, 5.55), (2.45, 5.45), (1.2, 5.1))
