"""Datasets without Blender: samples of known values, staged as a render process would."""

import numpy as np

from synth.dataset.schema import CHANNELS, DatasetInfo
from synth.dataset.write import stage_sample

SIZE = 16


def info(**changes):
    values = {
        "config": {"size": SIZE, "samples": 4, "sampling": {"yaw": 60.0}},
        "seed": 0,
        "skin_model": {"name": "calibrated", "constants": {"thickness": 60.0}},
        "heads": {"name": "procedural", "asset_hash": "0" * 64},
        "bpy": "4.5.15",
    }
    return DatasetInfo(**{**values, **changes})


def channels(index, size=SIZE):
    """A square of skin lit by three lights, its melanin telling the index."""
    rng = np.random.default_rng(index)
    planes = {name: np.zeros((size, size), np.float32) for name in CHANNELS}
    inside = (slice(size // 4, -size // 4),) * 2
    for name in ("mask", "coverage", "region", "normal.Z"):
        planes[name][inside] = 1
    planes["melanin"][inside] = 0.05 + 0.02 * index
    planes["haemoglobin"][inside] = 0.02
    for group, light in (("key", 0.8), ("fill", 0.2), ("environment", 0.1)):
        planes[f"diffuse_shading.{group}"][inside] = light * rng.uniform(0.9, 1.1)
    for channel, value in zip("RGB", (0.5, 0.35, 0.25), strict=True):
        planes[f"albedo.{channel}"][inside] = value / (1 + index)
    return planes


def record(index):
    lamp = {"irradiance": 1.0, "position": [100.0 * (index - 1), 100.0, 100.0]}
    weaker = {"irradiance": 0.5, "position": [0.0, 0.0, -100.0]}
    return {
        "view": {"yaw": 20.0 * index, "pitch": -10.0 * index, "aperture_cm": 0.0},
        "light": {"setup": "studio", "lamps": [weaker, lamp] if index else []},
        "pigment": {"group": "uniform"},
        "index": index,
    }


def stage(partial, index):
    """The report of a render process that has just left sample `index` in `partial`."""
    line = stage_sample(partial, index, channels(index), record(index))
    return {**line, "seconds": 1.5, "recomposition_error": 3e-7}


def content(folder):
    """Every file of a dataset but its log: name to bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("run.log", ".lock")
    }
