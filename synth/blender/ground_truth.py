"""Ground truth of any scene of an artist's own: what is known about each pixel of its render.

The skin says what it is made of through the AOVs of the group "BioFace Skin"; geometry and light
come from Blender's passes. The scene is not changed: a copy of its settings is rendered.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioface.atomic import replacing
from bioface.errors import BiofaceError, InputError
from bioface.exr import read_exr, write_exr
from synth.blender.compat import pass_prefixes, set_multilayer_output
from synth.blender.interrupt import interrupt_after
from synth.blender.skin_material import group_model, skin_node
from synth.blender.skin_nodes import ALBEDO_AOV, PIGMENT_AOV

SAMPLES = 64
"""Default Cycles samples per pixel."""

_LIGHT_PASSES = tuple(
    f"{kind}_{part}" for kind in ("diffuse", "glossy") for part in ("direct", "indirect", "color")
)
_GEOMETRY_PASSES = ("normal", "position", "uv")
_NEGLIGIBLE = 1e-4


@dataclass(frozen=True)
class GroundTruth:
    """What is known about a render.

    Attributes
    ----------
    channels
        (H, W) float32 planes: `melanin`, `haemoglobin`, `mask`, `coverage`, `albedo.R/.G/.B`,
        `diffuse_shading.R/.G/.B`, `specular_shading.R/.G/.B`, `normal.X/.Y/.Z`, `depth`,
        `position.X/.Y/.Z`, `uv.U/.V` and the picture, `combined.R/.G/.B`. As in a dataset
        (`synth.dataset.schema`), except that shading has the colours of the scene's lights and
        position and depth come from one point of the pixel. Where skin alone covers a pixel,
        albedo x diffuse shading + specular shading is the picture, unless something glows or
        lets light through.
    record
        JSON-ready: the camera and the skin model.
    """

    channels: dict[str, np.ndarray]
    record: dict[str, Any]


def render_ground_truth(
    bpy: Any, scene: Any, *, samples: int = SAMPLES, scratch: str | Path | None = None
) -> GroundTruth:
    """Render the maps of `scene` at its own resolution, by Cycles on the CPU.

    Parameters
    ----------
    samples
        Samples per pixel, without denoiser or adaptive sampling.
    scratch
        Folder for Blender's own EXR, removed afterwards; the system's by default.

    Raises
    ------
    InputError
        The scene has no camera, or no skin material is in its view.
    BiofaceError
        The render failed.
    """
    if scene.camera is None:
        raise InputError("the scene has no camera; add one and frame the character")
    model = _skin_model(scene)
    copy = scene.copy()
    try:
        layer = _set_up(copy, samples)
        set_multilayer_output(bpy, copy)
        with tempfile.TemporaryDirectory(prefix="truth-", dir=scratch) as folder:
            path = Path(folder, "passes.exr")
            copy.render.filepath = str(path)
            try:
                with interrupt_after(bpy):
                    bpy.ops.render.render(write_still=True, scene=copy.name)
            except RuntimeError as error:
                raise BiofaceError(f"{scene.name}: the render failed ({error})") from error
            planes = read_exr(path)
    finally:
        bpy.data.scenes.remove(copy)
    passes = _passes(planes, layer, pass_prefixes(bpy))
    if passes[PIGMENT_AOV][..., 2].max() <= _NEGLIGIBLE:
        raise InputError(
            f"{scene.name}: the camera sees no skin; give the character the BioFace Skin material"
        )
    rotation, position, focal, centre = _camera(scene)
    metres = float(scene.unit_settings.scale_length)
    channels = _channels(passes, rotation, position, 100 * metres)
    record = {
        "camera": {
            "focal_pixels": focal,
            "principal_point_pixels": np.round(centre, 4).tolist(),
            "rotation": np.round(rotation, 6).tolist(),
            "position_cm": np.round(100 * metres * position, 4).tolist(),
            "type": scene.camera.data.type,
        },
        "faces": [{"landmarks": None}],
        "skin_model": model.name,
        "skin_constants": {name: float(value) for name, value in model.constants.items()},
    }
    return GroundTruth(channels, record)


def write_ground_truth(path: str | Path, truth: GroundTruth) -> None:
    """Write the channels to `path` (.exr) and the record to the .json beside it, or neither."""
    target = Path(path)
    with replacing(target) as exr, replacing(target.with_suffix(".json")) as text:
        write_exr(exr, truth.channels)
        text.write_text(json.dumps(truth.record, indent=1) + "\n", encoding="utf-8")


def _skin_model(scene: Any) -> Any:
    objects = _objects(scene.collection)
    materials = (slot.material for item in objects for slot in item.material_slots)
    groups = {
        node.node_tree.name: node.node_tree
        for node in map(skin_node, materials)
        if node is not None
    }
    if not groups:
        raise InputError(
            f"{scene.name}: nothing has the BioFace Skin material; add it to the character first"
        )
    return group_model(groups[min(groups)])


def _objects(collection: Any) -> Iterator[Any]:
    """The objects of a collection and those of the collections that they show instances of."""
    for item in collection.all_objects:
        yield item
        if item.instance_type == "COLLECTION" and item.instance_collection is not None:
            yield from _objects(item.instance_collection)


def _set_up(copy: Any, samples: int) -> str:
    """Everything that ground truth needs of a scene's settings; returns the layer's name."""
    copy.render.engine = "CYCLES"
    cycles = copy.cycles
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.time_limit = 0.0
    cycles.seed = 0
    cycles.use_animated_seed = False
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = False
    cycles.sample_clamp_direct = cycles.sample_clamp_indirect = 0.0
    cycles.film_exposure = 1.0
    render = copy.render
    render.film_transparent = True
    render.use_compositing = render.use_sequencer = render.use_freestyle = False
    render.use_multiview = False
    render.use_motion_blur = False
    render.use_persistent_data = False
    render.use_border = False
    render.dither_intensity = 0.0
    layer = next((each for each in copy.view_layers if each.use), copy.view_layers[0])
    for each in copy.view_layers:
        each.use = each == layer
    layer.samples = 0  # those of the scene
    for name in (*_LIGHT_PASSES, *_GEOMETRY_PASSES):
        setattr(layer, f"use_pass_{name}", True)
    for name in (PIGMENT_AOV, ALBEDO_AOV):
        if name not in layer.aovs:
            added = layer.aovs.add()
            added.name, added.type = name, "COLOR"
    return str(layer.name)


def _passes(
    planes: Mapping[str, np.ndarray], layer: str, prefixes: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Our pass or AOV name to (H, W, components) arrays, components in the order RGBA, XYZ, UVA.

    Passes that the artist's layer has beyond these (vectors, Cryptomatte) are left out.
    """
    ours = {theirs: name for name, theirs in prefixes.items()}
    ours |= {"Position": "position", "UV": "uv"}
    ours |= {name: name for name in (PIGMENT_AOV, ALBEDO_AOV)}
    grouped: dict[str, dict[str, np.ndarray]] = {}
    for name, plane in planes.items():
        if name.startswith(f"{layer}."):
            prefix, _, component = name.removeprefix(f"{layer}.").rpartition(".")
            if prefix in ours:
                grouped.setdefault(ours[prefix], {})[component] = plane
    return {
        name: np.stack([parts[c] for c in sorted(parts, key="RGBXYZUVA".index)], -1)
        for name, parts in grouped.items()
    }


