"""The command from end to end, with Blender in its render processes."""

import os
import signal
import subprocess
import sys

import pytest

from synth.dataset.read import read_manifest

pytestmark = [pytest.mark.bpy, pytest.mark.slow]

COMMAND = (
    *(sys.executable, "-m", "synth.cli", "generate"),
    *("--count", "2", "--size", "24", "--samples", "2"),
)

KILLED = """
import os, signal, sys
from synth.generate import Settings, generate

def kill(done, wanted):
    if done:
        os.kill(os.getpid(), signal.SIGKILL)

generate(sys.argv[1], Settings(count=2, size=24, samples=2), progress=kill)
"""


def content(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.log"
    }


def test_a_killed_run_continues_to_the_same_bytes(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*COMMAND, "--out", whole], check=True, capture_output=True)

    dead = subprocess.run([sys.executable, "-c", KILLED, killed], capture_output=True)
    assert dead.returncode == -signal.SIGKILL
    assert len(read_manifest(killed)) == 1

    again = subprocess.run([*COMMAND, "--out", killed], check=True, capture_output=True, text=True)
    assert "2 samples, 1 of them new" in again.stdout
    assert again.stderr == ""
    assert content(killed) == content(whole)


def test_a_missing_device_is_one_line_and_nothing_is_written(tmp_path):
    out = tmp_path / "set"
    asked = subprocess.run(
        [*COMMAND, "--out", out, "--device", "hip"],
        capture_output=True,
        text=True,
        env={**os.environ, "HIP_VISIBLE_DEVICES": "-1"},
    )
    assert asked.returncode == 1
    assert asked.stderr.count("\n") == 1
    assert "--device hip: Blender finds no such device here; there is cpu" in asked.stderr
    assert not out.exists()
