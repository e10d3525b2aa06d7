"""Per-pixel inversion: round trips, the 8-bit floor, and pixels that are no skin."""

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.spectral.colour import reflectance_to_linear_srgb, srgb_decode, srgb_encode
from bioface.spectral.formation import Camera, decode
from bioface.spectral.illuminant import illuminant
from bioface.spectral.inverse import invert
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit, to_unit


def pigments(rng, *shape):
    u = rng.random((2, *shape))
    return u, from_unit(u[0], MELANIN_RANGE), from_unit(u[1], HAEMOGLOBIN_RANGE)


def errors(result, u):
    return (
        to_unit(result.melanin, MELANIN_RANGE) - u[0],
        to_unit(result.haemoglobin, HAEMOGLOBIN_RANGE) - u[1],
    )


def test_an_albedo_gives_its_pigments_back():
    u, melanin, haemoglobin = pigments(np.random.default_rng(0), 40, 50)
    albedo = reflectance_to_linear_srgb(SkinModel.load().reflectance(melanin, haemoglobin))
    result = invert(albedo)
    assert result.melanin.shape == (40, 50)
    for error in errors(result, u):
        assert np.abs(error).max() < 0.02
        assert np.sqrt(np.mean(error**2)) < 1e-3
    assert result.residual.max() < 1e-4


def test_a_shaded_image_under_any_light_gives_its_pigments_back():
    rng = np.random.default_rng(1)
    u, melanin, haemoglobin = pigments(rng, 60, 60)
    diffuse, specular = rng.uniform(0.2, 1, (60, 60)), rng.uniform(0, 0.2, (60, 60))
    spd = illuminant("F11")
    camera = Camera.from_coefficients(rng.normal(0, 1, 6), gains=np.array([1.03, 0.98]))
    maps = {
        "melanin": melanin,
        "haemoglobin": haemoglobin,
        "diffuse_shading": diffuse,
        "specular_shading": specular,
    }
    result = invert(
        decode(maps, spd, camera, path="exact"),
        camera.projection(spd),
        diffuse_shading=diffuse,
        specular_shading=specular,
    )
    assert all(np.sqrt(np.mean(error**2)) < 2e-3 for error in errors(result, u))


def test_eight_bits_cost_no_more_than_they_must():
    """Against the spread of the truth within each 8-bit code, which no estimate can beat."""
    u = np.random.default_rng(2).uniform(0.4, 0.6, (2, 100_000))
    melanin, haemoglobin = from_unit(u[0], MELANIN_RANGE), from_unit(u[1], HAEMOGLOBIN_RANGE)
    spectra = SkinModel.load().reflectance(melanin, haemoglobin)
    code = np.rint(255 * srgb_encode(reflectance_to_linear_srgb(spectra)))
    key = (code @ [65536, 256, 1]).astype(np.int64)
    _, group, count = np.unique(key, return_inverse=True, return_counts=True)
    shared = count[group] >= 4
    for truth, error in zip(u, errors(invert(srgb_decode(code / 255)), u), strict=True):
        deviation = truth - (np.bincount(group, truth) / count)[group]
        unbiased = deviation**2 * (count / np.maximum(count - 1, 1))[group]
        floor = np.sqrt(unbiased[shared].mean())
        assert np.sqrt(np.mean(error[shared] ** 2)) < 1.2 * floor


def test_what_is_not_skin_leaves_a_residual():
    result = invert(np.array([[0.05, 0.4, 0.05], [0.05, 0.05, 0.6], [0.0, 0.0, 0.0], [9, 9, 9.0]]))
    assert np.isfinite(np.stack(result)).all()
    assert (result.residual[:2] > 0.1).all()


def test_the_residual_is_what_is_left_in_encoded_srgb():
    rng = np.random.default_rng(3)
    _, melanin, haemoglobin = pigments(rng, 200)
    diffuse = rng.uniform(0.2, 0.9, 200)
    spd, camera = illuminant("F2"), Camera.from_coefficients(rng.normal(0, 1, 6))

    def shown(melanin, haemoglobin):
        maps = {"melanin": melanin, "haemoglobin": haemoglobin}
        maps |= {"diffuse_shading": diffuse, "specular_shading": 0 * diffuse}
        return decode(maps, spd, camera, path="exact")

    seen = shown(melanin, haemoglobin) * rng.normal(1, 0.02, (200, 3))
    result = invert(seen, camera.projection(spd), diffuse_shading=diffuse)
    left = srgb_encode(seen) - srgb_encode(shown(result.melanin, result.haemoglobin))
    expected = np.sqrt(np.mean(left**2, axis=-1))
    inside = (result.melanin > 1e-3) & (result.haemoglobin > 1e-4)
    assert inside.mean() > 0.8
    np.testing.assert_allclose(result.residual[inside], expected[inside], atol=5e-4)


def test_pigments_are_those_of_the_skin_model_that_is_told():
    u, melanin, haemoglobin = pigments(np.random.default_rng(4), 500)
    skin = SkinModel.load()
    other = skin.with_constants(baseline=2 * skin.constants["baseline"])
    albedo = reflectance_to_linear_srgb(other.reflectance(melanin, haemoglobin))
    for error in errors(invert(albedo, skin=other), u):
        assert np.sqrt(np.mean(error**2)) < 2e-3


def test_unlit_pixels_are_finite():
    result = invert(np.zeros((2, 3)), diffuse_shading=np.zeros(2))
    assert np.isfinite(np.stack(result)).all()


def test_fractions_are_ones_that_the_skin_model_takes():
    white_and_red = np.array([[1.0, 1, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0], [0.3, 0.9, 0.1]])
    result = invert(np.concatenate([white_and_red, white_and_red / 20]))
    SkinModel.load().reflectance(result.melanin, result.haemoglobin)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rgb": np.zeros((4, 4))}, "3"),
        ({"rgb": np.full((1, 3), np.nan)}, "colours: holds NaN"),
        ({"rgb": np.zeros((2, 3)), "diffuse_shading": [1, np.nan]}, "diffuse shading: holds NaN"),
        ({"rgb": np.zeros((2, 3)), "specular_shading": np.inf}, "specular shading: holds NaN"),
        (
            {"rgb": np.zeros((2, 3)), "projection": np.full((33, 3), np.nan)},
            "projection: holds NaN",
        ),
        ({"rgb": np.zeros((4, 3)), "diffuse_shading": np.ones(5)}, "shading"),
        ({"rgb": np.zeros((4, 3)), "projection": np.zeros((31, 3))}, "31"),
    ],
)
def test_bad_values_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        invert(**arguments)
