"""Named kinds of dataset: what `bioface-synth generate --preset` starts from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

TEST_SEED = 1_000_000
"""Sets of this seed or a higher one are never trained on (`bioface/data/splits.json`)."""

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "transport": {"count": 2000, "size": 128, "samples": 64, "seed": 0},
        "spectral": {
            "count": 100,
            "size": 128,
            "samples": 256,  # scattered light is several times as noisy as a Lambert surface's
            "seed": TEST_SEED,
            "kind": "spectral",
        },
    }
)
"""Name to keyword arguments of `synth.generate.Settings`; options given beside it override."""
