"""Caps, beanies and headscarves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from synth.heads.headwear import KINDS, HeadwearShape, build_headwear
from synth.sample.attach import Part
from synth.sample.config import SampleConfig
from synth.sample.fields import layered_noise, smooth_noise
from synth.sample.hair import Hair
from synth.scene import HeadMesh

_WEIGHTS = (0.45, 0.3, 0.25)


def sample_headwear(
    rng: np.random.Generator, config: SampleConfig, head: HeadMesh
) -> tuple[list[Part], np.ndarray, dict[str, Any]]:
    """Something to wear on the head, or nothing.

    Parameters
    ----------
    head
        The posed head without hair.

    Returns
    -------
    parts
        None, or the cloth, in region `accessory`.
    pressed
        (V,) 0-1: where it lies on the head, so that hair has to give way (`press_hair`).
    record
        What was drawn.
    """
    shown = rng.random() < config.headwear_share
    kind = KINDS[rng.choice(len(KINDS), p=_WEIGHTS)]
    edge, slope = rng.uniform(1.6, 4.4), rng.uniform(0.3, 0.5)
    edge = 0.75 * edge if kind == "beanie" else edge
    room = rng.uniform(0.2, 2.5) if kind == "beanie" else rng.uniform(0.3, 0.9)
    brim = rng.uniform(5.0, 7.5)
    turn = float(rng.choice([0.0, 180.0, rng.uniform(-60, 60)], p=[0.85, 0.1, 0.05]))
    colour = 0.7 * rng.beta(1.2, 2.2) * np.exp(0.45 * rng.standard_normal(4))
    if not shown:
        return [], np.zeros(len(head.vertices)), {"kind": "none"}
    patch, pressed = build_headwear(head, HeadwearShape(kind, edge, slope, room, brim, turn))
    folds = 0.12 if kind == "scarf" else 0.04
    moved = (
        patch.vertices * (1 + folds / 10 * layered_noise(rng, patch.vertices, (2.5, 1.2)))[:, None]
    )
    pattern = np.exp(rng.uniform(0.0, 0.3) * smooth_noise(rng, moved, rng.uniform(0.5, 3.0)))
    reflectance = np.clip(np.maximum(colour, 0.012) * pattern[:, None], 0.008, 0.85)
    cloth = Part(
        replace(patch, vertices=moved), "accessory", reflectance, float(rng.uniform(0.6, 0.95)), 0.2
    )
    record = {"kind": kind, "edge_cm": edge, "turn": turn if kind == "cap" else 0.0}
    return [cloth], pressed, record


def press_hair(hair: Hair, pressed: np.ndarray) -> Hair:
    """`hair` flattened, and without strands, where headwear lies on it: `pressed` (N,) 0-1."""
    if not pressed.any():
        return hair
    return replace(
        hair,
        scalp=hair.scalp * (1 - pressed),
        thickness=hair.thickness * (1 - 0.9 * pressed),
        style="back" if hair.style == "bun" else hair.style,
    )
