"""The face of a portrait by the skin mask alone."""

from __future__ import annotations

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.photo import read
from bioface.photo.locate import locate_face
from bioface.photo.network import load_network


class RedIsSkin:
    """A network that takes what is more red than blue for skin."""

    size = 64

    def read(self, srgb):
        raise AssertionError("only masks are asked for")

    def skin_masks(self, srgb):
        return np.clip((srgb[..., 0] - srgb[..., 2]) * 4, 0, 1)


def painted(centre, size, shape=(300, 400)):
    """An oval face with two eyes on blue, its box `size` pixels a side."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    x, y = (x - centre[0]) / size / 1.8, (y - centre[1]) / size / 1.8
    skin = np.hypot(x / 0.3, (y + 0.03) / 0.43) < 1
    for side in (-1, 1):
        skin &= np.hypot((x - side * 0.14) / 0.055, (y + 0.2) / 0.04) > 1
    return np.where(skin[..., None], (0.8, 0.6, 0.5), (0.2, 0.3, 0.6)).astype(np.float32)


@pytest.mark.parametrize(("centre", "size"), [((200, 150), 120), ((120, 180), 80)])
def test_a_face_is_found_where_it_is(centre, size):
    found = locate_face(painted(centre, size), RedIsSkin())
    assert np.allclose(found.centre, centre, atol=0.15 * size)
    assert found.size == pytest.approx(size, rel=0.2)


def test_nothing_like_a_face():
    assert locate_face(np.full((64, 90, 3), 0.5, np.float32), RedIsSkin()) is None
    stripes = np.full((200, 200, 3), 0.4, np.float32)
    stripes[::40, :, 0] = 1
    assert locate_face(stripes, RedIsSkin()) is None


def test_the_shipped_network_finds_no_face_in_plain_pictures():
    pytest.importorskip("onnxruntime")
    network = load_network(None, "onnx")
    ramp = np.broadcast_to(np.linspace(0, 1, 160, dtype=np.float32)[:, None, None], (160, 160, 3))
    grit = np.random.default_rng(0).random((160, 160, 3), np.float32)
    for picture in (np.full((90, 120, 3), 0.45, np.float32), ramp, ramp.swapaxes(0, 1), grit):
        assert locate_face(picture, network) is None


def test_the_network_finds_faces_where_mediapipe_is_missing(monkeypatch):
    monkeypatch.setattr(read, "can_find", lambda: False)
    (face,) = read.faces_in(painted((200, 150), 120), "a.jpg", RedIsSkin())
    assert abs(face.centre[0] - 200) < 20
    with pytest.raises(InputError, match=r"a\.jpg: no face found without MediaPipe.*--face-box"):
        read.faces_in(np.full((64, 64, 3), 0.5, np.float32), "a.jpg", RedIsSkin())
