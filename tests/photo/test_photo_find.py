"""Finding faces: upright, small, tilted, several, none."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from bioface.errors import InputError, MissingDependencyError
from bioface.photo import find
from bioface.photo.find import find_faces
from bioface.photo.landmarks import EYES, INNER_MOUTH, eye_centres

pytest.importorskip("mediapipe")
pytest.importorskip("PIL")
from PIL import Image

BOX = (179.0, 87.0, 271.0, 178.0)


@pytest.fixture(scope="module")
def face(astronaut):
    return find_faces(astronaut)[0]


def test_one_face_where_it_is(face):
    assert np.allclose(face.box, BOX, atol=4)
    assert face.landmarks.shape == (68, 2)
    assert face.mesh.shape == (478, 2)


def test_landmarks_are_in_ibug_order(face):
    points = face.landmarks
    right_eye, left_eye = eye_centres(points)
    assert right_eye[0] < left_eye[0]
    chin, nose_tip, upper_lip, lower_lip = points[8], points[30], points[51], points[57]
    assert right_eye[1] < nose_tip[1] < upper_lip[1] < lower_lip[1] < chin[1]
    assert (np.diff(points[:17, 0]) > -2).all()
    assert points[17:22, 1].mean() < right_eye[1]


def test_mask_is_skin_with_soft_edges(face):
    mask = face.mask
    assert mask.shape == (512, 512)
    assert mask.dtype == np.float32
    assert mask.min() == 0
    assert mask.max() <= 1
    assert mask[0, 0] == 0
    cheek = face.landmarks[[31, 40, 48]].mean(axis=0)
    assert mask[int(cheek[1]), int(cheek[0])] > 0.99
    for outline in (*EYES, INNER_MOUTH):
        x, y = face.mesh[outline].mean(axis=0)
        assert mask[int(y), int(x)] < 0.05
    assert ((mask > 0.1) & (mask < 0.9)).sum() > 200


@pytest.mark.parametrize("degrees", [30, -60, 90, 120, 180])
def test_turned_faces_are_found_upright(astronaut, face, degrees):
    turned = np.asarray(Image.fromarray(astronaut).rotate(degrees))
    (found,) = find_faces(turned)
    angle = np.radians(degrees)
    middle = np.array([256.0, 256.0])
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    expected = (face.landmarks - middle) @ rotation.T + middle
    assert np.linalg.norm(found.landmarks - expected, axis=1).mean() < 3


def test_small_and_several_faces_largest_first(astronaut):
    canvas = np.full((900, 1200, 3), 90, np.uint8)
    canvas[300:812, 500:1012] = astronaut
    canvas[50:250, 100:300] = np.asarray(Image.fromarray(astronaut).resize((200, 200)))
    faces = find_faces(canvas)
    assert len(faces) == 2
    assert faces[0].size > faces[1].size
    assert np.allclose(faces[0].box, np.add(BOX, [500, 300, 500, 300]), atol=4)
    assert np.allclose(faces[1].box, np.array(BOX) * 200 / 512 + [100, 50, 100, 50], atol=3)


def test_no_face():
    assert find_faces(np.full((64, 64, 3), 128, np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    assert find_faces(noise) == []


def test_quiet(astronaut, capfd):
    find_faces(astronaut)
    assert capfd.readouterr() == ("", "")


def test_wrong_array():
    with pytest.raises(InputError, match="uint8"):
        find_faces(np.zeros((10, 10, 3)))


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("libGL.so.1: cannot open shared object file", r"libGL\.so\.1 is missing.*libgl1"),
        ("No module named 'mediapipe'", r"pip install '\.\[train\]'"),
    ],
)
def test_missing_library_says_what_to_install(monkeypatch, message, advice):
    original = builtins.__import__

    def failing(name, *arguments, **keywords):
        if name.startswith("mediapipe"):
            raise ImportError(message)
        return original(name, *arguments, **keywords)

    find._models.cache_clear()
    monkeypatch.setattr(builtins, "__import__", failing)
    with pytest.raises(MissingDependencyError, match=advice):
        find_faces(np.zeros((64, 64, 3), np.uint8))
