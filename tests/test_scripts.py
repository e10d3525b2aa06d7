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


def test_a_missing_folder_is_said_in_a_line(tmp_path):
    cameras, missing = tmp_path / "measured.npz", tmp_path / "missing"
    wavelength, curves = np.arange(400.0, 721.0, 10.0), np.random.default_rng(0).random((12, 33, 3))
    np.savez(cameras, wavelength=wavelength, sens=curves, names=[f"Nikon D{k}" for k in range(12)])
    finished = run("make_splits", cameras, "--photos", missing, "--out", tmp_path / "splits.json")
    said = f"scripts/make_splits: error: {missing}: No such file or directory; check the path"
    assert finished.returncode == 1
    assert finished.stderr == f"{said} and who may use it\n"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("demo", ["photos", "--out", "taken"], "{}/taken holds files that are not the demo's"),
        ("demo", ["none"], "{}/none: no such folder"),
        ("train_release", ["--photos", "photos", "--out", "taken/file"], "{}/taken/file"),
        ("setup", ["--python", "none/python3.11"], "{}/none/python3.11 not found"),
        ("test", ["--python", "none/python3.11"], "{}/none/python3.11 not found"),
        ("gui_check", ["--root", "root", "--out"], "--out needs a folder"),
    ],
)
def test_paths_begin_where_a_script_is_called(tmp_path, name, arguments, said):
    (tmp_path / "photos").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    finished = subprocess.run(
        [SCRIPTS / name, *arguments], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert finished.returncode != 0
    assert said.format(tmp_path) in finished.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "taken"]


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
