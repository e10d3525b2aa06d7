import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("torch")

from bioface.learn import proxy

SIZE = 96
RNG = np.random.default_rng(0)


def seen_landmarks(degrees=(0, 0, 0), scale=4.0, shift=(48.0, 50.0)):
    rotation = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    with np.load(proxy.DATA / "face_shape.npz") as data:
        points = data["landmarks"].astype(float)
    return scale * (points @ rotation.T)[:, :2] * [1, -1] + shift, rotation


@pytest.mark.parametrize("degrees", [(0, 0, 0), (10, 30, -8), (-15, -25, 12)])
def test_pose_is_found(degrees):
    landmarks, rotation = seen_landmarks(degrees)
    scale, found, shift = proxy.fit_pose(landmarks)
    assert scale == pytest.approx(4.0, rel=1e-6)
    np.testing.assert_allclose(found, rotation, atol=1e-6)
    np.testing.assert_allclose(shift, (48, 50), atol=1e-6)


def test_normals_face_the_viewer_and_turn_with_the_head():
    frontal = proxy.fitted_normals(seen_landmarks()[0], SIZE)
    known = np.abs(frontal).sum(2) > 0
    assert 0.15 < known.mean() < 0.6
    np.testing.assert_allclose(np.linalg.norm(frontal[known], axis=1), 1, atol=1e-6)
    assert frontal[known][:, 2].min() > 0
    for degrees in (0, 30, -30):
        landmarks, _ = seen_landmarks((0, degrees, 0))
        x, y = landmarks[27].astype(int)
        bridge = proxy.fitted_normals(landmarks, SIZE)[y, x]
        assert np.degrees(np.arcsin(bridge[0])) == pytest.approx(degrees, abs=12)


@pytest.mark.parametrize("light", [(0.5, 0.6, 0.6), (-0.8, 0.2, 0.5)])
def test_light_is_recovered(light):
    """A Lambertian face with dark spots and noise gives back its own shading."""
    landmarks, _ = seen_landmarks((5, 12, 0))
    normals = proxy.fitted_normals(landmarks, SIZE)
    known = np.abs(normals).sum(2) > 0
    light = np.array(light) / np.linalg.norm(light)
    shading = (0.3 + 0.7 * np.clip(normals @ light, 0, None)) * known
    photo = 0.4 * shading * (1 + 0.03 * RNG.standard_normal(shading.shape))
    photo[40:46, 30:36] *= 0.2
    found = proxy.shading_proxy(np.repeat(photo[..., None], 3, 2), known.astype(float), landmarks)
    assert found[known].mean() == pytest.approx(1, abs=0.05)
    assert not found[~known].any()
    truth = shading / shading[known].mean()
    assert np.sqrt(np.mean((found - truth)[known] ** 2)) < 0.06


def test_a_face_that_is_not_seen_has_no_proxy():
    landmarks, _ = seen_landmarks()
    blank = proxy.shading_proxy(np.zeros((SIZE, SIZE, 3)), np.zeros((SIZE, SIZE)), landmarks)
    assert not blank.any()
