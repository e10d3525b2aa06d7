"""Options of the scripts in Bash: what is wrong is one line, and nothing is made."""

import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def run(folder, name, *arguments):
    return subprocess.run(
        [SCRIPTS / name, *arguments], cwd=folder, check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("name", "option", "what"),
    [
        ("demo", "--heads", "a name or path"),
        ("demo", "--out", "a folder"),
        ("demo", "--minutes", "a number"),
        ("demo", "--python", "a value"),
        ("setup", "--torch-index", "a URL"),
        ("setup", "--python", "a path"),
        ("build_extension", "--platform", "a name"),
    ],
)
def test_an_option_without_its_value_is_said_in_a_line(tmp_path, name, option, what):
    finished = run(tmp_path, name, option)
    assert finished.returncode == 1
    assert finished.stderr == f"scripts/{name}: error: {option} needs {what}\n"


def test_an_unknown_platform_is_refused_before_anything_is_made(tmp_path):
    finished = run(tmp_path, "build_extension", "--platform", "any", "--platform", "foo", "dist")
    assert finished.returncode == 1
    said = "scripts/build_extension: error: unknown platform foo; see --help\n"
    assert finished.stderr == said
    assert not (tmp_path / "dist").exists()
