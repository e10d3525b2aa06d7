"""Which code makes samples: a dataset is continued only by the code that began it."""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

import bioface
import synth

SOURCES = (
    "synth/scene.py",
    "synth/sample/*.py",
    "synth/heads/*.py",
    "synth/blender/child.py",
    "synth/blender/compat.py",
    "synth/blender/device.py",
    "synth/blender/passes.py",
    "synth/blender/read_mesh.py",
    "synth/blender/render.py",
    "synth/blender/images.py",
    "synth/blender/scene.py",
    "synth/blender/spectral.py",
    "synth/blender/truth_material.py",
    "synth/dataset/schema.py",
    "bioface/exr.py",
    "bioface/npz.py",
    "bioface/plain_exr.py",
    "bioface/evaluate/fit_skin.py",
    "bioface/spectral/backend.py",
    "bioface/spectral/chromophores.py",
    "bioface/spectral/colour.py",
    "bioface/spectral/grid.py",
    "bioface/spectral/population.py",
    "bioface/spectral/skin.py",
    "bioface/spectral/skin_physics.py",
    "bioface/spectral/units.py",
    "bioface/data/chromophores.csv",
    "bioface/data/cie.csv",
    "bioface/data/population.json",
)
"""Every module and table that decides the bytes of a sample, settings apart."""


@functools.cache
def code_hash() -> str:
    """SHA-256 of `SOURCES`, without their comments, docstrings and layout."""
    roots = {package.__name__: Path(package.__path__[0]).parent for package in (bioface, synth)}
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(roots[pattern.partition("/")[0]].glob(pattern)):
            text = path.read_text(encoding="utf-8")
            content = meaning(text) if path.suffix == ".py" else text
            digest.update(f"{path.name}\0{content}\0".encode())
    return digest.hexdigest()


def meaning(source: str) -> str:
    """The statements of Python source, as text that comments, strings alone and layout leave be."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
