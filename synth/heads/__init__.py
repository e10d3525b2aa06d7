"""Where heads come from: providers of `HeadMesh` by name or path."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from bioface.errors import InputError
from synth.scene import HeadMesh

NAMES = ("procedural", "ict-facekit")
"""Providers known by name; anything else is a path."""


class HeadProvider(Protocol):
    """A family of heads with one topology."""

    @property
    def name(self) -> str:
        """What datasets record: a provider's name, or the file name of a user's mesh."""
        ...

    @property
    def asset_hash(self) -> str:
        """SHA-256 (hexadecimal) of what defines the heads."""
        ...

    def __hash__(self) -> int: ...

    def mean(self) -> HeadMesh:
        """The neutral mean head."""
        ...

    def sample(self, rng: np.random.Generator) -> HeadMesh:
        """A head of random identity and expression; `rng` is the only randomness."""
        ...

    def deform(self, identity: np.ndarray, expression: np.ndarray) -> HeadMesh:
        """The head with these coefficients; shorter vectors are padded with zeros.

        Raises
        ------
        InputError
            More coefficients than the provider has, or values that are not finite.
        """
        ...


def load_provider(name_or_path: str | Path = "procedural") -> HeadProvider:
    """The head provider called `procedural` or `ict-facekit`, or the one stored at a path.

    A path is an ICT-FaceKit `.npz` (shared or installed file) or a user's `.obj`, `.glb` or
    `.blend`; `FILE.blend/Object/NAME` is one object of a Blender file.

    Raises
    ------
    InputError
        Unknown name, missing file, unreadable or unsupported mesh.
    MissingDependencyError
        A `.glb` or `.blend` file, and Blender is not installed.
    """
    if str(name_or_path) == "procedural":
        from synth.heads.procedural import ProceduralHeads

        return ProceduralHeads.create()
    if str(name_or_path) == "ict-facekit":
        from synth.heads.ict_facekit import IctFaceKit
        from synth.heads.install import installed_file

        return IctFaceKit.load(installed_file("ict-facekit"))
    file, _, object_name = str(name_or_path).partition(".blend/Object/")
    path = Path(f"{file}.blend" if object_name else name_or_path).expanduser()
    if not path.exists():
        known = ", ".join(NAMES)
        raise InputError(f"no head provider or file '{name_or_path}': use {known} or a path")
    if path.is_dir():
        raise InputError(
            f"{path}: a folder; run `bioface-synth heads install ict-facekit --from {path}` once"
        )
    suffix = path.suffix.lower()
    if suffix == ".npz":
        from synth.heads.ict_facekit import IctFaceKit

        return IctFaceKit.load(path)
    if suffix in (".obj", ".glb", ".blend"):
        from synth.heads.mesh import MeshHead

        return MeshHead.load(path, object_name)
    raise InputError(
        f"{path}: heads are read from .npz (ICT-FaceKit), .obj, .glb or .blend files; export a .glb"
    )


__all__ = ["NAMES", "HeadMesh", "HeadProvider", "load_provider"]
