"""A photo to maps on its own grid, with an untrained network."""

from __future__ import annotations

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.photo.face import FaceBox
from bioface.photo.find import find_faces
from bioface.photo.known import NOTHING
from bioface.photo.read import as_srgb, estimate, faces_in, nearest_share, read_faces
from bioface.photo.result import STDS
from bioface.spectral.colour import remove_tone
from bioface.spectral.formation import decode
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit, to_unit

pytest.importorskip("mediapipe")
pytest.importorskip("torch")
from bioface.learn.runtime import TorchNetwork

pytestmark = pytest.mark.torch
FIELDS = ("melanin_u_std", "haemoglobin_u_std")


@pytest.fixture(scope="module")
def read(portrait, weights):
    return estimate(portrait, weights=weights)


def test_maps_lie_on_the_photos_grid(read, portrait):
    for name, plane in read.maps.items():
        assert plane.shape[:2] == portrait.shape[:2], name
        assert plane.dtype == np.float32
        assert np.isfinite(plane).all()
        assert not plane[read.maps["mask"] == 0].any()
    mask = read.maps["mask"]
    assert mask.min() == 0
    assert 0.3 < mask.max() <= 1
    assert (mask > 0).sum() > 4000
    skin = mask > 0
    for name in ("melanin", "haemoglobin"):
        assert read.maps[name][skin].min() > 0
        assert read.maps[name][skin].max() < 1
    for name in ("diffuse_shading", "specular_shading"):
        assert read.maps[name].min() >= 0


def test_reconstruction_is_the_decoder_of_the_maps(read):
    face = read.faces[0]
    expected = decode(read.maps, face.spd, face.camera, skin=read.skin, path="exact")
    skin = read.maps["mask"] > 0
    assert np.abs(read.maps["reconstruction"] - expected)[skin].max() < 1e-3


def test_reconstruction_explains_the_photo(read, portrait):
    """Brightness within a tenth, even behind a network that has learned nothing."""
    linear = remove_tone(portrait / 255, read.faces[0].tone).sum(axis=-1)
    cheeks = np.zeros(portrait.shape[:2], bool)
    cheeks[100:130, 80:120] = True
    cheeks &= (read.maps["mask"] > 0.3) & (portrait.max(axis=2) < 240)
    explained = read.maps["reconstruction"].sum(axis=-1)
    assert np.median(np.abs(explained / linear - 1)[cheeks]) < 0.1


def test_numbers(read):
    face = read.faces[0]
    assert np.allclose(face.box, (54, 57, 146, 148), atol=4)
    assert sum(face.illuminant_weights.values()) == pytest.approx(1)
    assert 0 < face.skin["melanin_median"] < 1
    assert face.skin["pixels"] > 0
    assert read.weights_sha256


def test_standard_deviations(portrait, weights, read):
    """The network's, in u, times the slope of the volume fraction at what was read."""
    from dataclasses import replace

    class Certain(TorchNetwork):
        said = (0.1, 0.3)

        def read(self, srgb, known=NOTHING):
            reading = super().read(srgb, known)
            stds = (np.full_like(reading.mask, value) for value in self.said)
            return replace(reading, **dict(zip(FIELDS, stds, strict=True)))

    class Silent(TorchNetwork):
        def read(self, srgb, known=NOTHING):
            return replace(super().read(srgb, known), **dict.fromkeys(FIELDS))

    skin = read.maps["mask"] > 0
    for name in STDS:
        assert (read.maps[name][skin] > 0).all()
        assert len(np.unique(read.maps[name][skin])) > 100
    certain = estimate(portrait, weights=Certain.load(weights))
    bounds = {"melanin": MELANIN_RANGE, "haemoglobin": HAEMOGLOBIN_RANGE}
    for (pigment, (low, high)), std_u in zip(bounds.items(), Certain.said, strict=True):
        u = to_unit(certain.maps[pigment][skin].astype(np.float64), (low, high))
        step = 1e-4
        wider, narrower = (from_unit(u + sign * step, (low, high)) for sign in (1, -1))
        expected = std_u * (wider - narrower) / (2 * step)
        assert np.allclose(certain.maps[f"{pigment}_std"][skin], expected, rtol=1e-3)
        median = certain.faces[0].skin[f"{pigment}_median_std"]
        assert expected.min() < median < expected.max()
    silent = estimate(portrait, weights=Silent.load(weights))
    assert set(silent.maps) == set(read.maps) - set(STDS)
    assert set(read.faces[0].skin) - set(silent.faces[0].skin) == {
        "melanin_median_std",
        "haemoglobin_median_std",
    }
    assert np.allclose(silent.maps["melanin"], read.maps["melanin"], rtol=1e-3)


