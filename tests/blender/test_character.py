"""Maps on an artist's own objects, without the extension."""

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.exr import read_exr, write_exr

pytestmark = pytest.mark.bpy


def plane(bpy):
    """The active object: a plane with UVs, seen whole by the scene's camera."""
    bpy.ops.mesh.primitive_plane_add(size=2)
    made = bpy.context.object
    data = bpy.data.cameras.new("camera")
    data.sensor_width, data.lens = 36, 72
    bpy.context.scene.camera = bpy.data.objects.new("camera", data)
    bpy.context.scene.camera.location.z = 4
    bpy.context.scene.collection.objects.link(bpy.context.scene.camera)
    return made


def head(bpy):
    from synth.blender.portrait import add_dressed_head
    from synth.heads import load_provider

    return add_dressed_head(bpy, bpy.context.scene, load_provider("procedural"))


def linked(bpy, path):
    """A local object in an empty file, its mesh and materials linked from the file as it was."""
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(path), link=True) as (there, here):
        here.meshes, here.materials = there.meshes, there.materials
    made = bpy.data.objects.new("hero", bpy.data.meshes[0])
    bpy.context.scene.collection.objects.link(made)
    return made


def test_what_is_linked_from_another_file_is_refused_for_it_would_not_be_saved(
    bpy, estimate, tmp_path
):
    from synth.blender.character import (
        PhotoOfCharacter,
        add_skin_material,
        attach_texture_maps,
        project_estimates,
    )

    plane(bpy)
    hero = linked(bpy, tmp_path / "bare.blend")
    with pytest.raises(InputError, match=r"hero: Plane is linked from .*bare\.blend; make it"):
        add_skin_material(bpy, hero)
    assert not hero.material_slots

    bpy.ops.wm.read_factory_settings(use_empty=True)
    add_skin_material(bpy, plane(bpy))
    hero = linked(bpy, tmp_path / "dressed.blend")
    with pytest.raises(InputError, match=r"hero: Skin is linked from .*dressed\.blend"):
        project_estimates(bpy, hero, [PhotoOfCharacter(estimate)], 64)
    with pytest.raises(InputError, match="hero: Skin is linked"):
        attach_texture_maps(bpy, hero, estimate)
    hero.material_slots[0].link = "OBJECT"
    assert add_skin_material(bpy, hero).library is None


def test_a_mesh_that_is_a_library_override_is_refused_for_its_slots_would_not_be_saved(
    bpy, tmp_path
):
    from synth.blender.character import add_skin_material

    plane(bpy)
    hero = linked(bpy, tmp_path / "bare.blend")
    hero.data = hero.data.override_create()
    with pytest.raises(InputError, match=r"hero: Plane is linked from .*bare\.blend; make it"):
        add_skin_material(bpy, hero)


def test_what_the_artist_had_connected_stays_and_is_named(bpy, estimate):
    from synth.blender.character import PhotoOfCharacter, add_skin_material, project_estimates
    from synth.blender.images import data_image
    from synth.blender.skin_material import skin_node

    hero = plane(bpy)
    tree = add_skin_material(bpy, hero).node_tree
    skin = skin_node(hero.active_material)
    painted = tree.nodes.new("ShaderNodeTexImage")
    painted.image, painted.label = data_image(bpy, "painted", np.full((8, 8), 0.3)), "hand-painted"
    for name in ("Melanin", "Haemoglobin", "Roughness"):
        tree.links.new(painted.outputs["Color"], skin.inputs[name])

    def shown(name):
        return skin.inputs[name].links[0].from_node.image

    said = []
    project_estimates(bpy, hero, [PhotoOfCharacter(estimate)], 64, warn=said.append)
    assert said == [
        "Plane: its pigments no longer come from the node hand-painted of Skin, kept in the file"
    ]
    assert shown("Roughness") == painted.image
    melanin, haemoglobin = shown("Melanin"), shown("Haemoglobin")
    assert (melanin.name, haemoglobin.name) == ("Plane melanin", "Plane haemoglobin")

    # Into a node of an earlier projection, behind one of the artist's own.
    source = skin.inputs["Melanin"].links[0].from_node
    darker = tree.nodes.new("ShaderNodeMath")
    tree.links.new(source.outputs["Color"], darker.inputs[0])
    tree.links.new(darker.outputs[0], skin.inputs["Melanin"])
    source.image = data_image(bpy, "retouched", np.full((8, 8), 0.3))
    said.clear()
    project_estimates(bpy, hero, [PhotoOfCharacter(estimate)], 64, warn=said.append)
    assert skin.inputs["Melanin"].links[0].from_node == darker
    assert source.image.name.startswith("Plane melanin")
    assert bpy.data.images["retouched"].use_fake_user
    assert said == ["Plane: its pigments no longer come from the image retouched, kept in the file"]
    said.clear()
    project_estimates(bpy, hero, [PhotoOfCharacter(estimate)], 64, warn=said.append)
    assert not said


