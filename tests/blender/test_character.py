"""Maps on an artist's own objects, without the extension."""

import numpy as np
import pytest

from bioface.errors import InputError

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


def test_an_image_that_the_artist_painted_stays_in_the_file(bpy, estimate):
    from synth.blender.character import PhotoOfCharacter, add_skin_material, project_estimates
    from synth.blender.images import data_image
    from synth.blender.skin_material import attach_maps

    hero = plane(bpy)
    painted = data_image(bpy, "painted", np.full((8, 8), 0.3))
    attach_maps(add_skin_material(bpy, hero), {"melanin": painted})
    project_estimates(bpy, hero, [PhotoOfCharacter(estimate)], 64)
    assert painted.use_fake_user


def test_maps_of_a_photo_are_not_taken_for_those_of_a_texture(bpy, estimate):
    from synth.blender.character import attach_texture_maps

    hero = plane(bpy)
    with pytest.raises(InputError, match=r"photo\.exr: maps of a photo"):
        attach_texture_maps(bpy, hero, estimate)
    estimate.with_suffix(".json").unlink()
    attach_texture_maps(bpy, hero, estimate)


def test_a_subdivided_head_is_fitted_by_its_landmarks(bpy, estimate):
    from synth.blender.character import (
        LANDMARKS,
        PhotoOfCharacter,
        head_from_object,
        project_estimates,
        skin_slots,
    )
    from synth.blender.portrait import add_dressed_head
    from synth.heads import load_provider

    made = add_dressed_head(bpy, bpy.context.scene, load_provider("procedural"))
    plain = head_from_object(bpy, made, skin_slots(made))
    made.modifiers.new("finer", "SUBSURF")
    finer = head_from_object(bpy, made, skin_slots(made))
    assert len(finer.vertices) > 2 * len(plain.vertices)
    moved = finer.vertices[finer.landmarks] - plain.vertices[plain.landmarks]
    assert np.linalg.norm(moved, axis=1).max() < 0.5

    made.modifiers.new("away", "DISPLACE").strength = 1
    with pytest.raises(InputError, match="head: modifiers or edits have moved its landmarks"):
        project_estimates(bpy, made, [PhotoOfCharacter(estimate)], 64)
    made.modifiers.clear()
    made.data[LANDMARKS] = [len(made.data.vertices)] * 68
    with pytest.raises(InputError, match="head: modifiers or edits have moved its landmarks"):
        project_estimates(bpy, made, [PhotoOfCharacter(estimate)], 64)


@pytest.mark.parametrize("metres", [0.01, 1.0])
def test_a_head_and_its_relief_have_true_size_in_the_units_of_the_scene(bpy, metres):
    from synth.blender.portrait import add_dressed_head
    from synth.heads import load_provider

    bpy.context.scene.unit_settings.scale_length = metres
    made = add_dressed_head(bpy, bpy.context.scene, load_provider("procedural"))
    bpy.context.view_layer.update()
    assert tuple(made.scale) == (1, 1, 1)  # freckles are sized in the object's own units
    assert 0.2 < made.dimensions.z * metres < 0.6
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