def _camera(scene: Any) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Rows right, up and backward; position in Blender units; focal length and principal point.

    The latter two in pixels, x right and y down from the corner of the first pixel.
    """
    camera = scene.camera
    matrix = np.array(camera.matrix_world.normalized())
    share = scene.render.resolution_percentage / 100
    width, height = (
        scene.render.resolution_x * share * scene.render.pixel_aspect_x,
        scene.render.resolution_y * share * scene.render.pixel_aspect_y,
    )
    data = camera.data
    vertical = data.sensor_fit == "VERTICAL" or (data.sensor_fit == "AUTO" and height > width)
    sensor = data.sensor_height if data.sensor_fit == "VERTICAL" else data.sensor_width
    side = height if vertical else width
    centre = np.array([width / 2 - data.shift_x * side, height / 2 + data.shift_y * side])
    return matrix[:3, :3].T, matrix[:3, 3], float(data.lens / sensor * side), centre


def _channels(
    passes: Mapping[str, np.ndarray], rotation: np.ndarray, camera: np.ndarray, scale: float
) -> dict[str, np.ndarray]:
    combined, alpha = passes["combined"][..., :3], passes["combined"][..., 3]
    coverage = np.clip(alpha, 0, 1)
    pigment, albedo = passes[PIGMENT_AOV][..., :3], passes[ALBEDO_AOV][..., :3]
    mask = np.clip(pigment[..., 2], 0, 1)
    seen = coverage > _NEGLIGIBLE
    light = passes["diffuse_direct"] + passes["diffuse_indirect"]
    colour = passes["diffuse_colour"]
    # What the surface reflection leaves for the diffuse part belongs to the shading of skin.
    skin = (mask > 0.999 * coverage) & (mask > _NEGLIGIBLE)
    left = np.where(skin[..., None] & (albedo > 1e-3), colour / np.maximum(albedo, 1e-3), 1.0)
    glossy = passes["glossy_direct"] + passes["glossy_indirect"]
    normal = passes["normal"] @ rotation.T
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    position = (passes["position"] - camera) @ rotation.T * scale
    uv = passes["uv"]
    uv = uv[..., :2] / np.maximum(uv[..., 2:], _NEGLIGIBLE)
    planes: dict[str, np.ndarray] = {
        "melanin": _over(pigment[..., 0], mask),
        "haemoglobin": _over(pigment[..., 1], mask),
        "mask": mask,
        "coverage": coverage,
        "depth": -position[..., 2] * seen,
    }
    for prefix, names, values in (
        ("albedo", "RGB", _over(albedo, mask)),
        ("diffuse_shading", "RGB", light * left * seen[..., None]),
        ("specular_shading", "RGB", _over(glossy * passes["glossy_colour"], coverage)),
        ("combined", "RGB", combined),
        ("normal", "XYZ", normal * seen[..., None]),
        ("position", "XYZ", position * seen[..., None]),
        ("uv", "UV", uv * seen[..., None]),
    ):
        planes |= {f"{prefix}.{name}": values[..., i] for i, name in enumerate(names)}
    return {name: np.asarray(plane, np.float32) for name, plane in planes.items()}


def _over(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    share = share if values.ndim == 2 else share[..., None]
    return np.where(share > _NEGLIGIBLE, values / np.maximum(share, _NEGLIGIBLE), 0.0)
