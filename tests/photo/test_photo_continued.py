"""What a change of skin does to the skin around brows, which the mask hardly counts."""

import numpy as np
import pytest

from bioface.photo.continued import continued, surroundings
from bioface.photo.face import FaceBox

SIDE, LEFT, TOP = 100.0, 50.0, 60.0
FACTOR = np.array([0.5, 0.6, 0.7])


def face():
    """68 points of a square face, and its box."""
    points = np.zeros((68, 2))
    angle = np.linspace(0, np.pi, 17)
    points[:17] = np.stack([0.5 - 0.5 * np.cos(angle), 0.2 + 0.8 * np.sin(angle)], 1)
    points[17:22] = np.stack([np.linspace(0.12, 0.42, 5), np.full(5, 0.1)], 1)
    points[22:27] = np.stack([np.linspace(0.58, 0.88, 5), np.full(5, 0.1)], 1)
    points[27] = 0.5, 0.25
    for start, middle in ((36, 0.3), (42, 0.7)):
        turn = np.linspace(0, 2 * np.pi, 7)[:6]
        points[start : start + 6] = np.stack(
            [middle + 0.08 * np.cos(turn), 0.26 + 0.03 * np.sin(turn)], 1
        )
    turn = np.linspace(0, 2 * np.pi, 9)[:8]
    points[60:68] = np.stack([0.5 + 0.1 * np.cos(turn), 0.8 + 0.03 * np.sin(turn)], 1)
    return FaceBox((LEFT, TOP, LEFT + SIDE, TOP + SIDE)), points * SIDE + [LEFT, TOP]


def carried_on(before, after, mask, box, points):
    """`after`, changed by `continued` as `bioface.photo.edit` calls it."""
    window = surroundings(box, points, mask.shape)
    found = after.copy()
    places = points - [window[1].start, window[0].start]
    found[window] = continued(before[window], after[window], mask[window], box.size, places)
    return found


def at(x, y):
    """Row and column of a place of the face."""
    return int(TOP + SIDE * y), int(LEFT + SIDE * x)


@pytest.fixture
def pictures():
    """A photo before and after its skin is changed: brows hardly, eyes, mouth and beyond not."""
    before = np.full((200, 200, 3), 0.9)
    mask = np.zeros((200, 200))
    (top, left), (bottom, right) = at(0.0, 0.0), at(1.0, 1.0)
    before[top:bottom, left:right] = 0.4
    mask[top:bottom, left:right] = 1
    for x, y, width, height, colour in (
        *((0.27, 0.1, 0.2, 0.03, 0.05), (0.73, 0.1, 0.2, 0.03, 0.05)),
        *((0.3, 0.26, 0.1, 0.04, 0.8), (0.7, 0.26, 0.1, 0.04, 0.8), (0.5, 0.8, 0.12, 0.04, 0.02)),
    ):
        (a, b), (c, d) = at(x - width, y - height), at(x + width, y + height)
        before[a:c, b:d] = colour
        mask[a:c, b:d] = 0.02 if y == 0.1 else 0
    after = before * FACTOR ** mask[..., None]
    return before, after, mask


def test_brows_change_as_the_skin_beside_them(pictures):
    before, after, mask = pictures
    found = carried_on(before, after, mask, *face())
    for place in (at(0.27, 0.1), at(0.73, 0.1), at(0.12, 0.08)):
        np.testing.assert_allclose(found[place] / before[place], FACTOR, rtol=0.03)
    for kept in (0, 1):
        np.testing.assert_array_equal(found[mask == kept], after[mask == kept])


def test_what_is_far_brighter_than_skin_is_no_brow(pictures):
    before, after, mask = pictures
    place = at(0.27, 0.1)
    before[place] = after[place] = 0.99
    assert (carried_on(before, after, mask, *face())[place] == 0.99).all()


def test_nothing_changes_where_no_skin_does(pictures):
    before, _, mask = pictures
    for share in (mask, 0 * mask):
        found = carried_on(before, before, share, *face())
        np.testing.assert_allclose(found, before, rtol=1e-12)


@pytest.mark.parametrize("shift", [-400.0, 400.0, 60.0])
def test_faces_may_reach_out_of_the_photo(pictures, shift):
    before, after, mask = pictures
    box, points = face()
    moved = FaceBox(tuple(value + shift for value in box.box))
    found = carried_on(before, after, mask, moved, points + shift)
    assert found.shape == after.shape
    assert np.isfinite(found).all()
