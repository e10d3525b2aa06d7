import dataclasses
import re

import numpy as np
import pytest

pytest.importorskip("torch")

from bioface.errors import InputError
from bioface.evaluate.accuracy import AccuracyOptions, accuracy
from bioface.evaluate.tables import TRANSPORT
from bioface.learn.conditions import RelightConfig
from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Encoder, EncoderConfig
from bioface.learn.spectral_photos import SpectralFace, find_cubes
from bioface.learn.weights import save_weights
from bioface.photo.cubes import read_cube
from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import MELANIN_RANGE, to_unit

pytestmark = pytest.mark.torch
SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three cubes: skin of one pigment each on the left, a grey card on the right."""
    path = tmp_path_factory.mktemp("spectral")
    (path / "samples").mkdir()
    for k, melanin in enumerate((0.05, 0.15, 0.3)):
        mask = np.zeros((SIDE, SIDE), np.float32)
        mask[:, : SIDE // 2] = 1
        shading = np.linspace(0.4, 1.0, SIDE)[:, None] * np.ones((SIDE, SIDE))
        region = np.where(mask > 0, 1, 0)
        region[:4] = 8
        reflectance = np.where(
            mask[..., None] > 0, SkinModel.load().reflectance(melanin, 0.02), 0.5
        )
        np.savez(
            path / "samples" / f"{k:06d}.npz",
            wavelength=WAVELENGTHS,
            reflectance=(shading[..., None] * reflectance + 0.02).astype(np.float32),
            mask=mask,
            melanin=np.full_like(mask, melanin),
            haemoglobin=np.full_like(mask, 0.02),
            region=region,
            **{"diffuse_shading.key": 0.6 * shading, "diffuse_shading.fill": 0.4 * shading},
            **{"specular_shading.key": np.full_like(mask, 0.02)},
        )
    return path


def face_in(path, size=SIDE):
    return SpectralFace.of(path, read_cube(path), size)


def photo_of(face, config=None):
    return face.photo(config or RelightConfig.clean(), np.random.default_rng(0))


def test_photos_of_cubes_hold_their_truth_and_grey_stays_grey(folder):
    config = dataclasses.replace(RelightConfig.clean(), gain_sd=0.0)
    faces = [face_in(path, SIDE // 2) for path in find_cubes(folder)]
    photos = [photo_of(face, config) for face in faces]
    assert len(photos) == 3
    for photo, melanin in zip(photos, (0.05, 0.15, 0.3), strict=True):
        skin, card = np.s_[0, :, : SIDE // 4 - 1], np.s_[0, :, SIDE // 4 + 1 :]
        np.testing.assert_allclose(
            photo.melanin_u[skin], to_unit(melanin, MELANIN_RANGE), atol=1e-5
        )
        assert not photo.counted[0, :2].any()
        assert photo.counted[0, 3:, : SIDE // 4 - 1].all()
        linear = photo.linear[card]
        np.testing.assert_allclose(linear, linear.mean(-1, keepdims=True).repeat(3, -1), rtol=2e-3)
        explained = 0.5 * photo.diffuse_shading[0, :, :1] / photo.specular_shading[0, :, :1] + 1
        scale = photo.specular_shading[skin].mean() / 0.02
        np.testing.assert_allclose(
            linear[:, :1, 1], 0.02 * scale * explained, rtol=0.02, err_msg="one scale for all"
        )
    np.testing.assert_array_equal(photo_of(faces[0], config).srgb, photos[0].srgb)


def test_background_is_drawn_where_a_cube_has_none(folder, tmp_path):
    """As in every other photo: a network that never saw black around people reads them worse."""
    content = dict(np.load(find_cubes(folder)[0]))
    content["reflectance"][:, SIDE // 2 :] = 0
    photos = []
    for name, coverage in (("black", np.ones_like(content["mask"])), ("drawn", content["mask"])):
        np.savez(tmp_path / f"{name}.npz", **content, coverage=coverage)
        photos.append(photo_of(face_in(tmp_path / f"{name}.npz")).srgb[0])
    black, drawn = photos
    beside, skin = np.s_[:, SIDE // 2 + 1 :], np.s_[:, : SIDE // 2 - 1]
    assert np.median(black[beside]) < 0.1
    assert np.median(drawn[beside]) > 0.15
    np.testing.assert_allclose(black[skin], drawn[skin], atol=1 / 255)


def of_the_model(folder, path):
    """A cube of the fixture with the maps that transport needs, which make it up exactly."""
    content = dict(np.load(find_cubes(folder)[0]))
    card = (1 - content["mask"])[..., None] * np.full(4, 0.5)  # flat in wavelength
    content |= {f"reflectance.{k}": card[..., k] for k in range(4)}
    np.savez(path, **content, coverage=np.ones_like(content["mask"]))
    return path


def test_transport_makes_the_same_photo_of_a_cube_that_is_all_transport(folder, tmp_path):
    face = face_in(of_the_model(folder, tmp_path / "0.npz"))
    transport = photo_of(face.as_transport)
    np.testing.assert_allclose(transport.linear, photo_of(face).linear, atol=2e-5)
    bare = face_in(find_cubes(folder)[0])
    assert bare.transport is None
    with pytest.raises(InputError, match=r"no channel reflectance\.0"):
        bare.as_transport  # noqa: B018


def test_transport_counts_skin_and_others_by_their_shares_of_a_pixel(folder, tmp_path):
    """A file stores what others reflect as it is, not by how much of the pixel they cover."""
    path = of_the_model(folder, tmp_path / "0.npz")
    content = dict(np.load(path))
    mask, coverage = 0.4, 0.9
    content["mask"][:] = mask
    content["coverage"][:] = coverage
    for k in range(4):
        content[f"reflectance.{k}"] = np.full((SIDE, SIDE), 0.5)
    np.savez(path, **content)
    skin = SkinModel.load().reflectance(0.05, 0.02)
    shading = content["diffuse_shading.key"] + content["diffuse_shading.fill"]
    expected = shading[..., None] * (mask * skin + (coverage - mask) * 0.5) + 0.02 * coverage
    np.testing.assert_allclose(face_in(path).transport, expected, rtol=1e-5)


def test_spectral_truth_stands_beside_the_main_set(folder, pack_path, tmp_path):
    from bioface.evaluate.report import as_page

    weights = tmp_path / "w.safetensors"
    save_weights(weights, Encoder(EncoderConfig(widths=(16, 16), size=32)), Decoder())
    options = AccuracyOptions(
        [pack_path], weights, spectral=[folder], identities=2, wanted=("clean",),
        with_baselines=False, draws=2,
    )  # fmt: skip
    results = accuracy(options)
    entry = results["sets"][1]
    assert entry["identities"] == 3
    assert entry["conditions"]["clean"]["network"]["photos"] == 6
    assert "spectral truth" in as_page(results, "command", {})
    assert TRANSPORT not in entry["conditions"]["clean"]

    alike = tmp_path / "alike"
    alike.mkdir()
    of_the_model(folder, alike / "0.npz")
    results = accuracy(dataclasses.replace(options, spectral=[alike]))
    assert TRANSPORT in results["sets"][1]["conditions"]["clean"]
    page = as_page(results, "command", {})
    (row,) = re.findall(r"^\| network, clean \| .* / .*$", page, re.MULTILINE)
    assert row.count("; 1.00)") == 4  # all that this cube is, is transport

    both = dataclasses.replace(options, spectral=[folder], wanted=("clean", "full"))
    dressed = accuracy(both)["sets"][1]
    replaced = accuracy(dataclasses.replace(both, clean_spectral=[alike]))
    entry = replaced["sets"][1]
    assert entry["conditions"]["full"] == dressed["conditions"]["full"]
    assert entry["conditions"]["clean"] == results["sets"][1]["conditions"]["clean"]
    assert entry["clean_set"] == {n: results["sets"][1][n] for n in entry["clean_set"]}
    assert "In *clean* alike stands in for it, 1 people" in as_page(replaced, "command", {})


def test_a_cube_without_its_maps_is_refused(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        wavelength=WAVELENGTHS,
        reflectance=np.ones((8, 8, 33)),
        mask=np.ones((8, 8)),
    )
    with pytest.raises(InputError, match="no channel melanin"):
        face_in(tmp_path / "a.npz", 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no cubes"):
        find_cubes(tmp_path / "empty")
