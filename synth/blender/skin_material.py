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
from synth.blender.compat import use_nodes
from synth.blender.images import data_image
from synth.blender.skin_nodes import SOCKETS, TABLE_SIZE, build_nodes, declare_sockets

GROUP = "BioFace Skin"
VERSION = 3
"""Raised when the group's sockets or inner nodes change; stored as its `bioface_version`.

1: pigments, gains, Specular, Roughness, Subsurface, Normal. 2: also Freckles, Flush and Oiliness,
panels, and ground truth as AOVs. 3: freckles and flush keep their size on objects with a scale."""

MAP = "bioface_map"
"""Property of image nodes and images: which map of this project they hold, so that it may be
replaced."""

_VERSION_KEY, _MODEL_KEY, _CONSTANTS_KEY = (
    "bioface_version",
    "bioface_skin_model",
    "bioface_skin_constants",
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
        _VERSION_KEY: VERSION,
        _MODEL_KEY: model.name,
        _CONSTANTS_KEY: constants,
    }
    for tree in bpy.data.node_groups:
        if all(tree.get(key) == value for key, value in stamp.items()):
            return tree
    tree = bpy.data.node_groups.new(GROUP, "ShaderNodeTree")
    for key, value in stamp.items():
        tree[key] = value
    tree.description = f"Skin from melanin and haemoglobin (BioFace, {model.name} skin model)"
    declare_sockets(tree)
    lowest_row_first = skin_table(model)[::-1]
    build_nodes(tree, data_image(bpy, f"{GROUP} table ({model.name})", lowest_row_first))
    _mark_as_asset(tree)
    return tree


def _mark_as_asset(tree: Any) -> None:
    """Show the group in the asset browser; an asset also stays in the file when nothing uses it."""
    tree.asset_mark()
    data = tree.asset_data
    data.description, data.author, data.license = tree.description, "BioFace", "GPL-3.0-or-later"
    for tag in ("skin", "melanin", "haemoglobin"):
        data.tags.new(tag, skip_if_exists=True)


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
        `melanin` and `haemoglobin` images (`bpy.types.Image`, Non-Color), read through the UV map
        that renders use. None leaves the sockets to be set by hand.
    """
    material = bpy.data.materials.new(name)
    use_nodes(bpy, material)
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


def attach_maps(material: Any, maps: Mapping[str, Any]) -> list[Any]:
    """Connect `melanin` and `haemoglobin` images to a material's "BioFace Skin" node.

    Image nodes of an earlier call take the new image, whatever else lies between them and the
    socket. Other nodes that are connected stay in the material, but no longer connected: these are
    returned.
    """
    tree, skin = material.node_tree, skin_node(material)
    replaced = []
    for row, (channel, image) in enumerate(sorted(maps.items(), reverse=True)):
        source = map_node(skin, channel)
        if source is None:
            socket = skin.inputs[channel.capitalize()]
            replaced += [link.from_node for link in socket.links]
            source = tree.nodes.new("ShaderNodeTexImage")
            source.name = source.label = channel.capitalize()
            source.location = (skin.location.x - 360, skin.location.y - 300 * row + 100)
            source[MAP] = channel
            tree.links.new(source.outputs["Color"], socket)
        source.image = image
    return replaced


def map_node(skin: Any, channel: str) -> Any:
    """The image node of `attach_maps` that a "BioFace Skin" node reads a map from, or None."""
    waiting, seen = [skin.inputs[channel.capitalize()]], set()
    while waiting:
        for link in waiting.pop().links:
            node = link.from_node
            if node.type == "TEX_IMAGE" and channel in (
                node.get(MAP),
                node.image and node.image.get(MAP),
            ):
                return node
            if node.name not in seen:
                seen.add(node.name)
                waiting += node.inputs
    return None


def skin_node(material: Any) -> Any:
    """The "BioFace Skin" node of a material, or None."""
    if material is None or material.node_tree is None:
        return None
    for node in material.node_tree.nodes:
        if node.type == "GROUP" and node.node_tree and _VERSION_KEY in node.node_tree:
            return node
    return None


def object_skin_node(mesh_object: Any) -> Any:
    """The first "BioFace Skin" node among an object's materials, or None."""
    nodes = (skin_node(slot.material) for slot in mesh_object.material_slots)
    return next((node for node in nodes if node is not None), None)


def group_model(group: Any) -> SkinModel:
    """The skin model that a "BioFace Skin" group was made with.

    Raises
    ------
    InputError
        This version does not know it.
    """
    constants = json.loads(group[_CONSTANTS_KEY])
    return SkinModel.load(group[_MODEL_KEY]).with_constants(**constants)


def set_group(node: Any, group: Any) -> None:
    """Put another "BioFace Skin" group into a node, keeping values and links of sockets by name."""
    if node.node_tree == group:
        return
    tree = node.id_data
    values = {i.name: i.default_value for i in node.inputs if not i.is_linked and i.type == "VALUE"}
    incoming = {i.name: i.links[0].from_socket for i in node.inputs if i.is_linked}
    outgoing = [(o.name, link.to_socket) for o in node.outputs for link in o.links]
    defaults = {socket.name: socket.default for socket in SOCKETS}
    node.node_tree = group
    for socket in node.inputs:
        for link in tuple(socket.links):
            tree.links.remove(link)
        if socket.type == "VALUE":
            socket.default_value = values.get(socket.name, defaults[socket.name])
        if socket.name in incoming:
            tree.links.new(incoming[socket.name], socket)
    for name, target in outgoing:
        if name in node.outputs:
            tree.links.new(node.outputs[name], target)


def outdated_groups(bpy: Any) -> list[Any]:
    """The groups in the file that an earlier version of this module made."""
    return [tree for tree in bpy.data.node_groups if 0 < tree.get(_VERSION_KEY, 0) < VERSION]


def is_outdated(node: Any) -> bool:
    """Whether a "BioFace Skin" node holds a group of an earlier version."""
    return 0 < int(node.node_tree[_VERSION_KEY]) < VERSION


def upgrade_groups(bpy: Any) -> int:
    """Replace every outdated group in the file by this version's, of the same skin model.

    Values and links of the nodes that use it stay; what is new starts at its default, where it
    changes nothing. Returns the number of nodes that were changed. Materials that are linked from
    another file are left as they are.

    Raises
    ------
    InputError
        A group belongs to a skin model that this version does not know.
    """
    changed = 0
    for old, model in [(old, group_model(old)) for old in outdated_groups(bpy)]:
        fresh = skin_group(bpy, model)
        for tree in _node_trees(bpy):
            for node in tree.nodes:
                if node.type == "GROUP" and node.node_tree == old:
                    set_group(node, fresh)
                    changed += 1
        if old.library is None or not old.users:
            bpy.data.node_groups.remove(old)
    return changed


def _node_trees(bpy: Any) -> list[Any]:
    materials = [m.node_tree for m in bpy.data.materials if m.node_tree and m.library is None]
    return materials + [tree for tree in bpy.data.node_groups if tree.library is None]
