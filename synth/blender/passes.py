"""From Blender's raw passes to the channels of a sample, with every assumption checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bioface.errors import BiofaceError
from synth.blender.truth_material import BASE, OPENNESS, REGION_AOVS
from synth.sample.skin import Skin
from synth.scene import GROUPS, REGIONS, SKIN_REGIONS, Scene

RECOMPOSITION_TOLERANCE = 1e-5
"""Largest accepted difference between the sum of the passes and Combined, relative."""

_COVERAGE_TOLERANCE = 1e-3
_NEGLIGIBLE = 1e-4  # coverage below which a pixel counts as empty
_IS_SKIN = np.array([name in SKIN_REGIONS for name in REGIONS])
_HAIR = REGIONS.index("hair")

Passes = Mapping[str, np.ndarray]


class RenderCheckError(BiofaceError):
    """A render that is not the ground truth it should be."""


def split_layers(channels: Mapping[str, np.ndarray], prefixes: Mapping[str, str]) -> dict[str, Any]:
    """Group the channels of one view layer of Blender's multilayer EXR.

    Parameters
    ----------
    channels
        `<layer>.<pass>.<component>` to (H, W) planes.
    prefixes
        Our pass name to Blender's, as `compat.pass_prefixes`.

    Returns
    -------
    Pass or AOV name to (H, W, 3) float32, and `alpha` (H, W).
    """
    ours = {theirs: name for name, theirs in prefixes.items()}
    grouped: dict[str, dict[str, np.ndarray]] = {}
    for name, plane in channels.items():
        prefix, _, component = name.rpartition(".")
        grouped.setdefault(prefix.rpartition(".")[2], {})[component] = plane
    passes: dict[str, Any] = {}
    for name, planes in grouped.items():
        order = "RGB" if "R" in planes else "XYZ"
        passes[ours.get(name, name)] = np.stack([planes[c] for c in order], -1)
    passes["alpha"] = grouped[prefixes["combined"]]["A"]
    return passes


def recomposition_error(passes: Passes) -> float:
    """How far diffuse + glossy + emission + environment is from Combined.

    The largest absolute difference over all pixels and channels, each relative to its own value
    plus a thousandth of the brightest.
    """
    diffuse, glossy = diffuse_and_glossy(passes)
    total = diffuse + glossy + passes["emission"] + passes["environment"]
    combined = passes["combined"]
    scale = np.abs(combined) + 1e-3 * np.abs(combined).max() + np.finfo(np.float32).tiny
    return float((np.abs(total - combined) / scale).max())


def check_settings(target: Any) -> None:
    """Raise `RenderCheckError` if a Blender scene is set up in a way that spoils ground truth."""
    cycles, render, view = target.cycles, target.render, target.view_settings
    wrong = {
        "engine": render.engine != "CYCLES",
        "denoiser": cycles.use_denoising,
        "adaptive sampling": cycles.use_adaptive_sampling,
        "clamping": cycles.sample_clamp_direct or cycles.sample_clamp_indirect,
        "animated seed": cycles.use_animated_seed,
        "persistent data": render.use_persistent_data,
        "compositing": render.use_compositing or render.use_sequencer,
        "exposure": cycles.film_exposure != 1 or view.exposure != 0 or view.gamma != 1,
        "view transform": view.view_transform not in ("Standard", "Raw") or view.look != "None",
    }
    bad = [name for name, is_wrong in wrong.items() if is_wrong]
    if bad:
        raise RenderCheckError(f"render settings would spoil the ground truth: {', '.join(bad)}")


def check_passes(passes: Passes, scene: Scene) -> float:
    """Assert that the passes of `scene` are sound; returns the recomposition error.

    Raises
    ------
    RenderCheckError
        Values that are not finite, passes that do not recompose, AOVs that came out as zeros or
        do not match the alpha channel, or a head that is not in view.
    """
    error = check_light(passes)
    if passes["alpha"].max() <= 0:
        raise RenderCheckError("the head is not in view")
    regions = _regions(passes)
    if np.abs(regions.sum(-1) - passes["alpha"]).max() > _COVERAGE_TOLERANCE:
        raise RenderCheckError("region AOVs do not add up to the alpha channel")
    needed = ["position", "uv", *({OPENNESS} & set(passes))]
    if regions[..., _IS_SKIN[1:]].any() and scene.attributes["melanin"].any():
        needed.append("pigment")
    for name in needed:
        if not passes[name].any():
            raise RenderCheckError(f"the {name} AOV is zero everywhere")
    return error


def check_light(passes: Passes) -> float:
    """Assert that passes are finite and add up to Combined; returns the recomposition error.

    Raises
    ------
    RenderCheckError
        They are not or do not.
    """
    for name, values in passes.items():
        if not np.isfinite(values).all():
            raise RenderCheckError(f"pass {name} holds values that are not finite")
    error = recomposition_error(passes)
    if error > RECOMPOSITION_TOLERANCE:
        raise RenderCheckError(
            f"the passes do not add up to the image: relative error {error:.1e}, "
            f"at most {RECOMPOSITION_TOLERANCE:.0e} is accepted"
        )
    return error


def diffuse_and_glossy(passes: Passes) -> tuple[np.ndarray, np.ndarray]:
    """Light (H, W, 3) that left from inside surfaces and from their faces; coverage-weighted."""
    return (
        (passes["diffuse_direct"] + passes["diffuse_indirect"]) * passes["diffuse_colour"],
        (passes["glossy_direct"] + passes["glossy_indirect"]) * passes["glossy_colour"],
    )


def assemble(passes: Passes, scene: Scene) -> dict[str, np.ndarray]:
    """The channels of one sample, (H, W) float32; see `synth.dataset.schema` for their meaning."""
    regions = _regions(passes)
    coverage = np.clip(regions.sum(-1), 0.0, 1.0)
    pigment = passes["pigment"]
    mask = np.clip(pigment[..., 2], 0.0, coverage)
    other = coverage - mask
    diffuse, glossy = diffuse_and_glossy(passes)
    channels: dict[str, np.ndarray] = {"mask": mask, "coverage": coverage}
    for index, group in enumerate(GROUPS):
        channels[f"diffuse_shading.{group}"] = _over(diffuse[..., index] / BASE, coverage)
        channels[f"specular_shading.{group}"] = _over(glossy[..., index], coverage)
    channels["melanin"] = _over(pigment[..., 0], mask)
    channels["haemoglobin"] = _over(pigment[..., 1], mask)
    for k in range(4):
        plane = passes["reflectance_01" if k < 2 else "reflectance_23"][..., k % 2]
        channels[f"reflectance.{k}"] = np.clip(_over(plane, other), 0.0, 1.0)
    shares = np.concatenate([1.0 - coverage[..., None], regions], -1)
    region = shares.argmax(-1)
    channels["region"] = np.where(_IS_SKIN[region] & (mask < other), _HAIR, region)
    _add_geometry(channels, passes, scene, coverage)
    return {name: np.asarray(plane, np.float32) for name, plane in channels.items()}


def _add_geometry(
    channels: dict[str, np.ndarray], passes: Passes, scene: Scene, coverage: np.ndarray
) -> None:
    view = scene.view
    seen = coverage > _NEGLIGIBLE
    normal = passes["normal"] @ view.rotation.T
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.where(seen[..., None] & (length > 0), normal / np.maximum(length, 1e-12), 0.0)
    world = passes["position"] / np.maximum(coverage, _NEGLIGIBLE)[..., None]
    position = np.where(seen[..., None], (world - view.position) @ view.rotation.T, 0.0)
    for index, axis in enumerate("XYZ"):
        channels[f"normal.{axis}"] = normal[..., index]
        channels[f"position.{axis}"] = position[..., index]
    channels["depth"] = -position[..., 2]
    if OPENNESS in passes:
        hidden = 1.0 - _over(passes[OPENNESS][..., 0], coverage)
        channels["occlusion"] = np.where(seen, np.clip(hidden, 0.0, 1.0), 0.0)
    for index, axis in enumerate("UV"):
        channels[f"uv.{axis}"] = _over(passes["uv"][..., index], coverage)


def add_albedo(channels: dict[str, np.ndarray], optics: Skin) -> None:
    """Add `albedo.R/.G/.B` in place: linear sRGB of the skin under D65, 0 where the mask is 0."""
    from bioface.spectral.colour import reflectance_to_linear_srgb

    skin = channels["mask"] > _NEGLIGIBLE
    albedo = np.zeros((*skin.shape, 3))
    albedo[skin] = reflectance_to_linear_srgb(
        optics.reflectance(
            channels["melanin"][skin].astype(np.float64),
            channels["haemoglobin"][skin].astype(np.float64),
        )
    )
    for index, channel in enumerate("RGB"):
        channels[f"albedo.{channel}"] = albedo[..., index].astype(np.float32)


def add_indirect(channels: dict[str, np.ndarray], passes: Passes) -> None:
    """Add `indirect.diffuse` and `.specular` in place: 0-1, 0 where there is no such light."""
    kinds = (("diffuse", "diffuse"), ("specular", "glossy"))
    for (name, kind), light in zip(kinds, diffuse_and_glossy(passes), strict=True):
        total = light.sum(-1)
        indirect = (passes[f"{kind}_indirect"] * passes[f"{kind}_colour"]).sum(-1)
        share = np.where(total > 0, indirect / np.where(total > 0, total, 1), 0.0)
        channels[f"indirect.{name}"] = np.clip(share, 0.0, 1.0).astype(np.float32)


def _regions(passes: Passes) -> np.ndarray:
    """(H, W, len(REGIONS) - 1) share of each pixel that each region but background covers."""
    return np.concatenate([passes[name] for name in REGION_AOVS], -1)[..., : len(REGIONS) - 1]


def _over(values: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    return np.where(coverage > _NEGLIGIBLE, values / np.maximum(coverage, _NEGLIGIBLE), 0.0)
