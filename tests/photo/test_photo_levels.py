"""Levels of the pigments from a face's mean colour, where everything else is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bioface.photo.explain import LEAST_PIXELS, rendered
from bioface.photo.known import KnownScene
from bioface.photo.levels import REACH, levelled
from bioface.spectral.camera import CameraModel
from bioface.spectral.colour import srgb_encode
from bioface.spectral.illuminant import illuminant
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import UNIT_RANGE

SKIN = SkinModel.load()
SIDE = 24
CAMERA = CameraModel.load().sensitivities(np.zeros(6))
EVERYTHING = KnownScene(
    spd=illuminant("A"), sensitivities=CAMERA, gains=np.ones(2), no_tone_curve=True
)


@pytest.fixture
def reading(reading):
    """All of it skin, as a photo without a tone curve shows it."""
    whole = np.ones((SIDE, SIDE), np.float32)
    return replace(reading, mask=whole, gains=np.ones(2), tone=np.zeros(2))


def off(reading, melanin, haemoglobin):
    return replace(
        reading,
        melanin_u=reading.melanin_u + np.float32(melanin),
        haemoglobin_u=reading.haemoglobin_u + np.float32(haemoglobin),
    )


def photo_of(reading):
    return np.asarray(srgb_encode(np.clip(rendered(reading, SKIN, EVERYTHING), 0, 1)))


@pytest.mark.parametrize("haemoglobin", [-0.15, 0.15])
def test_the_level_of_haemoglobin_is_found(reading, haemoglobin):
    wrong = off(reading, 0.02, haemoglobin)
    found = levelled(wrong, photo_of(reading), SKIN, EVERYTHING)
    assert abs((found.haemoglobin_u - reading.haemoglobin_u).mean()) < 0.2 * abs(haemoglobin)
    assert abs((found.melanin_u - reading.melanin_u).mean()) < 0.02
    shift = found.haemoglobin_u - reading.haemoglobin_u
    assert np.ptp(shift) < 1e-5  # what differs within the face stays
    assert found.diffuse_shading is wrong.diffuse_shading
    assert found.melanin_u.dtype == np.float32


def test_a_reading_that_explains_its_photo_stays(reading):
    found = levelled(reading, photo_of(reading), SKIN, EVERYTHING)
    np.testing.assert_allclose(found.melanin_u, reading.melanin_u, atol=1e-3)
    np.testing.assert_allclose(found.haemoglobin_u, reading.haemoglobin_u, atol=1e-3)


@pytest.mark.parametrize(("read", "true"), [(0.0, 0.9), (1.0, 0.1)])
def test_levels_move_by_their_reach_at_most(reading, read, true):
    wrong, right = (
        replace(reading, haemoglobin_u=np.full_like(reading.haemoglobin_u, u)) for u in (read, true)
    )
    found = levelled(wrong, photo_of(right), SKIN, EVERYTHING)
    moved = found.haemoglobin_u - np.float32(read)
    np.testing.assert_allclose(moved, np.sign(true - read) * REACH, atol=1e-5)


def test_levels_stay_in_the_range_of_what_is_read(reading):
    rising = np.linspace(0.3, 1.2, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    high = replace(reading, haemoglobin_u=rising)
    found = levelled(off(high, 0.0, -0.3), photo_of(off(high, 0.0, 0.2)), SKIN, EVERYTHING)
    assert found.haemoglobin_u.max() == np.float32(UNIT_RANGE[1])
    dark = replace(reading, melanin_u=rising)
    found = levelled(dark, photo_of(off(dark, 0.3, 0.0)), SKIN, EVERYTHING)
    assert found.melanin_u.max() == np.float32(UNIT_RANGE[1])


def test_all_of_a_large_crop_counts(reading):
    large = replace(
        reading,
        **{
            name: np.kron(getattr(reading, name), np.ones((4, 4), np.float32))
            for name in ("melanin_u", "haemoglobin_u", "diffuse_shading", "specular_shading")
        },
        mask=np.ones((4 * SIDE, 4 * SIDE), np.float32),
    )
    photo = photo_of(large)
    half = 2 * SIDE
    photo[half:] = photo_of(off(large, 0.0, 0.2))[half:]
    found = levelled(large, photo, SKIN, EVERYTHING)
    assert 0.06 < (found.haemoglobin_u - large.haemoglobin_u).mean() < 0.14


@pytest.mark.parametrize(
    "unknown",
    [
        {"spd": None},
        {"sensitivities": None},
        {"gains": None},
        {"no_tone_curve": False},
        {"shared": True},
    ],
)
def test_unless_everything_is_known_the_reading_stays(reading, unknown):
    wrong = off(reading, 0.0, 0.1)
    assert levelled(wrong, photo_of(reading), SKIN, replace(EVERYTHING, **unknown)) is wrong


def test_with_too_little_skin_the_reading_stays(reading):
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask.flat[: LEAST_PIXELS - 1] = 1
    wrong = replace(off(reading, 0.0, 0.1), mask=mask)
    assert levelled(wrong, photo_of(reading), SKIN, EVERYTHING) is wrong
