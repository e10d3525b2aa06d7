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
from bioface.spectral.inverse import invert
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

pytestmark = pytest.mark.bpy

SIDE = 32


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


def test_a_linked_group_of_an_earlier_version_is_replaced_in_the_files_own_materials(bpy, tmp_path):
    from synth.blender.skin_material import (
        is_outdated,
        outdated_groups,
        skin_group,
        skin_material,
        skin_node,
        upgrade_groups,
    )

    group = skin_group(bpy)
    group["bioface_version"] = 1
    path = str(tmp_path / "library.blend")
    bpy.data.libraries.write(path, {group})
    bpy.ops.wm.read_factory_settings(use_empty=True)
    material = skin_material(bpy, "skin")
    with bpy.data.libraries.load(path, link=True) as (there, here):
        here.node_groups = there.node_groups
    (old,) = outdated_groups(bpy)
    skin_node(material).node_tree = old
    assert is_outdated(skin_node(material))
    assert upgrade_groups(bpy) == 1
    assert skin_node(material).node_tree == skin_group(bpy)
    assert outdated_groups(bpy) == []


def test_an_upgrade_that_meets_an_unknown_skin_model_changes_nothing(bpy):
    from bioface.errors import InputError
    from synth.blender.skin_material import skin_material, skin_node, upgrade_groups

    nodes = [
        skin_node(skin_material(bpy, "skin", model=SkinModel.load(name)))
        for name in ("calibrated", "alotaibi2019")
    ]
    for node in nodes:
        node.node_tree["bioface_version"] = 1
    groups = [node.node_tree for node in nodes]
    groups[1]["bioface_skin_model"] = "of tomorrow"
    with pytest.raises(InputError, match="of tomorrow"):
        upgrade_groups(bpy)
    assert [node.node_tree for node in nodes] == groups


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


MELANIN, HAEMOGLOBIN = 0.1, 0.02


def slider_material(bpy, **sliders):
    """Even skin without gloss and scattering, and then what `sliders` say, `_` for a space."""
    from synth.blender.skin_material import skin_material, skin_node

    material = skin_material(bpy, "skin")
    values = {"Melanin": MELANIN, "Haemoglobin": HAEMOGLOBIN, "Specular": 0, "Subsurface": 0}
    for name, value in {**values, **sliders}.items():
        skin_node(material).inputs[name.replace("_", " ")].default_value = value
    return material


