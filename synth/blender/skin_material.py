"""The node group "BioFace Skin": melanin and haemoglobin in, skin out, in Cycles and EEVEE.

Its colour is the albedo of a `bioface.SkinModel`: linear sRGB under D65, unclipped, looked up in a
table image that the group carries. The table is spaced by cube roots, as the unit u is, from 0 to
1 in both volume fractions; 128 x 128 texels interpolate it to CIEDE2000 0.02.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from bioface.spectral.colour import reflectance_to_linear_srgb
from bioface.spectral.skin import SkinModel
from synth.blender.images import data_image

GROUP = "BioFace Skin"
VERSION = 1
"""Raised when the group's sockets or inner nodes change; stored as its `bioface_version`."""

TABLE_SIZE = 128
SCATTERING_RADIUS = (1.0, 0.373, 0.185)
"""Mean free path of red, green and blue in skin relative to red: 3.67, 1.37 and 0.68 mm in Jensen
et al., "A Practical Model for Subsurface Light Transport", SIGGRAPH 2001 (skin 1)."""

_SOCKETS = (
    ("Melanin", 0.10, 0.0, 1.0, "Volume fraction of melanosomes in the epidermis"),
    ("Haemoglobin", 0.02, 0.0, 1.0, "Volume fraction of blood in the dermis"),
    ("Melanin Gain", 1.0, 0.0, 10.0, "Multiplies the melanin: 1 is as measured"),
    ("Haemoglobin Gain", 1.0, 0.0, 10.0, "Multiplies the haemoglobin: 1 is as measured"),
    ("Specular", 0.5, 0.0, 1.0, "Strength of the surface reflection; 0.5 reflects 4 % head-on"),
    ("Roughness", 0.45, 0.0, 1.0, "How much the surface reflection is spread"),
    ("Subsurface", 1.0, 0.0, 20.0, "How far red light travels under the skin, in millimetres"),
)


def skin_table(model: SkinModel, size: int = TABLE_SIZE) -> np.ndarray:
    """Albedo (size, size, 3) float32: melanin along the columns, haemoglobin along the rows.

    Row and column i hold the volume fraction (i / (size - 1))^3.
    """
    fraction = np.linspace(0.0, 1.0, size) ** 3
    reflectance = model.reflectance(fraction[None, :], fraction[:, None])
    return np.asarray(reflectance_to_linear_srgb(reflectance), np.float32)


def skin_group(bpy: Any, model: SkinModel | None = None) -> Any:
    """The node group of this version and skin model: the file's own if it has it, else a new one.

    Parameters
    ----------
    model
        None: the calibrated model. Its name and constants are stored on the group.
    """
    model = model or SkinModel.load()
    constants = json.dumps({name: float(model.constants[name]) for name in sorted(model.constants)})
    stamp = {
        "bioface_version": VERSION,
        "bioface_skin_model": model.name,
        "bioface_skin_constants": constants,
    }
    for tree in bpy.data.node_groups:
        if all(tree.get(key) == value for key, value in stamp.items()):
            return tree
    tree = bpy.data.node_groups.new(GROUP, "ShaderNodeTree")
    for key, value in stamp.items():
        tree[key] = value
    tree.description = f"Skin from melanin and haemoglobin (BioFace, {model.name} skin model)"
    _declare_sockets(tree)
    lowest_row_first = skin_table(model)[::-1]
    _build_nodes(tree, data_image(bpy, f"{GROUP} table ({model.name})", lowest_row_first))
    return tree


def skin_material(
    bpy: Any,
    name: str,
    maps: Mapping[str, Any] | None = None,
    *,
    model: SkinModel | None = None,
) -> Any:
    """A material around the node group, which `skin_node` finds in it.

    Parameters
    ----------
    maps
        `melanin` and `haemoglobin` images (`bpy.types.Image`, Non-Color), read through the active
        UV map. None leaves the sockets to be set by hand.
    """
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    skin = tree.nodes.new("ShaderNodeGroup")
    skin.node_tree = skin_group(bpy, model)
    skin.name = skin.label = GROUP
    skin.width = 220
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    output.location = (320, 0)
    tree.links.new(skin.outputs["Shader"], output.inputs["Surface"])
    attach_maps(material, maps or {})
    return material


def attach_maps(material: Any, maps: Mapping[str, Any]) -> None:
    """Connect `melanin` and `haemoglobin` images to a material's "BioFace Skin" node.

    Image nodes that are connected already take the new image; everything else stays as it is.
    """
    tree, skin = material.node_tree, skin_node(material)
    for row, (channel, image) in enumerate(sorted(maps.items(), reverse=True)):
        socket = skin.inputs[channel.capitalize()]
        source = socket.links[0].from_node if socket.links else None
        if source is None or source.type != "TEX_IMAGE":
            source = tree.nodes.new("ShaderNodeTexImage")
            source.name = source.label = channel.capitalize()
            source.location = (skin.location.x - 360, skin.location.y - 300 * row + 100)
            tree.links.new(source.outputs["Color"], socket)
        source.image = image


def skin_node(material: Any) -> Any:
    """The "BioFace Skin" node of a material, or None."""
    if material is None or material.node_tree is None:
        return None
    for node in material.node_tree.nodes:
        if node.type == "GROUP" and node.node_tree and "bioface_version" in node.node_tree:
            return node
    return None


