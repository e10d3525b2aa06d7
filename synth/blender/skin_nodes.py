"""The nodes inside the group "BioFace Skin": its sockets, and what lies between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PIGMENT_AOV, ALBEDO_AOV = "bioface_pigment", "bioface_albedo"
"""Shader AOVs the group writes: (melanin, haemoglobin, 1) as used, and the albedo. They cost
nothing unless a view layer declares them; `synth.blender.ground_truth` does."""

TABLE_SIZE = 128
SCATTERING_RADIUS = (1.0, 0.373, 0.185)
"""Mean free path of red, green and blue in skin relative to red: 3.67, 1.37 and 0.68 mm in Jensen
et al., "A Practical Model for Subsurface Light Transport", SIGGRAPH 2001 (skin 1)."""

SEBUM_IOR = 1.47
_SEBUM_ROUGHNESS = 0.25
_SMOOTHING = 0.35
"""Share of the skin's own roughness that a full film of sebum fills."""
_FRECKLE_GAIN = 1.5
"""Melanin in the middle of a freckle at full strength: this much is added, relative to around."""
_FLUSH_GAIN = 2.0
"""Blood at full flush: this much is added, relative to unflushed skin."""
_FRECKLE_SPACING = 1.6
"""Mean distance between freckles in units of their size."""
_FRECKLE_CLUSTER, _FLUSH_PATCH = 18.0, 30.0
"""Sizes of groups of freckles and of patches of flush, in millimetres."""


@dataclass(frozen=True)
class Socket:
    """An input of the group: where it stands, its default, its range and its tooltip."""

    panel: str
    name: str
    default: float
    low: float
    high: float
    description: str
    factor: bool = False


SOCKETS = (
    Socket("Pigment", "Melanin", 0.10, 0, 1, "Volume fraction of melanosomes in the epidermis"),
    Socket("Pigment", "Haemoglobin", 0.02, 0, 1, "Volume fraction of blood in the dermis"),
    Socket("Pigment", "Melanin Gain", 1, 0, 10, "Multiplies the melanin: 1 is as measured"),
    Socket("Pigment", "Haemoglobin Gain", 1, 0, 10, "Multiplies the haemoglobin: 1 is as measured"),
    Socket("Variation", "Freckles", 0, 0, 1, "Melanin gathered in small spots; 0 has none", True),
    Socket("Variation", "Freckle Size", 2, 0.5, 10, "Diameter of the larger freckles, millimetres"),
    Socket("Variation", "Flush", 0, 0, 1, "More blood in soft patches, as after running", True),
    Socket(
        *("Variation", "Flush Mask", 1, 0, 1),
        "Where the skin flushes; connect a painted map to keep it to the cheeks",
        True,
    ),
    Socket(
        *("Surface", "Specular", 0.5, 0, 1),
        "Strength of the surface reflection; 0.5 reflects 4 % head-on",
        True,
    ),
    Socket("Surface", "Roughness", 0.45, 0, 1, "How widely the surface reflection spreads", True),
    Socket(
        *("Surface", "Oiliness", 0, 0, 1),
        "A film of sebum: adds a sharper reflection and smooths the skin's own",
        True,
    ),
    Socket(
        *("Subsurface", "Subsurface", 1, 0, 20),
        "How far red light travels under the skin, in millimetres; 0 turns it off",
    ),
)
"""The number inputs of the group; `Normal` follows."""


def declare_sockets(tree: Any) -> None:
    """Add the outputs `Shader` and `Color`, the inputs of `SOCKETS` in panels, and `Normal`."""
    interface = tree.interface
    interface.new_socket("Shader", in_out="OUTPUT", socket_type="NodeSocketShader")
    colour = interface.new_socket("Color", in_out="OUTPUT", socket_type="NodeSocketColor")
    colour.description = "Diffuse albedo, linear sRGB under D65; may leave the gamut"
    panels: dict[str, Any] = {}
    for socket in SOCKETS:
        if socket.panel not in panels:
            panels[socket.panel] = interface.new_panel(socket.panel)
        made = interface.new_socket(
            *(socket.name,),
            in_out="INPUT",
            socket_type="NodeSocketFloat",
            parent=panels[socket.panel],
        )
        if socket.factor:
            made.subtype = "FACTOR"
        made.default_value, made.min_value, made.max_value = socket.default, socket.low, socket.high
        made.description = socket.description
    normal = interface.new_socket(
        "Normal", in_out="INPUT", socket_type="NodeSocketVector", parent=panels["Surface"]
    )
    normal.hide_value = True
    normal.description = "For bump and normal maps"


