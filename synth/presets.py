"""Named kinds of dataset: what `bioface-synth generate --preset` starts from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from synth.sample.config import SampleConfig

TEST_SEED = 1_000_000
"""Sets of this seed or a higher one are never trained on (`bioface/data/splits.json`)."""

BARE_SEED = 500_000
"""Far from the seeds of other training sets: those of the same seed show the same people."""

BARE = SampleConfig(
    defocus_share=0.0,
    sweat_share=0.0,
    hair_share=0.0,
    brow_share=0.0,
    beard_share=0.0,
    stubble_share=0.0,
    makeup_share=0.0,
    clothes_share=0.0,
    glasses_share=0.0,
    headwear_share=0.0,
)
"""Skin only, and sharp: nothing worn, grown, painted or sweated; the head keeps its lashes."""

_TEST = {"count": 340, "size": 128, "samples": 64, "seed": TEST_SEED}

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "transport": {"count": 2000, "size": 128, "samples": 64, "seed": 0},
        "bare": {"count": 1000, "size": 128, "samples": 64, "seed": BARE_SEED, "sampling": BARE},
        "spectral": {
            "count": 100,
            "size": 128,
            "samples": 64,
            "seed": TEST_SEED,
            "kind": "spectral",
        },
        "test": _TEST,
        "test-bare": {**_TEST, "sampling": BARE},
    }
)
"""Name to keyword arguments of `synth.generate.Settings`; options given beside it override."""
