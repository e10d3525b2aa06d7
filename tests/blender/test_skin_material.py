"""The "BioFace Skin" node group, by rendering it."""

import numpy as np
import pytest

from bioface.exr import read_exr
from bioface.spectral.colour import (
    ciede2000,
    linear_srgb_to_xyz,
    reflectance_to_linear_srgb,
    xyz_to_lab,
)
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

pytestmark = pytest.mark.bpy

SIDE = 32


@pytest.fixture
def bpy():
    """Blender in its factory state, before and after."""
    from synth.blender.compat import import_bpy

    module = import_bpy()
    module.ops.wm.read_factory_settings(use_empty=True)
    yield module
    module.ops.wm.read_factory_settings(use_empty=True)


def plane(bpy, material):
    """A 2 x 2 plane with UVs under a white sky, seen whole by an orthographic camera."""
    bpy.ops.mesh.primitive_plane_add(size=2)
    bpy.context.object.data.materials.append(material)
    camera = bpy.data.cameras.new("camera")
    camera.type, camera.ortho_scale = "ORTHO", 2
    holder = bpy.data.objects.new("camera", camera)
    holder.location = (0, 0, 5)
    scene = bpy.context.scene
    scene.collection.objects.link(holder)
    scene.camera = holder
    from synth.blender.compat import use_nodes

    scene.world = bpy.data.worlds.new("sky")
    use_nodes(bpy, scene.world)
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (1, 1, 1, 1)


def render(bpy, path, engine, side=SIDE):
    scene = bpy.context.scene
    scene.render.engine = engine
    if engine == "CYCLES":
        scene.cycles.samples, scene.cycles.use_denoising = 4, False
        scene.cycles.use_adaptive_sampling = False
        scene.cycles.pixel_filter_type = "BOX"
    else:
        scene.eevee.taa_render_samples = 4
        scene.render.filter_size = 0.01
    scene.render.resolution_x = scene.render.resolution_y = side
    scene.render.threads_mode, scene.render.threads = "FIXED", 2
    scene.render.dither_intensity = 0
    scene.view_settings.view_transform = "Standard"
    settings = scene.render.image_settings
    settings.file_format, settings.color_depth = "OPEN_EXR", "32"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    planes = read_exr(path)
    return np.stack([planes[name] for name in "RGB"], 2)


def difference(rendered, melanin, haemoglobin):
    """CIEDE2000 of each pixel from the model's albedo, both inside the gamut."""
    albedo = reflectance_to_linear_srgb(SkinModel.load().reflectance(melanin, haemoglobin))
    lab = [
        xyz_to_lab(linear_srgb_to_xyz(np.maximum(colour, 0).astype(float)))
        for colour in (rendered, albedo)
    ]
    return ciede2000(*lab)