def test_size_changes_the_networks_view_only(portrait, weights, read):
    larger = estimate(portrait, weights=weights, size=96)
    assert larger.shape == read.shape
    assert not np.array_equal(larger.maps["melanin"], read.maps["melanin"])
    with pytest.raises(InputError, match="32-1024"):
        estimate(portrait, weights=weights, size=8)


def test_a_photo_twice_gives_the_same_maps(portrait, weights, read):
    again = estimate(portrait.astype(np.float32) / 255, weights=weights)
    for name, plane in read.maps.items():
        assert np.array_equal(plane, again.maps[name])


def test_several_faces_do_not_mix(portrait, weights, read):
    from bioface.learn.weights import load_weights

    pair = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    srgb = as_srgb(pair)
    both = read_faces(srgb, find_faces(pair), load_weights(weights))
    assert len(both.faces) == 2
    left = 0 if both.faces[0].centre[0] < 200 else 1
    median = both.faces[left].skin["melanin_median"]
    assert median == pytest.approx(read.faces[0].skin["melanin_median"], rel=0.05)
    assert (both.maps["mask"][:, :200] > 0).any()
    assert (both.maps["mask"][:, 200:] > 0).any()


def test_nearest_share_splits_between_centres(astronaut):
    from dataclasses import replace

    face = find_faces(astronaut)[0]
    left, top, right, bottom = face.box
    other = replace(face, box=(left + 100, top, right + 100, bottom))
    share = nearest_share([face, other], 0, (slice(0, 512), slice(0, 512)))
    middle = round((left + right) / 2 + 50)
    assert share[:, : middle - 1].all()
    assert not share[:, middle + 1 :].any()


def test_every_pixel_belongs_to_one_face():
    boxes = [(10.0, 10, 30, 30), (21, 10, 41, 30), (21, 10, 41, 30), (10, 31, 30, 51)]
    faces = [FaceBox(box) for box in boxes]
    shares = [nearest_share(faces, k, (slice(0, 60), slice(0, 60))) for k in range(4)]
    assert (np.sum(shares, axis=0) == 1).all()
    assert shares[0][20, 25]  # as near to the second


def test_no_face_names_the_photo(weights):
    with pytest.raises(InputError, match=r"beach\.jpg: no face found"):
        faces_in(np.full((64, 64, 3), 0.5, np.float32), "beach.jpg")


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.int32),
        np.full((64, 64, 3), 2.0),
        np.full((64, 64, 3), np.nan),
    ],
)
def test_arrays_that_are_no_photo(photo):
    with pytest.raises(InputError):
        as_srgb(photo)


def test_eyes_brows_and_teeth_are_no_skin(portrait):
    """What the mesh leaves out is out, whatever the network sees there."""
    read = estimate(portrait)
    at = read.faces[0].landmarks
    assert at is not None
    mask = read.maps["mask"]

    def near(points):
        x, y = np.mean(points, axis=0).astype(int)
        return mask[y, x]

    for inside in (at[36:42], at[42:48], at[18:21], at[60:68]):
        assert near(inside) < 0.2
    assert near(at[[2, 31]]) > 0.9