def build_nodes(tree: Any, table: Any) -> None:
    """Fill the group; `table` is the image of `skin_material.skin_table`, lowest row first."""
    inputs = tree.nodes.new("NodeGroupInput")
    inputs.location = (-1500, 0)
    units = _millimetres_per_unit(tree)
    place = _skin_position(tree, units)
    melanin, blood = (
        _math(
            tree, "MULTIPLY", (-1100, height), inputs.outputs[name], inputs.outputs[f"{name} Gain"]
        )
        for name, height in (("Melanin", 300), ("Haemoglobin", 0))
    )
    melanin = _math(tree, "MULTIPLY", (-900, 300), melanin, _freckles(tree, inputs, place))
    blood = _math(tree, "MULTIPLY", (-900, 0), blood, _flush(tree, inputs, place))
    melanin, blood = _clamped(tree, melanin, (-720, 300)), _clamped(tree, blood, (-720, 0))
    albedo = _look_up(tree, table, melanin, blood)
    shader = _surface(tree, inputs, albedo, units)
    outputs = tree.nodes.new("NodeGroupOutput")
    outputs.location = (900, 100)
    tree.links.new(shader, outputs.inputs["Shader"])
    tree.links.new(albedo, outputs.inputs["Color"])
    pigment = _node(tree, "ShaderNodeCombineXYZ", (300, 560))
    tree.links.new(melanin, pigment.inputs[0])
    tree.links.new(blood, pigment.inputs[1])
    pigment.inputs[2].default_value = 1.0
    for name, source, height in (
        (PIGMENT_AOV, pigment.outputs[0], 560),
        (ALBEDO_AOV, albedo, 400),
    ):
        aov = _node(tree, "ShaderNodeOutputAOV", (560, height))
        aov.aov_name = name
        tree.links.new(source, aov.inputs["Color"])


def _look_up(tree: Any, table: Any, melanin: Any, blood: Any) -> Any:
    """The albedo of two volume fractions, from the table spaced by cube roots."""
    join = _node(tree, "ShaderNodeCombineXYZ", (-250, 150))
    for axis, (fraction, height) in enumerate(((melanin, 300), (blood, 0))):
        root = _math(tree, "POWER", (-560, height), fraction, 1 / 3)
        # Texel centres: 0 and 1 fall on the middle of the first and of the last texel.
        inside = _math(
            tree, "MULTIPLY_ADD", (-400, height), root, 1 - 1 / TABLE_SIZE, 0.5 / TABLE_SIZE
        )
        tree.links.new(inside, join.inputs[axis])
    texture = _node(tree, "ShaderNodeTexImage", (-50, 200))
    texture.image = table
    # Where a map is noisy, EEVEE would read "Linear" from the table's small mip levels.
    texture.interpolation = "Cubic"
    texture.extension = "EXTEND"
    tree.links.new(join.outputs[0], texture.inputs["Vector"])
    return texture.outputs["Color"]


def _surface(tree: Any, inputs: Any, albedo: Any, units: Any) -> Any:
    shader = _node(tree, "ShaderNodeBsdfPrincipled", (560, 100))
    shader.inputs["Subsurface Radius"].default_value = SCATTERING_RADIUS
    shader.inputs["Coat IOR"].default_value = SEBUM_IOR
    shader.inputs["Coat Roughness"].default_value = _SEBUM_ROUGHNESS
    oil = inputs.outputs["Oiliness"]
    left = _math(tree, "MULTIPLY_ADD", (120, -60), oil, -_SMOOTHING, 1.0)
    distance = inputs.outputs["Subsurface"]
    for source, target in (
        (albedo, "Base Color"),
        (inputs.outputs["Specular"], "Specular IOR Level"),
        (_math(tree, "MULTIPLY", (300, -60), inputs.outputs["Roughness"], left), "Roughness"),
        (oil, "Coat Weight"),
        (inputs.outputs["Normal"], "Normal"),
        (_math(tree, "GREATER_THAN", (120, -240), distance, 0.0), "Subsurface Weight"),
        (_math(tree, "DIVIDE", (120, -420), distance, units), "Subsurface Scale"),
    ):
        tree.links.new(source, shader.inputs[target])
    return shader.outputs[0]


