"""The pigments of a scene at the pixels of its picture, found without Blender.

Every surface of the head is projected and rasterised here, and what its vertices (or its texture)
hold is interpolated: what the channels of a rendered sample are checked against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.project.raster import rasterise, skin_faces, triangulate
from synth.sample.view import project
from synth.scene import HeadMesh, Scene, View

_STEPS = 7  # points a pixel and axis; odd, so that one of them is its centre
_FILTER_REACH = 1.5  # px to either side: what Cycles makes of `filter_width` 1.5
_MARGIN = 7  # points beyond the picture that the filter reaches


@dataclass(frozen=True)
class PigmentMaps:
    """Pigments of skin over a picture, 0 where there is none.

    Attributes
    ----------
    melanin, haemoglobin
        (H, W) volume fractions.
    mask
        (H, W) the share of skin.
    """

    melanin: np.ndarray
    haemoglobin: np.ndarray
    mask: np.ndarray


def authored_pigment(scene: Scene, size: int) -> tuple[PigmentMaps, PigmentMaps]:
    """The pigments that a scene was given, as its camera sees them in `size` by `size` pixels.

    The lens counts as a pinhole.

    Returns
    -------
    filtered
        Means over 7 x 7 points a pixel under the Blackman-Harris window, 3 px wide, that the
        renderer draws its samples from.
    centre
        At the centres of the pixels alone.
    """
    points = _seen(scene, size)
    middle = slice(_MARGIN + _STEPS // 2, None, _STEPS)
    weights = _filter_weights(size)
    filtered = np.einsum("yj,jkc,xk->yxc", weights, points, weights, optimize=True)
    return _maps(filtered), _maps(points[middle, middle][:size, :size])


def _seen(scene: Scene, size: int) -> np.ndarray:
    """(P, P, 3) melanin and haemoglobin times the share of skin, and that share, at every point."""
    head = scene.head
    corners, owner = triangulate(head.faces)
    vertices = head.faces[owner[:, None], corners]
    distance = _distance(scene.view, head.vertices)
    pixels = project(scene.view, head.vertices) * size * _STEPS + _MARGIN
    side = size * _STEPS + 2 * _MARGIN
    # 1 / distance is linear over the image
    index, screen = rasterise(pixels[vertices], (side, side), -1 / distance[vertices])
    hit = index >= 0
    triangle = index[hit]
    weights = screen[hit] / distance[vertices[triangle]]
    weights /= weights.sum(1, keepdims=True)
    share = scene.attributes.get("skin", np.ones(len(head.vertices)))
    values = np.stack([scene.attributes[n] * share for n in ("melanin", "haemoglobin")] + [share])
    seen = np.einsum("ctk,tk->tc", values[:, vertices[triangle]], weights)
    if head.pigment.size:
        uv = head.uv[owner[triangle, None], corners[triangle]]
        seen[:, :2] = _texture(head, np.einsum("tkc,tk->tc", uv, weights)) * seen[:, 2:]
    out = np.zeros((side, side, 3))
    out[hit] = seen * skin_faces(head)[owner[triangle], None]
    return out


def _distance(view: View, points: np.ndarray) -> np.ndarray:
    """(N,) along the view axis, cm."""
    distance: np.ndarray = (view.position - points.astype(np.float64)) @ view.rotation[2]
    return distance


def _texture(head: HeadMesh, uv: np.ndarray) -> np.ndarray:
    """The head's pigments (N, 2) at texture coordinates (N, 2), bilinear, repeated."""
    height, width = head.pigment.shape[:2]
    column = uv[:, 0] * width - 0.5
    row = (1 - uv[:, 1]) * height - 0.5
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    across, down = (column - left)[:, None], (row - top)[:, None]
    above, below = (
        head.pigment[y % height, left % width] * (1 - across)
        + head.pigment[y % height, (left + 1) % width] * across
        for y in (top, top + 1)
    )
    return np.asarray(above * (1 - down) + below * down)


def _filter_weights(size: int) -> np.ndarray:
    """(size, P) weights of the points along one axis for each pixel; rows sum to one."""
    points = (np.arange(size * _STEPS + 2 * _MARGIN) - _MARGIN + 0.5) / _STEPS
    offset = points - (np.arange(size)[:, None] + 0.5)
    angle = np.pi * offset / _FILTER_REACH
    window = (
        0.35875
        + 0.48829 * np.cos(angle)
        + 0.14128 * np.cos(2 * angle)
        + 0.01168 * np.cos(3 * angle)
    )
    window *= np.abs(offset) < _FILTER_REACH
    return window / window.sum(1, keepdims=True)


def _maps(planes: np.ndarray) -> PigmentMaps:
    share = planes[..., 2]
    melanin, haemoglobin = np.moveaxis(planes[..., :2], -1, 0) / np.where(share > 0, share, 1)
    return PigmentMaps(melanin, haemoglobin, share)
