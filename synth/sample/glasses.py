"""Spectacles and sunglasses."""

from __future__ import annotations

from typing import Any

import numpy as np

from synth.heads.glasses import SHAPES, GlassesShape, build_glasses
from synth.sample.attach import Part
from synth.sample.config import SampleConfig
from synth.sample.fields import smooth_noise
from synth.scene import HeadMesh

# Bernstein coefficients, roughness, specular level, thin rim, weight.
_MATERIALS: dict[str, tuple[tuple[float, ...], float, float, bool, float]] = {
    "black": ((0.02, 0.02, 0.02, 0.02), 0.25, 0.5, False, 0.32),
    "tortoise": ((0.02, 0.04, 0.13, 0.22), 0.2, 0.5, False, 0.2),
    "coloured": ((0.15, 0.15, 0.15, 0.15), 0.3, 0.5, False, 0.12),
    "dark_metal": ((0.05, 0.05, 0.05, 0.05), 0.25, 0.9, True, 0.16),
    "silver": ((0.42, 0.44, 0.45, 0.46), 0.25, 1.0, True, 0.12),
    "gold": ((0.18, 0.32, 0.52, 0.56), 0.25, 1.0, True, 0.08),
}
_DARK_LENS = (0.015, 0.015, 0.02, 0.03)


def sample_glasses(
    rng: np.random.Generator, config: SampleConfig, head: HeadMesh
) -> tuple[list[Part], dict[str, Any]]:
    """The frame, and dark lenses in a share of them; clear lenses are left out.

    Parameters
    ----------
    head
        The posed head without hair: temples lie on the skin, under hair.

    Returns
    -------
    parts
        None, the frame, or frame and lenses, in region `accessory`.
    record
        What was drawn.
    """
    shown = rng.random() < config.glasses_share
    dark = rng.random() < config.sunglasses_share
    weight = np.array([material[-1] for material in _MATERIALS.values()])
    name = list(_MATERIALS)[rng.choice(len(weight), p=weight / weight.sum())]
    base, roughness, specular, thin, _ = _MATERIALS[name]
    outline = SHAPES[rng.choice(len(SHAPES), p=[0.2, 0.4, 0.25, 0.15])]
    width = rng.uniform(2.15, 2.5)
    tall = {"round": 0.95, "rectangular": 0.66, "panto": 0.85, "aviator": 0.85}[outline]
    rim = rng.uniform(0.05, 0.09) if thin else rng.uniform(0.1, 0.24)
    shape = GlassesShape(
        outline,
        width + 0.25 * dark,
        (width + 0.25 * dark) * tall * rng.uniform(0.9, 1.1),
        rim,
        rng.uniform(0.1, 0.5),
        rng.uniform(0.008, 0.018),
    )
    shade = np.exp(0.2 * rng.standard_normal() + (name == "coloured") * rng.normal(0, 0.7, 4))
    tint = rng.uniform(0.7, 1.8)
    if not shown:
        return [], {"shown": False}
    frame, lenses = build_glasses(head, shape)
    colour = np.clip(np.array(base) * shade, 0.01, 0.8)
    if name == "tortoise":
        patches = np.exp(0.7 * smooth_noise(rng, frame.vertices, 0.5))[:, None]
        colour = np.clip(colour * patches, 0.01, 0.5)
    parts = [Part(frame, "accessory", colour, roughness, specular)]
    if dark:
        parts.append(Part(lenses, "accessory", tint * np.array(_DARK_LENS), 0.1, 0.5))
    record = {
        "shown": True,
        "dark": bool(dark),
        "material": name,
        "outline": outline,
        "rim_cm": rim,
    }
    return parts, record
