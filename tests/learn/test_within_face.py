"""What one pixel tells at best of how it differs from its face."""

import dataclasses

import pytest

pytest.importorskip("torch")

from bioface.errors import InputError
from bioface.evaluate.within_face import within_face_floor
from bioface.learn.conditions import WITHIN_SD, RelightConfig
from bioface.learn.relight import Relighter
from bioface.packed import read_packed

pytestmark = pytest.mark.torch

PIGMENTS = ("melanin_u", "haemoglobin_u")
COUNTS = {"faces": 40, "candidates": 2_000}


@pytest.fixture
def noisy(pack_path):
    def made(percent):
        config = RelightConfig.clean()
        degrade = dataclasses.replace(config.degrade, noise_percent=(percent, percent))
        config = dataclasses.replace(config, degrade=degrade)
        return Relighter.for_test(read_packed(pack_path), 32, config)

    return made


def test_noise_and_gloss_raise_the_floor_up_to_the_spread(noisy):
    clear, usual, drowned = (
        within_face_floor(noisy(percent), **COUNTS) for percent in (0.05, 0.5, 100)
    )
    even = within_face_floor(noisy(0.05), gloss=1e-9, **COUNTS)
    for pigment, spread in zip(PIGMENTS, WITHIN_SD, strict=True):
        assert even[pigment] < 0.55 * spread
        assert even[pigment] < 0.9 * clear[pigment]
        assert clear[pigment] < usual[pigment] < drowned[pigment]
        assert drowned[pigment] == pytest.approx(spread, rel=0.12)
    assert usual == within_face_floor(noisy(0.5), **COUNTS)


def test_brighter_pixels_tell_more(noisy):
    dim, bright = (
        within_face_floor(noisy(0.5), shading=level, **COUNTS)
        for level in ((0.05, 0.06), (0.9, 1.0))
    )
    for pigment in PIGMENTS:
        assert bright[pigment] < dim[pigment]


def test_conditions_that_do_not_tell_differences_are_refused(pack_path):
    relighter = Relighter(read_packed(pack_path), 32)
    with pytest.raises(InputError, match="within_sd"):
        within_face_floor(relighter)
