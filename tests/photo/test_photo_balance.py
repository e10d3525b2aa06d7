"""White balance and exposure fitted to the photo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bioface.photo.balance import LOG_REACH, balanced
from bioface.photo.explain import CLIPPED, LEAST_PIXELS, rendered
from bioface.photo.known import NOTHING, KnownScene
from bioface.photo.network import Reading
from bioface.spectral.camera import CameraModel
from bioface.spectral.colour import apply_tone
from bioface.spectral.illuminant import illuminant
from bioface.spectral.skin import SkinModel

SKIN = SkinModel.load()
SIDE = 24


def photo_of(reading: Reading, known: KnownScene = NOTHING) -> np.ndarray:
    return np.clip(apply_tone(rendered(reading, SKIN, known), reading.tone), 0, 1)


def test_gains_and_exposure_of_the_photo_are_found(reading):
    photo = photo_of(reading)
    photo[:, SIDE // 2 :] = [0.1, 0.6, 0.2]
    off = replace(
        reading,
        gains=reading.gains * [0.9, 1.12],
        diffuse_shading=1.15 * reading.diffuse_shading,
        specular_shading=1.15 * reading.specular_shading,
    )
    found = balanced(off, photo, SKIN)
    np.testing.assert_allclose(found.gains, reading.gains, rtol=1e-3)
    np.testing.assert_allclose(found.diffuse_shading, reading.diffuse_shading, rtol=1e-3)
    np.testing.assert_allclose(found.specular_shading, reading.specular_shading, rtol=1e-3)
    assert found.diffuse_shading.dtype == np.float32
    assert found.melanin_u is off.melanin_u
    assert found.mask is off.mask


def test_gains_that_are_known_stay(reading):
    off = replace(reading, diffuse_shading=reading.diffuse_shading / 1.2)
    found = balanced(off, photo_of(reading), SKIN, KnownScene(gains=reading.gains))
    assert found.gains.tolist() == reading.gains.tolist()
    sure = reading.mask > 0.9
    before, after = (
        np.square(photo_of(one) - photo_of(reading))[sure].mean() for one in (off, found)
    )
    assert after < 0.1 * before


def test_gains_are_fitted_under_the_light_and_camera_that_are_known(reading):
    camera = CameraModel.load().sensitivities(np.linspace(-1, 1, 6))
    known = KnownScene(spd=illuminant("F11"), sensitivities=camera)
    off = replace(reading, gains=reading.gains * [0.9, 1.12])
    found = balanced(off, photo_of(reading, known), SKIN, known)
    np.testing.assert_allclose(found.gains, reading.gains, rtol=1e-3)


@pytest.mark.parametrize("case", ["little skin", "clipped"])
def test_where_too_little_can_be_fitted_nothing_changes(reading, case):
    photo = photo_of(reading)
    if case == "little skin":
        mask = np.zeros_like(reading.mask)
        mask.flat[: LEAST_PIXELS - 1] = 1
        reading = replace(reading, mask=mask)
    else:
        photo[..., 0] = CLIPPED
    assert balanced(reading, photo, SKIN) is reading


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_photos_that_no_gains_explain_move_it_by_its_reach_at_most(reading, level):
    photo = np.full((SIDE, SIDE, 3), 0.97 * level)
    found = balanced(reading, photo, SKIN)
    factors = found.diffuse_shading / reading.diffuse_shading
    assert np.isfinite(found.gains).all()
    assert np.abs(np.log(factors)).max() <= LOG_REACH + 1e-5
    assert np.abs(np.log(found.gains / reading.gains)).max() <= 2 * LOG_REACH + 1e-5


def test_a_black_reading_stays_black(reading):
    nothing = np.zeros_like(reading.mask)
    black = replace(reading, diffuse_shading=nothing, specular_shading=nothing)
    found = balanced(black, np.full((SIDE, SIDE, 3), 0.5), SKIN)
    assert not found.diffuse_shading.any()
    assert np.isfinite(found.gains).all()
