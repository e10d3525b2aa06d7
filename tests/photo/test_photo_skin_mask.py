"""Which skin beyond the face is the face's own."""

from __future__ import annotations

import numpy as np
import pytest

from bioface.photo.crop import Crop
from bioface.photo.face import FaceBox
from bioface.photo.skin_mask import skin_mask

SKIN, BLUE = (0.6, 0.35, 0.25), (0.1, 0.2, 0.6)


@pytest.fixture
def scene():
    """A face with a neck, and a patch of skin's colour apart, on blue: linear colours."""
    linear = np.full((240, 200, 3), BLUE, np.float32)
    linear[40:150, 60:140] = SKIN  # the face, and forehead above its box
    linear[150:200, 80:120] = SKIN  # the neck
    linear[60:120, 165:195] = SKIN  # a wall of the same colour
    linear[90:92, 140:165] = SKIN  # joined by a thread
    return linear


def masks(linear, mask=None):
    shape = linear.shape[:2]
    face = FaceBox((60.0, 60.0, 140.0, 140.0))
    crop = Crop.around_box(face.box, 64)
    everywhere = np.ones(shape, np.float32) if mask is None else mask
    return skin_mask(face, crop, (slice(0, shape[0]), slice(0, shape[1])), everywhere, linear)


def test_neck_and_forehead_count_and_what_is_apart_does_not(scene):
    mask, core = masks(scene)
    assert mask[100, 100] == core[100, 100] == 1
    assert mask[44, 100] > 0.9
    assert mask[160, 100] > 0.9
    assert core[165, 100] == 0
    assert mask[90, 180] == 0
    assert mask[160, 40] == 0
    assert mask.min() >= 0
    assert mask.max() <= 1


def test_a_shadow_on_the_neck_counts_and_a_black_collar_does_not(scene):
    scene[160:170, 80:120] = 0.2 * np.array(SKIN)
    scene[150:155, 80:120] = 0.03 * np.array(SKIN)
    mask, _ = masks(scene)
    assert mask[152, 100] < 0.3
    scene[150:155, 80:120] = SKIN
    mask, _ = masks(scene)
    assert mask[165, 100] > 0.9


def test_a_highlight_above_the_face_leaves_no_hole_and_hair_does(scene):
    scene[46:52, 90:104] = (1.0, 1.0, 1.0)
    assert masks(scene)[0][44:56, 86:108].min() > 0.9
    seen = np.ones(scene.shape[:2], np.float32)
    seen[46:52, 90:104] = 0
    assert masks(scene, seen)[0][48:50, 94:100].max() < 0.1


def test_it_fades_where_the_networks_square_ends(scene):
    scene[150:240, 80:120] = SKIN
    mask, _ = masks(scene)
    ends = 100 + 0.9 * 80
    assert mask[int(ends) - 4, 100] > 0.9
    assert 0 < mask[int(ends) + 5, 100] < 1
    assert mask[int(ends) + 16, 100] == 0


def test_what_the_network_denies_is_no_skin(scene):
    denied = np.ones(scene.shape[:2], np.float32)
    denied[90:110, 90:110] = 0
    mask, _ = masks(scene, denied)
    assert mask[100, 100] == 0
    assert masks(scene, np.zeros(scene.shape[:2], np.float32))[0].max() == 0
