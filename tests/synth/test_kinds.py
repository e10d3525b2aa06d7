"""Kinds of set and presets: what the command line makes of them, and what is stored."""

import argparse

import numpy as np
import pytest
from made_datasets import channels, record

from bioface.errors import InputError
from bioface.photo.cubes import read_cube
from synth.dataset.inspect import photograph
from synth.dataset.schema import RADIANCE_CHANNELS
from synth.dataset.write import stage_sample
from synth.generate import Settings, configure, make_jobs, settings_of


def settings(*arguments):
    parser = argparse.ArgumentParser()
    configure(parser)
    return settings_of(parser.parse_args(["--out", "x", *arguments]))


def test_presets_hold_and_options_override_them():
    transport, spectral = settings("--preset", "transport"), settings("--preset", "spectral")
    assert (transport.count, transport.size, transport.kind) == (2000, 128, "transport")
    assert (spectral.count, spectral.size, spectral.kind) == (100, 128, "spectral")
    assert transport.seed < 1_000_000 <= spectral.seed
    changed = settings(
        "--preset", "spectral", "--count", "3", "--seed", "7", "--off-model", "s.npz"
    )
    assert (changed.count, changed.seed, changed.size) == (3, 7, 128)
    assert (changed.kind, changed.spectra) == ("off-model", "s.npz")
    assert settings("--count", "2") == Settings(count=2)
    assert settings("--count", "2", "--spectral").kind == "spectral"
    with pytest.raises(InputError, match="--count N or --preset"):
        settings()
    with pytest.raises(InputError, match="measured spectra"):
        Settings(count=1, kind="off-model")
    with pytest.raises(InputError, match="unknown kind of set 'wax'"):
        Settings(count=1, kind="wax")


def test_jobs_carry_the_kind(tmp_path):
    made = Settings(count=1, kind="off-model", spectra="s.npz")
    (job,) = make_jobs(tmp_path, [0], made, {})
    assert job.kind == "off-model"
    assert job.spectra.endswith("/s.npz")
    assert job.spectra.startswith("/")


def test_all_bands_or_none_are_stored_and_read_as_a_cube(tmp_path):
    planes = channels(1)
    bands = {name: 0.01 * k * planes["mask"] for k, name in enumerate(RADIANCE_CHANNELS)}
    stage_sample(tmp_path, 1, {**planes, **bands}, record(1))
    cube = read_cube(tmp_path / "000001.exr")
    assert cube.wavelength[0] == 400
    assert cube.values.shape == (16, 16, 33)
    np.testing.assert_allclose(cube.values[8, 8], 0.01 * np.arange(33), rtol=1e-3)
    assert cube.mask[8, 8] == 1
    assert {"melanin", "albedo.R", "diffuse_shading.key", "region"} <= set(cube.truth)
    del bands["radiance.550"]
    with pytest.raises(InputError, match=r"missing or unknown channels radiance.550"):
        stage_sample(tmp_path, 1, {**planes, **bands}, record(1))


def test_the_sheet_shows_the_bands_where_there_are_some():
    planes = channels(0)
    flat = {name: 0.3 * planes["coverage"] for name in RADIANCE_CHANNELS}
    shown = photograph({**planes, **flat})
    np.testing.assert_allclose(shown[8, 8], 0.3, rtol=2e-3)  # flat light back is grey under D65
    np.testing.assert_allclose(shown[0, 0], 0.18, rtol=1e-3)
