"""Illuminants against colour-science, and their smoothness."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioface.errors import InputError
from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.illuminant import (
    LED_NAMES,
    NAMES,
    Illuminant,
    cct,
    daylight,
    illuminant,
    mix,
)

pytestmark = pytest.mark.filterwarnings("ignore::colour.utilities.ColourRuntimeWarning")


@pytest.fixture(scope="module")
def colour():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import colour

        yield colour


@pytest.mark.parametrize("kelvin", [4000, 5003, 6504, 6950, 7000, 7050, 12000, 25000])
def test_daylight_equals_colour_science(colour, kelvin):
    xy = colour.temperature.CCT_to_xy_CIE_D(kelvin)
    reference = colour.sd_CIE_illuminant_D_series(xy, M1_M2_rounding=False)
    reference = reference.align(colour.SpectralShape(400, 720, 10)).values
    np.testing.assert_allclose(daylight(kelvin), reference / reference.sum(), rtol=1e-5)


def test_daylight_is_smooth_where_the_cie_formula_changes():
    kelvin = np.linspace(6800, 7200, 4001)
    slope = np.diff(daylight(kelvin), axis=0)
    assert np.abs(np.diff(slope, axis=0)).max() < 1e-3 * np.abs(slope).max()


def test_d65_is_daylight_at_6504_kelvin():
    np.testing.assert_allclose(daylight(6504.0), illuminant("D65"), rtol=1e-3)


@pytest.mark.parametrize("name", [n for n in NAMES + LED_NAMES if n != "D"])
def test_lines_keep_their_colour_on_the_grid(colour, name):
    exact = colour.sd_to_XYZ(colour.SDS_ILLUMINANTS[name.replace("F", "FL")])
    uv = colour.UCS_to_uv(colour.XYZ_to_UCS(exact))
    kelvin, _ = colour.temperature.uv_to_CCT_Ohno2013(uv)
    assert float(cct(illuminant(name))) == pytest.approx(kelvin, rel=0.006)


@settings(deadline=None)
@given(st.floats(1100, 30000))
def test_cct_of_a_black_body_is_its_temperature(kelvin):
    metres = WAVELENGTHS * 1e-9
    spd = metres**-5 / np.expm1(1.4388e-2 / (metres * kelvin))
    assert 1e6 / float(cct(spd)) == pytest.approx(1e6 / kelvin, abs=0.1)


def test_cct_is_continuous_along_a_mixture():
    share = np.linspace(0, 1, 2001)[:, None]
    kelvin = cct(share * illuminant("A") + (1 - share) * illuminant("F7"))
    assert np.abs(np.diff(1e6 / kelvin)).max() < 0.5


@settings(deadline=None)
@given(
    st.lists(st.floats(0.01, 1), min_size=14, max_size=14),
    st.floats(4000, 25000),
)
def test_a_mixture_is_a_spectrum_that_sums_to_one(weights, kelvin):
    w = np.array(weights) / np.sum(weights)
    spd = mix(w, kelvin)
    assert spd.shape == (33,)
    assert spd.min() > 0
    assert spd.sum() == pytest.approx(1, abs=1e-12)


def test_led_weights_follow_the_fourteen():
    spd = Illuminant.named("LED-B3").spd
    np.testing.assert_allclose(spd, illuminant("LED-B3"))
    assert Illuminant.named("F11").named_weights()["F11"] == 1
    assert float(Illuminant.named("D50").cct_kelvin) == pytest.approx(5003, rel=3e-3)


def test_weights_are_in_the_order_that_weight_files_count_on():
    order = ("A", "D", "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12")
    assert order == NAMES
    for name, weights in zip(order, np.eye(14), strict=True):
        expected = daylight(5000.0) if name == "D" else illuminant(name)
        np.testing.assert_allclose(mix(weights, 5000.0), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "kelvin"),
    [("D65", 6503.6), ("D50", 5002.8), ("D5000", 5000), ("D6504K", 6504), ("D", 6504), ("A", 6504)],
)
def test_names_of_daylight_are_cies_or_plain_kelvin(name, kelvin):
    assert float(Illuminant.named(name).daylight_kelvin) == pytest.approx(kelvin, abs=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: illuminant("F13"), "F13"),
        (lambda: Illuminant.named("candle"), "candle"),
        (lambda: Illuminant.named("D5"), "'D5': daylight has 4000-25000 K"),
        (lambda: Illuminant.named("D3000K"), "'D3000K': daylight has"),
        (lambda: Illuminant.named("D", 300.0), "'D': daylight has"),
        (lambda: Illuminant.named("D\N{SUPERSCRIPT TWO}"), "is not known"),
        (lambda: Illuminant.named("D25001K"), "'D25001K': daylight has"),
        (lambda: daylight(3000), "4000"),
        (lambda: daylight([5000.0, 25001.0]), "4000-25000"),
        (lambda: daylight(float("nan")), "nan"),
        (lambda: mix(np.ones(13) / 13, 5000), "13"),
        (lambda: mix(np.ones(14), 5000), "sum to 1"),
        (lambda: mix(np.full(14, 1.001 / 14), 5000), "sum to 1"),
        (lambda: mix(np.r_[2, -1, np.zeros(12)], 5000), ">= 0"),
    ],
)
def test_bad_values_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