def test_the_uv_map_that_renders_use_is_the_one_that_counts(bpy):
    from synth.blender.object_head import head_from_object

    hero = plane(bpy)
    other = hero.data.uv_layers.new(name="other")
    for corner in other.uv:
        corner.vector.x += 5
    for active in (other.name, "UVMap"):
        hero.data.uv_layers.active = hero.data.uv_layers[active]
        assert head_from_object(bpy, hero, {0}).uv.max() == 1
    hero.data.uv_layers["other"].active_render = True
    assert head_from_object(bpy, hero, {0}).uv.max() == 6


def test_maps_of_a_photo_are_not_taken_for_those_of_a_texture(bpy, estimate):
    from synth.blender.character import attach_texture_maps
    from synth.blender.skin_material import object_skin_node

    hero = plane(bpy)
    with pytest.raises(InputError, match=r"photo\.exr: maps of a photo"):
        attach_texture_maps(bpy, hero, estimate)
    record = estimate.with_suffix(".json")
    record.unlink()
    attach_texture_maps(bpy, hero, estimate)

    node = object_skin_node(hero)
    assert node.node_tree["bioface_skin_model"] == "calibrated"
    record.write_text('{"skin_model": "alotaibi2019", "skin_constants": {}}')
    attach_texture_maps(bpy, hero, estimate)
    assert node.node_tree["bioface_skin_model"] == "alotaibi2019"
    record.write_text('{"skin_model": "of tomorrow", "skin_constants": {}}')
    with pytest.raises(InputError, match=r"photo\.exr: the JSON beside it tells no skin model"):
        attach_texture_maps(bpy, hero, estimate)
    planes = read_exr(estimate)
    planes["melanin"] += 7
    write_exr(estimate, planes)
    with pytest.raises(InputError, match=r"photo\.exr: channel melanin holds values of 7"):
        attach_texture_maps(bpy, hero, estimate)


def test_a_subdivided_head_is_fitted_by_its_landmarks(bpy, estimate):
    from synth.blender.character import PhotoOfCharacter, project_estimates, skin_slots
    from synth.blender.object_head import LANDMARKS, head_from_object

    made = head(bpy)
    plain = head_from_object(bpy, made, skin_slots(made))
    made.modifiers.new("finer", "SUBSURF")
    finer = head_from_object(bpy, made, skin_slots(made))
    assert len(finer.vertices) > 2 * len(plain.vertices)
    moved = finer.vertices[finer.landmarks] - plain.vertices[plain.landmarks]
    assert np.linalg.norm(moved, axis=1).max() < 0.5

    made.modifiers.new("away", "DISPLACE").strength = 1
    with pytest.raises(InputError, match=r"head: modifiers or edits .* 68 of its 68 landmarks"):
        project_estimates(bpy, made, [PhotoOfCharacter(estimate)], 64)
    made.modifiers.clear()
    made.data.attributes.remove(made.data.attributes[LANDMARKS])
    made.data[LANDMARKS] = [len(made.data.vertices)] * 68  # as heads of earlier versions have it
    with pytest.raises(InputError, match=r"head: modifiers or edits .* 68 of its 68 landmarks"):
        project_estimates(bpy, made, [PhotoOfCharacter(estimate)], 64)


