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
