"""Ground truth of an artist's own scene, without the extension."""

import signal

import numpy as np
import pytest

pytestmark = pytest.mark.bpy


@pytest.fixture
def stage(bpy):
    """A plane of skin under a sun, and the scene's camera over it."""
    from synth.blender.character import add_skin_material

    bpy.ops.mesh.primitive_plane_add(size=2)
    hero = bpy.context.object
    add_skin_material(bpy, hero)
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.camera.location.z = 4
    for item in (scene.camera, bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))):
        scene.collection.objects.link(item)
    scene.render.resolution_x, scene.render.resolution_y = 20, 16
    return scene, hero


def test_settings_of_the_artist_that_would_spoil_it_do_not_count(bpy, stage):
    from synth.blender.ground_truth import render_ground_truth

    scene, _ = stage
    plain = render_ground_truth(bpy, scene, samples=3)
    scene.cycles.time_limit = 1e-4
    scene.view_layers[0].samples = 1
    scene.render.use_multiview = True
    scene.render.use_freestyle = True
    again = render_ground_truth(bpy, scene, samples=3)
    assert scene.render.use_multiview
    assert scene.view_layers[0].samples == 1
    for name, plane in plain.channels.items():
        np.testing.assert_array_equal(again.channels[name], plane, err_msg=name)


def test_a_character_may_be_an_instance_of_a_collection(bpy, stage):
    from synth.blender.ground_truth import render_ground_truth

    scene, hero = stage
    owner = bpy.data.collections.new("owner")
    owner.objects.link(hero)
    scene.collection.objects.unlink(hero)
    shown = bpy.data.objects.new("shown", None)
    shown.instance_type, shown.instance_collection = "COLLECTION", owner
    scene.collection.objects.link(shown)
    assert render_ground_truth(bpy, scene, samples=1).channels["mask"].max() == 1


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
def test_the_recorded_camera_puts_positions_where_they_are_seen(bpy, stage, fit):
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    from synth.blender.ground_truth import render_ground_truth

    scene, _ = stage
    lens = scene.camera.data
    lens.shift_x, lens.shift_y, lens.sensor_fit = 0.13, -0.07, fit
    scene.camera.rotation_euler = (0.1, 0.2, 0.3)
    camera = render_ground_truth(bpy, scene, samples=1).record["camera"]
    point = np.array([0.3, 0.2, 0.1])
    place = world_to_camera_view(scene, scene.camera, Vector(point))
    x, y, z = camera["rotation"] @ (100 * point - camera["position_cm"])
    found = camera["principal_point_pixels"] + camera["focal_pixels"] * np.array([x, -y]) / -z
    np.testing.assert_allclose(found, [20 * place.x, 16 * (1 - place.y)], atol=1e-3)


@pytest.fixture
def interruptible():
    """Ctrl-C raises, which a job in the background has ignored."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def test_ctrl_c_is_raised_after_the_render(bpy, stage, interruptible):
    from synth.blender.ground_truth import render_ground_truth

    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    scene, _ = stage
    bpy.app.handlers.render_pre.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        render_ground_truth(bpy, scene, samples=1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert bpy.data.scenes[:] == [scene]
