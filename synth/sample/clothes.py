"""Shirts and jumpers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from synth.heads.clothes import KINDS, ClothesShape, build_clothes
from synth.sample.attach import Part
from synth.sample.config import SampleConfig
from synth.sample.face import vertex_normals
from synth.sample.fields import layered_noise, smooth_noise, smoothstep
from synth.scene import HeadMesh

_WEIGHTS = (0.34, 0.17, 0.14, 0.1, 0.15, 0.1)
_PATTERNS = ("plain", "stripes", "blocks")


def sample_clothes(
    rng: np.random.Generator, config: SampleConfig, head: HeadMesh
) -> tuple[list[Part], dict[str, Any]]:
    """What the person wears around neck and shoulders.

    Parameters
    ----------
    head
        The posed head without hair.

    Returns
    -------
    parts
        None, or the cloth, in region `accessory`.
    record
        What was drawn.
    """
    shown = rng.random() < config.clothes_share
    kind = KINDS[rng.choice(len(KINDS), p=_WEIGHTS)]
    shape = ClothesShape(
        kind,
        shoulder=float(rng.uniform(16.5, 22.0)),
        slope=float(rng.uniform(4.2, 7.5)),
        chest=float(rng.uniform(8.5, 12.0)),
        drop=float(rng.uniform(-0.4, 1.2)),
        thickness=float(rng.uniform(0.2, 0.55)),
    )
    colour = np.maximum(0.7 * rng.beta(1.2, 2.2) * np.exp(0.45 * rng.standard_normal(4)), 0.012)
    other = np.maximum(0.7 * rng.beta(1.2, 2.2) * np.exp(0.45 * rng.standard_normal(4)), 0.012)
    pattern = str(rng.choice(_PATTERNS, p=[0.76, 0.14, 0.1]))
    width, phase = rng.uniform(1.6, 5.0), rng.uniform(0.0, 1.0)
    trim = float(rng.choice([1.0, rng.uniform(0.6, 1.3)]))
    if not shown:
        return [], {"kind": "none"}
    patch, below = build_clothes(head, shape)
    points = patch.vertices
    # Hanging folds: finer across than along the fall of the cloth, none at the hem.
    folds = layered_noise(rng, points * [1.0, 0.4, 1.0], (2.6, 1.2))
    depth = rng.uniform(0.05, 0.25) * smoothstep(below, 0.8, 6.0)
    moved = points + (depth * np.maximum(folds + 1.0, 0.0))[:, None] * vertex_normals(
        points, patch.faces
    )
    if pattern == "stripes":
        other_share = smoothstep(np.cos(2 * np.pi * (points[:, 1] / width + phase)), -0.2, 0.2)
    elif pattern == "blocks":
        other_share = smoothstep(below, 4.0 + width, 4.6 + width)
    else:
        other_share = np.zeros(len(points))
    reflectance = colour + (other - colour) * other_share[:, None]
    shade = np.exp(rng.uniform(0.0, 0.2) * smooth_noise(rng, points, rng.uniform(0.5, 3.0)))
    shade = shade * np.where(below < 1.4, trim, 1.0)
    reflectance = np.clip(reflectance * shade[:, None], 0.008, 0.85)
    cloth = Part(
        replace(patch, vertices=moved),
        "accessory",
        reflectance,
        float(rng.uniform(0.55, 0.95)),
        0.2,
    )
    record = {
        "kind": kind,
        "pattern": pattern,
        "shoulder_cm": shape.shoulder,
        "slope_cm": shape.slope,
        "thickness_cm": shape.thickness,
    }
    return [cloth], record
