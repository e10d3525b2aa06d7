"""scripts/carry_pack: a pack in 8 bits teaches the same."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioface.learn.planes import CHANNELS, COVERAGE, MASK, PIGMENTS, SPECULAR, weigh  # noqa: E402
from bioface.packed import read_packed  # noqa: E402

pytestmark = pytest.mark.torch

SCRIPT = Path(__file__).parents[2] / "scripts" / "carry_pack"


def test_a_carried_pack_is_the_pack_up_to_its_levels(pack_path, tmp_path):
    packed = read_packed(pack_path)
    size = packed.images.shape[-1]
    for stage in (
        ("squeeze", pack_path, tmp_path / "small.zip", "--size", str(size)),
        ("unpack", tmp_path / "small.zip", tmp_path / "again.pack"),
    ):
        subprocess.run([sys.executable, SCRIPT, *map(str, stage)], check=True, capture_output=True)
    again = read_packed(tmp_path / "again.pack")
    assert again.channels == CHANNELS
    assert len(again) == len(packed)
    for before, after in zip(packed.images[:, packed.index(CHANNELS)], again.images, strict=True):
        expected, found = (weigh(torch.tensor(np.stack([x])).float())[0] for x in (before, after))
        assert (expected[MASK] - found[MASK]).abs().max() < 1 / 255
        assert (expected[COVERAGE] - found[COVERAGE]).abs().max() < 1 / 255
        skin = expected[MASK] > 0.99
        assert (expected[PIGMENTS] - found[PIGMENTS])[:, skin].abs().max() < 1.2 * 1.4 / 255
        shading = slice(0, SPECULAR.stop)
        largest = expected[shading].amax((1, 2), keepdim=True).clamp_min(1e-3)
        error = (expected - found)[shading] / largest
        assert error[:, skin].abs().max() < 0.02