def object_skin_node(mesh_object: Any) -> Any:
    """The first "BioFace Skin" node among an object's materials, or None."""
    nodes = (skin_node(slot.material) for slot in mesh_object.material_slots)
    return next((node for node in nodes if node is not None), None)


def _declare_sockets(tree: Any) -> None:
    interface = tree.interface
    interface.new_socket("Shader", in_out="OUTPUT", socket_type="NodeSocketShader")
    colour = interface.new_socket("Color", in_out="OUTPUT", socket_type="NodeSocketColor")
    colour.description = "Diffuse albedo, linear sRGB under D65; may leave the gamut"
    for name, default, low, high, description in _SOCKETS:
        socket = interface.new_socket(name, in_out="INPUT", socket_type="NodeSocketFloat")
        socket.default_value, socket.min_value, socket.max_value = default, low, high
        socket.description = description
    normal = interface.new_socket("Normal", in_out="INPUT", socket_type="NodeSocketVector")
    normal.hide_value = True


def _build_nodes(tree: Any, table: Any) -> None:
    nodes, links = tree.nodes, tree.links
    inputs = nodes.new("NodeGroupInput")
    inputs.location = (-1100, 0)
    join = nodes.new("ShaderNodeCombineXYZ")
    join.location = (-250, 150)
    for axis, (channel, height) in enumerate((("Melanin", 220), ("Haemoglobin", 20))):
        amount = _math(tree, "MULTIPLY", (-900, height))
        links.new(inputs.outputs[channel], amount.inputs[0])
        links.new(inputs.outputs[f"{channel} Gain"], amount.inputs[1])
        root = _math(tree, "POWER", (-700, height), second=1 / 3)
        links.new(_clamped(tree, amount, (-800, height)).outputs[0], root.inputs[0])
        # Texel centres: 0 and 1 fall on the middle of the first and of the last texel.
        place = _math(tree, "MULTIPLY_ADD", (-500, height), second=1 - 1 / TABLE_SIZE)
        place.inputs[2].default_value = 0.5 / TABLE_SIZE
        links.new(root.outputs[0], place.inputs[0])
        links.new(place.outputs[0], join.inputs[axis])
    texture = nodes.new("ShaderNodeTexImage")
    texture.location = (-50, 200)
    texture.image = table
    # Where a map is noisy, EEVEE would read "Linear" from the table's small mip levels.
    texture.interpolation = "Cubic"
    texture.extension = "EXTEND"
    links.new(join.outputs[0], texture.inputs["Vector"])

    shader = nodes.new("ShaderNodeBsdfPrincipled")
    shader.location = (300, 100)
    shader.inputs["Subsurface Radius"].default_value = SCATTERING_RADIUS
    links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    links.new(inputs.outputs["Specular"], shader.inputs["Specular IOR Level"])
    links.new(inputs.outputs["Roughness"], shader.inputs["Roughness"])
    links.new(inputs.outputs["Normal"], shader.inputs["Normal"])
    some = _math(tree, "GREATER_THAN", (0, -100), second=0.0)
    links.new(inputs.outputs["Subsurface"], some.inputs[0])
    links.new(some.outputs[0], shader.inputs["Subsurface Weight"])
    scale = _math(tree, "DIVIDE", (0, -280))
    links.new(inputs.outputs["Subsurface"], scale.inputs[0])
    links.new(_millimetres_per_unit(tree).outputs[0], scale.inputs[1])
    links.new(scale.outputs[0], shader.inputs["Subsurface Scale"])

    outputs = nodes.new("NodeGroupOutput")
    outputs.location = (620, 100)
    links.new(shader.outputs[0], outputs.inputs["Shader"])
    links.new(texture.outputs["Color"], outputs.inputs["Color"])


def _math(tree: Any, operation: str, place: tuple[int, int], second: float | None = None) -> Any:
    node = tree.nodes.new("ShaderNodeMath")
    node.operation = operation
    node.location = place
    if second is not None:
        node.inputs[1].default_value = second
    return node


def _clamped(tree: Any, source: Any, place: tuple[int, int]) -> Any:
    """Volume fractions lie in [0, 1]; a power of a negative number would not."""
    node = tree.nodes.new("ShaderNodeClamp")
    node.location = place
    tree.links.new(source.outputs[0], node.inputs["Value"])
    return node


def _millimetres_per_unit(tree: Any) -> Any:
    """A value that follows the scene's unit scale, so that the subsurface radius is a length."""
    metres = tree.nodes.new("ShaderNodeValue")
    metres.name = metres.label = "Metres per unit"
    metres.location = (-400, -300)
    metres.outputs[0].default_value = 1.0
    curve = metres.outputs[0].driver_add("default_value")
    curve.driver.type = "AVERAGE"
    variable = curve.driver.variables.new()
    variable.type = "CONTEXT_PROP"
    variable.targets[0].context_property = "ACTIVE_SCENE"
    variable.targets[0].data_path = "unit_settings.scale_length"
    node = _math(tree, "MULTIPLY", (-200, -300), second=1000.0)
    tree.links.new(metres.outputs[0], node.inputs[0])
    return node
