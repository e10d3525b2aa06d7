"""Faces that are known by their box."""

from __future__ import annotations

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.photo.face import FaceBox
from bioface.photo.read import faces_in

PHOTO = np.full((60, 90, 3), 0.5, np.float32)


def test_a_square_is_a_box():
    face = FaceBox.square(10, 5, 40, (60, 90))
    assert face.box == (10, 5, 50, 45)
    assert face.centre == (30, 25)
    assert face.size == 40


def test_several_are_sorted_by_size():
    faces = faces_in(PHOTO, face_box=[(0, 0, 20), (40, 10, 30)])
    assert [face.size for face in faces] == [30, 20]
    assert len(faces_in(PHOTO, face_box=(-5, -5, 30.5))) == 1


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((10, 10, 19), "SIDE at least 20"),
        ((float("nan"), 10, 30), "X Y SIDE in pixels"),
        ((80, 10, 30), "its centre lies outside the photo of 90x60"),
        ((10, -40, 30), "its centre lies outside"),
        ((10, 10), "x, y and side"),
    ],
)
def test_boxes_that_are_none(box, message):
    with pytest.raises(InputError, match=message):
        faces_in(PHOTO, face_box=box)
