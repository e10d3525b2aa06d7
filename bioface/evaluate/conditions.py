"""The conditions that accuracy is measured under: `clean`, `full`, and one degradation at a time.

Imports torch.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from bioface.learn.conditions import RelightConfig

NOISE_PERCENT = 3.0
JPEG_QUALITY = 70


def conditions() -> dict[str, RelightConfig]:
    """Name to settings: the `MAIN_CONDITIONS`, then clean with one degradation on every photo."""
    clean, full = RelightConfig.clean(), RelightConfig.full()
    every = full.degrade
    images: dict[str, dict[str, Any]] = {
        "tone curve": {
            "tone_share": 1.0,
            "log_gamma_sd": every.log_gamma_sd,
            "contrast": every.contrast,
        },
        "saturation": {"saturation_share": 1.0, "saturation": every.saturation},
        "blur": {"blur_share": 1.0, "blur_pixels": every.blur_pixels},
        f"noise {NOISE_PERCENT:g} %": {"noise_percent": (NOISE_PERCENT, NOISE_PERCENT)},
        f"JPEG {JPEG_QUALITY}": {"jpeg_share": 1.0, "jpeg_quality": (JPEG_QUALITY, JPEG_QUALITY)},
    }
    scenes: dict[str, dict[str, Any]] = {
        "tint of single lights": {"tint_sd": full.tint_sd},
        "two lights": {"two_lights": 1.0},
        "white balance": {"gain_sd": full.gain_sd},
    }
    out = {"clean": clean, "full": full}
    for name, changes in images.items():
        degrade = dataclasses.replace(clean.degrade, **changes)
        out[name] = dataclasses.replace(clean, degrade=degrade)
    return out | {name: dataclasses.replace(clean, **c) for name, c in scenes.items()}
