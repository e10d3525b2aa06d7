"""Render one sample with Cycles."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import BiofaceError
from bioface.plain_exr import PlainExrError, read_planes
from synth.blender import compat, passes
from synth.blender.device import use_device
from synth.blender.scene import build_scene
from synth.blender.spectral import LAYERS, add_band_layers, bands_of
from synth.dataset.schema import RADIANCE_CHANNELS
from synth.sample.skin import Skin
from synth.scene import Scene

SAMPLES = 64
"""Default Cycles samples per pixel."""


@dataclass(frozen=True)
class Rendering:
    """The channels of a sample, each (H, W) float32, and how well the passes recompose."""

    channels: dict[str, np.ndarray]
    recomposition_error: float


def render(
    scene: Scene,
    size: int,
    samples: int = SAMPLES,
    seed: int = 0,
    *,
    threads: int = 0,
    skin: Skin | None = None,
    occlusion: bool = False,
    indirect: bool = False,
    scratch: str | os.PathLike[str] | None = None,
    device: str = "cpu",
) -> Rendering:
    """Render `scene` at (size, size) pixels; the same arguments give the same numbers.

    Parameters
    ----------
    samples
        Samples per pixel, without denoiser or adaptive sampling.
    seed
        Seed of Cycles' sampling pattern, 0 to 2^31 - 1.
    threads
        Render threads; 0 uses all cores. Does not change the result.
    skin
        The skin whose albedo is stored; that of the calibrated model by default.
    occlusion
        Add the channel `occlusion`, which costs about a tenth more.
    indirect
        Add the channels `indirect.diffuse` and `indirect.specular`.
    scratch
        Folder for Blender's own EXR, removed afterwards; the system's by default.
    device
        `cpu` or one of `device.GPUS`. Each kind has its own noise and rounding.

    Raises
    ------
    InputError
        There is no such device here.
    RenderCheckError
        The result is not sound ground truth; see `passes.check_passes`.
    BiofaceError
        `scratch` cannot take Blender's file.
    MissingDependencyError
        Blender or OpenEXR cannot be loaded.
    """
    bpy = compat.import_bpy()
    target = build_scene(
        bpy,
        scene,
        size=size,
        samples=samples,
        seed=seed,
        threads=threads,
        occlusion=occlusion,
    )
    use_device(bpy, target, device)
    layers = _render_layers(bpy, target, scratch)
    raw = passes.split_layers(layers, compat.pass_prefixes(bpy))
    recomposition = passes.check_passes(raw, scene)
    channels = passes.assemble(raw, scene)
    passes.add_albedo(channels, skin or Skin())
    if indirect:
        passes.add_indirect(channels, raw)
    return Rendering(channels, recomposition)


@dataclass(frozen=True)
class BandRendering:
    """Light (H, W, 33) float32 that left from inside surfaces and from their faces."""

    diffuse: np.ndarray
    glossy: np.ndarray
    recomposition_error: float

    def channels(self) -> dict[str, np.ndarray]:
        """The sum as `schema.RADIANCE_CHANNELS`."""
        total = np.moveaxis(self.diffuse + self.glossy, -1, 0)
        return dict(zip(RADIANCE_CHANNELS, total, strict=True))


def render_bands(
    scene: Scene,
    size: int,
    samples: int = SAMPLES,
    seed: int = 0,
    *,
    threads: int = 0,
    skin: Skin | None = None,
    subsurface: bool = True,
    scratch: str | os.PathLike[str] | None = None,
    device: str = "cpu",
) -> BandRendering:
    """Render `scene` in all 33 bands, every light spectrally flat; see `synth.blender.spectral`.

    A white diffuser facing a lamp of irradiance 1 has radiance 1; pixels are weighted by coverage
    on black. Arguments and errors as for `render`.

    Parameters
    ----------
    subsurface
        False: skin reflects like a Lambert surface of the same albedo.
    """
    bpy = compat.import_bpy()
    target = build_scene(
        bpy, scene, size=size, samples=samples, seed=seed, threads=threads, white=True
    )
    use_device(bpy, target, device)
    add_band_layers(bpy, target, scene, skin or Skin(), subsurface=subsurface)
    layers = _render_layers(bpy, target, scratch)
    prefixes = compat.pass_prefixes(bpy)
    split = [
        passes.split_layers(
            {key: plane for key, plane in layers.items() if key.startswith(f"{name}.")}, prefixes
        )
        for name in LAYERS
    ]
    return BandRendering(*bands_of(split))


def _render_layers(
    bpy: Any, target: Any, scratch: str | os.PathLike[str] | None
) -> dict[str, np.ndarray]:
    """Every channel of every view layer, `<layer>.<pass>.<component>`."""
    compat.set_multilayer_output(bpy, target)
    passes.check_settings(target)
    with tempfile.TemporaryDirectory(prefix="render-", dir=scratch) as folder:
        path = Path(folder, "passes.exr")
        target.render.filepath = os.fspath(path)
        try:
            bpy.ops.render.render(write_still=True)
            return read_planes(path)  # whole, unless Blender cut it short without a word
        except (RuntimeError, OSError, PlainExrError) as error:
            raise BiofaceError(
                f"{Path(folder).parent}: Blender could not write its passes here; is the disk full?"
            ) from error


def render_sample(
    scene: Scene, size: int, samples: int = SAMPLES, seed: int = 0
) -> dict[str, np.ndarray]:
    """The channels of `render`: channel name to (size, size) float32."""
    return render(scene, size, samples, seed).channels
