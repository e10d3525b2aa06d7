"""Maps of a rendered head, projected back onto it: what was put in comes out."""

import numpy as np
import pytest

from synth.heads import load_provider
from synth.project import MAPS, fit_head, project_maps
from synth.project.raster import rasterise, skin_faces, triangulate
from synth.sample.config import SampleConfig
from synth.sample.scene import sample_scene

pytestmark = pytest.mark.bpy

PIXELS, TEXELS = 320, 256

COVERING = (
    "hair_share", "brow_share", "beard_share", "clothes_share", "glasses_share", "headwear_share",
    "makeup_share", "defocus_share",
)  # fmt: skip
"""What hides or blurs the skin, and so the maps."""


def texture(head, values):
    """A per-vertex field (V,) on the first UV tile: (S, S) values and which texels are skin."""
    faces, uv = head.faces[skin_faces(head)], head.uv[skin_faces(head)]
    corners, owner = triangulate(faces)
    triangles = np.take_along_axis(faces[owner], corners, 1)
    place = np.take_along_axis(uv[owner], corners[..., None], 1)
    first = (np.floor(place.mean(1)) == 0).all(1)
    index, weights = rasterise(place[first] * TEXELS * [1, -1] + [0, TEXELS], (TEXELS, TEXELS))
    return (values[triangles[first][index]] * weights).sum(2), index >= 0


def test_rendered_maps_come_back_where_seen():
    from synth.blender.render import render_sample

    config = SampleConfig(yaw=25.0, **{share: 0.0 for share in COVERING})
    scene = sample_scene(np.random.default_rng(1), config, load_provider("procedural"))
    channels = render_sample(scene, PIXELS, samples=8)
    mask = channels["mask"]
    maps = {name: np.where(mask > 0.5, channels[name], 0) for name in MAPS}

    view, head = scene.view, scene.head
    seen = (head.vertices - view.position) @ view.rotation.T
    points = PIXELS * view.focal_mm / 36 * seen[:, :2] * [1, -1] / -seen[:, 2:] + PIXELS / 2
    fit = fit_head(head, points[head.landmarks], (PIXELS, PIXELS))
    tile = project_maps(head, fit, {**maps, "mask": mask}, TEXELS)[1001]
    for name in MAPS:
        truth, covered = texture(head, scene.attributes[name])
        shown = covered & (tile.seen > 0.9) & (truth > 0)
        assert shown.sum() > 0.2 * covered.sum()
        error = np.abs(tile.maps[name][shown] / truth[shown] - 1)
        assert np.mean(error) < 0.02
        assert np.median(error) < 0.01


def test_an_artists_round_trip_through_the_operators(blender):
    blender(
        """
from synth.blender.character import skin_slots
from synth.blender.images import data_image
from synth.blender.object_head import fit_from_camera, head_from_object
from synth.blender.skin_material import attach_maps
from synth.project import Shot, project_photos, read_estimate

SIDE = 256
bpy.ops.bioface.head_add()
head = bpy.context.object
across, down = np.meshgrid(*2 * [np.linspace(0, 6 * np.pi, SIDE)])
known = {
    "melanin": 0.1 + 0.05 * np.sin(across) * np.cos(down),
    "haemoglobin": 0.02 + 0.01 * np.cos(across + down),
}
images = {name: data_image(bpy, name, plane) for name, plane in known.items()}
attach_maps(head.active_material, images)
scene = bpy.context.scene
camera()
scene.camera.location = (0.1, -1.5, 0.05)
scene.camera.rotation_euler = (np.pi / 2, 0, 0.05)
scene.camera.data.lens = 120
scene.render.resolution_x = scene.render.resolution_y = 384
scene.bioface.truth_samples, scene.bioface.texture_size = 16, SIDE
truth = str(Path("truth.exr").resolve())
assert bpy.ops.bioface.scene_ground_truth(filepath=truth) == {"FINISHED"}

attach_maps(head.active_material, {name: data_image(bpy, name, 0 * across) for name in known})
bpy.ops.bioface.photo_add(filepath=truth)
scene.bioface.photos[0].camera = scene.camera
assert bpy.ops.bioface.maps_project() == {"FINISHED"}

mesh, shown = head_from_object(bpy, head, skin_slots(head)), read_estimate(truth)
shot = Shot(fit_from_camera(bpy, head, mesh, shown.shape), shown.maps)
seen = project_photos(mesh, [shot], SIDE)[1001].seen > 0.9
assert seen.sum() > 5000
for name, plane in known.items():
    back = pixels(object_skin_node(head).inputs[name.capitalize()].links[0].from_node.image)
    error = np.abs(back / plane - 1)[seen]
    assert np.percentile(error, 99) < 0.02
"""
    )
