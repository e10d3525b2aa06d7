"""The skin model: published figures, physics, errors, both backends, gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioface import SkinModel
from bioface.errors import InputError
from bioface.spectral.chromophores import blood_absorption, extinction
from bioface.spectral.colour import reflectance_to_xyz, xyz_to_lab
from bioface.spectral.grid import BANDS, WAVELENGTHS
from bioface.spectral.skin import NAMES, PARAMETERS, calibration_table

CALIBRATED = [name for name in NAMES if name != "alotaibi2019"]
fraction = st.floats(0, 1)


@pytest.fixture(params=NAMES)
def skin(request):
    return SkinModel.load(request.param)


@pytest.mark.parametrize(
    ("melanin", "haemoglobin", "lab"),
    [
        (0.013, 0.02, (57, 35, 37)),
        (0.013, 0.07, (38, 66, 55)),
        (0.10, 0.03, (34, 47, 44)),
        (0.43, 0.07, (3.6, 22, 6)),
    ],
)
def test_published_model_gives_its_published_colours(melanin, haemoglobin, lab):
    reflectance = SkinModel.load("alotaibi2019").reflectance(melanin, haemoglobin)
    assert xyz_to_lab(reflectance_to_xyz(reflectance)) == pytest.approx(lab, abs=1)


def test_haemoglobin_table_is_prahls():
    isosbestic = extinction("hbo2")[WAVELENGTHS == 500], extinction("hb")[WAVELENGTHS == 500]
    assert isosbestic[0] == pytest.approx(20932.8)
    assert isosbestic[1] == pytest.approx(20862)
    oxygenated, deoxygenated = blood_absorption()
    assert oxygenated[WAVELENGTHS == 660] < deoxygenated[WAVELENGTHS == 660] / 5
    # Absorbance is decadic: 20932.8 /cm per mol/L of 150 g/L at 64500 g/mol.
    plain = blood_absorption(bandwidth=0)[0][WAVELENGTHS == 500]
    assert plain[0] == pytest.approx(2.302585 * 20932.8 * 150 / 64500, rel=1e-6)


@settings(deadline=None)
@given(fraction, fraction, st.sampled_from(NAMES))
def test_reflectance_is_between_zero_and_one(melanin, haemoglobin, name):
    reflectance = SkinModel.load(name).reflectance(melanin, haemoglobin)
    assert reflectance.shape == (BANDS,)
    assert (reflectance >= 0).all()
    assert (reflectance <= 1).all()


def cosines(c, name):
    """Smooth log correction of a curve, 0 at 500 nm."""
    position, held = (WAVELENGTHS - 400) / 320, 100 / 320
    return sum(
        c[f"{name}_curve_{k}"] * (np.cos(np.pi * k * position) - np.cos(np.pi * k * held))
        for k in (1, 2, 3)
    )


@pytest.mark.parametrize("name", CALIBRATED)
@pytest.mark.parametrize("melanin", [0.01, 0.1, 0.4])
def test_epidermis_is_the_documented_one(name, melanin):
    skin = SkinModel.load(name)
    c = skin.constants
    absorption = 6.6e11 * 500.0**-3.33 * (WAVELENGTHS / 500) ** -c["melanin_power"]
    depth = 2 * 0.006 * melanin * absorption * np.exp(cosines(c, "melanin"))
    variance = c["melanin_spread"] ** 2
    expected = (1 + variance * depth) ** (-1 / variance)
    np.testing.assert_allclose(skin.epidermis(melanin), expected, rtol=1e-9)


@pytest.mark.parametrize("name", CALIBRATED)
@pytest.mark.parametrize(("blood", "oxygenation", "factor"), [(0.005, 0.8, 1.0), (0.05, 0.6, 1.3)])
def test_dermis_is_the_documented_one(name, blood, oxygenation, factor):
    skin = SkinModel.load(name)
    c, relative = skin.constants, WAVELENGTHS / 500
    with_oxygen, without = (
        np.log(10) * 150 / 64_500 * extinction(pigment, 10.0) for pigment in ("hbo2", "hb")
    )
    whole = oxygenation * with_oxygen + (1 - oxygenation) * without
    radius = 1e-4 * c["vessel_radius"] * np.sqrt((blood + 0.002) / 0.022)
    packaged = (1 - np.exp(-2 * whole * radius)) / (2 * radius)
    bloodless = c["baseline"] * relative ** -c["baseline_power"] * np.exp(cosines(c, "baseline"))
    mu = blood * packaged + (1 - blood) * bloodless
    rayleigh = c["rayleigh_fraction"]
    shape = rayleigh * relative**-4.0 + (1 - rayleigh) * relative ** -c["mie_power"]
    s = 46 * factor * shape * np.exp(cosines(c, "scattering"))
    albedo, k = s / (s + mu), 2.95
    expected = albedo / (1 + 2 * k * (1 - albedo) + (1 + 2 * k / 3) * np.sqrt(3 * (1 - albedo)))
    told = {"oxygenation": oxygenation, "scattering": factor}
    np.testing.assert_allclose(skin.dermis(blood, **told), expected, rtol=1e-9)
    length = 1 / np.sqrt(3 * mu * (mu + s))
    np.testing.assert_allclose(skin.diffusion_length(blood, **told), length, rtol=1e-9)


def test_reflectance_falls_with_melanin_at_every_wavelength(skin):
    spectra = skin.reflectance(np.linspace(0, 0.6, 80)[:, None], np.geomspace(1e-4, 0.1, 9))
    assert (np.diff(spectra, axis=0) < 0).all()


@pytest.mark.parametrize("name", CALIBRATED)
def test_reflectance_falls_with_haemoglobin_in_its_bands(name):
    dermis = SkinModel.load(name).dermis(np.geomspace(1e-4, 0.1, 60))
    assert (np.diff(dermis, axis=0) <= 0).all()
    loss = -np.log(dermis[-20] / dermis[20])
    band = np.isin(WAVELENGTHS, [410, 420, 540, 550, 570, 580])
    red = (WAVELENGTHS >= 650) & (WAVELENGTHS <= 700)
    assert loss[red].max() < 0.35 * loss[band].min()


def test_calibrated_curves_are_smooth():
    epidermis = np.log(SkinModel.load().epidermis(0.1))
    assert np.abs(np.diff(epidermis, 2)).max() < 0.03
    assert (np.diff(epidermis) > 0).all()


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibrated_model_is_separable(name):
    skin = SkinModel.load(name)
    assert skin.separable
    rng = np.random.default_rng(0)
    melanin, haemoglobin = rng.uniform(0, 0.5, (2, 50))
    product = skin.epidermis(melanin) * skin.dermis(haemoglobin)
    np.testing.assert_allclose(skin.reflectance(melanin, haemoglobin), product, rtol=1e-14)


def test_published_model_is_not_separable():
    skin = SkinModel.load("alotaibi2019")
    assert not skin.separable
    for part in (skin.epidermis, skin.dermis, skin.diffusion_length):
        with pytest.raises(InputError, match="not separable"):
            part(0.1)


def test_more_oxygen_is_redder_and_more_scattering_lighter():
    skin = SkinModel.load("calibrated+scattering")
    assert skin.parameters == ("melanin", "haemoglobin", "oxygenation", "scattering")
    red = WAVELENGTHS == 650
    spectra = skin.reflectance(0.1, 0.02, oxygenation=np.array([0.2, 0.9]))
    assert spectra[1, red] > spectra[0, red]
    spectra = skin.reflectance(0.1, 0.02, scattering=np.array([0.8, 1.2]))
    assert (spectra[1] > spectra[0]).all()


@pytest.mark.parametrize("name", CALIBRATED)
def test_variants_default_to_their_constants(name):
    skin = SkinModel.load(name)
    oxygenation = skin.constants["oxygenation"]
    np.testing.assert_array_equal(
        skin.reflectance(0.1, 0.02),
        skin.reflectance(0.1, 0.02, oxygenation=oxygenation, scattering=1.0),
    )


def test_constants_are_within_their_bounds_and_have_sources():
    for name, variant in calibration_table()["variants"].items():
        skin = SkinModel.load(name)
        assert set(skin.bounds) == set(skin.constants)
        assert 0 <= skin.specular_offset <= 0.05
        for constant, (lo, hi) in skin.bounds.items():
            assert lo <= skin.constants[constant] <= hi
            assert variant["constants"][constant]["source"]


@pytest.mark.parametrize(
    ("melanin", "haemoglobin", "message"),
    [
        (np.nan, 0.1, "melanin holds NaN"),
        (0.1, np.array([0.1, np.nan]), "haemoglobin holds NaN"),
        (-0.1, 0.1, r"melanin .* must lie in \[0, 1\]"),
        (0.1, 1.2, r"haemoglobin .* must lie in \[0, 1\]"),
        (np.full(3, 0.1), np.full(2, 0.1), r"melanin \(3,\) and haemoglobin \(2,\)"),
        ("pale", 0.1, "melanin must be a number"),
    ],
)
def test_bad_fractions_are_named(skin, melanin, haemoglobin, message):
    with pytest.raises(InputError, match=message):
        skin.reflectance(melanin, haemoglobin)


def test_bad_extra_parameters_are_named():
    skin = SkinModel.load()
    with pytest.raises(InputError, match="oxygenation must lie"):
        skin.reflectance(0.1, 0.1, oxygenation=1.5)
    with pytest.raises(InputError, match="scattering must lie"):
        skin.dermis(0.1, scattering=0.0)
    with pytest.raises(InputError, match="no oxygenation"):
        SkinModel.load("alotaibi2019").reflectance(0.1, 0.1, oxygenation=0.7)


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(InputError, match=r"calibrated, .*alotaibi2019"):
        SkinModel.load("jensen2001")
    with pytest.raises(InputError, match="no constant 'gloss'"):
        SkinModel.load().with_constants(gloss=1.0)
    with pytest.raises(InputError, match="it has none"):
        SkinModel.load("alotaibi2019").with_constants(gloss=1.0)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=3), st.sampled_from(["float16", "float32", "float64"]))
def test_any_batch_shape_and_dtype(shape, dtype):
    melanin = np.full(shape, 0.2, dtype)
    result = SkinModel.load().reflectance(melanin, np.asarray(0.02, dtype))
    assert result.shape == (*shape, BANDS)
    assert result.dtype == dtype


def test_integers_and_numbers_become_float64():
    assert SkinModel.load().reflectance(np.zeros(2, int), 0).dtype == np.float64


def test_without_validation_values_pass():
    assert np.isnan(SkinModel.load().reflectance(np.nan, 0.1, validate=False)).all()


@pytest.mark.torch
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
def test_torch_gives_what_numpy_gives(skin, dtype, tolerance):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    melanin = rng.uniform(*PARAMETERS["melanin"], (4, 1, 30)).astype(dtype)
    haemoglobin = rng.uniform(0, 0.3, (5, 30)).astype(dtype)
    expected = skin.reflectance(melanin, haemoglobin)
    result = skin.reflectance(torch.from_numpy(melanin), torch.from_numpy(haemoglobin))
    assert result.dtype == getattr(torch, dtype)
    np.testing.assert_allclose(result.numpy(), expected, atol=tolerance)


@pytest.mark.torch
def test_gradients_of_inputs_and_constants(skin):
    torch = pytest.importorskip("torch")
    melanin, haemoglobin = (
        torch.tensor(v, dtype=torch.float64, requires_grad=True)
        for v in ([0.03, 0.4], [0.002, 0.1])
    )
    names = tuple(skin.constants)
    values = [
        torch.tensor(max(skin.constants[n], 0.01), dtype=torch.float64, requires_grad=True)
        for n in names
    ]

    def reflect(melanin, haemoglobin, *values):
        model = skin.with_constants(**dict(zip(names, values, strict=True)))
        return model.reflectance(melanin, haemoglobin)

    assert torch.autograd.gradcheck(reflect, (melanin, haemoglobin, *values))


@pytest.mark.torch
def test_gradients_are_finite_at_the_edges():
    torch = pytest.importorskip("torch")
    for melanin in (0.0, 1.0):
        inputs = [torch.tensor(v, requires_grad=True) for v in (melanin, 0.0)]
        SkinModel.load().reflectance(*inputs).sum().backward()
        assert all(torch.isfinite(v.grad) for v in inputs)


@pytest.mark.torch
def test_two_array_libraries_at_once_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="one array library"):
        SkinModel.load().reflectance(torch.tensor([0.1]), np.array([0.1]))


def test_numbers_of_numpy_are_numbers():
    single = np.full(3, 0.1, np.float32)
    number = np.float64(0.01)
    skin = SkinModel.load()
    assert skin.reflectance(single, number).dtype == np.float32
    assert skin.reflectance(np.float32(0.1), number).dtype == np.float64


@pytest.mark.torch
def test_numbers_of_numpy_go_with_tensors():
    import torch

    skin = SkinModel.load()
    found = skin.reflectance(torch.tensor([0.1]), np.float64(0.01))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0], skin.reflectance(0.1, 0.01), rtol=1e-5)