def _freckles(tree: Any, inputs: Any, place: Any) -> Any:
    """The factor on melanin: 1 without freckles."""
    wobble = _noise(tree, place, 0.8, (-2200, 900))
    spread = _math(tree, "MULTIPLY", (-2000, 700), inputs.outputs["Freckle Size"], _FRECKLE_SPACING)
    cells = _node(tree, "ShaderNodeTexVoronoi", (-1800, 900))
    cells.voronoi_dimensions = "3D"
    bent = _vector_math(tree, "ADD", (-2000, 900))
    tree.links.new(place, bent.inputs[0])
    tree.links.new(wobble, bent.inputs[1])
    tree.links.new(bent.outputs[0], cells.inputs["Vector"])
    tree.links.new(_math(tree, "DIVIDE", (-2000, 560), 1.0, spread), cells.inputs["Scale"])
    chance = _node(tree, "ShaderNodeSeparateColor", (-1600, 780))
    tree.links.new(cells.outputs["Color"], chance.inputs[0])
    radius = _math(tree, "MULTIPLY_ADD", (-1440, 780), chance.outputs[0], 0.36, 0.06)
    inner = _math(tree, "MULTIPLY", (-1280, 780), radius, 0.2)
    spot = _smooth_step(tree, cells.outputs["Distance"], radius, inner, (-1120, 900))
    group = _noise(tree, place, 1 / _FRECKLE_CLUSTER, (-1600, 560))
    dense = _smooth_step(tree, group, 0.38, 0.66, (-1280, 560))
    amount = _math(tree, "MULTIPLY", (-960, 820), spot, dense)
    strength = _math(tree, "MULTIPLY", (-1120, 640), inputs.outputs["Freckles"], _FRECKLE_GAIN)
    return _math(tree, "MULTIPLY_ADD", (-900, 560), amount, strength, 1.0)


def _flush(tree: Any, inputs: Any, place: Any) -> Any:
    """The factor on haemoglobin: 1 without flush."""
    patches = _noise(tree, place, 1 / _FLUSH_PATCH, (-1600, -260))
    soft = _smooth_step(tree, patches, 0.25, 0.75, (-1400, -260))
    strength = _math(tree, "MULTIPLY", (-1200, -320), inputs.outputs["Flush"], _FLUSH_GAIN)
    where = _math(tree, "MULTIPLY", (-1200, -480), soft, inputs.outputs["Flush Mask"])
    return _math(tree, "MULTIPLY_ADD", (-1000, -320), where, strength, 1.0)


def _skin_position(tree: Any, units: Any) -> Any:
    """Where on the skin, in millimetres, the same however the mesh is posed.

    The attribute `rest_position` (objects of `skin_material_add` have it) sticks to a deforming
    mesh; where it is missing it reads as 0, and object coordinates take its place. Both are in the
    object's own units, which its scale turns into those of the scene.
    """
    rest = _node(tree, "ShaderNodeAttribute", (-2900, 900))
    rest.attribute_name = "rest_position"
    objects = _node(tree, "ShaderNodeTexCoord", (-2900, 700))
    length = _vector_math(tree, "LENGTH", (-2700, 1000))
    tree.links.new(rest.outputs["Vector"], length.inputs[0])
    there = _math(tree, "GREATER_THAN", (-2540, 1000), length.outputs["Value"], 0.0)
    choice = _node(tree, "ShaderNodeMix", (-2540, 800))
    choice.data_type = "VECTOR"
    tree.links.new(there, choice.inputs[0])
    tree.links.new(objects.outputs["Object"], choice.inputs[4])
    tree.links.new(rest.outputs["Vector"], choice.inputs[5])
    true = _vector_math(tree, "MULTIPLY", (-2540, 640))
    tree.links.new(choice.outputs[1], true.inputs[0])
    tree.links.new(_object_scale(tree), true.inputs[1])
    scaled = _vector_math(tree, "SCALE", (-2380, 800))
    tree.links.new(true.outputs[0], scaled.inputs[0])
    tree.links.new(units, scaled.inputs["Scale"])
    return scaled.outputs[0]


