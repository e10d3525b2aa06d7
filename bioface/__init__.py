"""Read melanin, haemoglobin, shading, light and camera from face photos."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bioface.photo.read import estimate
    from bioface.spectral.formation import decode
    from bioface.spectral.skin import SkinModel

__version__ = "0.1.0"

__all__ = ["SkinModel", "decode", "estimate"]

_HOME = {
    "SkinModel": "bioface.spectral.skin",
    "decode": "bioface.spectral.formation",
    "estimate": "bioface.photo.read",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import bioface` itself loads nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'bioface' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
