"""Processes that can import what this one can, in Blender's program or in this Python."""

import json
import subprocess
import sys
from types import SimpleNamespace

from synth.launcher import python_command


def test_modules_and_scripts_run_with_their_arguments_and_this_path(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("import sys\nprint(__name__, sys.argv[1:])\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "bpy", None)
    for first in (("-m", "only_here"), (str(tmp_path / "only_here.py"),)):
        command = python_command(*first, "a b", "--")
        result = subprocess.run(command, capture_output=True, text=True, cwd="/", check=True)
        assert result.stdout.strip() == "__main__ ['a b', '--']"


def test_inside_blender_its_own_program_runs_it(monkeypatch):
    inside = SimpleNamespace(app=SimpleNamespace(binary_path="/opt/blender/blender"))
    monkeypatch.setitem(sys.modules, "bpy", inside)
    command = python_command("-m", "module", "word")
    assert command[:3] == ["/opt/blender/blender", "--background", "--factory-startup"]
    assert command[-3:] == ["-m", "module", "word"]
    assert json.loads(command[-4])
    inside.app.binary_path = ""  # Blender as a module
    assert python_command("script")[0] == sys.executable
