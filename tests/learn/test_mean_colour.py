"""What a face's mean colour tells at best."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

from bioface.evaluate.mean_colour import KNOWN, mean_colour_floor
from bioface.learn.conditions import RelightConfig
from bioface.learn.relight import Relighter
from bioface.packed import read_packed
from bioface.spectral.camera import CameraModel
from bioface.spectral.grid import WAVELENGTHS

pytestmark = pytest.mark.torch

PIGMENTS = ("melanin_u", "haemoglobin_u")


def test_knowing_more_lowers_the_floor(pack_path):
    relighter = Relighter.for_test(read_packed(pack_path), 32, "clean")
    found = mean_colour_floor(relighter, faces=20_000, asked=1_000)
    assert tuple(found) == KNOWN
    for pigment in PIGMENTS:
        chroma, colour, balanced, albedo = (found[name][pigment] for name in KNOWN)
        assert 0.28 > chroma > colour > balanced > 0.05 > 0.02 > albedo
    again = mean_colour_floor(relighter, faces=20_000, asked=1_000)
    assert found == again


def test_one_light_and_one_camera_leave_nothing_open(pack_path):
    config = dataclasses.replace(RelightConfig.clean(), gain_sd=0.0)
    camera = np.asarray(CameraModel.load(name="training").mean)
    relighter = Relighter(
        read_packed(pack_path), 32, config=config, measured=camera[None], lights=("A",)
    )
    found = mean_colour_floor(relighter, faces=20_000, asked=500)
    for pigment in PIGMENTS:
        assert found["chroma"][pigment] < 0.06


def test_skin_that_the_model_does_not_describe_leaves_more_open(pack_path):
    """Another factor on blue light passes for other pigments, even of a known albedo."""
    relighter = Relighter.for_test(read_packed(pack_path), 32, "clean")
    counts = {"faces": 8_000, "asked": 400}

    def of_model(fractions, rng):
        return np.asarray(relighter.skin.reflectance(fractions[:, 0], fractions[:, 1]))

    def bluer(fractions, rng):
        factor = np.ones((len(fractions), len(WAVELENGTHS)))
        factor[:, WAVELENGTHS < 500] *= np.exp(0.2 * rng.standard_normal((len(fractions), 1)))
        return of_model(fractions, rng) * factor

    usual, other = (
        mean_colour_floor(relighter, skins=skins, **counts) for skins in (of_model, bluer)
    )
    assert usual == mean_colour_floor(relighter, **counts)
    for pigment in PIGMENTS:
        assert other["colour"][pigment] > usual["colour"][pigment]
        assert other["albedo"][pigment] > 1.5 * usual["albedo"][pigment]
