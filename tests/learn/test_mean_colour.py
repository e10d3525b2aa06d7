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

pytestmark = pytest.mark.torch

PIGMENTS = ("melanin_u", "haemoglobin_u")


def test_knowing_more_lowers_the_floor(pack_path):
    relighter = Relighter.for_test(read_packed(pack_path), 32, "clean")
    found = mean_colour_floor(relighter, faces=20_000, asked=1_000)
    assert tuple(found) == KNOWN
    for pigment in PIGMENTS:
        chroma, colour, balanced = (found[name][pigment] for name in KNOWN)
        assert 0.28 > chroma > colour > balanced > 0.05
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
