"""Both commands: every sub-command exists, and a missing package is one line."""

import importlib.util
import os
import subprocess
import sys

import pytest

import bioface.cli
import synth.cli


def test_every_command_has_its_module():
    commands = [*bioface.cli.COMMANDS.values(), *synth.cli.COMMANDS.values()]
    modules = [module for module, _ in commands]
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize("package", ["tqdm", "PIL.Image"])
def test_a_missing_package_is_one_line_with_the_command(capsys, package):
    def action():
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)

    assert bioface.cli.guarded("bioface", "train", action) == 1
    name = package.partition(".")[0]
    advice = "run: pip install '.[train]' in a checkout of bioface"
    line = f"bioface: error: {name} is not installed; {advice}\n"
    assert capsys.readouterr().err == line


def test_a_module_of_ours_that_is_missing_is_a_bug():
    def action():
        raise ModuleNotFoundError("No module named 'synth.nothing'", name="synth.nothing")

    with pytest.raises(ModuleNotFoundError):
        bioface.cli.guarded("bioface", "train", action)


@pytest.mark.parametrize("command", ["estimate", "edit"])
def test_a_file_that_the_system_refuses_is_one_line(tmp_path, capsys, command):
    name = str(tmp_path / (300 * "a"))
    assert bioface.cli.main([command, name, "--out", str(tmp_path / "a.png")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"bioface: error: {name}")
    assert error.endswith(": File name too long; check the path and who may use it\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_gone_ends_the_command_quietly(lines):
    code = f"""
import sys, bioface.cli
sys.exit(bioface.cli.guarded("bioface", "train", lambda: print("line\\n" * {lines}) or 0))
"""
    read, write = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE)
    finally:
        os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("lines", [1, 100_000])
def test_output_that_cannot_be_written_is_one_line(lines):
    code = f"""
import sys, bioface.cli
sys.exit(bioface.cli.guarded("bioface", "train", lambda: print("line\\n" * {lines}) or 0))
"""
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE)
    said = b"bioface: error: standard output: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, said)


@pytest.mark.parametrize("main", [bioface.cli.main, synth.cli.main])
@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["--no-such-option"]])
def test_wrong_usage_ends_with_status_2(capsys, main, arguments):
    with pytest.raises(SystemExit) as ending:
        main(arguments)
    assert ending.value.code == 2
    assert "error:" in capsys.readouterr().err