def test_landmarks_stay_where_they_are_when_the_mesh_is_edited(bpy, estimate):
    from synth.blender.character import PhotoOfCharacter, project_estimates, skin_slots
    from synth.blender.object_head import head_from_object

    def marks():
        found = head_from_object(bpy, made, skin_slots(made))
        return found.vertices[found.landmarks]

    def delete(chosen):
        bpy.ops.object.mode_set(mode="EDIT")
        bpy.ops.mesh.select_mode(type="VERT")
        bpy.ops.mesh.select_all(action="DESELECT")
        bpy.ops.object.mode_set(mode="OBJECT")
        made.data.vertices.foreach_set("select", chosen)
        bpy.ops.object.mode_set(mode="EDIT")
        bpy.ops.mesh.delete(type="VERT")
        bpy.ops.object.mode_set(mode="OBJECT")

    made = head(bpy)
    bpy.context.view_layer.objects.active = made
    before = marks()
    places = np.array([vertex.co for vertex in made.data.vertices])
    delete(places[:, 1] > 0.1)  # the crown, whose vertices are the first
    assert len(made.data.vertices) < len(places)
    np.testing.assert_array_equal(marks(), before)
    places = np.array([vertex.co for vertex in made.data.vertices])
    whole = made.data.copy()
    delete(np.linalg.norm(places - before[8] / 100, axis=1) < 1e-4)  # the chin
    with pytest.raises(InputError, match=r"head: modifiers or edits .* removed 1 of its 68 land"):
        project_estimates(bpy, made, [PhotoOfCharacter(estimate)], 64)
    made.data = whole
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.subdivide()
    np.testing.assert_array_equal(marks(), before)
    bpy.ops.object.mode_set(mode="OBJECT")
    np.testing.assert_array_equal(marks(), before)


@pytest.mark.parametrize("metres", [0.01, 1.0])
def test_a_head_and_its_relief_have_true_size_in_the_units_of_the_scene(bpy, metres):
    bpy.context.scene.unit_settings.scale_length = metres
    made = head(bpy)
    bpy.context.view_layer.update()
    assert tuple(made.scale) == (1, 1, 1)  # the relief is in the object's own units
    assert 0.2 < made.dimensions.z * metres < 0.6
    evaluated = made.evaluated_get(bpy.context.evaluated_depsgraph_get())
    assert "rest_position" in evaluated.data.attributes  # freckles stick to it
    nodes = made.data.materials[0].node_tree.nodes
    depths = sorted(n.inputs["Distance"].default_value for n in nodes if n.type == "BUMP")
    np.testing.assert_allclose(np.multiply(depths, metres), [3e-4, 5e-4], rtol=1e-5)
    grains = sorted(n.inputs["Scale"].default_value for n in nodes if n.type == "TEX_NOISE")
    np.testing.assert_allclose(np.divide(grains, metres), [900, 1400], rtol=1e-5)


def test_python_in_a_file_runs_beside_blender_where_it_ran_in_it(bpy, tmp_path):
    from synth.blender.task import render_scene_truth

    driven = bpy.data.objects.new("driven", None)
    bpy.context.scene.collection.objects.link(driven)
    driven.driver_add("location", 0).driver.expression = "bpy.context.scene.frame_current + 0.5"
    blend = tmp_path / "driven.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))

    def truth(**options):
        render_scene_truth(str(blend), "Scene", "truth.exr", 1, progress=lambda *_: None, **options)

    with pytest.raises(InputError, match="switch on Auto Run Python Scripts"):
        truth(scripts=False, blocked=False)
    with pytest.raises(InputError, match="no camera"):
        truth(scripts=False, blocked=True)
    with pytest.raises(InputError, match="no camera"):
        truth(scripts=True, blocked=False)
    assert bpy.data.objects["driven"].location.x == 1.5
