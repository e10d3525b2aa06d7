"""From a photo's pixels to a head's texture: skin maps onto UVs, with numpy alone.

`fit_head` places a head in the photo; `project_maps` reads the maps through that camera for every
texel of the skin, weighs what was seen well, and fills in the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bioface.errors import InputError
from synth.project.camera import Fit, fit_head
from synth.project.estimate import Estimate, read_estimate
from synth.project.fill import dilate, fill_vertices
from synth.project.photo import MAPS, PhotoReader
from synth.project.raster import rasterise, skin_faces, triangulate
from synth.sample.face import vertex_normals
from synth.scene import HeadMesh

__all__ = ["MAPS", "Estimate", "Fit", "Tile", "fit_head", "project_maps", "read_estimate"]

_MARGIN = 8
"""Texels by which skin is grown around UV islands."""


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
    """

    maps: dict[str, np.ndarray]
    seen: np.ndarray


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
    skin = skin_faces(head)
    corners, owner = triangulate(head.faces[skin])
    if not len(owner):
        raise InputError("the head has no skin faces")
    triangles = np.take_along_axis(head.faces[skin][owner], corners, 1)
    texels = np.take_along_axis(head.uv[skin][owner], corners[..., None], 1).astype(np.float64)
    texels *= size
    reader = PhotoReader(head, triangles, fit, maps, _reduction(fit.points[triangles], texels))
    vertices = np.asarray(head.vertices, np.float64)
    surface = np.concatenate(
        [fit.points, fit.depth[:, None], vertex_normals(vertices, head.faces), vertices], 1
    )
    values, seen = _read(reader, surface)
    on_skin = np.zeros(len(vertices), bool)
    on_skin[triangles] = True
    seen = np.where(on_skin, seen, 0)
    if not seen.any():
        raise InputError("the estimate's skin mask misses the head; are these its landmarks?")
    surface = np.concatenate([surface, fill_vertices(head, skin, values, seen)], 1)

    place = np.floor(texels.mean(1) / size).astype(int)
    tiles = {}
    for column, row in np.unique(place, axis=0):
        there = (place == [column, row]).all(1)
        across = texels[there] - [column * size, row * size]
        across[..., 1] = size - across[..., 1]
        tiles[1001 + int(column) + 10 * int(row)] = _bake(
            reader, surface, triangles[there], across, size
        )
    return tiles


def _bake(
    reader: PhotoReader, surface: np.ndarray, triangles: np.ndarray, texels: np.ndarray, size: int
) -> Tile:
    index, weights = rasterise(texels, (size, size))
    covered = index >= 0
    corners = triangles[index[covered]]
    at = sum(weights[covered][:, [k]] * surface[corners[:, k]] for k in range(3))
    values, seen = _read(reader, at)
    image = np.zeros((size, size, len(MAPS)))
    image[covered] = seen[:, None] * values + (1 - seen[:, None]) * at[:, -len(MAPS) :]
    median = np.median(image[covered], 0)
    image, grown = dilate(image, covered, _MARGIN)
    image[~grown] = median
    weight = np.zeros((size, size), np.float32)
    weight[covered] = seen
    return Tile({name: image[..., i].astype(np.float32) for i, name in enumerate(MAPS)}, weight)


def _read(reader: PhotoReader, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`reader.read` on rows of point, depth, normal, position."""
    return reader.read(surface[:, :2], surface[:, 2], surface[:, 3:6], surface[:, 6:9])


def _reduction(pixels: np.ndarray, texels: np.ndarray) -> int:
    """Photo pixels a texel spans along one side, at the median triangle, as a whole number."""

    def area(corners: np.ndarray) -> np.ndarray:
        (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
        return np.abs(ax * by - ay * bx)

    ratio = np.sqrt(area(pixels) / np.maximum(area(texels), 1e-12))
    return max(int(np.median(ratio)), 1)