def patches(kind):
    """Flat steps over the plane of u in [-0.1, 1.3]^2, or every pixel at random."""
    if kind == "steps":
        step = np.linspace(-0.1, 1.3, 8).repeat(SIDE // 8)
        u = np.broadcast_arrays(step[None, :], step[:, None])
    else:
        u = np.random.default_rng(0).uniform(-0.1, 1.3, (2, SIDE, SIDE))
    return (
        from_unit(u[0], MELANIN_RANGE).astype(np.float32),
        from_unit(u[1], HAEMOGLOBIN_RANGE).astype(np.float32),
    )


def matte(bpy, melanin, haemoglobin, *, gain=1.0):
    from synth.blender.images import data_image
    from synth.blender.skin_material import skin_material, skin_node

    maps = {
        "melanin": data_image(bpy, "melanin", melanin / gain),
        "haemoglobin": data_image(bpy, "haemoglobin", haemoglobin / gain),
    }
    material = skin_material(bpy, "skin", maps)
    for name in ("Melanin", "Haemoglobin"):
        material.node_tree.nodes[name].interpolation = "Closest"
        skin_node(material).inputs[f"{name} Gain"].default_value = gain
    for name in ("Specular", "Subsurface"):
        skin_node(material).inputs[name].default_value = 0
    return material


@pytest.mark.parametrize(("kind", "gain"), [("steps", 1.0), ("noise", 1.0), ("noise", 2.0)])
def test_cycles_shows_the_models_albedo(bpy, tmp_path, kind, gain):
    melanin, haemoglobin = patches(kind)
    plane(bpy, matte(bpy, melanin, haemoglobin, gain=gain))
    rendered = render(bpy, tmp_path / "flat.exr", "CYCLES")
    assert difference(rendered, melanin, haemoglobin).max() < 0.05


@pytest.mark.slow
def test_eevee_shows_the_models_albedo(bpy, tmp_path):
    from synth.blender.compat import eevee_engine

    melanin, haemoglobin = patches("noise")
    plane(bpy, matte(bpy, melanin, haemoglobin))
    # EEVEE's film blends neighbouring pixels: each texel is shown by 3 x 3, the middle one counts.
    rendered = render(bpy, tmp_path / "flat.exr", eevee_engine(bpy), 3 * SIDE)[1::3, 1::3]
    assert difference(rendered, melanin, haemoglobin).max() < 1


def test_the_table_is_read_without_mip_levels(bpy):
    from synth.blender.skin_material import skin_group

    (texture,) = (node for node in skin_group(bpy).nodes if node.type == "TEX_IMAGE")
    assert texture.interpolation == "Cubic"
    assert texture.extension == "EXTEND"


def test_values_beyond_the_table_are_held_at_its_edge(bpy, tmp_path):
    melanin = np.full((SIDE, SIDE), 0.9, np.float32)
    material = matte(bpy, melanin, melanin, gain=2.0)
    from synth.blender.skin_material import skin_node

    skin_node(material).inputs["Melanin Gain"].default_value = 10
    skin_node(material).inputs["Haemoglobin Gain"].default_value = 10
    plane(bpy, material)
    rendered = render(bpy, tmp_path / "edge.exr", "CYCLES")
    assert difference(rendered, np.float64(1), np.float64(1)).max() < 0.5


def test_the_table_survives_saving_with_its_negative_values(bpy, tmp_path):
    from synth.blender.skin_material import skin_group, skin_material, skin_table

    model = SkinModel.load("alotaibi2019")  # much of it lies outside the gamut
    skin_material(bpy, "skin", model=model).use_fake_user = True
    path = str(tmp_path / "skin.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    group = skin_group(bpy, model)
    assert len(bpy.data.node_groups) == 1
    image = next(node.image for node in group.nodes if node.type == "TEX_IMAGE")
    pixels = np.empty(4 * image.size[0] * image.size[1], np.float32)
    image.pixels.foreach_get(pixels)
    table = skin_table(model)
    np.testing.assert_array_equal(pixels.reshape(*table.shape[:2], 4)[..., :3], table)
    assert table.min() < 0
    assert image.colorspace_settings.name == "Non-Color"


def test_one_group_per_skin_model(bpy):
    from synth.blender.skin_material import GROUP, VERSION, skin_group, skin_material, skin_node

    first, second = skin_material(bpy, "a"), skin_material(bpy, "b")
    assert skin_node(first).node_tree == skin_node(second).node_tree
    other = skin_group(bpy, SkinModel.load("alotaibi2019"))
    assert other != skin_group(bpy)
    assert other["bioface_version"] == VERSION
    assert other["bioface_skin_model"] == "alotaibi2019"
    assert other.name.startswith(GROUP)
    bent = SkinModel.load()
    bent = bent.with_constants(**{next(iter(bent.constants)): 0.5})
    assert skin_group(bpy, bent) not in (other, skin_group(bpy))
    assert skin_node(None) is None
    assert skin_node(bpy.data.materials.new("plain")) is None


def test_a_group_of_version_1_is_upgraded_with_values_and_links_kept(bpy):
    from synth.blender.skin_material import (
        VERSION,
        outdated_groups,
        skin_group,
        skin_material,
        skin_node,
        upgrade_groups,
    )

    material = skin_material(bpy, "skin")
    node, tree = skin_node(material), material.node_tree
    old = bpy.data.node_groups.new("BioFace Skin", "ShaderNodeTree")
    for key in ("bioface_skin_model", "bioface_skin_constants"):
        old[key] = node.node_tree[key]
    old["bioface_version"] = 1
    old.interface.new_socket("Shader", in_out="OUTPUT", socket_type="NodeSocketShader")
    old.interface.new_socket("Color", in_out="OUTPUT", socket_type="NodeSocketColor")
    for name in ("Melanin", "Haemoglobin", "Melanin Gain", "Haemoglobin Gain", "Subsurface"):
        old.interface.new_socket(name, in_out="INPUT", socket_type="NodeSocketFloat")
    node.node_tree = old
    tree.links.clear()
    tree.links.new(node.outputs["Shader"], tree.nodes["Material Output"].inputs["Surface"])
    source = tree.nodes.new("ShaderNodeValue")
    tree.links.new(source.outputs[0], node.inputs["Melanin"])
    node.inputs["Haemoglobin"].default_value = 0.031
    node.inputs["Melanin Gain"].default_value = 1.5
    node.inputs["Subsurface"].default_value = 3.5

    assert outdated_groups(bpy) == [old]
    assert upgrade_groups(bpy) == 1
    assert outdated_groups(bpy) == []
    assert node.node_tree == skin_group(bpy)
    assert node.node_tree["bioface_version"] == VERSION
    assert node.inputs["Melanin"].links[0].from_node == source
    assert node.inputs["Haemoglobin"].default_value == pytest.approx(0.031)
    assert node.inputs["Subsurface"].default_value == pytest.approx(3.5)
    assert node.inputs["Melanin Gain"].default_value == pytest.approx(1.5)
    assert (node.inputs["Freckles"].default_value, node.inputs["Flush Mask"].default_value) == (
        0,
        1,
    )
    assert node.outputs["Shader"].links[0].to_node.type == "OUTPUT_MATERIAL"
    assert upgrade_groups(bpy) == 0


def test_the_group_is_an_asset(bpy):
    from synth.blender.skin_material import skin_group

    group = skin_group(bpy)
    assert group.asset_data.author == "BioFace"
    assert "skin" in group.asset_data.tags


@pytest.mark.parametrize("metres", [1.0, 0.01])
def test_the_subsurface_radius_is_in_millimetres_at_any_unit_scale(bpy, metres):
    from synth.blender.skin_material import skin_material, skin_node

    material = skin_material(bpy, "skin")
    plane(bpy, material)
    scene = bpy.context.scene
    scene.unit_settings.scale_length = metres
    evaluated = skin_node(material).node_tree.evaluated_get(bpy.context.evaluated_depsgraph_get())
    value = evaluated.nodes["Metres per unit"].outputs[0].default_value
    assert value == pytest.approx(metres)
