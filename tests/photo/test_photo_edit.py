"""Edits through the physics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bioface.cli import main
from bioface.errors import InputError
from bioface.photo.edit import edit, photo_of, relit
from bioface.photo.files import pixels_sha256, read_photo, to_bytes
from bioface.photo.known import read_camera
from bioface.photo.result import read_estimate, write_estimate
from bioface.spectral.camera import METHODS, CameraModel, raw_to_xyz
from bioface.spectral.colour import apply_tone, remove_tone, srgb_decode
from bioface.spectral.formation import Camera, decode
from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.illuminant import Illuminant

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@pytest.fixture
def explained(by_hand):
    """A picture that the decoder explains wholly, and its estimate."""
    _, estimate = by_hand
    tone = estimate.faces[0].tone
    photo = np.asarray(apply_tone(estimate.maps["reconstruction"], tone))
    return photo.astype(np.float32), estimate


@pytest.fixture
def another_camera(tmp_path):
    """A file of measured sensitivities of any scale, and what they are when scaled to sum 1."""
    model = CameraModel.load()
    other = np.asarray(model.sensitivities(np.resize([2.0, -2.0], len(model.deviations))))
    return camera_file(tmp_path / "other.npz", other * (3, 5, 4)), other


def camera_file(path, sensitivities):
    np.savez(path, wavelength=WAVELENGTHS, sens=sensitivities)
    return path


def off_balance(estimate, method):
    """The estimate with a white balance that erred much, and the photo that it explains."""
    face = replace(
        estimate.faces[0], gains=np.array([1.2, 0.8]), method=method, tone=np.array([0.1, 0.2])
    )
    maps = dict(estimate.maps)
    for name in ("diffuse_shading", "specular_shading"):
        maps[name] = 0.5 * maps[name]
    linear = decode(maps, face.spd, face.camera, skin=estimate.skin, path="exact")
    photo = np.asarray(apply_tone(linear, face.tone)).astype(np.float32)
    return photo, replace(estimate, maps=maps, faces=(face,))


def test_the_null_edit_changes_nothing(by_hand):
    photo, estimate = by_hand
    assert np.array_equal(edit(photo, estimate), photo)
    # The estimated light named anew goes through the whole computation.
    same = edit(photo, estimate, illuminant="D6504", rebalance=True)
    assert np.array_equal(to_bytes(same), to_bytes(photo))


def test_highlights_that_a_photo_cannot_show_whole_lose_no_colour(explained):
    photo, estimate = explained
    maps = dict(estimate.maps)
    maps["specular_shading"] = maps["specular_shading"] + 2
    bright = replace(estimate, maps=maps)
    white = np.ones_like(photo)
    same = edit(white, bright, melanin=0.5)
    assert np.array_equal(same, white)
    dull = edit(white, bright, specular=0)
    sure = estimate.maps["mask"] == 1
    face = estimate.faces[0]
    plain = dict(maps, specular_shading=0 * maps["specular_shading"])
    without = decode(plain, face.spd, face.camera, skin=estimate.skin, path="exact")
    expected = np.asarray(apply_tone(np.clip(without, 0, 1), face.tone))
    assert np.abs(dull - expected)[sure].max() < 2e-3


def test_only_skin_changes(by_hand):
    photo, estimate = by_hand
    edited = edit(photo, estimate, melanin=3, illuminant="A")
    outside = estimate.maps["mask"] == 0
    assert np.array_equal(edited[outside], photo[outside])
    assert (edited[~outside] != photo[~outside]).mean() > 0.5


def test_an_explained_picture_becomes_the_decoders(explained):
    photo, estimate = explained
    face = estimate.faces[0]
    edited = edit(photo, estimate, melanin=1.5, haemoglobin=0.5, specular=0)
    maps = dict(estimate.maps)
    maps["melanin"] = maps["melanin"] * 1.5
    maps["haemoglobin"] = maps["haemoglobin"] * 0.5
    maps["specular_shading"] = maps["specular_shading"] * 0
    expected = apply_tone(
        decode(maps, face.spd, face.camera, skin=estimate.skin, path="exact"), face.tone
    )
    sure = (estimate.maps["mask"] == 1) & (photo.max(axis=2) < 0.99)
    assert np.abs(edited - expected)[sure].max() < 2e-3


def test_what_is_half_skin_changes_by_half(explained):
    photo, estimate = explained
    face = replace(estimate.faces[0], landmarks=None, tone=np.zeros(2))
    photo = np.asarray(apply_tone(estimate.maps["reconstruction"], face.tone))
    edited = edit(photo, replace(estimate, faces=(face,)), melanin=3)
    maps = estimate.maps | {"melanin": 3 * estimate.maps["melanin"]}
    after = decode(maps, face.spd, face.camera, skin=estimate.skin, path="exact")
    before = estimate.maps["reconstruction"]
    half = (estimate.maps["mask"] == 0.5) & (before.max(axis=2) < 0.99)
    assert half.sum() > 10
    found = srgb_decode(edited)[half]
    np.testing.assert_allclose(found, (0.5 * (before + after))[half], atol=2e-3)


@pytest.mark.parametrize("rebalance", [False, True])
def test_an_explained_picture_becomes_the_decoders_under_another_light(explained, rebalance):
    photo, estimate = explained
    face = estimate.faces[0]
    spd = np.asarray(Illuminant.named("A").spd)
    camera, factor = relit(face, spd, rebalance=rebalance)
    maps = dict(estimate.maps)
    maps["diffuse_shading"] = maps["diffuse_shading"] * factor
    maps["specular_shading"] = maps["specular_shading"] * (2 * factor)
    expected = apply_tone(decode(maps, spd, camera, skin=estimate.skin, path="exact"), face.tone)
    edited = edit(photo, estimate, illuminant="A", rebalance=rebalance, specular=2)
    sure = (estimate.maps["mask"] == 1) & (np.maximum(photo, expected).max(axis=2) < 0.99)
    assert sure.sum() > 100
    assert np.abs(edited - expected)[sure].max() < 2e-3


def test_the_skin_model_is_the_estimates(explained):
    _, estimate = explained
    face = estimate.faces[0]
    constants = estimate.skin.constants
    skin = estimate.skin.with_constants(baseline=2 * constants["baseline"], vessel_radius=60.0)
    other = replace(estimate, skin=skin)

    def shown(melanin):
        maps = estimate.maps | {"melanin": melanin * estimate.maps["melanin"]}
        return np.asarray(
            apply_tone(decode(maps, face.spd, face.camera, skin=skin, path="exact"), face.tone)
        )

    photo, expected = shown(1).astype(np.float32), shown(2)
    sure = (estimate.maps["mask"] == 1) & (photo.max(axis=2) < 0.99)
    assert np.abs(edit(photo, other, melanin=2) - expected)[sure].max() < 2e-3


@pytest.mark.parametrize("name", ["melanin", "haemoglobin"])
def test_fractions_end_at_one(explained, name):
    photo, estimate = explained
    maps = estimate.maps | {name: np.where(estimate.maps["mask"] > 0, np.float32(0.4), 0)}
    full = replace(estimate, maps=maps)
    most = edit(photo, full, **{name: 2.5})
    np.testing.assert_allclose(edit(photo, full, **{name: 10}), most, atol=1e-6)


def test_more_melanin_darkens_and_less_blood_is_less_red(explained):
    photo, estimate = explained
    sure = estimate.maps["mask"] == 1
    darker = edit(photo, estimate, melanin=2)
    assert (darker[sure] <= photo[sure] + 1e-6).all()
    paler = edit(photo, estimate, haemoglobin=0.3)
    redness = [(p[..., 0] - p[..., 1])[sure].mean() for p in (photo, paler)]
    assert redness[1] < redness[0]


def test_another_light_shows_until_the_camera_adapts(explained):
    photo, estimate = explained
    sure = estimate.maps["mask"] == 1

    def warmth(picture: np.ndarray) -> float:
        return float((picture[..., 0] - picture[..., 2])[sure].mean())

    kept = edit(photo, estimate, illuminant="A")
    adapted = edit(photo, estimate, illuminant="A", rebalance=True)
    assert warmth(kept) > warmth(photo) + 0.1
    assert abs(warmth(adapted) - warmth(photo)) < 0.06


def test_the_estimated_camera_changes_nothing(tmp_path, by_hand):
    photo, estimate = by_hand
    face = estimate.faces[0]
    own = camera_file(tmp_path / "own.npz", face.sensitivities * (3, 5, 4))
    assert np.array_equal(to_bytes(edit(photo, estimate, camera=own)), to_bytes(photo))
    # An estimate that was told the same file has the same numbers.
    told = replace(estimate, faces=(replace(face, sensitivities=read_camera(own)),))
    assert np.array_equal(edit(photo, told, camera=own), photo)


@pytest.mark.parametrize("method", METHODS)
def test_an_explained_picture_becomes_another_cameras(by_hand, another_camera, method):
    photo, estimate = off_balance(by_hand[1], method)
    file, sensitivities = another_camera
    face = estimate.faces[0]
    # It balances the light with the factors by which the estimated camera erred.
    camera = Camera(sensitivities, face.gains, method)
    maps = estimate.maps | {"melanin": 1.5 * estimate.maps["melanin"]}
    for changes, shown in (({}, estimate.maps), ({"melanin": 1.5}, maps)):
        expected = apply_tone(
            decode(shown, face.spd, camera, skin=estimate.skin, path="exact"), face.tone
        )
        edited = edit(photo, estimate, camera=str(file), **changes)
        sure = (estimate.maps["mask"] == 1) & (np.maximum(photo, expected).max(axis=2) < 0.99)
        assert sure.sum() > 100
        assert np.abs(edited - photo)[sure].max() > 0.005
        assert np.abs(edited - expected)[sure].max() < 1e-4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rebalance", [False, True])
def test_another_camera_sees_another_light(by_hand, another_camera, rebalance, method):
    photo, estimate = off_balance(by_hand[1], method)
    file, sensitivities = another_camera
    face = estimate.faces[0]
    spd = np.asarray(Illuminant.named("A").spd)
    camera = Camera(sensitivities, face.gains, method)
    balanced = face.spd @ sensitivities
    before = float(LUMINANCE @ camera.raw_to_srgb(face.spd).sum(axis=1))
    if not rebalance:
        # Raw in units of a white diffuser's under the estimated light, for which the matrix is too.
        white = spd @ sensitivities / balanced
        gains = face.gains * white[[0, 2]] / white[1]
        camera = Camera(sensitivities, gains, matrix=raw_to_xyz(sensitivities, face.spd, method))
    after = float(LUMINANCE @ camera.raw_to_srgb(spd).sum(axis=1))
    maps = dict(estimate.maps)
    for name in ("diffuse_shading", "specular_shading"):
        maps[name] = maps[name] * (before / after)
    expected = apply_tone(decode(maps, spd, camera, skin=estimate.skin, path="exact"), face.tone)
    edited = edit(photo, estimate, illuminant="A", rebalance=rebalance, camera=file)
    sure = (estimate.maps["mask"] == 1) & (np.maximum(photo, expected).max(axis=2) < 0.99)
    assert sure.sum() > 100
    assert np.abs(edited - expected)[sure].max() < 2e-4


def test_light_and_camera_are_changed_together_as_one_after_the_other(by_hand, another_camera):
    photo, estimate = off_balance(by_hand[1], "fitted")
    file, sensitivities = another_camera
    taken = edit(photo, estimate, camera=file)
    theirs = replace(
        estimate, faces=(replace(estimate.faces[0], sensitivities=sensitivities, landmarks=None),)
    )
    after = edit(taken, theirs, illuminant="F11")
    both = edit(photo, estimate, camera=file, illuminant="F11")
    sure = (estimate.maps["mask"] == 1) & (np.maximum(taken, both).max(axis=2) < 0.99)
    assert sure.sum() > 100
    assert np.abs(both - after)[sure].max() < 2e-4


def test_another_camera_changes_skin_only_and_keeps_what_is_unexplained(by_hand, another_camera):
    noise, estimate = by_hand[0], off_balance(by_hand[1], "pseudo_inverse")[1]
    file, sensitivities = another_camera
    edited = edit(noise, estimate, camera=file)
    outside = estimate.maps["mask"] == 0
    assert np.array_equal(edited[outside], noise[outside])
    face = estimate.faces[0]
    before, after = (
        decode(estimate.maps, face.spd, camera, skin=estimate.skin, path="exact")
        for camera in (face.camera, replace(face.camera, sensitivities=sensitivities))
    )
    change = remove_tone(edited, face.tone) - remove_tone(noise, face.tone)
    whole = (estimate.maps["mask"] == 1)[..., None] & (edited > 0.02) & (edited < 0.98)
    whole &= np.maximum(before, after) < 1
    assert whole.sum() > 500
    np.testing.assert_allclose(change[whole], (after - before)[whole], atol=2e-4)


def test_another_camera_by_the_command(tmp_path, by_hand, another_camera, capsys):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("OpenEXR")
    image.fromarray(to_bytes(by_hand[0])).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    record = {"path": "a.png", "sha256": pixels_sha256(photo)}
    write_estimate(tmp_path, "result", replace(by_hand[1], photo=record), None)
    file, other = another_camera
    two = tmp_path / "two.npz"
    both = np.stack([other[:, ::-1], other])
    np.savez(two, wavelength=WAVELENGTHS, sens=both, names=["mirrored", "other"])
    command = ["edit", str(tmp_path / "result"), "--illuminant", "F11", "--camera"]
    out = tmp_path / "out.png"
    assert main([*command, f"{two}:other", "--out", str(out)]) == 0
    expected = edit(photo, read_estimate(tmp_path / "result"), illuminant="F11", camera=file)
    with image.open(out) as written:
        assert np.array_equal(np.asarray(written), to_bytes(expected))
    capsys.readouterr()
    bad = tmp_path / "bad.png"
    for told in ("Some Phone", f"{two}:third"):
        assert main([*command, told, "--out", str(bad)]) == 1
        error = capsys.readouterr().err
        assert told.partition(":")[2] in error
        assert error.count("\n") == 1
        assert not bad.exists()


@pytest.mark.parametrize("name", ["D0", "D1", "D3999", "D99999", "100K", "candle"])
def test_lights_that_there_are_not_are_refused(by_hand, name):
    with pytest.raises(InputError, match=r"25000|choose"):
        edit(*by_hand, illuminant=name)


@pytest.mark.parametrize("name", ["A", "F11", "D5000"])
def test_relit_keeps_the_luminance_of_white(by_hand, name):
    face = by_hand[1].faces[0]
    spd = np.asarray(Illuminant.named(name).spd)
    camera, factor = relit(face, spd, rebalance=False)
    luminance = [
        np.array([0.2126, 0.7152, 0.0722]) @ c.projection(e).sum(axis=0)
        for c, e in ((face.camera, face.spd), (camera, spd))
    ]
    assert luminance[0] == pytest.approx(luminance[1] * factor, rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_relit_keeps_matrix_and_white_balance_of_the_light_before(by_hand, method):
    face = replace(by_hand[1].faces[0], method=method)
    spd = np.asarray(Illuminant.named("A").spd)
    camera, _ = relit(face, spd, rebalance=False)
    reflectance = np.linspace(0.2, 0.7, 33)
    raw = (reflectance * spd) @ face.sensitivities / (face.spd @ face.sensitivities)
    raw /= spd @ face.sensitivities[:, 1] / (face.spd @ face.sensitivities[:, 1])
    expected = face.camera.raw_to_srgb(face.spd) @ raw
    np.testing.assert_allclose(reflectance @ camera.projection(spd), expected, rtol=1e-9)
    adapted, _ = relit(face, spd, rebalance=True)
    assert adapted.matrix is None
    assert np.array_equal(adapted.gains, face.gains)


def test_relit_by_the_same_light_is_the_same(by_hand):
    face = by_hand[1].faces[0]
    spd = np.asarray(Illuminant.named("D65").spd)
    same = replace(face, spd=spd)
    camera, factor = relit(same, spd, rebalance=False)
    assert factor == pytest.approx(1)
    assert np.allclose(camera.projection(spd), same.camera.projection(same.spd), atol=1e-12)


@pytest.mark.parametrize("other_name", ["same", "symlink", "hardlink"])
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_an_edit_never_replaces_its_photo(tmp_path, by_hand, capsys, other_name, overwrite):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("OpenEXR")
    srgb, estimate = by_hand
    photo, target = tmp_path / "a.png", tmp_path / "b.png"
    image.fromarray(to_bytes(srgb)).save(photo)
    before = photo.read_bytes()
    record = {"path": "a.png", "sha256": pixels_sha256(srgb)}
    write_estimate(tmp_path, "result", replace(estimate, photo=record), None)
    if other_name == "same":
        target = photo
    elif other_name == "symlink":
        target.symlink_to(photo)
    else:
        target.hardlink_to(photo)
    command = ["edit", str(tmp_path / "result"), "--melanin", "2", "--out", str(target)]
    assert main([*command, *overwrite]) == 1
    said = f"bioface: error: {photo}: its picture would replace it; name another --out\n"
    assert capsys.readouterr().err == said
    assert photo.read_bytes() == target.read_bytes() == before
    assert target.is_symlink() == (other_name == "symlink")


def test_each_face_has_its_own_camera(by_hand):
    photo, estimate = by_hand
    face = replace(estimate.faces[0], landmarks=None)
    estimate = replace(estimate, faces=(face,))
    left = replace(face, box=(10.0, 10.0, 29.0, 29.0))
    right = replace(face, box=(31.0, 10.0, 50.0, 29.0), gains=np.array([1.2, 0.8]))
    both = edit(photo, replace(estimate, faces=(left, right)), melanin=2)
    one = edit(photo, estimate, melanin=2)
    other = edit(photo, replace(estimate, faces=(right,)), melanin=2)
    assert np.allclose(both[:, :30], one[:, :30], atol=1e-6)
    assert np.allclose(both[:, 30:], other[:, 30:], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"melanin": -1}, "melanin factor -1"),
        ({"haemoglobin": 11}, "haemoglobin factor 11"),
        ({"specular": float("nan")}, "specular factor nan"),
        ({"illuminant": "candle"}, "candle"),
        ({"rebalance": True}, "needs another light"),
        ({"rebalance": True, "camera": "other.csv"}, "needs another light"),
        ({"camera": "Some Phone"}, "camera 'Some Phone': tell its measured sensitivities"),
        ({"camera": "none.csv"}, r"none\.csv: no such file"),
        ({"camera": "none.npz:NAME"}, r"none\.npz"),
    ],
)
def test_refused_edits(by_hand, change, message):
    photo, estimate = by_hand
    with pytest.raises(InputError, match=message):
        edit(photo, estimate, **change)


@pytest.mark.filterwarnings("ignore:overflow|invalid:RuntimeWarning")
def test_an_edit_is_never_without_numbers(by_hand):
    photo, estimate = by_hand
    maps = dict(estimate.maps, diffuse_shading=np.full((40, 60), 3e38, np.float32))
    gains = np.array([50.0, 0.01])
    odd = replace(estimate, maps=maps, faces=(replace(estimate.faces[0], gains=gains),))
    with pytest.raises(InputError, match="estimate the photo again"):
        edit(photo, odd, melanin=2)


def test_a_photo_is_copied_where_it_is_a_png_whatever_its_name(tmp_path, by_hand):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("OpenEXR")
    photo = to_bytes(by_hand[0])
    for name, kind in (("a.png", "JPEG"), ("b.jpg", "PNG")):
        source, out = tmp_path / name, tmp_path / f"{name}.out.png"
        image.fromarray(photo).save(source, format=kind)
        read = read_photo(source)
        record = {"path": name, "sha256": pixels_sha256(read)}
        write_estimate(tmp_path, "result", replace(by_hand[1], photo=record), None, overwrite=True)
        assert main(["edit", str(tmp_path / "result"), "--out", str(out)]) == 0
        with image.open(out) as written:
            assert written.format == "PNG"
            assert np.array_equal(np.asarray(written), to_bytes(read))
        assert (out.read_bytes() == source.read_bytes()) == (kind == "PNG")


def test_a_damaged_result_is_one_line(tmp_path, by_hand, capsys):
    pytest.importorskip("OpenEXR")
    path = write_estimate(tmp_path, "a", replace(by_hand[1], photo={"path": 5}), None)
    assert main(["edit", str(path), "--melanin", "2", "--out", str(tmp_path / "b.png")]) == 1
    error = capsys.readouterr().err
    assert "a.json: photo.path is no text" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "b.png").exists()


def test_photo_of_another_size(by_hand):
    photo, estimate = by_hand
    with pytest.raises(InputError, match="30x40 pixels, its estimate 60x40"):
        edit(photo[:, :30], estimate, melanin=2)


def test_the_photo_is_found_again_and_checked(tmp_path, by_hand):
    image = pytest.importorskip("PIL.Image")
    photo, estimate = by_hand
    image.fromarray(to_bytes(photo)).save(tmp_path / "a.png")
    record = {"path": "../a.png", "sha256": pixels_sha256(photo)}
    there = replace(estimate, photo=record)
    (tmp_path / "out").mkdir()
    assert np.array_equal(to_bytes(photo_of(there, tmp_path / "out")), to_bytes(photo))
    with pytest.raises(InputError, match="no longer there; pass --photo"):
        photo_of(there, tmp_path / "out" / "deeper")
    with pytest.raises(InputError, match="does not say where its photo is"):
        photo_of(estimate, tmp_path)
    image.fromarray(255 - to_bytes(photo)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png: not the picture that was estimated"):
        photo_of(there, tmp_path / "out", tmp_path / "b.png")
