"""The picture that goes with an estimate: the photo, its maps and what they mean, at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bioface.photo.files import to_bytes
from bioface.photo.landmarks import bounding_box
from bioface.photo.resample import shrink
from bioface.photo.result import Estimate
from bioface.spectral.colour import apply_tone, srgb_encode

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

PANEL = 320
_GAP = 8
_CAPTION = 44
_PAPER = (250, 250, 248)
_INK = (40, 40, 44)
_OUTSIDE = 0.94
_MARGIN = 0.35  # what of the faces' box is shown around it

# Ends and middle of each map's colours, sRGB: light to dark, readable in grey as well.
_MELANIN = ((1.00, 0.96, 0.88), (0.70, 0.45, 0.25), (0.16, 0.07, 0.04))
_BLOOD = ((1.00, 0.95, 0.92), (0.90, 0.38, 0.30), (0.33, 0.00, 0.06))
_LIGHT = ((0.00, 0.00, 0.00), (0.50, 0.50, 0.50), (1.00, 1.00, 1.00))


def montage(srgb: np.ndarray, estimate: Estimate) -> np.ndarray:
    """Eight labelled panels of the photo (H, W, 3 sRGB in 0-1) and its maps: (h, w, 3) uint8.

    The photo is cropped to its faces. Pigment colours run over the range found in the photo; the
    range stands under each panel. The lower right panel shows what the decoder does not explain.
    """
    from PIL import Image, ImageDraw

    rows, columns = _shown(estimate)
    photo = _shrunk(srgb[rows, columns])
    inside = (estimate.maps["mask"][rows, columns] > 0).astype(np.float32)
    share = np.maximum(_shrunk(inside), 1e-6)
    maps = {}
    for name, plane in estimate.maps.items():
        small = _shrunk(plane[rows, columns])
        maps[name] = small / (share if small.ndim == 2 else share[..., None])
    mask = maps["mask"] * share
    explained = _explained(maps["reconstruction"], estimate)
    residual = 0.5 + 4 * (explained - photo)
    panels = [
        ("photo", _faces_text(estimate), photo),
        ("melanin", *_scaled(maps["melanin"], mask, _MELANIN, percent=True)),
        ("haemoglobin", *_scaled(maps["haemoglobin"], mask, _BLOOD, percent=True)),
        ("albedo under D65", "", _on_paper(_display(maps["albedo"]), mask)),
        ("diffuse shading", *_scaled(maps["diffuse_shading"], mask, _LIGHT, floor=0.0)),
        ("specular shading", *_scaled(maps["specular_shading"], mask, _LIGHT, floor=0.0)),
        ("reconstruction", "", _on_paper(explained, mask)),
        ("what it leaves, x 4", "", _on_paper(np.clip(residual, 0, 1), mask)),
    ]
    width = 4 * PANEL + 5 * _GAP
    height = 2 * (PANEL + _CAPTION) + 3 * _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (title, note, picture) in enumerate(panels):
        left = _GAP + (index % 4) * (PANEL + _GAP)
        top = _GAP + (index // 4) * (PANEL + _CAPTION + _GAP)
        _paste(sheet, picture, left, top)
        _label(draw, title, note, left, top + PANEL)
    return np.asarray(sheet)


def _shown(estimate: Estimate) -> tuple[slice, slice]:
    """The part of the photo around all of its faces."""
    boxes = np.array([face.box for face in estimate.faces]).reshape(-1, 2)
    left, top, right, bottom = bounding_box(boxes)
    margin = _MARGIN * max(face.size for face in estimate.faces)
    height, width = estimate.shape
    return (
        slice(max(int(top - margin), 0), min(int(bottom + margin) + 1, height)),
        slice(max(int(left - margin), 0), min(int(right + margin) + 1, width)),
    )


def _shrunk(plane: np.ndarray) -> np.ndarray:
    """The plane no larger than a panel, averaged over area; small ones stay as they are."""
    scale = PANEL / max(plane.shape[:2])
    if scale >= 1:
        return plane
    height, width = (max(round(length * scale), 1) for length in plane.shape[:2])
    return shrink(plane, (height, width))


def _explained(reconstruction: np.ndarray, estimate: Estimate) -> np.ndarray:
    """The reconstruction through the tone curve of the largest face."""
    return np.asarray(apply_tone(reconstruction, estimate.faces[0].tone.astype(np.float32)))


def _display(linear: np.ndarray) -> np.ndarray:
    return np.asarray(srgb_encode(np.clip(linear, 0, 1)))


def _on_paper(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return picture * mask[..., None] + _OUTSIDE * (1 - mask[..., None])


def _scaled(
    plane: np.ndarray,
    mask: np.ndarray,
    colours: Sequence[tuple[float, float, float]],
    *,
    floor: float | None = None,
    percent: bool = False,
) -> tuple[str, np.ndarray]:
    """The range shown, as text, and the plane in colour."""
    skin = plane[mask > 0.5]
    if skin.size == 0:
        return "no skin found", np.full((*plane.shape, 3), _OUTSIDE)
    low, high = np.percentile(skin, (1, 99))
    low = float(low) if floor is None else floor
    high = max(float(high), low + 1e-6)
    position = np.clip((plane - low) / (high - low), 0, 1)
    nodes = np.linspace(0, 1, len(colours))
    picture = np.stack([np.interp(position, nodes, [c[k] for c in colours]) for k in range(3)], -1)
    text = f"{100 * low:.1f} - {100 * high:.1f} %" if percent else f"{low:.2f} - {high:.2f}"
    return text, _on_paper(picture, mask)


def _faces_text(estimate: Estimate) -> str:
    count = len(estimate.faces)
    kelvin = estimate.faces[0].cct_kelvin
    light = "of no temperature" if kelvin is None else f"about {round(kelvin, -2):.0f} K"
    faces = f"{count} faces, " if count > 1 else ""
    return f"{faces}light {light}"


def _paste(sheet: Image.Image, picture: np.ndarray, left: int, top: int) -> None:
    from PIL import Image

    image = Image.fromarray(to_bytes(picture))
    scale = PANEL / max(image.size)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    image = image.resize(size, Image.Resampling.LANCZOS)
    sheet.paste(image, (left + (PANEL - size[0]) // 2, top + (PANEL - size[1]) // 2))


def _label(draw: ImageDraw.ImageDraw, title: str, note: str, left: int, top: int) -> None:
    from PIL import ImageFont

    draw.text((left, top + 4), title, fill=_INK, font=ImageFont.load_default(17))
    draw.text((left, top + 24), note, fill=_INK, font=ImageFont.load_default(13))
