"""A portrait of a head: skin of projected maps, plain eyes, hair and mouth, three lights.

Unlike the renders of `synth.blender.render` this is for looking at, not for training: denoised,
Standard view transform, and hair, eyes and light that nobody measured. Blender's Z points up here
and the head looks along -Y, as characters do; lengths are centimetres (unit scale 0.01).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bioface.spectral.colour import reflectance_to_linear_srgb
from bioface.spectral.grid import bernstein_basis
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import MELANIN_RANGE, to_unit
from synth.blender.compat import use_nodes
from synth.blender.images import tiled_image
from synth.blender.interrupt import interrupt_after
from synth.blender.object_head import mark_landmarks
from synth.blender.scene import add_head, area_light_power
from synth.blender.skin_material import MAP, skin_material, skin_node
from synth.heads import HeadProvider
from synth.project import MAPS, Tile
from synth.project.raster import skin_faces
from synth.sample.config import SampleConfig
from synth.sample.face import grow_shell
from synth.sample.hair import sample_hair
from synth.sample.layout import layout_of
from synth.sample.not_skin import sample_not_skin
from synth.scene import AreaLight, HeadMesh

_SEED = 19
"""Hair and eyes are the same in every portrait."""
_FOCAL_MM, _TURN = 85.0, 14.0
_LIGHTS = (
    (38.0, 32.0, 110.0, 60.0, 1.95),
    (-50.0, 8.0, 130.0, 120.0, 0.5),
    (-150.0, 30.0, 120.0, 60.0, 1.4),
)
"""Key, fill and rim: azimuth and elevation in degrees, distance and size in cm, irradiance."""
_BACKDROP = (0.10, 0.115, 0.13)
_SKY = 0.12


@dataclass(frozen=True)
class _Dress:
    """What is not skin, per vertex: `hair` coverage, linear sRGB `colour` (V, 3), `roughness`."""

    head: HeadMesh
    hair: np.ndarray
    colour: np.ndarray
    roughness: np.ndarray


def build_portrait(
    bpy: Any, provider: HeadProvider, tiles: Mapping[int, Tile], skin: SkinModel | None = None
) -> Any:
    """Reset Blender and set up the portrait of a provider's mean head.

    Parameters
    ----------
    tiles
        Its skin, from `synth.project.project_maps`.
    skin
        The skin model of those maps; None: the calibrated one.

    Returns
    -------
    The head's `bpy.types.Object`; every map is a packed Non-Color image inside the file.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene, head = bpy.context.scene, provider.mean()
    scene.unit_settings.scale_length = 0.01
    scene.unit_settings.length_unit = "CENTIMETERS"
    images = {
        name: tiled_image(bpy, name, {number: tile.maps[name] for number, tile in tiles.items()})
        for name in MAPS
    }
    for name, image in images.items():
        image[MAP] = name
    melanin = float(np.median(tiles[min(tiles)].maps["melanin"]))
    made = add_dressed_head(bpy, scene, provider, images, skin=skin, melanin=melanin)
    _add_camera(bpy, scene, head)
    _add_lights(bpy, scene, head)
    return made


def add_dressed_head(
    bpy: Any,
    scene: Any,
    provider: HeadProvider,
    maps: Mapping[str, Any] | None = None,
    *,
    skin: SkinModel | None = None,
    melanin: float = 0.1,
) -> Any:
    """Link a provider's mean head to a scene: skin material, hair, brows, eyes, landmarks.

    Parameters
    ----------
    maps
        `melanin` and `haemoglobin` images for its skin, as `skin_material` takes them.
    skin
        The skin model of those maps; None: the calibrated one.
    melanin
        Volume fraction that hair and eyes go with.

    Returns
    -------
    Its `bpy.types.Object`, upright at the origin, in true size by the scene's unit scale.
    """
    head = provider.mean()
    dress = _dressed(provider, head, melanin)
    # In the vertices: the relief is in the object's own units.
    centimetre = 0.01 / scene.unit_settings.scale_length
    made = add_head(bpy, scene, replace(dress.head, vertices=dress.head.vertices * centimetre))
    made.rotation_euler.x = np.pi / 2
    made.add_rest_position_attribute = True
    mark_landmarks(made.data, head.landmarks)
    _paint(made.data, dress)
    material = skin_material(bpy, "Skin", maps, model=skin)
    _add_hair_and_pores(material, centimetre)
    made.data.materials.append(material)
    made.data.materials.append(_parts_material(bpy))
    made.data.polygons.foreach_set("material_index", (~skin_faces(head)).astype(np.int32))
    return made


