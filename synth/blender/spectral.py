"""Render all 33 bands of a scene: what the transport model leaves out is in them.

Three bands to a picture, as its red, green and blue, under light that is white in all of them:
eleven view layers, each with a material of its own, in one render. Skin scatters below its surface
(Christensen-Burley: its albedo is exact), over distances that follow from the skin model at each
wavelength; interreflection has the colour of what reflects.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bioface.spectral.grid import BANDS, bernstein_basis
from synth.blender.images import data_image
from synth.blender.passes import check_light, diffuse_and_glossy
from synth.blender.scene import set_light_passes
from synth.blender.truth_material import add_attribute, add_node, add_surface
from synth.sample.skin import Skin
from synth.scene import HeadMesh, Scene

LAYERS = tuple(f"bands_{k:02d}" for k in range(BANDS // 3))
"""View layer and material k hold the bands 3 k, 3 k + 1 and 3 k + 2."""

RADIUS_PER_LENGTH = 4 * math.pi
"""The Principled BSDF's radius over the length d of the profile that Cycles then samples."""


def add_band_layers(
    bpy: Any, target: Any, scene: Scene, skin: Skin, *, subsurface: bool = True
) -> None:
    """Turn a Blender scene of `build_scene` into one of `LAYERS`.

    Parameters
    ----------
    subsurface
        False: skin reflects like a Lambert surface of the same albedo.
    """
    mesh = target.objects["head"].data
    reflectance, lengths = _optics(scene, skin)
    for k, name in enumerate(LAYERS):
        bands = slice(3 * k, 3 * k + 3)
        _attribute(mesh, f"skin_{k:02d}", reflectance[:, bands])
        if subsurface:
            _attribute(mesh, f"radius_{k:02d}", RADIUS_PER_LENGTH * lengths[:, bands])
        texture = _painted(bpy, name, scene.head, skin, bands)
        layer = target.view_layers[0] if k == 0 else target.view_layers.new(name)
        layer.name = name
        while layer.aovs:
            layer.aovs.remove(layer.aovs[0])
        set_light_passes(layer)
        layer.material_override = _material(bpy, k, texture, subsurface)


def bands_of(layers: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, float]:
    """Diffuse and glossy light (H, W, 33) of the passes of `LAYERS`, and their worst recomposition.

    A white diffuser facing a lamp of irradiance 1 has radiance 1; pixels are weighted by coverage
    on black.

    Raises
    ------
    RenderCheckError
        Passes are not finite or do not add up.
    """
    error = max(check_light(passes) for passes in layers)
    split = [diffuse_and_glossy(passes) for passes in layers]
    diffuse, glossy = (np.concatenate(planes, -1) for planes in zip(*split, strict=True))
    return diffuse, glossy, error


def _optics(scene: Scene, skin: Skin) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance and length of the subsurface profile of every vertex, each (V, 33)."""
    melanin, haemoglobin = scene.attributes["melanin"], scene.attributes["haemoglobin"]
    own = scene.attributes.get("skin", np.ones_like(melanin)) > 0
    own &= melanin + haemoglobin > 0
    reflectance, lengths = np.zeros((2, len(melanin), BANDS), np.float32)
    reflectance[own] = skin.reflectance(melanin[own], haemoglobin[own])
    lengths[own] = skin.blur(haemoglobin[own])
    return reflectance, lengths


def _attribute(mesh: Any, name: str, values: np.ndarray) -> None:
    made = mesh.attributes.new(name, "FLOAT_VECTOR", "POINT")
    made.data.foreach_set("vector", np.ascontiguousarray(values, np.float32).ravel())


def _painted(bpy: Any, name: str, head: HeadMesh, skin: Skin, bands: slice) -> Any:
    """Reflectance of a head's own pigment texture as an image, or None for one without."""
    if not head.pigment.size:
        return None
    pigment = head.pigment.astype(np.float64)
    return data_image(bpy, name, skin.reflectance(pigment[..., 0], pigment[..., 1])[..., bands])


def _material(bpy: Any, k: int, texture: Any, subsurface: bool) -> Any:
    """A material whose colour channels are three bands of skin and of what is not skin."""
    material = bpy.data.materials.new(LAYERS[k])
    material.use_nodes = True
    tree, links = material.node_tree, material.node_tree.links
    tree.nodes.clear()
    surface = add_surface(tree)
    share = add_node(tree, "ShaderNodeSeparateXYZ")
    links.new(add_attribute(tree, "pigment").outputs["Vector"], share.inputs[0])
    if texture is None:
        own = add_attribute(tree, f"skin_{k:02d}").outputs["Vector"]
    else:
        image = add_node(tree, "ShaderNodeTexImage", image=texture, extension="REPEAT")
        where = add_node(tree, "ShaderNodeUVMap", uv_map="uv")
        links.new(where.outputs["UV"], image.inputs["Vector"])
        own = image.outputs["Color"]
    scaled = add_node(tree, "ShaderNodeVectorMath", operation="SCALE")
    links.new(own, scaled.inputs[0])
    links.new(share.outputs["Z"], scaled.inputs["Scale"])
    colour = scaled.outputs["Vector"]
    basis = bernstein_basis(4)[:, 3 * k : 3 * k + 3]
    for pair in range(2):  # the coefficients already are times the share that is not skin
        split = add_node(tree, "ShaderNodeSeparateXYZ")
        stored = add_attribute(tree, ("reflectance_01", "reflectance_23")[pair])
        links.new(stored.outputs["Vector"], split.inputs[0])
        for column in range(2):
            part = add_node(tree, "ShaderNodeVectorMath", operation="MULTIPLY_ADD")
            links.new(split.outputs[column], part.inputs[0])
            part.inputs[1].default_value = basis[2 * pair + column]
            links.new(colour, part.inputs[2])
            colour = part.outputs["Vector"]
    links.new(colour, surface.inputs["Base Color"])
    if subsurface:
        surface.subsurface_method = "BURLEY"
        surface.inputs["Subsurface Scale"].default_value = 1.0
        links.new(share.outputs["Z"], surface.inputs["Subsurface Weight"])
        radius = add_attribute(tree, f"radius_{k:02d}")
        links.new(radius.outputs["Vector"], surface.inputs["Subsurface Radius"])
    return material
