"""What is said of a network that cannot be loaded."""

import sys

import pytest

from bioface.errors import MissingDependencyError
from bioface.photo.network import load_network


class Failing:
    """An import hook that raises what it is given for one module."""

    def __init__(self, module, error):
        self.module, self.error = module, error

    def find_spec(self, name, path=None, target=None):
        if name == self.module:
            raise self.error


@pytest.fixture
def failing(monkeypatch):
    def install(module, error):
        for name in [name for name in sys.modules if name.split(".")[-1] == module.split(".")[-1]]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [Failing(module, error), *sys.meta_path])

    return install


def interrupted():
    error = ImportError("initialization failed")
    error.__cause__ = KeyboardInterrupt()
    return error


ONNX = "bioface.photo.onnx_runtime"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ModuleNotFoundError("no", name="onnxruntime"),
            r"^onnxruntime is not installed; run: pip install '\.\[onnx\]' in a checkout of \w+$",
        ),
        (
            ImportError("libgomp.so.1: cannot open shared object file"),
            r"^onnxruntime cannot be loaded \(libgomp.*\); run: pip install",
        ),
    ],
)
def test_a_package_that_is_missing_is_told_from_one_that_does_not_load(failing, error, said):
    failing(ONNX, error)
    with pytest.raises(MissingDependencyError, match=said):
        load_network("some.onnx")


def test_an_import_that_is_interrupted_is_an_interruption(failing):
    failing(ONNX, interrupted())
    with pytest.raises(KeyboardInterrupt):
        load_network("some.onnx")
