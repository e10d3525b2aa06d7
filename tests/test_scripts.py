"""Scripts that make tables: errors are one line, and files are whole."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bioface.spectral.camera import CameraModel

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def run(name, *arguments):
    return subprocess.run(
        [sys.executable, SCRIPTS / name, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("fit_cameras", ()),
        ("make_splits", ("--photos", ".")),
        ("evaluate_cameras", ("skin.npz",)),
        ("derive_population", ("--spectra",)),
    ],
)
def test_a_missing_file_is_said_in_a_line(tmp_path, name, before):
    missing = tmp_path / "missing.npz"
    given = (*before, missing) if name == "derive_population" else (missing, *before)
    finished = run(name, *given)
    assert finished.returncode == 1
    assert finished.stderr == f"scripts/{name}: error: {missing}: no such file\n"


def test_a_camera_model_is_written_whole_whatever_its_name(tmp_path):
    source, out = tmp_path / "measured.npz", tmp_path / "model"
    curves = np.random.default_rng(0).random((6, 33, 3))
    wavelength = np.arange(400.0, 721.0, 10.0)
    np.savez(source, wavelength=wavelength, sens=curves, names=list("abcdef"))
    finished = run("fit_cameras", source, "--components", 3, "--out", out)
    assert finished.returncode == 0, finished.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"measured.npz", "model"}
    found, fitted = CameraModel.load(3, path=out), CameraModel.fit(curves, 3)
    np.testing.assert_allclose(found.mean, fitted.mean)
