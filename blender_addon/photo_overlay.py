"""A photo over a 3D view, with a square on it: where a face is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy

if TYPE_CHECKING:
    import numpy as np

Square = tuple[float, float, float]
"""Left, top and side in pixels of the photo, from its upper left corner."""

_LONGEST = 1536
"""Pixels of the longer side up to which the photo is handed to the graphics card."""
_MARGIN = 0.04
_BACKDROP = (0.09, 0.09, 0.09, 1.0)
_LINES = ((4.0, (0.0, 0.0, 0.0, 0.6)), (2.0, (1.0, 1.0, 1.0, 1.0)))
"""Widths and colours of the square's outline: seen on light and on dark skin."""


@dataclass(frozen=True)
class Placement:
    """Where a photo lies in a region: pixels of the region, from its lower left corner, upwards.

    Attributes
    ----------
    left, top
        Of the photo.
    scale
        Pixels of the region in one of the photo.
    width, height
        Of the photo in its own pixels.
    """

    left: float
    top: float
    scale: float
    width: int
    height: int

    @classmethod
    def inside(cls, room: tuple[float, float, float, float], shape: tuple[int, int]) -> Placement:
        """A photo of `shape` (H, W) as large as `room` (left, bottom, right, top) allows."""
        left, bottom, right, top = room
        height, width = shape
        scale = (1 - 2 * _MARGIN) * min((right - left) / width, (top - bottom) / height)
        return cls(
            (left + right - scale * width) / 2,
            (bottom + top + scale * height) / 2,
            scale,
            width,
            height,
        )

    def to_photo(self, x: float, y: float) -> tuple[float, float]:
        """A place in the region as one in the photo, held inside it."""
        across, down = (x - self.left) / self.scale, (self.top - y) / self.scale
        return min(max(across, 0.0), float(self.width)), min(max(down, 0.0), float(self.height))

    def to_region(self, x: float, y: float) -> tuple[float, float]:
        """The inverse of `to_photo`."""
        return self.left + self.scale * x, self.top - self.scale * y

    def square(self, start: tuple[float, float], end: tuple[float, float]) -> Square:
        """The square drawn from one place in the region to another, over their larger distance."""
        (x, y), (other_x, other_y) = self.to_photo(*start), self.to_photo(*end)
        side = max(abs(other_x - x), abs(other_y - y))
        return x - side * (other_x < x), y - side * (other_y < y), side


def free_room(area: bpy.types.Area) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of what bars leave free of an area's main region, in its pixels."""
    whole = next(region for region in area.regions if region.type == "WINDOW")
    left, bottom, right, top = 0, 0, whole.width, whole.height
    for region in area.regions:
        if region == whole or min(region.width, region.height) <= 1:
            continue
        if region.alignment == "LEFT":
            left = max(left, region.x + region.width - whole.x)
        elif region.alignment == "RIGHT":
            right = min(right, region.x - whole.x)
        elif region.alignment == "TOP":
            top = min(top, region.y - whole.y)
        elif region.alignment == "BOTTOM":
            bottom = max(bottom, region.y + region.height - whole.y)
    return left, bottom, right, top


class PhotoOverlay:
    """Covers a 3D view with a photo until it is removed.

    Parameters
    ----------
    area
        The 3D view.
    srgb
        (H, W, 3) floats in 0-1.

    Attributes
    ----------
    square
        What is drawn on the photo, if anything.
    """

    def __init__(self, area: bpy.types.Area, srgb: np.ndarray) -> None:
        self.square: Square | None = None
        self._area = area
        self._region = next(region for region in area.regions if region.type == "WINDOW")
        self._shape = srgb.shape[0], srgb.shape[1]
        self._texture = _texture(srgb)
        self._handler = bpy.types.SpaceView3D.draw_handler_add(
            self._draw, (), "WINDOW", "POST_PIXEL"
        )
        area.tag_redraw()

    @property
    def placement(self) -> Placement:
        """Where the photo lies now."""
        return Placement.inside(free_room(self._area), self._shape)

    def pointer(self, event: bpy.types.Event) -> tuple[float, float]:
        """Where the mouse is, in the region."""
        return event.mouse_x - self._region.x, event.mouse_y - self._region.y

    def show(self, square: Square | None) -> None:
        """Draw another square."""
        self.square = square
        self._area.tag_redraw()

    def remove(self) -> None:
        """Give the 3D view back."""
        bpy.types.SpaceView3D.draw_handler_remove(self._handler, "WINDOW")
        self._area.tag_redraw()

    def _draw(self) -> None:
        if bpy.context.area != self._area:
            return
        import gpu

        place = self.placement
        gpu.state.blend_set("ALPHA")
        _fill((0, 0, self._region.width, self._region.height), _BACKDROP)
        _picture(
            (*place.to_region(0, place.height), *place.to_region(place.width, 0)), self._texture
        )
        if self.square is not None:
            x, y, side = self.square
            corners = (*place.to_region(x, y + side), *place.to_region(x + side, y))
            for width, colour in _LINES:
                _outline(corners, width, colour, (self._region.width, self._region.height))
        gpu.state.blend_set("NONE")


def _texture(srgb: np.ndarray) -> object:
    """The photo in linear light: what the region's buffer encodes as it takes it."""
    import gpu
    import numpy as np

    from bioface.photo.resample import shrink
    from bioface.spectral.colour import srgb_decode

    height, width = srgb.shape[:2]
    scale = max(max(height, width) / _LONGEST, 1.0)
    size = max(round(height / scale), 1), max(round(width / scale), 1)
    small = shrink(np.asarray(srgb_decode(srgb), np.float32), size)
    rgba = np.ones((*small.shape[:2], 4), np.float32)
    rgba[..., :3] = small[::-1]
    pixels = gpu.types.Buffer("FLOAT", rgba.size, rgba.ravel())
    return gpu.types.GPUTexture((small.shape[1], small.shape[0]), format="RGBA16F", data=pixels)


def _corners(box: tuple[float, float, float, float]) -> tuple[tuple[float, float], ...]:
    left, bottom, right, top = box
    return (left, bottom), (right, bottom), (right, top), (left, top)


def _fill(
    box: tuple[float, float, float, float], colour: tuple[float, float, float, float]
) -> None:
    import gpu
    from gpu_extras.batch import batch_for_shader

    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    batch = batch_for_shader(shader, "TRIS", {"pos": _corners(box)}, indices=((0, 1, 2), (0, 2, 3)))
    shader.uniform_float("color", colour)
    batch.draw(shader)


def _picture(box: tuple[float, float, float, float], texture: object) -> None:
    import gpu
    from gpu_extras.batch import batch_for_shader

    shader = gpu.shader.from_builtin("IMAGE")
    content = {"pos": _corners(box), "texCoord": _corners((0, 0, 1, 1))}
    batch = batch_for_shader(shader, "TRIS", content, indices=((0, 1, 2), (0, 2, 3)))
    shader.uniform_sampler("image", texture)
    batch.draw(shader)


def _outline(
    box: tuple[float, float, float, float],
    width: float,
    colour: tuple[float, float, float, float],
    viewport: tuple[int, int],
) -> None:
    import gpu
    from gpu_extras.batch import batch_for_shader

    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    corners = _corners(box)
    batch = batch_for_shader(shader, "LINE_STRIP", {"pos": (*corners, corners[0])})
    shader.uniform_float("viewportSize", viewport)
    shader.uniform_float("lineWidth", width)
    shader.uniform_float("color", colour)
    batch.draw(shader)
