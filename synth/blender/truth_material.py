"""The ground-truth material: neutral reflectance, and every label as a shader AOV.

Its base is one grey for all parts, so that a render stores light transport and no colour; what
colours the picture (pigments, reflectance coefficients) leaves through the AOVs, weighted by pixel
coverage like everything else that Cycles filters. Artists use `skin_material` instead.
"""

from __future__ import annotations

from typing import Any

from synth.blender.compat import use_nodes
from synth.scene import REGIONS

BASE = 0.4
"""Diffuse reflectance of every surface: sets the strength of interreflection, about skin's."""

IOR = 1.5
"""With a specular level of 0.5 the reflectance at normal incidence is 4 %."""

_FAR = 1e3  # cm: beyond this nothing of a head hides the sky

REGION_AOVS = tuple(f"region_{i}" for i in range(-(-(len(REGIONS) - 1) // 3)))
"""One-hot region labels, three to an AOV: region 1 + 3 i + c is channel c of AOV i."""

ATTRIBUTE_AOVS = ("pigment", "reflectance_01", "reflectance_23", *REGION_AOVS)
"""AOVs that show a mesh attribute of the same name.

`pigment` is (melanin, haemoglobin, 1) times the share of skin; `reflectance_*` start with a pair
of reflectance coefficients times the share of not-skin.
"""

AOVS = (*ATTRIBUTE_AOVS, "uv", "position")
"""Every AOV of the material, each a colour."""

OPENNESS = "openness"
"""The AOV of `add_openness`."""


def declare_aovs(view_layer: Any) -> None:
    """Add the passes of `AOVS` to a view layer; after its first render they would stay zero."""
    for name in AOVS:
        aov = view_layer.aovs.add()
        aov.name = name
        aov.type = "COLOR"


def build_truth_material(bpy: Any) -> Any:
    """A new material reading the attributes `roughness`, `specular`, `bump` and those of AOVs."""
    material = bpy.data.materials.new("BioFace truth")
    use_nodes(bpy, material)
    tree = material.node_tree
    tree.nodes.clear()

    surface = add_surface(tree)
    surface.inputs["Base Color"].default_value = (BASE, BASE, BASE, 1.0)

    def node(kind: str, **properties: Any) -> Any:
        return add_node(tree, kind, **properties)

    links = tree.links
    sources = {name: add_attribute(tree, name).outputs["Vector"] for name in ATTRIBUTE_AOVS}
    sources["uv"] = node("ShaderNodeUVMap", uv_map="uv").outputs["UV"]
    sources["position"] = node("ShaderNodeNewGeometry").outputs["Position"]
    for name in AOVS:
        links.new(sources[name], node("ShaderNodeOutputAOV", aov_name=name).inputs["Color"])
    return material


def add_node(tree: Any, kind: str, **properties: Any) -> Any:
    """A new node of a node tree with some of its properties set."""
    made = tree.nodes.new(kind)
    for key, value in properties.items():
        setattr(made, key, value)
    return made


def add_attribute(tree: Any, name: str) -> Any:
    """A node that reads a mesh attribute."""
    return add_node(tree, "ShaderNodeAttribute", attribute_type="GEOMETRY", attribute_name=name)


def add_surface(tree: Any) -> Any:
    """The output and a Principled BSDF reading `roughness`, `specular` and `bump`; returns that."""
    surface = add_node(tree, "ShaderNodeBsdfPrincipled", distribution="GGX")
    surface.inputs["IOR"].default_value = IOR
    bump = add_node(tree, "ShaderNodeBump")
    bump.inputs["Distance"].default_value = 1.0
    links = tree.links
    links.new(add_attribute(tree, "bump").outputs["Fac"], bump.inputs["Height"])
    links.new(bump.outputs["Normal"], surface.inputs["Normal"])
    links.new(add_attribute(tree, "roughness").outputs["Fac"], surface.inputs["Roughness"])
    links.new(add_attribute(tree, "specular").outputs["Fac"], surface.inputs["Specular IOR Level"])
    # Nothing here is anisotropic, but without a link Cycles works out the tangent at every hit.
    links.new(add_node(tree, "ShaderNodeCombineXYZ").outputs["Vector"], surface.inputs["Tangent"])
    output = add_node(tree, "ShaderNodeOutputMaterial")
    links.new(surface.outputs["BSDF"], output.inputs["Surface"])
    return surface


def paint_pigment(material: Any, image: Any) -> None:
    """Have the material take melanin and haemoglobin from the red and green of an image.

    The mesh attribute `pigment` still says how much of a point is skin.
    """
    nodes, links = material.node_tree.nodes, material.node_tree.links
    (output,) = (node for node in nodes if getattr(node, "aov_name", "") == "pigment")
    share = nodes.new("ShaderNodeSeparateXYZ")
    links.new(output.inputs["Color"].links[0].from_socket, share.inputs["Vector"])
    where = nodes.new("ShaderNodeUVMap")
    where.uv_map = "uv"
    texture = nodes.new("ShaderNodeTexImage")
    texture.image = image
    texture.interpolation = "Linear"
    texture.extension = "REPEAT"
    links.new(where.outputs["UV"], texture.inputs["Vector"])
    product = nodes.new("ShaderNodeVectorMath")
    product.operation = "SCALE"
    links.new(texture.outputs["Color"], product.inputs[0])
    links.new(share.outputs["Z"], product.inputs["Scale"])
    links.new(product.outputs["Vector"], output.inputs["Color"])


def add_openness(view_layer: Any, material: Any) -> None:
    """Have the material also tell how much of the sky above a point is open, in one more AOV.

    It sends one ray more from every camera sample; call it before the first render.
    """
    nodes, links = material.node_tree.nodes, material.node_tree.links
    ambient = nodes.new("ShaderNodeAmbientOcclusion")
    ambient.samples = 1
    ambient.inputs["Distance"].default_value = _FAR
    output = nodes.new("ShaderNodeOutputAOV")
    output.aov_name = OPENNESS
    links.new(ambient.outputs["AO"], output.inputs["Color"])
    aov = view_layer.aovs.add()
    aov.name = OPENNESS
    aov.type = "COLOR"
