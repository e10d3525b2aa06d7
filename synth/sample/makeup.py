"""Make-up: layers that let part of the skin show, and foundation that evens it out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.sample.config import SampleConfig
from synth.sample.cover import Cover
from synth.sample.fields import layered_noise, smoothstep
from synth.sample.layout import Layout

# Reflectance as Bernstein coefficients (roughly at 400, 507, 613 and 720 nm).
_LIPSTICKS = (
    (0.10, 0.02, 0.38, 0.62),
    (0.16, 0.05, 0.45, 0.66),
    (0.06, 0.02, 0.16, 0.38),
    (0.22, 0.13, 0.50, 0.66),
    (0.12, 0.10, 0.30, 0.48),
)
_SHADOWS = (
    (0.04, 0.04, 0.05, 0.08),
    (0.08, 0.10, 0.16, 0.26),
    (0.20, 0.22, 0.34, 0.46),
    (0.22, 0.12, 0.16, 0.30),
    (0.26, 0.24, 0.14, 0.20),
    (0.45, 0.46, 0.52, 0.56),
)
_KINDS = ("lipstick", "eye_shadow", "blush")
_BLUSH = (0.22, 0.12, 0.52, 0.70)

_MOST = 0.48  # of the skin that a layer hides: more than half would count as something else


@dataclass(frozen=True)
class MakeUp:
    """The layer over the skin, and 0-1 how much foundation evens out the pigments below it."""

    cover: Cover
    evenness: float


def sample_makeup(rng: np.random.Generator, config: SampleConfig, layout: Layout) -> MakeUp:
    """Draw lipstick, eye shadow, blush and foundation; nothing in most of the samples.

    What a layer hides is not skin: it lowers the mask there, like stubble. Foundation covers
    everything, so it changes the pigment fields instead (see `sample_pigment`).
    """
    worn = rng.random() < config.makeup_share
    kinds = dict(zip(_KINDS, rng.random(3) < (0.8, 0.6, 0.5), strict=True))
    amounts = dict(zip(_KINDS, rng.uniform((0.15, 0.1, 0.05), (1.0, 1.0, 0.45)), strict=True))
    evenness = float(rng.uniform(0.2, 0.75)) if rng.random() < 0.75 * worn else 0.0
    lipstick = np.array(_LIPSTICKS[rng.integers(len(_LIPSTICKS))]) * np.exp(0.2 * rng.normal())
    shadow = np.array(_SHADOWS[rng.integers(len(_SHADOWS))]) * np.exp(0.3 * rng.normal())
    colours = {"lipstick": lipstick, "eye_shadow": shadow, "blush": np.array(_BLUSH)}
    lid = layout.sites["eyelids"] * smoothstep(layout.brows, 0.3, 0.9)
    patchy = 1 + 0.15 * layered_noise(rng, layout.points, (0.8, 0.4))
    shapes = {
        "lipstick": smoothstep(layout.lips, -0.08, 0.06),
        "eye_shadow": smoothstep(lid, 0.25, 0.8),
        "blush": np.clip(layout.sites["cheeks"], 0, 1) ** 2 * (layout.lips < -0.3),
    }
    strengths = {
        name: _MOST * float(amounts[name]) if worn and kinds[name] else 0.0 for name in kinds
    }
    layers = np.stack([strengths[name] * np.clip(shapes[name] * patchy, 0, 1) for name in kinds])
    total = layers.sum(0)
    mix = layers / np.maximum(total, 1e-9)
    gloss = float(rng.uniform(0.15, 0.7))
    return MakeUp(
        Cover(
            coverage=np.minimum(total, _MOST),
            thickness=np.zeros(len(total)),
            reflectance=mix.T @ np.stack([colours[name] for name in _KINDS]),
            roughness=gloss,
            specular=0.5,
            record={
                **strengths,
                "reflectance": {
                    name: colours[name].tolist() for name in _KINDS if strengths[name] > 0
                },
            },
        ),
        evenness,
    )
