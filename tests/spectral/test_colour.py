"""Colour conversions against colour-science and against their inverses."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bioface.spectral.colour import (
    ITA_CLASSES,
    WHITE_XYZ,
    apply_tone,
    ciede2000,
    ita,
    ita_class,
    linear_srgb_to_xyz,
    log_chroma,
    reflectance_to_linear_srgb,
    reflectance_to_xyz,
    remove_tone,
    srgb_decode,
    srgb_encode,
    white_balance,
    xyz_to_lab,
    xyz_to_linear_srgb,
)

unit = arrays(np.float64, 3, elements=st.floats(0, 1))


@pytest.fixture(scope="module")
def colour():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import colour

        yield colour


def test_srgb_curve_and_matrix_equal_colour_science(colour):
    rgb = np.random.default_rng(0).uniform(0, 1, (50, 3))
    np.testing.assert_allclose(srgb_encode(rgb), colour.cctf_encoding(rgb), atol=1e-6)
    reference = colour.sRGB_to_XYZ(rgb, apply_cctf_decoding=False)
    np.testing.assert_allclose(linear_srgb_to_xyz(rgb), reference, atol=2e-4)


@settings(deadline=None)
@given(unit)
def test_srgb_both_ways(rgb):
    np.testing.assert_allclose(srgb_decode(srgb_encode(rgb)), rgb, atol=1e-12)
    np.testing.assert_allclose(xyz_to_linear_srgb(linear_srgb_to_xyz(rgb)), rgb, atol=1e-12)


@settings(deadline=None)
@given(unit, st.floats(-0.6, 0.6), st.floats(-0.9, 0.9))
def test_tone_both_ways(rgb, log_gamma, contrast):
    tone = np.array([log_gamma, contrast])
    linear = 0.001 + 0.999 * rgb
    np.testing.assert_allclose(remove_tone(apply_tone(linear, tone), tone), linear, atol=1e-9)


def test_a_tone_curve_bends_the_way_its_numbers_say():
    linear = np.array([0.02, 0.3, 0.8])
    v = srgb_encode(linear)
    np.testing.assert_allclose(apply_tone(linear, [0.4, 0.0]), v ** np.exp(0.4), rtol=1e-12)
    steeper = v + 0.5 * v * (1 - v) * (2 * v - 1)
    np.testing.assert_allclose(apply_tone(linear, [0.0, 0.5]), steeper, rtol=1e-12)


@pytest.mark.parametrize("tone", [(0.0, 0.0), (0.3, 0.6), (-0.3, -0.6)])
def test_tone_curves_end_at_black_and_white(tone):
    shown = apply_tone(np.array([-0.5, 0.0, 1.0, 7.0]), tone)
    np.testing.assert_allclose(shown, [0, 0, 1, 1], atol=1e-3)
    linear = remove_tone(np.array([-0.2, 0.0, 1.0, 1.4]), tone)
    np.testing.assert_allclose(linear, [0, 0, 1, 1], atol=1e-6)


def test_the_srgb_curve_goes_on_linearly_below_black():
    np.testing.assert_allclose(srgb_encode([-0.01, 0.003]), [-0.1292, 0.03876], rtol=1e-12)
    np.testing.assert_allclose(srgb_decode([-0.1292]), [-0.01], rtol=1e-12)


def test_no_tone_is_the_srgb_curve_and_batches_broadcast():
    linear = np.random.default_rng(1).uniform(0.01, 1, (2, 4, 5, 3))
    np.testing.assert_allclose(apply_tone(linear, np.zeros(2)), srgb_encode(linear), atol=1e-12)
    tones = np.array([[0.1, 0.2], [-0.1, 0.4]])
    np.testing.assert_allclose(apply_tone(linear, tones)[1], apply_tone(linear[1], tones[1]))


def test_lab_and_ciede2000_equal_colour_science(colour):
    rng = np.random.default_rng(2)
    xyz = rng.uniform(0, 1, (200, 3))
    white = colour.XYZ_to_xy(WHITE_XYZ)
    lab = xyz_to_lab(xyz)
    np.testing.assert_allclose(lab, colour.XYZ_to_Lab(xyz, white), atol=1e-6)
    other = lab + rng.normal(0, 10, lab.shape)
    reference = colour.difference.delta_E_CIE2000(lab, other)
    np.testing.assert_allclose(ciede2000(lab, other), reference, atol=1e-9)


# Sharma, Wu, Dalal 2005, table 1: pairs 1, 7, 9, 13, 17, 25.
@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_ciede2000_published_pairs(first, second, difference):
    assert float(ciede2000(first, second)) == pytest.approx(difference, abs=1e-4)


@pytest.mark.filterwarnings("ignore::colour.utilities.ColourRuntimeWarning")
def test_colours_of_spectra_equal_colour_science(colour):
    wavelength = np.arange(400, 721, 10)
    for edge in (480, 540, 600):
        spectrum = 0.1 + 0.6 / (1 + np.exp((edge - wavelength) / 20))
        expected = colour.sd_to_XYZ(
            colour.SpectralDistribution(spectrum, wavelength),
            colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"],
            colour.SDS_ILLUMINANTS["D65"],
            method="Integration",
        )
        np.testing.assert_allclose(reflectance_to_xyz(spectrum), expected / 100, atol=2e-3)


def test_white_reflectance_is_white():
    np.testing.assert_allclose(reflectance_to_xyz(np.ones(33)), WHITE_XYZ, atol=1e-12)
    np.testing.assert_allclose(reflectance_to_linear_srgb(np.ones(33)), np.ones(3), atol=1e-9)
    np.testing.assert_allclose(xyz_to_lab(WHITE_XYZ), [100, 0, 0], atol=1e-9)


def test_ita_classes():
    angles = ita([[75, 10, 15], [50, 10, 15], [30, 8, 10]])
    np.testing.assert_allclose(angles, [59.04, 0, -63.43], atol=0.01)
    assert [ITA_CLASSES[k] for k in ita_class(angles)] == ["very light", "brown", "dark"]


@pytest.mark.parametrize(
    ("degrees", "name"),
    [
        *((90.0, "very light"), (55.1, "very light"), (55.0, "light"), (41.0, "intermediate")),
        *((28.1, "intermediate"), (28.0, "tan"), (10.1, "tan"), (10.0, "brown")),
        *((-29.9, "brown"), (-30.0, "dark"), (-90.0, "dark")),
    ],
)
def test_an_angle_on_the_edge_of_two_classes_is_of_the_darker(degrees, name):
    assert ITA_CLASSES[int(ita_class(degrees))] == name


def test_chroma_is_red_then_blue_over_green_and_darkness_has_none():
    colours = np.array([[0.4, 0.2, 0.05], [1e-9, 0.0, -1.0], [0.2, 1e-6, 0.2]])
    expected = [[2, 0.25], [1, 1], [200, 200]]
    np.testing.assert_allclose(np.exp(log_chroma(colours, 1e-3)), expected, rtol=1e-12)


def test_white_balance_makes_white_of_white():
    white = np.array([0.4, 0.8, 0.2])
    found = white_balance([white, [0.1, 0.4, 0.1]], white)
    np.testing.assert_allclose(found, [[1, 1, 1], [0.25, 0.5, 0.5]])
