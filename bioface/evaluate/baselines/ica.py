"""Independent component analysis of skin colour in log space.

Tsumura et al., "Image-based skin color and texture analysis/synthesis by extracting hemoglobin and
melanin information in the skin", ACM TOG 22(3), 2003: minus log colour is a sum of melanin,
haemoglobin and shading; shading moves along (1, 1, 1) and is projected out, and the two components
of what is left that are most independent are taken for the pigments. Densities are relative: one
gain and offset for each pigment, fitted on training photos, brings them to u.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bioface.scores.faces import Photos, Readings, albedo_of, measurable
from bioface.spectral.camera import CameraModel
from bioface.spectral.colour import srgb_decode
from bioface.spectral.formation import Camera
from bioface.spectral.illuminant import illuminant
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

PLANE = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]) / np.sqrt([[2.0], [6.0]])
"""Orthonormal axes of the plane in which shading leaves log colour as it is."""

_DARKEST = 1e-3
_ILL_POSED = 30.0


class IndependentComponents:
    """FastICA of every photo by itself, over its skin."""

    name = "ICA (Tsumura et al. 2003)"
    limit = None

    def fit(self, training: Sequence[Photos]) -> None:
        """Find for each pigment the gain and offset that suit the training photos best."""
        self._skin = SkinModel.load()
        self._expected = expected_directions(self._skin)
        pairs: list[tuple[np.ndarray, np.ndarray]] = []
        for photos in training:
            for i in measurable(photos.counted):
                on = photos.counted[i]
                density = self._densities(photos.srgb[i], on)[on][::7]
                true = np.stack([photos.melanin_u[i], photos.haemoglobin_u[i]], -1)[on][::7]
                pairs.append((density, true))
        density, true = (np.concatenate(side) for side in zip(*pairs, strict=True))
        self._line = [np.polyfit(density[:, k], true[:, k], 1) for k in range(2)]

    def read(self, photos: Photos) -> Readings:
        """Separate every photo that shows enough skin; the others get the mean."""
        maps = np.zeros((*photos.mask.shape, 2))
        for i in measurable(photos.counted):
            maps[i] = self._densities(photos.srgb[i], photos.counted[i])
        melanin, haemoglobin = (
            np.polyval(line, maps[..., k]).clip(-0.2, 1.2) for k, line in enumerate(self._line)
        )
        return Readings(
            melanin_u=melanin,
            haemoglobin_u=haemoglobin,
            albedo=albedo_of(self._skin, melanin, haemoglobin),
        )

    def _densities(self, srgb: np.ndarray, on: np.ndarray) -> np.ndarray:
        """Relative melanin and haemoglobin (H, W, 2)."""
        plane = -np.log(np.maximum(srgb_decode(srgb.astype(np.float64)), _DARKEST)) @ PLANE.T
        directions = _matched(independent_directions(plane[on]), self._expected)
        solved: np.ndarray = plane @ np.linalg.inv(directions).T
        return solved


def expected_directions(skin: SkinModel) -> np.ndarray:
    """(2, 2) unit columns: where melanin and haemoglobin move log colour, under D65, mid skin."""
    model = CameraModel.load()
    sensitivities = model.sensitivities(np.zeros(len(model.deviations)))
    projection = Camera(sensitivities, method="fitted").projection(illuminant("D65"))
    u = np.array([[0.45, 0.5], [0.55, 0.5], [0.5, 0.45], [0.5, 0.55]])
    reflectance = skin.reflectance(
        from_unit(u[:, 0], MELANIN_RANGE), from_unit(u[:, 1], HAEMOGLOBIN_RANGE)
    )
    plane = -np.log(reflectance @ projection) @ PLANE.T
    columns = np.stack([plane[1] - plane[0], plane[3] - plane[2]], -1)
    return columns / np.linalg.norm(columns, axis=0)


def independent_directions(points: np.ndarray, steps: int = 60) -> np.ndarray:
    """Unit columns (2, 2) along which points (N, 2) mix two independent sources.

    FastICA (Hyvarinen 1999), symmetric, with tanh; deterministic.
    """
    centred = points - points.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(points))
    values = np.maximum(values, 1e-12)
    white = centred @ vectors / np.sqrt(values)
    rotation = np.eye(2)
    for _ in range(steps):
        projected = np.tanh(white @ rotation.T)
        moved = projected.T @ white / len(white) - (1 - projected**2).mean(0)[:, None] * rotation
        left, _, right = np.linalg.svd(moved)
        rotation = left @ right
    mixing = vectors * np.sqrt(values) @ rotation.T
    directions: np.ndarray = mixing / np.linalg.norm(mixing, axis=0)
    return directions


def _matched(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """`found` in the order and with the signs of `expected`; that itself where it is useless."""
    cosines = found.T @ expected
    straight = abs(cosines[0, 0]) + abs(cosines[1, 1])
    crossed = abs(cosines[0, 1]) + abs(cosines[1, 0])
    ordered = found if straight >= crossed else found[:, ::-1]
    ordered = ordered * np.sign((ordered * expected).sum(0) + 1e-12)
    return expected if np.linalg.cond(ordered) > _ILL_POSED else ordered