def set_gains(head_object: Any, melanin: float, haemoglobin: float) -> None:
    """Set the gains of every "BioFace Skin" node on an object."""
    for material in head_object.data.materials:
        node = skin_node(material)
        if node is not None:
            node.inputs["Melanin Gain"].default_value = melanin
            node.inputs["Haemoglobin Gain"].default_value = haemoglobin


def render_picture(bpy: Any, path: Path, size: int, samples: int) -> None:
    """Render the scene as an 8-bit PNG of `size` x `size` pixels by Cycles, denoised."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = samples
    scene.cycles.use_adaptive_sampling = True
    scene.cycles.adaptive_threshold = 0.02
    scene.cycles.use_denoising = True
    scene.cycles.use_light_tree = False  # slower for three lamps
    scene.cycles.max_bounces = 4
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.view_settings.view_transform = "Standard"
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"
    scene.render.filepath = str(path)
    with interrupt_after(bpy):
        bpy.ops.render.render(write_still=True)


def save_blend(bpy: Any, path: Path) -> None:
    """Save everything to a compressed .blend at `path`, leaving no backup of a former file."""
    bpy.context.preferences.filepaths.save_version = 0
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, compress=True)


def _dressed(provider: HeadProvider, head: HeadMesh, melanin: float) -> _Dress:
    """Hair, brows, eyes, mouth and lashes from the dataset's samplers, always the same ones."""
    rng = np.random.default_rng(_SEED)
    layout = layout_of(provider)
    tone = float(np.clip(to_unit(melanin, MELANIN_RANGE), 0, 1))
    config = SampleConfig(hair_share=1.0, brow_share=1.0, beard_share=0.0)
    hair = sample_hair(rng, config, layout, tone)
    coefficients, roughness, _ = sample_not_skin(rng, layout, tone)
    skin = layout.skin
    coefficients[skin] = hair.reflectance
    coverage = np.zeros(len(layout.region))
    coverage[skin] = hair.coverage
    colour = np.asarray(reflectance_to_linear_srgb(coefficients @ bernstein_basis()))
    return _Dress(grow_shell(head, skin, hair.thickness), coverage, colour, roughness)


def _paint(mesh: Any, dress: _Dress) -> None:
    for name, values in (("hair", dress.hair), ("roughness", dress.roughness)):
        made = mesh.attributes.new(name, "FLOAT", "POINT")
        made.data.foreach_set("value", values.astype(np.float32))
    made = mesh.attributes.new("colour", "FLOAT_COLOR", "POINT")
    rgba = np.concatenate([np.clip(dress.colour, 0, 1), np.ones((len(dress.colour), 1))], 1)
    made.data.foreach_set("color", rgba.astype(np.float32).ravel())


def _attribute(tree: Any, name: str, output: str) -> Any:
    node = tree.nodes.new("ShaderNodeAttribute")
    node.attribute_name = name
    return node.outputs[output]


def _parts_material(bpy: Any) -> Any:
    """Eyes, mouth and lashes: the vertex colours under a clear surface."""
    material = bpy.data.materials.new("Eyes, mouth, lashes")
    use_nodes(bpy, material)
    tree = material.node_tree
    shader = tree.nodes["Principled BSDF"]
    tree.links.new(_attribute(tree, "colour", "Color"), shader.inputs["Base Color"])
    tree.links.new(_attribute(tree, "roughness", "Fac"), shader.inputs["Roughness"])
    return material


def _add_hair_and_pores(material: Any, centimetre: float) -> None:
    """Mix hair over the skin by the attribute `hair`, and give the skin a fine relief.

    `centimetre` is its length in units of the scene.
    """
    tree = material.node_tree
    nodes, links = tree.nodes, tree.links
    skin = skin_node(material)
    skin.inputs["Specular"].default_value = 0.4
    skin.inputs["Roughness"].default_value = 0.48
    output = next(node for node in nodes if node.type == "OUTPUT_MATERIAL")
    hair = nodes.new("ShaderNodeBsdfPrincipled")
    hair.label = "Hair"
    hair.inputs["Roughness"].default_value = 0.8
    hair.inputs["Specular IOR Level"].default_value = 0.1
    strands = _noise(tree, 14.0 / centimetre)
    links.new(_attribute(tree, "colour", "Color"), hair.inputs["Base Color"])
    links.new(_bump(tree, strands, 0.6, 0.05 * centimetre), hair.inputs["Normal"])
    # Coverage is smooth; the noise breaks its edge into tufts.
    tufts = nodes.new("ShaderNodeMapRange")
    tufts.interpolation_type = "SMOOTHSTEP"
    tufts.inputs["From Min"].default_value = 0.55
    tufts.inputs["From Max"].default_value = 1.05
    both = nodes.new("ShaderNodeMath")
    links.new(_attribute(tree, "hair", "Fac"), both.inputs[0])
    links.new(strands, both.inputs[1])
    links.new(both.outputs[0], tufts.inputs["Value"])
    mix = nodes.new("ShaderNodeMixShader")
    links.new(tufts.outputs[0], mix.inputs[0])
    links.new(skin.outputs["Shader"], mix.inputs[1])
    links.new(hair.outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], output.inputs["Surface"])
    pores = _noise(tree, 9.0 / centimetre)
    links.new(_bump(tree, pores, 0.25, 0.03 * centimetre), skin.inputs["Normal"])


