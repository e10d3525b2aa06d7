"""The conditions that accuracy is measured under: `clean`, `full`, and one degradation at a time.

Imports torch.
"""

from __future__ import annotations

import dataclasses

from bioface.learn.conditions import RelightConfig

NOISE_PERCENT = 3.0
JPEG_QUALITY = 70


def conditions() -> dict[str, RelightConfig]:
    """Name to settings: the `MAIN_CONDITIONS`, then clean with one degradation on every photo."""
    full = RelightConfig.full()
    degrade = dataclasses.replace(
        full.degrade,
        noise_percent=(NOISE_PERCENT, NOISE_PERCENT),
        jpeg_quality=(JPEG_QUALITY, JPEG_QUALITY),
    )
    names = {"noise": f"noise {NOISE_PERCENT:g} %", "JPEG": f"JPEG {JPEG_QUALITY}"}
    singles = dataclasses.replace(full, degrade=degrade).singles()
    return {
        "clean": RelightConfig.clean(),
        "full": full,
        **{names.get(name, name): config for name, config in singles.items()},
    }