def pigments_of_plane(bpy, folder, millimetres, prepare=None, **sliders):
    """Melanin and haemoglobin of a rendered plane relative to its even skin's, 64 x 64."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    material = slider_material(bpy, **sliders)
    plane(bpy, material)
    bpy.context.scene.unit_settings.scale_length = millimetres / 2000
    if prepare is not None:
        prepare(material)
    rendered = render(bpy, folder / "plane.exr", "CYCLES", 64)
    melanin, haemoglobin, _ = invert(np.clip(rendered, 0, 1))
    return melanin / MELANIN, haemoglobin / HAEMOGLOBIN


def test_freckles_gather_melanin_in_spots_of_their_size(bpy, tmp_path):
    even, _ = pigments_of_plane(bpy, tmp_path, 40)
    np.testing.assert_allclose(even, 1, atol=0.03)
    full, blood = pigments_of_plane(bpy, tmp_path, 40, Freckles=1)
    assert full.min() > 0.97
    assert 1.8 < full.max() < 2.6
    spots = full > 1.3
    assert 0.01 < spots.mean() < 0.4
    np.testing.assert_allclose(blood, 1, atol=0.1)
    half, _ = pigments_of_plane(bpy, tmp_path, 40, Freckles=0.5)
    np.testing.assert_allclose((half - 1)[spots], 0.5 * (full - 1)[spots], atol=0.1)

    def outline(shown):
        """Pixel edges between spots and other skin, for each pixel of the spots."""
        return (np.diff(shown, axis=0).sum() + np.diff(shown, axis=1).sum()) / shown.sum()

    large, _ = pigments_of_plane(bpy, tmp_path, 40, Freckles=1, Freckle_Size=6)
    assert outline(large > 1.3) < 0.6 * outline(spots)


@pytest.mark.parametrize("rest", [False, True])
def test_freckles_keep_their_size_on_an_object_that_is_scaled(bpy, tmp_path, rest):
    true, _ = pigments_of_plane(bpy, tmp_path, 40, Freckles=1)

    def scaled(_):
        flat = bpy.context.object
        for vertex in flat.data.vertices:
            vertex.co.x, vertex.co.y = vertex.co.x / 50, vertex.co.y / 20
        holder = bpy.data.objects.new("holder", None)
        bpy.context.scene.collection.objects.link(holder)
        flat.parent, holder.scale, flat.scale = holder, (10, 10, 10), (5, 2, 1)
        flat.add_rest_position_attribute = rest

    shown, _ = pigments_of_plane(bpy, tmp_path, 40, scaled, Freckles=1)
    np.testing.assert_allclose(shown, true, atol=1e-3)

    def turned(_):
        bpy.context.object.rotation_euler.z = np.pi / 2

    shown, _ = pigments_of_plane(bpy, tmp_path, 40, turned, Freckles=1)
    assert np.corrcoef(shown.ravel(), np.rot90(true).ravel())[0, 1] > 0.95


def test_flush_brings_blood_in_soft_patches_where_the_mask_says(bpy, tmp_path):
    from synth.blender.images import data_image
    from synth.blender.skin_material import skin_node

    melanin, blood = pigments_of_plane(bpy, tmp_path, 100, Flush=1)
    np.testing.assert_allclose(melanin, 1, atol=0.1)
    assert blood.min() > 0.97
    assert 1.8 < blood.max() < 3.1
    assert max(np.abs(np.diff(blood, axis=axis)).max() for axis in (0, 1)) < 0.5

    def keep_to_the_right(material):
        mask = np.zeros((64, 64), np.float32)
        mask[:, 32:] = 1
        tree = material.node_tree
        texture = tree.nodes.new("ShaderNodeTexImage")
        texture.image, texture.interpolation = data_image(bpy, "mask", mask), "Closest"
        tree.links.new(texture.outputs["Color"], skin_node(material).inputs["Flush Mask"])

    _, masked = pigments_of_plane(bpy, tmp_path, 100, keep_to_the_right, Flush=1)
    np.testing.assert_allclose(masked[:, :31], 1, atol=0.03)
    np.testing.assert_allclose(masked[:, 33:], blood[:, 33:], atol=0.03)


def test_oiliness_sharpens_the_highlight_and_hardly_changes_the_rest(bpy, tmp_path):
    def ball(**sliders):
        """A ball lit from the camera, 64 x 64: its middle mirrors the lamp, its edge does not."""
        bpy.ops.wm.read_factory_settings(use_empty=True)
        plane(bpy, slider_material(bpy, **sliders))
        flat = bpy.context.object
        bpy.ops.mesh.primitive_uv_sphere_add(segments=48, ring_count=24)
        bpy.ops.object.shade_smooth()
        bpy.context.object.data.materials.append(flat.active_material)
        flat.hide_render = True
        bpy.context.scene.world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0
        lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "SUN"))
        lamp.data.energy, lamp.data.angle = 2, 0.1
        bpy.context.scene.collection.objects.link(lamp)
        return render(bpy, tmp_path / "ball.exr", "CYCLES", 64)

    matt, dry, oily = ball(), ball(Specular=0.5), ball(Specular=0.5, Oiliness=1)
    across = (np.arange(64) - 31.5) / 32
    radius = np.hypot(*np.meshgrid(across, across))
    middle, edge = radius < 0.1, (radius > 0.8) & (radius < 0.95)
    gloss = {name: (shown - matt).mean(2) for name, shown in (("dry", dry), ("oily", oily))}
    assert gloss["oily"][middle].mean() > 1.5 * gloss["dry"][middle].mean()
    wide = {name: (plane > plane.max() / 2).sum() for name, plane in gloss.items()}
    assert wide["oily"] < wide["dry"]
    kept = oily[edge].mean(0) / dry[edge].mean(0)
    assert (kept > 0.8).all()  # the film mirrors what would have reached the skin
    assert (kept < 1).all()
    added = (oily - dry)[middle].mean(0)
    np.testing.assert_allclose(added, added.mean(), rtol=0.15)
