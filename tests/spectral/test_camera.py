"""The camera model and raw to XYZ."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bioface.errors import InputError
from bioface.spectral.camera import METHODS, CameraModel, raw_to_xyz, read_measured
from bioface.spectral.colour import WHITE_XYZ, reflectance_to_xyz
from bioface.spectral.illuminant import Illuminant, cct, daylight, illuminant
from bioface.spectral.skin import SkinModel

CAMERAS = Path(__file__).resolve().parents[3] / "shared" / "cameras" / "rawtoaces52.npz"


@pytest.fixture(scope="module")
def measured():
    if not CAMERAS.exists():
        pytest.skip(f"{CAMERAS} is not here")
    with np.load(CAMERAS) as data:
        return data["sens"].astype(np.float64)


@pytest.fixture(scope="module")
def imagined():
    """Thirty cameras (30, 33, 3), each channel a hump somewhere about where cameras have it."""
    rng = np.random.default_rng(0)
    centre = np.array([600.0, 540.0, 460.0]) + rng.normal(0, 8, (30, 3))
    width = rng.uniform(25, 40, (30, 3))
    wavelength = np.arange(400.0, 721.0, 10.0)[:, None]
    return np.exp(-0.5 * ((wavelength - centre[:, None]) / width[:, None]) ** 2)


def test_a_fit_keeps_the_definition_of_its_parts(imagined):
    model = CameraModel.fit(imagined, 5)
    flat = model.components.reshape(5, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(5), atol=1e-12)
    assert (np.take_along_axis(flat, np.abs(flat).argmax(1)[:, None], 1) > 0).all()
    np.testing.assert_allclose(model.mean.sum(0), 1)
    b = model.coefficients(imagined)
    np.testing.assert_allclose(b.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(b.std(0, ddof=1), 1, atol=1e-9)


def test_coefficients_give_a_camera_of_any_scale_back(imagined):
    model = CameraModel.fit(imagined, 29)
    b = model.coefficients(imagined[:3] * [[[5.0]], [[0.1]], [[1.0]]])
    expected = imagined[:3] / imagined[:3].sum(1, keepdims=True)
    np.testing.assert_allclose(model.sensitivities(b), expected, atol=1e-9)


def test_the_model_for_training_is_another_than_that_of_all_cameras():
    every, training = (CameraModel.load(12, name=name) for name in ("all", "training"))
    assert np.abs(every.mean - training.mean).max() > 1e-4


def test_fitted_matrices_lie_between_those_of_incandescent_light_and_of_daylight():
    s = CameraModel.load().mean

    def fitted(spd):
        return raw_to_xyz(s, spd, "fitted")

    warm, cool = illuminant("A"), illuminant("D65")
    day, tungsten = fitted(cool), fitted(warm)
    assert np.abs(day - tungsten).max() > 0.05
    np.testing.assert_array_equal(raw_to_xyz(s, method="fitted"), day)
    np.testing.assert_allclose(fitted(daylight(20000.0)), day, atol=1e-12)
    redder = np.exp(np.arange(33) / 6)
    assert float(cct(redder)) < 2700
    np.testing.assert_allclose(fitted(redder), tungsten, atol=1e-12)
    between = daylight(4500.0)
    mired = [1e6 / float(cct(spd)) for spd in (cool, between, warm)]
    share = (mired[1] - mired[0]) / (mired[2] - mired[0])
    np.testing.assert_allclose(fitted(between), day + share * (tungsten - day), atol=1e-9)


def test_fitted_matrices_suit_the_light_they_are_for():
    s = CameraModel.load().mean
    skin = SkinModel.load().reflectance(np.linspace(0.03, 0.4, 9), np.linspace(0.05, 0.005, 9))
    truth = reflectance_to_xyz(skin)
    lights = {name: Illuminant.named(name).spd for name in ("A", "D65")}
    for name, spd in lights.items():
        response = s * spd[:, None]
        raw = skin @ (response / response.sum(0))
        error = {
            other: np.abs(raw @ raw_to_xyz(s, light, "fitted").T - truth).mean()
            for other, light in lights.items()
        }
        assert error[name] == min(error.values())
        assert error[name] < 0.01


def test_shipped_model_keeps_its_definition():
    model = CameraModel.load(12)
    flat = model.components.reshape(12, -1)
    np.testing.assert_allclose(model.mean.sum(0), 1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(12), atol=1e-12)
    assert (np.take_along_axis(flat, np.abs(flat).argmax(1)[:, None], 1) > 0).all()
    assert (np.diff(model.deviations) < 0).all()
    assert len(CameraModel.load(3).deviations) == 3


def test_shipped_model_is_the_fit_of_the_measured_cameras(measured):
    fitted, shipped = CameraModel.fit(measured, 12), CameraModel.load(12)
    np.testing.assert_allclose(fitted.mean, shipped.mean, atol=1e-12)
    np.testing.assert_allclose(fitted.components, shipped.components, atol=1e-9)
    b = shipped.coefficients(measured)
    np.testing.assert_allclose(b.std(0, ddof=1), 1, atol=1e-9)


def test_many_components_give_the_camera_back(measured):
    model = CameraModel.fit(measured, 51)
    again = model.sensitivities(model.coefficients(measured[:3]))
    np.testing.assert_allclose(again, measured[:3] / measured[:3].sum(1, keepdims=True), atol=1e-9)


@settings(deadline=None)
@given(arrays(np.float64, (2, 6), elements=st.floats(-4, 4)))
def test_sensitivities_are_positive_and_sum_to_one(b):
    s = CameraModel.load().sensitivities(b)
    assert s.shape == (2, 33, 3)
    assert s.min() >= 0
    np.testing.assert_allclose(s.sum(1), 1)


@settings(deadline=None)
@given(arrays(np.float64, 6, elements=st.floats(-2, 2)), st.floats(4000, 25000))
def test_white_maps_to_white(b, kelvin):
    s = CameraModel.load().sensitivities(b)
    for method in METHODS:
        matrix = raw_to_xyz(s, daylight(kelvin), method)
        np.testing.assert_allclose(matrix @ np.ones(3), WHITE_XYZ, atol=1e-9)


def test_pseudo_inverse_is_exact_for_the_observer():
    """A camera that sees as the observer does gets its own colours back, white aside."""
    from bioface.spectral.tables import read_table

    observer = np.stack([read_table("cie")[f"{c}_bar"] for c in "xyz"], -1)
    matrix = raw_to_xyz(observer / observer.sum(0))
    np.testing.assert_allclose(matrix, np.diag(WHITE_XYZ), atol=1e-9)


def test_fitted_matrix_reads_natural_colours_of_measured_cameras(measured):
    red = 0.2 + 0.5 / (1 + np.exp(-(np.arange(400, 721, 10) - 590) / 15))
    truth = reflectance_to_xyz(red)
    spd = illuminant("D65")
    errors = {}
    for method in METHODS:
        response = measured * spd[:, None]
        raw = red @ response / response.sum(1)
        read = (raw_to_xyz(measured, spd, method) @ raw[..., None])[..., 0]
        errors[method] = np.abs(read - truth).mean()
    assert errors["fitted"] < errors["pseudo_inverse"]
    assert errors["fitted"] < 0.02


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CameraModel.load(13), "13"),
        (lambda: CameraModel.load(path=Path(__file__)), "fit_cameras"),
        (lambda: CameraModel.load().sensitivities(np.zeros(20)), "20"),
        (lambda: CameraModel.fit(np.ones((5, 31, 3)), 2), "31"),
        (lambda: CameraModel.fit(np.ones((5, 33, 3)), 5), "more than 5"),
        (lambda: CameraModel.load(name="some"), "'some' is not known; use one of all, training"),
        (lambda: raw_to_xyz(np.ones((33, 3)), method="magic"), "magic"),
    ],
)
def test_bad_values_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


GRID = np.arange(380.0, 781.0, 10.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (None, r"a\.npz: no such file"),
        ({"names": None}, "holds no array 'names'; no measured cameras"),
        ({"sens": np.ones((2, 41, 4))}, r"sens has shape \(2, 41, 4\)"),
        ({"names": ["one"]}, r"sens has shape \(2, 41, 3\)"),
        ({"sens": np.full((2, 41, 3), "x")}, "not a table of numbers"),
        ({"sens": np.full((2, 41, 3), np.nan)}, "holds NaN"),
        ({"sens": np.ones((2, 3))}, "not a table of numbers"),
        ({"wavelength": GRID + 50}, r"a\.npz: wavelengths cover 430-830 nm"),
    ],
)
def test_tables_that_hold_no_measured_cameras_are_named(tmp_path, changed, message):
    path = tmp_path / "a.npz"
    if changed is not None:
        whole = {"wavelength": GRID, "sens": np.ones((2, 41, 3)), "names": ["a", "b"]}
        np.savez(path, **{k: v for k, v in (whole | changed).items() if v is not None})
    with pytest.raises(InputError, match=message):
        read_measured(path)


@pytest.mark.parametrize("compressed", [True, False])
def test_damaged_camera_files_are_named(tmp_path, compressed):
    path = tmp_path / "a.npz"
    arrays = {"wavelength": GRID, "sens": np.random.default_rng(0).random((9, 41, 3))}
    (np.savez_compressed if compressed else np.savez)(path, names=list("abcdefghi"), **arrays)
    content = bytearray(path.read_bytes())
    content[600:1600] = bytes(1000)
    path.write_bytes(content)
    for read in (read_measured, lambda path: CameraModel.load(path=path)):
        with pytest.raises(InputError, match=r"a\.npz: (not a readable npz|holds no array)"):
            read(path)


def test_a_camera_model_on_another_grid_is_named(tmp_path):
    model = CameraModel.load(3)
    arrays = {n: getattr(model, n) for n in ("mean", "components", "deviations")}
    np.savez(tmp_path / "a.npz", wavelength=np.arange(380.0, 701.0, 10.0), **arrays)
    with pytest.raises(InputError, match=r"a\.npz: its wavelengths are not 400-720 nm"):
        CameraModel.load(3, path=tmp_path / "a.npz")


def test_a_camera_model_of_other_shapes_is_named(tmp_path):
    model = CameraModel.load(3)
    path = tmp_path / "a.npz"
    whole = {"wavelength": np.arange(400.0, 721.0, 10.0), "mean": model.mean}
    np.savez(path, components=model.components, deviations=np.ones(2), **whole)
    with pytest.raises(InputError, match=r"a\.npz: its arrays do not fit each other"):
        CameraModel.load(3, path=path)


def test_without_components_every_camera_is_the_mean_one():
    model = CameraModel.load(0)
    np.testing.assert_allclose(model.sensitivities(np.zeros((2, 0))), [model.mean] * 2, rtol=1e-6)