def _noise(tree: Any, per_unit: float) -> Any:
    place = tree.nodes.new("ShaderNodeTexCoord")
    noise = tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = per_unit
    noise.inputs["Detail"].default_value = 3.0
    tree.links.new(place.outputs["Object"], noise.inputs["Vector"])
    return noise.outputs[0]


def _bump(tree: Any, height: Any, strength: float, distance: float) -> Any:
    bump = tree.nodes.new("ShaderNodeBump")
    bump.inputs["Strength"].default_value = strength
    bump.inputs["Distance"].default_value = distance
    tree.links.new(height, bump.inputs["Height"])
    return bump.outputs["Normal"]


def _upright(point: np.ndarray) -> tuple[float, float, float]:
    """Head coordinates (+Y up, +Z to the viewer) to Blender's (+Z up, -Y to the viewer)."""
    return float(point[0]), float(-point[2]), float(point[1])


def _around(azimuth: float, elevation: float, distance: float) -> np.ndarray:
    """Head-space offset; azimuth 0 in front of the face, positive to the subject's left."""
    a, e = np.radians([azimuth, elevation])
    return distance * np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])


def _add_camera(bpy: Any, scene: Any, head: HeadMesh) -> None:
    """A portrait lens at eye height, turned a little, framing the head and some neck."""
    top, chin = float(head.vertices[:, 1].max()), float(head.vertices[head.landmarks[8], 1])
    side = 1.45 * (top - chin)
    middle = np.array([0.0, (top + chin) / 2 - 0.06 * side, 0.0])
    camera = bpy.data.cameras.new("camera")
    camera.lens, camera.sensor_width = _FOCAL_MM, 36.0
    camera.clip_end = 1e4
    offset = _around(_TURN, 2.0, side * _FOCAL_MM / 36.0)
    scene.camera = _placed(bpy, scene, "camera", camera, middle + offset, middle)


def _add_lights(bpy: Any, scene: Any, head: HeadMesh) -> None:
    middle = head.vertices[head.landmarks].mean(0).astype(np.float64)
    for name, (azimuth, elevation, distance, size, irradiance) in zip(
        ("key", "fill", "rim"), _LIGHTS, strict=True
    ):
        offset = _around(azimuth, elevation, distance)
        lamp = bpy.data.lights.new(name, "AREA")
        lamp.shape, lamp.size = "SQUARE", size
        lamp.energy = area_light_power(AreaLight("key", offset, size, irradiance))
        _placed(bpy, scene, name, lamp, middle + offset, middle)
    world = bpy.data.worlds.new("sky")
    use_nodes(bpy, world)
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (_SKY, _SKY, _SKY, 1)
    scene.world = world
    bpy.ops.mesh.primitive_plane_add(size=4000, location=_upright(np.array([0.0, 0.0, -300.0])))
    backdrop = bpy.context.object
    backdrop.name = "backdrop"
    backdrop.rotation_euler.x = np.pi / 2
    material = bpy.data.materials.new("backdrop")
    use_nodes(bpy, material)
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*_BACKDROP, 1)
    shader.inputs["Roughness"].default_value = 1.0
    backdrop.data.materials.append(material)


def _placed(
    bpy: Any, scene: Any, name: str, data: Any, position: np.ndarray, target: np.ndarray
) -> Any:
    """A new object at a head-space `position`, looking at `target`."""
    from mathutils import Vector

    made = bpy.data.objects.new(name, data)
    made.location = _upright(position)
    direction = Vector(_upright(target)) - Vector(_upright(position))
    made.rotation_euler = direction.to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(made)
    return made
