"""What is worn hides skin in the mask, carries its own reflectance and casts shadows."""

from dataclasses import replace

import numpy as np
import pytest
from small_scenes import lamp, plate, scene

from synth.blender.render import render
from synth.heads.parts import Patch
from synth.sample.attach import Part, attach
from synth.scene import REGIONS

pytestmark = pytest.mark.bpy


def test_a_part_hides_skin_and_shades_it():
    square = plate(2.0)
    raised = Patch(square.vertices + np.array([0.0, 0.0, 4.0]), square.faces, square.uv)
    part = Part(raised, "accessory", np.array([0.1, 0.2, 0.3, 0.4]), 0.5, 0.0)
    # The lamp stands to the left: the shadow falls 4 cm to the right of the part.
    view = scene(plate(), lights=[lamp(position=(-70.0, 0.0, 70.0), size=1.0)], radiance=0.0)
    fields = {"skin": np.ones(len(view.head.vertices), np.float32), **view.attributes}
    head, attributes = attach(view.head, fields, [part])
    channels = render(replace(view, head=head, attributes=attributes), 64, 16, seed=1).channels
    mask, x, y = channels["mask"], channels["position.X"], channels["position.Y"]
    worn = (channels["coverage"] > 0.99) & (mask < 0.01)
    assert worn.sum() > 20
    assert (channels["region"][worn] == REGIONS.index("accessory")).all()
    assert np.abs(x[worn]).max() < 2.2
    assert np.abs(y[worn]).max() < 2.2
    assert (channels["melanin"][worn] == 0).all()
    for k in range(4):
        np.testing.assert_allclose(channels[f"reflectance.{k}"][worn], 0.1 * (k + 1), rtol=1e-3)
    shading = channels["diffuse_shading.key"]
    skin = (mask > 0.99) & (np.abs(y) < 1.0)
    shadow, lit = skin & (x > 2.8) & (x < 5.2), skin & (x < -4) & (x > -8)
    assert shadow.sum() > 5
    assert shading[shadow].mean() < 0.1 * shading[lit].mean()