def _object_scale(tree: Any) -> Any:
    """How long the object's three axes are in the world, its parents' scale included.

    Lengths alone: spots may not wander over an object that turns.
    """
    lengths = _node(tree, "ShaderNodeCombineXYZ", (-2700, 560))
    for axis in range(3):
        turn = _node(tree, "ShaderNodeVectorTransform", (-3100, 700 - 160 * axis))
        turn.vector_type, turn.convert_from, turn.convert_to = "VECTOR", "OBJECT", "WORLD"
        turn.inputs[0].default_value = [float(axis == k) for k in range(3)]
        length = _vector_math(tree, "LENGTH", (-2900, 560 - 160 * axis))
        tree.links.new(turn.outputs[0], length.inputs[0])
        tree.links.new(length.outputs["Value"], lengths.inputs[axis])
    return lengths.outputs[0]


def _noise(tree: Any, place: Any, scale: float, location: tuple[int, int]) -> Any:
    noise = _node(tree, "ShaderNodeTexNoise", location)
    noise.inputs["Scale"].default_value = scale
    noise.inputs["Detail"].default_value = 1.0
    tree.links.new(place, noise.inputs["Vector"])
    return noise.outputs[0]


def _smooth_step(tree: Any, value: Any, start: Any, end: Any, location: tuple[int, int]) -> Any:
    """0 at `start`, 1 at `end` (either may be the larger)."""
    node = _node(tree, "ShaderNodeMapRange", location)
    node.interpolation_type = "SMOOTHSTEP"
    for name, source in (("Value", value), ("From Min", start), ("From Max", end)):
        _feed(tree, source, node.inputs[name])
    return node.outputs[0]


def _node(tree: Any, kind: str, location: tuple[int, int]) -> Any:
    made = tree.nodes.new(kind)
    made.location = location
    return made


def _math(tree: Any, operation: str, location: tuple[int, int], *operands: Any) -> Any:
    """The result of a math node; operands are sockets or numbers."""
    node = _node(tree, "ShaderNodeMath", location)
    node.operation = operation
    for operand, target in zip(operands, node.inputs, strict=False):
        _feed(tree, operand, target)
    return node.outputs[0]


def _vector_math(tree: Any, operation: str, location: tuple[int, int]) -> Any:
    node = _node(tree, "ShaderNodeVectorMath", location)
    node.operation = operation
    return node


def _feed(tree: Any, source: Any, target: Any) -> None:
    if isinstance(source, int | float):
        target.default_value = source
    else:
        tree.links.new(source, target)


def _clamped(tree: Any, source: Any, location: tuple[int, int]) -> Any:
    """Volume fractions lie in [0, 1]; a power of a negative number would not."""
    node = _node(tree, "ShaderNodeClamp", location)
    tree.links.new(source, node.inputs["Value"])
    return node.outputs[0]


def _millimetres_per_unit(tree: Any) -> Any:
    """A value that follows the scene's unit scale, so that a radius in millimetres is a length."""
    metres = _node(tree, "ShaderNodeValue", (-3100, 300))
    metres.name = metres.label = "Metres per unit"
    metres.outputs[0].default_value = 1.0
    curve = metres.outputs[0].driver_add("default_value")
    curve.driver.type = "AVERAGE"
    variable = curve.driver.variables.new()
    variable.type = "CONTEXT_PROP"
    variable.targets[0].context_property = "ACTIVE_SCENE"
    variable.targets[0].data_path = "unit_settings.scale_length"
    return _math(tree, "MULTIPLY", (-2900, 300), metres.outputs[0], 1000.0)
