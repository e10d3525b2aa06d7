"""Which package may import which: checked by running with imports blocked and by reading source."""

import ast
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "bpy", "scipy", "PIL", "OpenEXR", "mediapipe", "cv2", "tqdm", "lightning")
PRELUDE = """
import sys
class Blocker:
    blocked = {blocked!r}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.blocked:
            raise ImportError(f"{{name}} is blocked in this test")
sys.meta_path.insert(0, Blocker())
"""
LIGHT = """
import bioface, synth
import bioface.cli
from bioface.spectral import camera, colour, formation, illuminant, inverse
import numpy as np
maps = {name: np.full((2, 2), 0.05) for name in formation.MAPS}
lamp = illuminant.Illuminant.named("F11")
rgb = bioface.decode(maps, lamp, formation.Camera.from_coefficients(np.zeros(6)))
assert rgb.shape == (2, 2, 3)
assert bioface.SkinModel.load().reflectance(0.1, 0.01).shape == (33,)
loaded = sorted(m for m in sys.modules if m.split(".")[0] in Blocker.blocked)
assert not loaded, loaded
"""


def run(code: str, blocked: tuple[str, ...]) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE.format(blocked=blocked) + code],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr


def test_physics_needs_numpy_and_array_api_compat_alone():
    run(LIGHT, HEAVY)


def test_importing_the_package_loads_nothing():
    run("import bioface\nassert 'numpy' not in sys.modules", ())


@pytest.mark.parametrize("name", ["SkinModel", "decode", "estimate"])
def test_public_names_stand_at_the_top(name):
    import bioface

    assert name in bioface.__all__
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = bioface.nothing_here


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere, type checking aside."""
    return {module.split(".")[0] for module in modules(path)}


def modules(path: Path) -> set[str]:
    """Modules, and what is taken from them, that a file imports anywhere, type checking aside."""
    found = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
                found.update(f"{child.module}.{alias.name}" for alias in child.names)
            elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
                visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-contrib-python", "skimage": "scikit-image"}
INSIDE_BLENDER = {"bpy": "bpy", "mathutils": "bpy", "OpenImageIO": "bpy"}


def test_every_imported_package_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    declared = chain(project["dependencies"], *extras)
    names = {re.split(r"[^\w-]", line)[0].lower() for line in declared}
    known = DISTRIBUTIONS | INSIDE_BLENDER
    used = set().union(*map(imported, sources("bioface") + sources("synth")))
    used -= {"bioface", "synth"} | sys.stdlib_module_names
    needed = {known.get(name, name.replace("_", "-").lower()) for name in used}
    assert sorted(needed - names) == []


def offenders(paths: list[Path], packages: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path in paths
        for name in sorted(imported(path) & packages)
    ]


def test_bioface_never_imports_what_builds_on_it():
    assert not offenders(sources("bioface"), {"synth", "blender_addon", "bpy"})


MAY_IMPORT = {
    "spectral": set(),
    "scores": {"spectral"},
    "photo": {"spectral"},
    "learn": {"spectral", "scores", "photo"},
    "evaluate": {"spectral", "scores", "photo", "learn"},
    "commands": {"spectral", "photo", "learn", "evaluate"},
}
"""The packages of bioface, each below those that may import it."""

WHERE_TORCH_IS = {"spectral/fast.py: learn", "photo/network.py: learn"}
"""Functions of these reach for torch's way when they are given tensors, or find torch installed."""


def packages_of_bioface(path: Path) -> set[str]:
    """Other packages of bioface that a file of one imports anywhere, type checking aside."""
    own = path.relative_to(ROOT / "bioface").parts[0]
    named = {module.split(".")[1] for module in modules(path) if module.startswith("bioface.")}
    return named & set(MAY_IMPORT) - {own}


def test_dependencies_of_packages_point_one_way():
    folder = ROOT / "bioface"
    inside = [path for path in sources("bioface") if path.parent != folder]
    assert {path.relative_to(folder).parts[0] for path in inside} == {*MAY_IMPORT, "data"}
    upward = {
        f"{path.relative_to(folder).as_posix()}: {name}"
        for path in inside
        for name in packages_of_bioface(path)
        - MAY_IMPORT.get(path.relative_to(folder).parts[0], set())
    }
    assert upward == WHERE_TORCH_IS


def test_torch_is_imported_by_the_learning_modules_alone():
    packages = {"torch", "lightning", "safetensors"}
    may = {ROOT / "bioface" / name for name in ("learn", "commands")}
    others = [path for path in sources("bioface") if not may & set(path.parents)]
    assert not offenders(others, packages)
    assert not offenders(sources("synth") + sources("blender_addon"), packages)


def test_commands_load_torch_only_when_they_run():
    run(
        """
import importlib
from pathlib import Path
import bioface.photo.read
for path in Path("bioface/commands").glob("[a-z]*.py"):
    importlib.import_module(f"bioface.commands.{path.stem}")
""",
        ("torch", "lightning", "bpy", "synth"),
    )


def test_bpy_is_imported_by_the_blender_side_alone():
    blender = ROOT / "synth" / "blender"
    elsewhere = [p for p in sources("synth") if blender not in p.parents]
    assert not offenders(elsewhere, {"bpy", "mathutils", "bmesh"})
