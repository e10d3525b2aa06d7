import sys
from types import SimpleNamespace

import pytest

from bioface.errors import MissingDependencyError
from synth.blender import compat


class Refusing:
    """An import finder for which importing bpy fails with a given error."""

    def __init__(self, error):
        self.error = error

    def find_spec(self, name, path=None, target=None):
        if name == "bpy":
            raise self.error
        return None


@pytest.fixture
def failing_import(monkeypatch):
    def fail(error):
        monkeypatch.delitem(sys.modules, "bpy", raising=False)
        monkeypatch.setattr(sys, "meta_path", [Refusing(error), *sys.meta_path])

    return fail


NOT_INSTALLED = ModuleNotFoundError("No module named 'bpy'")


def test_another_python_than_3_11_is_named(failing_import, monkeypatch):
    failing_import(NOT_INSTALLED)
    monkeypatch.setattr(sys, "version_info", (3, 13, 1, "final", 0))
    with pytest.raises(
        MissingDependencyError, match=r"needs Python 3\.11 and this is 3\.13, run: "
    ):
        compat.import_bpy()


def test_a_missing_wheel_names_the_command(failing_import):
    failing_import(NOT_INSTALLED)
    with pytest.raises(MissingDependencyError, match=r"run: pip install '\.\[render\]'"):
        compat.import_bpy()


def test_a_missing_system_library_names_the_apt_line(failing_import):
    text = "libGL.so.1: cannot open shared object file: No such file or directory"
    failing_import(ImportError(text))
    with pytest.raises(MissingDependencyError) as caught:
        compat.import_bpy()
    message = str(caught.value)
    assert message.startswith("Blender needs the system library libGL.so.1; run: ")
    assert message.endswith(f"apt-get install -y {compat.SYSTEM_LIBRARIES}")
    assert "\n" not in message


def test_an_old_blender_is_refused(monkeypatch):
    old = SimpleNamespace(app=SimpleNamespace(version=(4, 1, 1), version_string="4.1.1"))
    monkeypatch.setitem(sys.modules, "bpy", old)
    with pytest.raises(MissingDependencyError, match=r"Blender 4\.1\.1 is too old"):
        compat.import_bpy()


def test_the_version_is_found_without_loading_blender(monkeypatch):
    monkeypatch.setattr(compat.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(compat.importlib.metadata, "version", lambda name: "4.5.15")
    monkeypatch.delitem(sys.modules, "bpy", raising=False)
    assert compat.require_bpy() == "4.5.15"
    assert "bpy" not in sys.modules


def test_no_blender_is_said_before_anything_is_written(monkeypatch):
    monkeypatch.setattr(compat.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "bpy", raising=False)
    monkeypatch.setattr(sys, "version_info", (3, 12, 0, "final", 0))
    with pytest.raises(MissingDependencyError, match=r"needs Python 3\.11"):
        compat.require_bpy()


def test_blender_5_names_are_known():
    four, five = (SimpleNamespace(app=SimpleNamespace(version=v)) for v in ((4, 5, 3), (5, 0, 1)))
    assert compat.pass_prefixes(four)["diffuse_direct"] == "DiffDir"
    assert compat.pass_prefixes(five)["diffuse_direct"] == "Diffuse Direct"
    assert compat.eevee_engine(four) == "BLENDER_EEVEE_NEXT"
    assert compat.eevee_engine(five) == "BLENDER_EEVEE"
    assert compat.version(four) == "4.5.3"
