"""What Cycles stores of pigments against what `synth.dataset.authored` finds without it."""

from dataclasses import replace

import numpy as np
import pytest
from small_scenes import ball, scene

from synth.blender.render import render_sample
from synth.dataset.authored import authored_pigment

pytestmark = pytest.mark.bpy

SIZE = 24


def noisy_views():
    """A half-hidden ball whose pigments jump from vertex to vertex, and from texel to texel."""
    rng = np.random.default_rng(0)
    head = ball()
    fields = {
        "melanin": rng.uniform(0.05, 0.4, len(head.vertices)),
        "haemoglobin": rng.uniform(0.005, 0.05, len(head.vertices)),
        "skin": rng.uniform(0.5, 1.0, len(head.vertices)),
    }
    painted = rng.uniform(0.05, 0.4, (12, 20, 2)).astype(np.float32)
    return [scene(made, **fields) for made in (head, replace(head, pigment=painted))]


@pytest.mark.parametrize("view", noisy_views(), ids=["vertices", "texture"])
def test_stored_pigments_are_the_authored_ones_under_the_pixel_filter(view):
    channels = render_sample(view, SIZE, 256)
    filtered, centre = authored_pigment(view, SIZE)
    skin = channels["mask"] > 0.4
    assert skin.sum() > SIZE
    for name, tolerance in (("melanin", 2e-3), ("haemoglobin", 3e-4)):
        errors = np.abs(channels[name] - getattr(filtered, name))[skin]
        assert errors.mean() < tolerance
        # what the filter does is most of the difference from the pixel centres
        assert errors.mean() < 0.1 * np.abs(channels[name] - getattr(centre, name))[skin].mean()
    assert np.abs(channels["mask"] - filtered.mask).mean() < 1e-3
