"""The decoder: neutrality, batches, both backends, gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bioface.errors import InputError
from bioface.spectral.camera import METHODS, raw_to_xyz
from bioface.spectral.colour import XYZ_TO_SRGB
from bioface.spectral.formation import Camera, composed, decode
from bioface.spectral.illuminant import Illuminant, illuminant, mix
from bioface.spectral.skin import SkinModel

PATHS = ("fast", "exact")


class White:
    """A skin model that reflects everything."""

    def reflectance(self, melanin, haemoglobin, *, validate=True):
        return np.ones((*melanin.shape, 33))


def maps(rng, *shape):
    return {
        "melanin": rng.uniform(0.03, 0.45, shape),
        "haemoglobin": rng.uniform(0.002, 0.06, shape),
        "diffuse_shading": rng.uniform(0, 1, shape),
        "specular_shading": rng.uniform(0, 0.3, shape),
    }


def light_and_camera(rng, *batch):
    spd = mix(rng.dirichlet(np.ones(14), batch), rng.uniform(4000, 12000, batch))
    return spd, rng.normal(0, 1, (*batch, 6)), rng.normal(1, 0.02, (*batch, 2))


@settings(deadline=None)
@given(
    arrays(np.float64, 14, elements=st.floats(0.001, 1)),
    st.floats(4000, 25000),
    arrays(np.float64, 6, elements=st.floats(-2, 2)),
    st.sampled_from(METHODS),
)
def test_white_is_neutral_under_any_light_and_camera(weights, kelvin, b, method):
    spd = mix(weights / weights.sum(), kelvin)
    camera = Camera.from_coefficients(b, method=method)
    shading = np.array([0.0, 0.3, 1.0])
    white = {"melanin": shading, "haemoglobin": shading} | {
        "diffuse_shading": shading,
        "specular_shading": shading,
    }
    rgb = decode(white, spd, camera, skin=White(), path="exact")
    np.testing.assert_allclose(rgb, np.repeat(2 * shading[:, None], 3, 1), atol=1e-9)


def test_gloss_has_the_colour_of_the_light():
    rng = np.random.default_rng(0)
    spd, b, _ = light_and_camera(rng)
    values = maps(rng, 4) | {"diffuse_shading": np.zeros(4), "specular_shading": np.full(4, 0.5)}
    np.testing.assert_allclose(decode(values, spd, Camera.from_coefficients(b)), 0.5, atol=1e-6)


def test_the_scale_of_the_light_does_not_matter():
    rng = np.random.default_rng(1)
    values = maps(rng, 4)
    spd, b, _ = light_and_camera(rng)
    camera = Camera.from_coefficients(b, method="fitted")
    np.testing.assert_allclose(decode(values, 7 * spd, camera), decode(values, spd, camera))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_batches_equal_single_images(path, method):
    rng = np.random.default_rng(2)
    values = maps(rng, 3, 4, 5)
    spd, b, gains = light_and_camera(rng, 3)
    camera = Camera.from_coefficients(b, gains=gains, method=method)
    together = decode(values, spd, camera, path=path)
    assert together.shape == (3, 4, 5, 3)
    for k in range(3):
        one = {name: value[k] for name, value in values.items()}
        single = Camera.from_coefficients(b[k], gains=gains[k], method=method)
        np.testing.assert_allclose(decode(one, spd[k], single, path=path), together[k])
        column = {name: value[:, 1, 2] for name, value in values.items()}
    np.testing.assert_allclose(decode(column, spd, camera, path=path), together[:, 1, 2])
    shared = decode(values, spd[0], Camera.from_coefficients(b[0]), path=path)
    assert shared.shape == (3, 4, 5, 3)


@pytest.mark.parametrize("method", METHODS)
def test_gains_scale_raw_red_and_raw_blue(method):
    spd, b, _ = light_and_camera(np.random.default_rng(9))
    plain = Camera.from_coefficients(b, method=method)
    camera = Camera.from_coefficients(b, gains=np.array([1.3, 0.6]), method=method)
    expected = XYZ_TO_SRGB @ raw_to_xyz(plain.sensitivities, spd, method) @ np.diag([1.3, 1, 0.6])
    np.testing.assert_allclose(camera.raw_to_srgb(spd), expected, atol=1e-12)
    np.testing.assert_allclose(camera.projection(spd).sum(0), expected.sum(1), atol=1e-12)


def test_pixels_that_show_skin_other_things_and_nothing():
    skin, others = np.full((2, 4), 0.5), np.full((2, 4), 0.1)
    share = {"mask": np.array([0.6, 0.0]), "coverage": np.array([0.9, 0.0])}
    light = {"diffuse": np.array([2.0, 2.0]), "specular": np.array([0.3, 0.3])}
    found = composed(skin, others, **share, **light)
    expected = 2 * (0.6 * 0.5 + 0.3 * 0.1) + 0.9 * 0.3
    np.testing.assert_allclose(found, [[expected] * 4, [0] * 4], atol=1e-15)


def test_an_illuminant_object_and_a_camera_profile_work():
    rng = np.random.default_rng(3)
    values = maps(rng, 2, 2)
    camera = Camera.from_coefficients(np.zeros(6))
    lamp = Illuminant.named("F11")
    profile = Camera(camera.sensitivities, matrix=raw_to_xyz(camera.sensitivities))
    np.testing.assert_allclose(
        decode(values, lamp, camera), decode(values, illuminant("F11"), profile)
    )


def test_missing_and_mismatched_maps_are_named():
    rng = np.random.default_rng(4)
    values = maps(rng, 2, 2)
    spd, b, _ = light_and_camera(rng, 3)
    with pytest.raises(InputError, match="haemoglobin"):
        decode({k: v for k, v in values.items() if k != "haemoglobin"}, spd[0], Camera(b))
    with pytest.raises(InputError, match="differ in shape"):
        decode(values | {"melanin": np.zeros((3, 2))}, spd[0], Camera.from_coefficients(b[0]))
    with pytest.raises(InputError, match="path 'faster' is not known; use fast or exact"):
        decode(values, spd[0], Camera.from_coefficients(b[0]), path="faster")
    with pytest.raises(InputError, match="batches"):
        decode({k: v[0, 0] for k, v in values.items()}, spd, Camera.from_coefficients(b))


@pytest.mark.parametrize("path", PATHS)
def test_what_does_not_fit_is_named(path):
    values = maps(np.random.default_rng(8), 3, 2, 2)
    camera = Camera.from_coefficients(np.zeros((2, 6)))
    one = Camera.from_coefficients(np.zeros(6))
    for light, taken_by, message in (
        (np.ones(31), one, r"illuminant of shape \(31,\).*resample"),
        (np.ones(33), Camera(np.ones((31, 3))), r"sensitivities of shape \(31, 3\)"),
        (np.ones((3, 33)), camera, r"cameras in batches of \(2,\) for lights in batches of \(3,\)"),
        (np.ones(33), camera, r"maps of shape \(3, 2, 2\) .* batches of \(2,\)"),
    ):
        with pytest.raises(InputError, match=message):
            decode(values, light, taken_by, path=path)
    s = camera.sensitivities
    for taken_by, message in (
        (Camera(s, gains=np.ones((2, 3))), r"gains of shape \(2, 3\) .* \(\*batch, 2\) is needed"),
        (Camera(s, gains=np.ones((5, 2))), r"gains of shape \(5, 2\) .* batches of \(2,\)"),
        (Camera(s, matrix=np.ones(3)), r"matrix of shape \(3,\) .* \(\*batch, 3, 3\) is needed"),
    ):
        with pytest.raises(InputError, match=message):
            decode({name: value[:2] for name, value in values.items()}, np.ones(33), taken_by)
    nothing = {name: value[:0] for name, value in values.items()}
    assert decode(nothing, np.ones(33), one, path=path).shape == (0, 2, 2, 3)


@pytest.mark.torch
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
def test_numpy_and_torch_agree(path, method, dtype, tolerance):
    import torch

    rng = np.random.default_rng(5)
    values = {k: v.astype(dtype) for k, v in maps(rng, 2, 8, 8).items()}
    spd, b, gains = (a.astype(dtype) for a in light_and_camera(rng, 2))
    ours = decode(values, spd, Camera.from_coefficients(b, gains=gains, method=method), path=path)
    tensors = {k: torch.from_numpy(v) for k, v in values.items()}
    camera = Camera.from_coefficients(
        torch.from_numpy(b), gains=torch.from_numpy(gains), method=method
    )
    theirs = decode(tensors, torch.from_numpy(spd), camera, path=path)
    assert str(ours.dtype) == dtype
    assert theirs.dtype == getattr(torch, dtype)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=tolerance, rtol=0)


@pytest.mark.torch
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_gradients_reach_every_input(path, method):
    import torch

    rng = np.random.default_rng(6)
    spd_weights = torch.from_numpy(rng.dirichlet(np.ones(14), 1))
    kelvin = torch.tensor([7010.0], dtype=torch.float64)
    b, gains = (torch.from_numpy(a) for a in light_and_camera(rng, 1)[1:])
    tensors = [torch.from_numpy(v) for v in maps(rng, 1, 1, 2).values()]

    def render(melanin, haemoglobin, diffuse, specular, weights, kelvin, b, gains):
        values = {
            "melanin": melanin,
            "haemoglobin": haemoglobin,
            "diffuse_shading": diffuse,
            "specular_shading": specular,
        }
        spd = mix(weights, kelvin, validate=False)
        camera = Camera.from_coefficients(b, gains=gains, method=method)
        return decode(values, spd, camera, path=path)

    inputs = [t.requires_grad_() for t in (*tensors, spd_weights, kelvin, b, gains)]
    assert torch.autograd.gradcheck(render, inputs, eps=1e-6, atol=1e-6, rtol=1e-4)


@pytest.mark.torch
def test_gradients_reach_the_constants_of_the_skin_model():
    import torch

    rng = np.random.default_rng(7)
    skin = SkinModel.load("calibrated")
    name = next(iter(skin.constants))
    value = torch.tensor(float(skin.constants[name]), dtype=torch.float64, requires_grad=True)
    values = {k: torch.from_numpy(v) for k, v in maps(rng, 3).items()}
    spd, b, _ = light_and_camera(rng)
    camera = Camera.from_coefficients(torch.from_numpy(b))
    decode(values, spd, camera, skin=skin.with_constants(**{name: value})).sum().backward()
    assert torch.isfinite(value.grad)
