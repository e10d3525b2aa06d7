"""scripts/carry_pack: a pack in 8 bits teaches the same."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioface.learn.planes import (  # noqa: E402
    CHANNELS,
    COVERAGE,
    INDIRECT,
    INDIRECT_CHANNELS,
    MASK,
    NORMALS,
    PIGMENTS,
    SPECULAR,
    weigh,
)
from bioface.learn.splits import Splits, is_held_out, split_samples  # noqa: E402
from bioface.packed import read_packed, write_packed  # noqa: E402

pytestmark = pytest.mark.torch

SCRIPT = Path(__file__).parents[2] / "scripts" / "carry_pack"


@pytest.mark.parametrize("indirect", [False, True])
def test_a_carried_pack_is_the_pack_up_to_its_levels(
    pack_path, indirect_pack_path, tmp_path, indirect
):
    pack_path = indirect_pack_path if indirect else pack_path
    packed = read_packed(pack_path)
    size = packed.images.shape[-1]
    small, again = tmp_path / "small.zip", tmp_path / "again.pack"
    for stage in (("squeeze", pack_path, small, "--size", size), ("unpack", small, again)):
        done = run(*stage)
        assert done.returncode == 0, done.stderr
    again = read_packed(again)
    names = (*CHANNELS, *(INDIRECT_CHANNELS if indirect else ()))
    assert again.channels == names
    assert len(again) == len(packed)
    for before, after in zip(packed.images[:, packed.index(names)], again.images, strict=True):
        expected, found = (weigh(torch.tensor(np.stack([x])).float())[0] for x in (before, after))
        assert (expected[MASK] - found[MASK]).abs().max() < 1 / 255
        assert (expected[COVERAGE] - found[COVERAGE]).abs().max() < 1 / 255
        skin = expected[MASK] > 0.99
        assert (expected[PIGMENTS] - found[PIGMENTS])[:, skin].abs().max() < 1.2 * 1.4 / 255
        shading = slice(0, SPECULAR.stop)
        largest = expected[shading].amax((1, 2), keepdim=True).clamp_min(1e-3)
        error = (expected - found)[shading] / largest
        assert error[:, skin].abs().max() < 0.02
        if indirect:
            assert (expected - found)[INDIRECT].abs().max() < 1 / 255
        assert (expected - found)[NORMALS][:2, skin].abs().max() < 1 / 32
        assert (found[NORMALS][:, skin].square().sum(0) - 1).abs().max() < 1e-2


@pytest.fixture
def other_pack_path(pack_path, tmp_path):
    """The second half of the same images, of another seed, where some samples are missing."""
    packed = read_packed(pack_path)
    images = packed.images[len(packed) // 2 :]
    samples = [{"index": 3 * k + 1, "seed": 7} for k in range(len(images))]
    path = tmp_path / "other.pack"
    write_packed(path, packed.channels, images, samples, packed.images.shape[2:])
    return path


def test_several_files_become_one_pack_and_everybody_stays_on_one_side(
    pack_path, other_pack_path, tmp_path
):
    zips = [tmp_path / name for name in ("first.zip", "other.zip")]
    for path, file in zip((pack_path, other_pack_path), zips, strict=True):
        assert run("squeeze", path, file, "--size", 16).returncode == 0
    both = tmp_path / "both.pack"
    assert run("unpack", *zips, both).returncode == 0
    packed, other = read_packed(both), read_packed(other_pack_path)
    count = len(read_packed(pack_path))
    assert len(packed) == count + len(other)
    assert np.array_equal(packed.images[count // 2 : count], packed.images[count:])
    assert packed.header["samples"][count:] == other.header["samples"]
    held_out = {f"{s['index']:06d}" for s in people(packed, 1)}
    trained = {f"{s['index']:06d}" for s in people(packed, 0)}
    share = Splits.load().sample_share
    assert held_out == {name for name in held_out | trained if is_held_out(name, share)}


def people(packed, side):
    return [packed.header["samples"][k] for k in split_samples(packed)[side]]


def test_nobody_is_packed_twice(pack_path, tmp_path):
    small, both = tmp_path / "small.zip", tmp_path / "both.pack"
    assert run("squeeze", pack_path, small, "--size", 16).returncode == 0
    done = run("unpack", small, small, both)
    assert done.returncode == 1
    assert "the same people twice" in done.stderr
    assert not both.exists()


def test_a_test_set_does_not_travel_among_others(pack_path, tmp_path):
    packed = read_packed(pack_path)
    samples = [{"index": k, "seed": Splits.load().test_seed} for k in range(2)]
    tests, both = tmp_path / "tests.pack", tmp_path / "both.pack"
    write_packed(tests, packed.channels, packed.images[:2], samples, packed.images.shape[2:])
    for path in (pack_path, tests):
        assert run("squeeze", path, tmp_path / f"{path.stem}.zip", "--size", 16).returncode == 0
    done = run("unpack", tmp_path / f"{pack_path.stem}.zip", tmp_path / "tests.zip", both)
    assert done.returncode == 1
    assert "a test set among others" in done.stderr
    assert not both.exists()


def test_files_of_different_sizes_do_not_become_one_pack(pack_path, tmp_path):
    small, smaller, both = (tmp_path / name for name in ("a.zip", "b.zip", "both.pack"))
    assert run("squeeze", pack_path, small, "--size", 16).returncode == 0
    assert run("squeeze", pack_path, smaller, "--size", 12).returncode == 0
    done = run("unpack", small, smaller, both)
    assert done.returncode == 1
    assert "b.zip: other channels or size than in" in done.stderr
    assert not both.exists()


def test_what_is_there_is_not_replaced_unasked(pack_path, tmp_path):
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    assert run("squeeze", pack_path, first, "--size", 16).returncode == 0
    second.write_bytes(b"precious")
    # The name of the pack is forgotten: the second file stands in its place.
    for stage in (("unpack", first, second), ("squeeze", pack_path, second)):
        done = run(*stage)
        assert done.returncode == 1
        assert done.stderr.endswith("second.zip: exists already; pass --overwrite to replace it\n")
        assert second.read_bytes() == b"precious"
    assert run("unpack", first, second, "--overwrite").returncode == 0
    assert len(read_packed(second)) == len(read_packed(pack_path))


def test_what_is_no_carried_pack_is_named_in_a_line(pack_path, tmp_path):
    for path, complaint in (
        (pack_path, "not a file of scripts/carry_pack squeeze"),
        (tmp_path / "missing.zip", "cannot be read (No such file or directory)"),
    ):
        done = run("unpack", path, tmp_path / "again.pack")
        assert done.returncode == 1
        assert done.stderr == f"scripts/carry_pack: error: {path}: {complaint}\n"


def run(*stage):
    command = [sys.executable, SCRIPT, *map(str, stage)]
    return subprocess.run(command, check=False, capture_output=True, text=True)
