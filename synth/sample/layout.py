"""Where skin and sites are on a provider's heads: computed once, shared by every sample."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from synth.heads import HeadProvider
from synth.heads.anatomy import Anatomy, polyline_distance, vertex_regions
from synth.sample.fields import smoothstep
from synth.scene import REGIONS, SKIN_REGIONS, HeadMesh


@dataclass(frozen=True)
class Layout:
    """Anatomy of the mean head, per vertex (V,) or per skin vertex (N,).

    Attributes
    ----------
    canonical
        (V, 3) float64 cm, the mean head.
    region
        (V,) uint8 region of every vertex.
    tile
        (V,) UDIM tile along u, 0 off the first row of tiles.
    skin
        (N,) indices of the vertices whose region is skin.
    points
        (N, 3) float64 cm, where they lie on the mean head.
    ears
        (N,) 1 on the ears, else 0.
    sites
        (N,) 0-1 each: smooth membership of `forehead`, `nose`, `cheeks`, `chin`, `under_eye`,
        `eyelids`, `ears`, `neck` and `scalp`.
    lips, hairline, jaw
        (N,) cm inside the vermilion border, above the hairline, below the edge of the face.
    brows
        (N,) cm from the line of the brows.
    beard
        (N,) 0-1: where a beard grows.
    folds
        (N,) cm from the folds between nose and mouth corners.
    """

    canonical: np.ndarray
    region: np.ndarray
    tile: np.ndarray
    anatomy: Anatomy
    skin: np.ndarray
    points: np.ndarray
    ears: np.ndarray
    sites: dict[str, np.ndarray]
    lips: np.ndarray
    hairline: np.ndarray
    jaw: np.ndarray
    brows: np.ndarray
    beard: np.ndarray
    folds: np.ndarray

    @property
    def face(self) -> np.ndarray:
        """(N,) bool: between jaw, hairline and ears."""
        return (self.jaw < 0) & (self.hairline < 0) & (self.ears < 0.5)


@functools.lru_cache(maxsize=4)
def layout_of(provider: HeadProvider) -> Layout:
    """The layout of the provider's mean head; kept for the providers used last."""
    head = provider.mean()
    anatomy = Anatomy.of(head)
    canonical = head.canonical.astype(np.float64)
    region = vertex_regions(head)
    skin = np.flatnonzero(np.isin(region, [REGIONS.index(name) for name in SKIN_REGIONS]))
    points = canonical[skin]
    ears = np.isin(region[skin], [REGIONS.index("ear_left"), REGIONS.index("ear_right")]) * 1.0
    lips = anatomy.inside_lips(points)
    jaw, hairline = anatomy.below_jaw(points), anatomy.above_hairline(points)
    return Layout(
        canonical=canonical,
        region=region,
        tile=_vertex_tiles(head),
        anatomy=anatomy,
        skin=skin,
        points=points,
        ears=ears,
        sites=_sites(points, anatomy, ears, jaw, hairline),
        lips=lips,
        hairline=hairline,
        jaw=jaw,
        brows=np.minimum(anatomy.distance(points, 17, 21), anatomy.distance(points, 22, 26)),
        beard=_beard_area(points, anatomy, lips, jaw),
        folds=_folds(points, anatomy),
    )


def _sites(
    points: np.ndarray, anatomy: Anatomy, ears: np.ndarray, jaw: np.ndarray, hairline: np.ndarray
) -> dict[str, np.ndarray]:
    marks, unit = anatomy.landmarks, anatomy.unit
    mirror = np.array([-1.0, 1.0, 1.0])

    def blob(centre: np.ndarray, radius: float) -> np.ndarray:
        return np.exp(-((points - centre) ** 2).sum(1) / (radius * unit) ** 2)

    brow = marks[[21, 22]].mean(0)
    cheek = 0.45 * marks[46] + 0.35 * marks[54] + 0.2 * marks[13]
    forehead = brow + unit * np.array([0.0, 3.0, -0.6])
    temple = marks[26] + unit * np.array([-1.0, 2.0, -0.5])
    nose = np.exp(-((anatomy.distance(points, 27, 30) / 1.1) ** 2))
    nose = np.maximum(nose, np.exp(-((anatomy.distance(points, 31, 35) / 0.9) ** 2)))
    lid = np.minimum(anatomy.distance(points, 36, 41), anatomy.distance(points, 42, 47))
    middle = float(marks[[40, 41, 46, 47], 1].mean())
    below = smoothstep(points[:, 1], middle + 0.3 * unit, middle - 0.3 * unit)
    near_eye = np.exp(-((lid / 1.1) ** 2))
    return {
        "forehead": np.clip(
            blob(forehead, 3.0) + blob(temple, 2.2) + blob(temple * mirror, 2.2), 0, 1
        ),
        "nose": nose,
        "cheeks": blob(cheek, 2.6) + blob(cheek * mirror, 2.6),
        "chin": blob(marks[[57, 8]].mean(0), 1.8),
        "under_eye": near_eye * below,
        "eyelids": near_eye * (1 - below),
        "ears": ears,
        "neck": smoothstep(jaw, -0.5, 1.5),
        "scalp": smoothstep(hairline, -0.5, 1.0),
    }


def _beard_area(
    points: np.ndarray, anatomy: Anatomy, lips: np.ndarray, below_jaw: np.ndarray
) -> np.ndarray:
    """Upper lip, chin, jaw and the neck below it."""
    marks, unit = anatomy.landmarks, anatomy.unit
    jaw = np.minimum(anatomy.distance(points, 3, 8), anatomy.distance(points, 8, 13))
    lip = np.minimum(anatomy.distance(points, 48, 54), anatomy.distance(points, 54, 59))
    beside_nose = np.abs(points[:, 0]) < marks[35, 0] + 0.4 * unit
    top = np.where(beside_nose, marks[33, 1], marks[54, 1] + unit)
    area = np.exp(-0.8 * np.minimum(jaw / 2.2, lip / 1.6) ** 2)
    area = area * smoothstep((top - points[:, 1]) / unit, -0.1, 0.6)
    area = area * smoothstep(lips, 0.05, -0.2)
    return area * smoothstep(below_jaw, 3.5, 1.0)


def _folds(points: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    marks, unit = anatomy.landmarks, anatomy.unit
    start = marks[35] + unit * np.array([0.5, 0.3, -0.2])
    end = marks[54] + unit * np.array([0.8, -0.2, -0.2])
    folded = points * np.where(points[:, :1] < 0, [[-1.0, 1.0, 1.0]], 1.0)
    return polyline_distance(folded, np.stack([start, end])) / unit


def _vertex_tiles(head: HeadMesh) -> np.ndarray:
    tiles = np.zeros(len(head.vertices), np.int64)
    real = head.faces >= 0
    middle = head.uv.mean(1)
    tile = np.where(middle[:, 1] < 1, np.floor(middle[:, 0]), 0).astype(np.int64)
    tiles[head.faces[real]] = np.repeat(tile, real.sum(1))
    return tiles
