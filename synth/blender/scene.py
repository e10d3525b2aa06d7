"""A `synth.scene.Scene` as a Blender scene, built from arrays in an empty file.

Blender's world axes are the head's (cm, +Y up). Light groups are colours: group c of `GROUPS` is
pure colour channel c of every lamp and of the world, so that channel c of each diffuse and glossy
pass is the transport of group c.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from synth.blender.compat import use_nodes
from synth.blender.images import data_image
from synth.blender.truth_material import (
    ATTRIBUTE_AOVS,
    add_openness,
    build_truth_material,
    declare_aovs,
    paint_pigment,
)
from synth.scene import GROUPS, REGIONS, SKIN_REGIONS, AreaLight, Environment, HeadMesh, Scene, View

_SENSOR_MM = 36.0
_IS_SKIN = np.array([name in SKIN_REGIONS for name in REGIONS])


def build_scene(
    bpy: Any,
    scene: Scene,
    *,
    size: int,
    samples: int,
    seed: int,
    threads: int,
    occlusion: bool = False,
    white: bool = False,
) -> Any:
    """Empty Blender, build `scene` in it and return the `bpy.types.Scene`, ready to render.

    Parameters
    ----------
    size
        Width and height in pixels.
    samples
        Cycles samples per pixel.
    seed
        Seed of the sampling pattern, 0 to 2^31 - 1.
    threads
        Render threads; 0 uses all cores.
    occlusion
        Whether to render how much of the sky the head hides.
    white
        Light every colour channel alike instead of one channel a group.
    """
    # read_factory_settings would register every add-on again, which costs half of all building
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True, load_ui=False)
    target = bpy.context.scene
    _set_passes(target.view_layers[0])  # before the engine, which each pass would tell of all
    _set_cycles(target, samples, seed, threads)
    # One lamp beside the world is sampled best, and fastest, by turns.
    target.cycles.use_light_tree = len(scene.lights) > 1
    _set_film(target, size)
    head = add_head(bpy, target, scene.head, scene.attributes)
    if occlusion:
        add_openness(target.view_layers[0], head.active_material)
    for light in scene.lights:
        _add_light(bpy, target, light, white)
    _set_world(bpy, target, scene.environment, white)
    _set_camera(bpy, target, scene.view)
    return target


def _set_cycles(target: Any, samples: int, seed: int, threads: int) -> None:
    target.render.engine = "CYCLES"
    cycles = target.cycles
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.seed = seed
    cycles.use_animated_seed = False
    cycles.sampling_pattern = "TABULATED_SOBOL"  # a little less noise than the default
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = False
    cycles.use_guiding = False
    cycles.sample_clamp_direct = 0.0
    cycles.sample_clamp_indirect = 0.0
    cycles.light_sampling_threshold = 0.0
    cycles.blur_glossy = 0.0
    cycles.caustics_reflective = False  # a wet eye lighting its lid is noise, not information
    cycles.caustics_refractive = False
    cycles.max_bounces = 4
    cycles.diffuse_bounces = 4
    cycles.glossy_bounces = 2
    cycles.transmission_bounces = 0
    cycles.film_exposure = 1.0
    cycles.pixel_filter_type = "BLACKMAN_HARRIS"
    cycles.filter_width = 1.5
    target.render.use_persistent_data = False
    target.render.threads_mode = "FIXED" if threads else "AUTO"
    if threads:
        target.render.threads = threads


def _set_film(target: Any, size: int) -> None:
    render = target.render
    render.resolution_x = render.resolution_y = size
    render.resolution_percentage = 100
    render.film_transparent = True
    render.use_compositing = False
    render.use_sequencer = False
    render.use_motion_blur = False
    render.dither_intensity = 0.0
    view = target.view_settings
    view.view_transform = "Standard"
    view.look = "None"
    view.exposure = 0.0
    view.gamma = 1.0


def _set_passes(layer: Any) -> None:
    set_light_passes(layer)
    declare_aovs(layer)


def set_light_passes(layer: Any) -> None:
    """Switch on the passes of a view layer that Combined is the sum of, and the normal."""
    for name in (
        *("diffuse_direct", "diffuse_indirect", "diffuse_color"),
        *("glossy_direct", "glossy_indirect", "glossy_color"),
        *("emit", "environment", "normal"),
    ):
        setattr(layer, f"use_pass_{name}", True)


def add_head(
    bpy: Any, target: Any, head: HeadMesh, attributes: dict[str, np.ndarray] | None = None
) -> Any:
    """Link `head` to the Blender scene `target` as a smooth mesh object named `head`.

    With `attributes` (as `Scene.attributes`) it carries them and the ground-truth material.
    Its UV map is `uv`.
    """
    mesh = bpy.data.meshes.new("head")
    used = np.flatnonzero(head.faces >= 0)
    corners = np.bincount(used // 4, minlength=len(head.faces))
    vertex_of_corner = head.faces.ravel()[used].astype(np.int32)
    mesh.vertices.add(len(head.vertices))
    mesh.attributes["position"].data.foreach_set("vector", _flat(head.vertices))
    mesh.loops.add(len(vertex_of_corner))
    # as an attribute a tenth of the time that `loops.foreach_set` takes
    mesh.attributes[".corner_vert"].data.foreach_set("value", vertex_of_corner)
    mesh.polygons.add(len(corners))
    starts = np.concatenate([[0], np.cumsum(corners)[:-1]]).astype(np.int32)
    mesh.polygons.foreach_set("loop_start", starts)
    mesh.shade_smooth()
    uv = head.uv.reshape(-1, 2)[used]
    mesh.uv_layers.new(name="uv").uv.foreach_set("vector", _flat(uv))
    if attributes is not None:
        _add_attributes(mesh, head, attributes, np.repeat(head.region, corners), vertex_of_corner)
        material = build_truth_material(bpy)
        if head.pigment.size:
            share = np.ones((*head.pigment.shape[:2], 1), np.float32)
            texture = np.concatenate([head.pigment, share], -1)
            paint_pigment(material, data_image(bpy, "pigment", texture))
        mesh.materials.append(material)
    mesh.update(calc_edges=True)
    head_object = bpy.data.objects.new("head", mesh)
    target.collection.objects.link(head_object)
    return head_object


def _add_attributes(
    mesh: Any,
    head: HeadMesh,
    attributes: dict[str, np.ndarray],
    region_of_corner: np.ndarray,
    vertex_of_corner: np.ndarray,
) -> None:
    surface = ("roughness", "specular", "bump")
    for name in surface:
        made = mesh.attributes.new(name, "FLOAT", "POINT")
        made.data.foreach_set("value", _flat(attributes[name]))
    corner = {
        name: values[vertex_of_corner] for name, values in attributes.items() if name not in surface
    }
    skin = _IS_SKIN[region_of_corner] * corner.get("skin", np.float32(1))
    first, second, third, fourth = (corner[f"reflectance.{k}"] * (1 - skin) for k in range(4))
    none = np.zeros_like(first)
    vectors = {
        "pigment": (corner["melanin"] * skin, corner["haemoglobin"] * skin, skin),
        "reflectance_01": (first, second, none),
        "reflectance_23": (third, fourth, none),
    }
    for name in ATTRIBUTE_AOVS:
        made = mesh.attributes.new(name, "FLOAT_VECTOR", "CORNER" if name in vectors else "FACE")
        values = np.stack(vectors[name], 1) if name in vectors else _one_hot(head.region, name)
        made.data.foreach_set("vector", _flat(values))


def _one_hot(region: np.ndarray, name: str) -> np.ndarray:
    first = 1 + 3 * int(name.rpartition("_")[2])
    return np.eye(len(REGIONS), len(REGIONS) + 2, dtype=np.float32)[:, first : first + 3][region]


def _add_light(bpy: Any, target: Any, light: AreaLight, white: bool) -> None:
    lamp = bpy.data.lights.new("lamp", "AREA")
    lamp.shape = "SQUARE"
    lamp.size = light.size
    lamp.color = _colour(light.group, white)
    lamp.energy = area_light_power(light)
    lamp.use_shadow = True
    made = bpy.data.objects.new("lamp", lamp)
    made.visible_camera = False
    made.matrix_world = _world_matrix(_facing(light.position), light.position)
    target.collection.objects.link(made)


def area_light_power(light: AreaLight) -> float:
    """Blender's `energy` (W) for which a white diffuser facing the lamp at the origin shows
    radiance `irradiance`.

    A Blender area lamp of power P and area A has radiance P / (pi A); the form factor is that of
    a square seen from a point on its axis, facing it (Howell, configuration C-4 summed over four
    quarters).
    """
    distance = float(np.linalg.norm(light.position))
    x = light.size / 2 / distance
    root = math.sqrt(1 + x * x)
    form_factor = 4 / math.pi * x / root * math.atan(x / root)
    return math.pi * light.size**2 * light.irradiance / form_factor


def _facing(position: np.ndarray) -> np.ndarray:
    """Rows: axes of an object at `position` whose -Z looks at the origin."""
    backward = np.asarray(position, np.float64) / np.linalg.norm(position)
    helper = np.array([0.0, 1.0, 0.0]) if abs(backward[1]) < 0.99 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, backward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(backward, right), backward])


def _set_world(bpy: Any, target: Any, environment: Environment, white: bool) -> None:
    world = bpy.data.worlds.new("environment")
    target.world = world
    world.cycles_visibility.camera = False  # a transparent film still shows it in the Env pass
    world.cycles.sampling_method = "MANUAL"  # automatic spends over a second on a huge table
    world.cycles.sample_map_resolution = environment.radiance.shape[1]
    use_nodes(bpy, world)
    tree = world.node_tree
    tree.nodes.clear()
    height, width = environment.radiance.shape
    image = bpy.data.images.new("environment", width, height, float_buffer=True, is_data=True)
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = environment.radiance[::-1, :, None] * _colour(environment.group, white)
    image.pixels.foreach_set(_flat(pixels))
    image.update()
    texture = tree.nodes.new("ShaderNodeTexEnvironment")
    texture.image = image
    # Blender's map has +Z up and +X at its centre; ours +Y up, +Z at the centre, +X to the right.
    direction = tree.nodes.new("ShaderNodeTexCoord")
    split = tree.nodes.new("ShaderNodeSeparateXYZ")
    flip = tree.nodes.new("ShaderNodeMath")
    flip.operation = "MULTIPLY"
    flip.inputs[1].default_value = -1.0
    join = tree.nodes.new("ShaderNodeCombineXYZ")
    background = tree.nodes.new("ShaderNodeBackground")
    output = tree.nodes.new("ShaderNodeOutputWorld")
    links = tree.links
    links.new(direction.outputs["Generated"], split.inputs[0])
    links.new(split.outputs["X"], flip.inputs[0])
    links.new(split.outputs["Z"], join.inputs["X"])
    links.new(flip.outputs[0], join.inputs["Y"])
    links.new(split.outputs["Y"], join.inputs["Z"])
    links.new(join.outputs[0], texture.inputs["Vector"])
    links.new(texture.outputs["Color"], background.inputs["Color"])
    links.new(background.outputs[0], output.inputs["Surface"])


def _set_camera(bpy: Any, target: Any, view: View) -> None:
    camera = bpy.data.cameras.new("view")
    camera.sensor_fit = "HORIZONTAL"
    camera.sensor_width = _SENSOR_MM
    camera.lens = view.focal_mm
    camera.clip_start = 0.1
    camera.clip_end = 1e5
    if view.aperture > 0:
        camera.dof.use_dof = True
        camera.dof.focus_distance = view.focus
        # Blender takes its unit for a metre, and the lens for millimetres.
        camera.dof.aperture_fstop = view.focal_mm * 1e-3 / view.aperture
    made = bpy.data.objects.new("view", camera)
    made.matrix_world = _world_matrix(view.rotation, view.position)
    target.collection.objects.link(made)
    target.camera = made


def _world_matrix(axes: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Object to world for the rows `axes`, transposed: Blender takes nested values by column."""
    matrix = np.eye(4)
    matrix[:3, :3] = axes
    matrix[3, :3] = position
    return matrix


def _colour(group: str, white: bool) -> np.ndarray:
    return np.ones(3, np.float32) if white else np.eye(3, dtype=np.float32)[GROUPS.index(group)]


def _flat(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).ravel()
