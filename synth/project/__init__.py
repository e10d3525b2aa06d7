"""From a photo's pixels to a head's texture: skin maps onto UVs, with numpy alone.

`fit_head` places a head in the photo; `project_maps` reads the maps through that camera for every
texel of the skin, weighs what was seen well, and fills in the rest. `project_photos` does it for
several photos of one head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bioface.errors import InputError
from synth.project.camera import Fit, fit_box, fit_head
from synth.project.estimate import Estimate, read_estimate
from synth.project.fill import dilate, fill_vertices
from synth.project.photo import MAPS, PhotoReader
from synth.project.raster import rasterise, skin_faces, triangulate
from synth.sample.face import vertex_normals
from synth.scene import HeadMesh

__all__ = [
    "MAPS",
    "Estimate",
    "Fit",
    "Shot",
    "Tile",
    "fit_box",
    "fit_head",
    "project_maps",
    "project_photos",
    "read_estimate",
]

_TILES = (10, 100)
"""UDIM tiles along u and v."""
_MARGIN = 8
"""Texels by which skin is grown around UV islands."""
_SHARPNESS = 3.0
"""Power of the weights where photos overlap: the one that sees best decides, without an edge."""
_OVERLAP, _LEAST_OVERLAP = 0.5, 64
"""Weight from which a texel is seen well enough to compare two photos, and how many it takes."""


@dataclass(frozen=True)
class Shot:
    """One photo of a head.

    Attributes
    ----------
    fit
        Where the head stands in it.
    maps
        `melanin`, `haemoglobin` and `mask`, (H, W) on the photo's grid.
    weight
        How much it counts where others see the same skin, >= 0.
    """

    fit: Fit
    maps: Mapping[str, np.ndarray]
    weight: float = 1.0


@dataclass(frozen=True)
class Tile:
    """One UV tile of a head's skin.

    Attributes
    ----------
    maps
        `melanin` and `haemoglobin` (S, S) float32 volume fractions, row 0 at the top (v = 1);
        texels off the skin hold the median.
    seen
        (S, S) float32 in [0, 1]: how far the texel comes from the photo (1) or was filled in (0).
    covered
        (S, S) bool: the texel lies on the skin.
    """

    maps: dict[str, np.ndarray]
    seen: np.ndarray
    covered: np.ndarray


def project_maps(
    head: HeadMesh, fit: Fit, maps: Mapping[str, np.ndarray], size: int = 1024
) -> dict[int, Tile]:
    """Bring photo maps onto the UV tiles on which a head's skin lies.

    Parameters
    ----------
    maps
        `melanin`, `haemoglobin` and `mask`, (H, W) on the photo's grid.
    size
        Side S of each tile's textures.

    Returns
    -------
    dict of UDIM number (1001 is the tile [0, 1) x [0, 1)) to `Tile`.

    Raises
    ------
    InputError
        The head has no skin faces, or none of its skin falls on the mask.
    """
    return project_photos(head, [Shot(fit, maps)], size)


def project_photos(
    head: HeadMesh, shots: Sequence[Shot], size: int = 1024, *, level: bool = True
) -> dict[int, Tile]:
    """`project_maps` of several photos: each texel takes what sees it best, softly blended.

    Parameters
    ----------
    shots
        At least one.
    level
        Scale the pigments of each further photo so that they agree with the ones before it on the
        skin that both see: estimates of one person differ by a factor from photo to photo. The
        first photo sets the level.

    Raises
    ------
    InputError
        No photo, or one whose maps are incomplete; skin whose UVs lie on no UDIM tile or cover no
        texel; and as `project_maps`.
    """
    if not shots or not any(shot.weight > 0 for shot in shots):
        raise InputError("no photo to project; add one with a weight above 0")
    skin = skin_faces(head)
    corners, owner = triangulate(head.faces[skin])
    if not len(owner):
        raise InputError("the head has no skin faces")
    triangles = np.take_along_axis(head.faces[skin][owner], corners, 1)
    texels = np.take_along_axis(head.uv[skin][owner], corners[..., None], 1).astype(np.float64)
    texels *= size
    readers = [
        PhotoReader(
            head, triangles, shot.fit, shot.maps, _reduction(shot.fit.points[triangles], texels)
        )
        for shot in shots
    ]
    vertices = np.asarray(head.vertices, np.float64)
    surface = np.concatenate(
        [vertex_normals(vertices, head.faces), vertices]
        + [np.column_stack([shot.fit.points, shot.fit.depth]) for shot in shots],
        axis=1,
    )
    place = np.floor(texels.mean(1) / size)
    if not ((place >= 0) & (place < _TILES)).all():
        raise InputError(
            "UVs of the skin lie beyond the UDIM tiles, where no image reaches; "
            f"move them to u 0-{_TILES[0]} and v 0-{_TILES[1]}"
        )
    sheets = {}
    for column, row in np.unique(place.astype(int), axis=0):
        there = (place == [column, row]).all(1)
        across = texels[there] - [column * size, row * size]
        across[..., 1] = size - across[..., 1]
        sheets[1001 + int(column) + 10 * int(row)] = _Sheet(
            readers, surface, triangles[there], across, size
        )
    if not any(sheet.covered.any() for sheet in sheets.values()):
        raise InputError("UVs of the skin cover no texel; unwrap the mesh")
    gains = _levels(list(sheets.values())) if level else np.ones((len(shots), len(MAPS)))
    for sheet in sheets.values():
        sheet.blend(gains, [shot.weight for shot in shots])
    known, seen = _vertex_means(list(sheets.values()), len(vertices))
    if not seen.any():
        raise InputError(
            "the estimate's skin mask misses the head; are these its landmarks, and is the camera "
            "aligned with the photo?"
        )
    filled = fill_vertices(head, skin, known, seen)
    return {number: sheet.tile(filled) for number, sheet in sheets.items()}


class _Sheet:
    """The texels of one tile: where on the mesh they lie and what the photos show there."""

    def __init__(
        self,
        readers: Sequence[PhotoReader],
        surface: np.ndarray,
        triangles: np.ndarray,
        texels: np.ndarray,
        size: int,
    ) -> None:
        index, weights = rasterise(texels, (size, size))
        self.covered = index >= 0
        self.corners = triangles[index[self.covered]]
        self.weights = weights[self.covered].astype(np.float64)
        at = self.interpolate(surface)
        read = [
            reader.read(place[:, :2], place[:, 2], at[:, :3], at[:, 3:6])
            for reader, place in zip(readers, np.split(at[:, 6:], len(readers), 1), strict=True)
        ]
        self.shown = np.stack([values for values, _ in read])
        self.shown_weight = np.stack([weight for _, weight in read])
        self.values, self.seen = self.shown[0], self.shown_weight[0]

    def blend(self, gains: np.ndarray, weights: Sequence[float]) -> None:
        """Set `values` (N, 2) and `seen` (N,) from all photos, their pigments times `gains`."""
        share = np.asarray(weights)[:, None] * self.shown_weight**_SHARPNESS
        total = np.maximum(share.sum(0), 1e-12)
        self.values = (share[..., None] * self.shown * gains[:, None]).sum(0) / total[:, None]
        counted = np.where(np.asarray(weights)[:, None] > 0, self.shown_weight, 0)
        self.seen = counted.max(0)

    def interpolate(self, at_vertices: np.ndarray) -> np.ndarray:
        """(V, C) to the covered texels (N, C)."""
        return (at_vertices[self.corners] * self.weights[..., None]).sum(1)

    def tile(self, filled: np.ndarray) -> Tile:
        """What was seen, over the per-vertex values (V, 2) `filled` where it was not."""
        covered = self.covered
        image = np.zeros((*covered.shape, len(MAPS)))
        seen = self.seen[:, None]
        image[covered] = seen * self.values + (1 - seen) * self.interpolate(filled)
        median = np.median(image[covered], 0) if covered.any() else filled.mean(0)
        image, grown = dilate(image, covered, _MARGIN)
        image[~grown] = median
        weight = np.zeros(covered.shape, np.float32)
        weight[covered] = self.seen
        maps = {name: image[..., i].astype(np.float32) for i, name in enumerate(MAPS)}
        return Tile(maps, weight, covered)


def _levels(sheets: list[_Sheet]) -> np.ndarray:
    """(P, 2) factors that bring each photo's pigments to the level of the ones before it."""
    weight = np.concatenate([sheet.shown_weight for sheet in sheets], 1)
    shown = np.concatenate([sheet.shown for sheet in sheets], 1)
    gains = np.ones((len(shown), len(MAPS)))
    for later in range(1, len(shown)):
        ratios = [
            np.log(np.maximum(shown[before] * gains[before], 1e-6))[both]
            - np.log(np.maximum(shown[later], 1e-6))[both]
            for before in range(later)
            for both in [(weight[[before, later]] > _OVERLAP).all(0)]
        ]
        together = np.concatenate(ratios)
        if len(together) >= _LEAST_OVERLAP:
            gains[later] = np.exp(np.median(together, 0))
    return gains


def _vertex_means(sheets: list[_Sheet], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the seen texels around each vertex (V, 2), and the share (V,) that was seen."""
    total, seen, values = np.zeros(count), np.zeros(count), np.zeros((count, len(MAPS)))
    for sheet in sheets:
        for k in range(3):
            corner, weight = sheet.corners[:, k], sheet.weights[:, k]
            total += np.bincount(corner, weight, count)
            seen += np.bincount(corner, weight * sheet.seen, count)
            for i in range(len(MAPS)):
                shown = weight * sheet.seen * sheet.values[:, i]
                values[:, i] += np.bincount(corner, shown, count)
    return values / np.maximum(seen, 1e-12)[:, None], seen / np.maximum(total, 1e-12)


def _reduction(pixels: np.ndarray, texels: np.ndarray) -> int:
    """Photo pixels a texel spans along one side, at the median triangle, as a whole number."""

    def area(corners: np.ndarray) -> np.ndarray:
        (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
        return np.abs(ax * by - ay * bx)

    spanned = area(texels) > 0
    ratio = np.sqrt(area(pixels)[spanned] / area(texels)[spanned])
    return max(int(np.median(ratio)), 1) if len(ratio) else 1
