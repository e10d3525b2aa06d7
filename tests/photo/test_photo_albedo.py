"""Skin maps of an albedo texture."""

import json

import numpy as np
import pytest

from bioface.cli import main
from bioface.errors import BiofaceError, InputError
from bioface.exr import read_exr
from bioface.photo.albedo import read_albedo, write_albedo_maps
from bioface.photo.files import to_bytes
from bioface.spectral.colour import reflectance_to_linear_srgb, srgb_decode, srgb_encode
from bioface.spectral.inverse import invert
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, to_unit

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def texture(tmp_path):
    """A square of skin, melanin rising to the right, with a green corner that is none."""
    melanin = np.linspace(0.05, 0.3, 64) + np.zeros((64, 1))
    spectra = SkinModel.load().reflectance(melanin, np.full((64, 64), 0.02))
    srgb = srgb_encode(reflectance_to_linear_srgb(spectra))
    srgb[:16, :16] = (0.1, 0.6, 0.1)
    path = tmp_path / "face.png"
    Image.fromarray(to_bytes(srgb)).save(path)
    return path


def test_a_texture_gives_its_pigments(texture, tmp_path):
    exr = write_albedo_maps(texture, tmp_path / "out")
    planes = read_exr(exr)
    skin = np.ones((64, 64), bool)
    skin[:16, :16] = False
    np.testing.assert_allclose(planes["mask"], skin)
    np.testing.assert_allclose(planes["melanin"][32], np.linspace(0.05, 0.3, 64), rtol=0.1)
    assert np.median(planes["haemoglobin"][skin]) == pytest.approx(0.02, rel=0.05)
    assert planes["melanin"][:16, :16].max() == 0
    difference = np.abs(planes["reconstruction.R"] - planes["albedo.R"])[skin]
    assert difference.max() < 0.01
    numbers = json.loads((tmp_path / "out" / "face.json").read_text())
    assert numbers["skin"]["pixels"] == skin.sum()
    assert numbers["skin_constants"] == dict(SkinModel.load().constants)
    for name in ("melanin", "haemoglobin"):
        median = np.median(planes[name][skin])
        assert numbers["skin"][f"{name}_median"] == pytest.approx(median, rel=1e-6)
    with Image.open(tmp_path / "out" / "face.png") as picture:
        assert picture.size == (256, 64)
        shown = np.asarray(picture) / 255
    expected = [
        np.repeat(to_unit(planes[name], bounds)[..., None], 3, -1)
        for name, bounds in (("melanin", MELANIN_RANGE), ("haemoglobin", HAEMOGLOBIN_RANGE))
    ]
    before, after = (
        srgb_encode(np.dstack([planes[f"{name}.{c}"] for c in "RGB"]))
        for name in ("albedo", "reconstruction")
    )
    difference = np.abs(shown - np.clip(np.hstack([before, *expected, after]), 0, 1))
    assert difference.max() < 0.51 / 255


def test_the_mask_fades_as_colours_leave_those_of_skin():
    skin = srgb_encode(reflectance_to_linear_srgb(SkinModel.load().reflectance(0.1, 0.02)))
    share = np.linspace(0, 1, 200)[:, None]
    srgb = ((1 - share) * skin + share * [0.1, 0.6, 0.1]).astype(np.float32)[None]
    residual = invert(srgb_decode(srgb)).residual
    mask = read_albedo(srgb)["mask"]
    np.testing.assert_allclose(mask, np.clip((0.04 - residual) / 0.02, 0, 1), atol=1e-5)
    assert ((mask > 0.1) & (mask < 0.9)).sum() > 3


def test_a_texture_is_read_with_the_skin_model_that_is_told():
    calibrated = SkinModel.load()
    skin = calibrated.with_constants(baseline=2 * calibrated.constants["baseline"])
    melanin, haemoglobin = np.full((4, 4), 0.15), np.full((4, 4), 0.02)
    srgb = srgb_encode(reflectance_to_linear_srgb(skin.reflectance(melanin, haemoglobin)))
    maps = read_albedo(srgb, skin)
    np.testing.assert_allclose(maps["melanin"], melanin, rtol=0.03)
    np.testing.assert_allclose(maps["haemoglobin"], haemoglobin, rtol=0.05)
    np.testing.assert_allclose(maps["reconstruction"], maps["albedo"], atol=2e-3)


def test_results_are_kept_unless_told_otherwise(texture, tmp_path):
    write_albedo_maps(texture, tmp_path / "out")
    with pytest.raises(BiofaceError, match="overwrite"):
        write_albedo_maps(texture, tmp_path / "out")
    write_albedo_maps(texture, tmp_path / "out", overwrite=True)


def test_a_texture_is_never_replaced_by_its_own_picture(texture):
    before = texture.read_bytes()
    with pytest.raises(BiofaceError, match="its picture would replace it"):
        write_albedo_maps(texture, texture.parent, overwrite=True)
    assert texture.read_bytes() == before


def test_a_texture_without_skin_is_refused(tmp_path):
    path = tmp_path / "grass.png"
    Image.new("RGB", (40, 40), (20, 200, 20)).save(path)
    with pytest.raises(InputError, match="grass"):
        write_albedo_maps(path, tmp_path / "out")


def test_command(texture, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["estimate", "--albedo", str(texture), "--out", str(out)]) == 0
    assert (out / "face.exr").exists()
    assert main(["estimate", "--albedo", str(tmp_path / "no.png"), "--out", str(out)]) == 1
    assert "no.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        *("--face-box 0 0 9", "--weights w", "--runtime onnx", "--size 0", "--illuminant A"),
        *("--camera c.csv", "--white-balance 1 1", "--no-tone-curve", "--same-shoot"),
    ],
)
def test_what_says_nothing_of_a_texture_is_refused(texture, tmp_path, capsys, option):
    out = tmp_path / "out"
    told = option.split()
    assert main(["estimate", "--albedo", str(texture), "--out", str(out), *told]) == 1
    error = capsys.readouterr().err
    assert f"{told[0]}: an albedo texture has no light" in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_maps_are_float32():
    maps = read_albedo(np.full((2, 2, 3), 0.6, np.float32))
    assert {plane.dtype for plane in maps.values()} == {np.dtype(np.float32)}
