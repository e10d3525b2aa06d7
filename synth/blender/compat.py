"""Blender as a module: importing it with readable errors, and what differs between versions.

Every difference between Blender 4.2 and 5.x that this project meets is answered here, so that no
other module asks for the version.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from typing import Any

from bioface.errors import MissingDependencyError, install_advice

MINIMUM = (4, 2)
"""The oldest Blender that is supported."""

WHEEL_PYTHON = (3, 11)
"""The only Python for which Blender 4.5 exists as a wheel."""

SYSTEM_LIBRARIES = "libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libgl1"
"""Debian packages that the wheel's shared library links to."""

PASSES_4 = {
    "combined": "Combined",
    "diffuse_direct": "DiffDir",
    "diffuse_indirect": "DiffInd",
    "diffuse_colour": "DiffCol",
    "glossy_direct": "GlossDir",
    "glossy_indirect": "GlossInd",
    "glossy_colour": "GlossCol",
    "emission": "Emit",
    "environment": "Env",
    "normal": "Normal",
}
"""Render pass to its channel prefix in a multilayer EXR of Blender 4.x."""

PASSES_5 = {
    "combined": "Combined",
    "diffuse_direct": "Diffuse Direct",
    "diffuse_indirect": "Diffuse Indirect",
    "diffuse_colour": "Diffuse Color",
    "glossy_direct": "Glossy Direct",
    "glossy_indirect": "Glossy Indirect",
    "glossy_colour": "Glossy Color",
    "emission": "Emission",
    "environment": "Environment",
    "normal": "Normal",
}
"""The same in Blender 5.x."""


def import_bpy() -> Any:
    """Import and return `bpy`, whether from the wheel or inside Blender.

    Raises
    ------
    MissingDependencyError
        It is not installed, Python has the wrong version, a system library is missing, or Blender
        is older than 4.2; the message is one line with the command that helps.
    """
    try:
        import bpy
    except ImportError as error:
        raise MissingDependencyError(_explain(error)) from error
    if bpy.app.version[:2] < MINIMUM:
        raise MissingDependencyError(
            f"Blender {bpy.app.version_string} is too old; BioFace needs 4.2 or later"
        )
    return bpy


def require_bpy() -> str:
    """The version of Blender that `import_bpy` would load, found without loading it.

    The command that starts render processes calls this, so that it fails before it writes
    anything and never carries Blender itself.

    Raises
    ------
    MissingDependencyError
        As `import_bpy`, apart from missing system libraries.
    """
    if "bpy" in sys.modules and sys.modules["bpy"] is not None:
        return import_bpy().app.version_string.split()[0]
    try:
        if importlib.util.find_spec("bpy") is not None:
            return importlib.metadata.version("bpy")
    except (ValueError, importlib.metadata.PackageNotFoundError):
        pass
    raise MissingDependencyError(_explain(ModuleNotFoundError("No module named 'bpy'")))


def _explain(error: ImportError) -> str:
    text = str(error)
    if "shared object file" in text:
        library = text.split(":")[0]
        sudo = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
        return (
            f"Blender needs the system library {library}; "
            f"run: {sudo}apt-get install -y {SYSTEM_LIBRARIES}"
        )
    running = sys.version_info[:2]
    if running != WHEEL_PYTHON:
        return (
            f"bpy needs Python 3.11 and this is {running[0]}.{running[1]}, run: "
            f"python3.11 -m venv .venv && .venv/bin/{install_advice('render')}"
        )
    if isinstance(error, ModuleNotFoundError):
        return f"Blender as a module (bpy) is not installed, run: {install_advice('render')}"
    return f"Blender as a module (bpy) cannot be imported: {text.splitlines()[0]}"


def version(bpy: Any) -> str:
    """The version of a loaded Blender, such as `4.5.15`."""
    return ".".join(str(part) for part in bpy.app.version)


def pass_prefixes(bpy: Any) -> dict[str, str]:
    """Render pass to its channel prefix in this Blender's multilayer EXR files."""
    return PASSES_4 if bpy.app.version < (5, 0) else PASSES_5


def eevee_engine(bpy: Any) -> str:
    """The identifier of the EEVEE engine."""
    return "BLENDER_EEVEE_NEXT" if bpy.app.version < (5, 0) else "BLENDER_EEVEE"


def use_nodes(bpy: Any, owner: Any) -> None:
    """Give a material or world its node tree; since Blender 5.0 it has one and warns at this."""
    if bpy.app.version < (5, 0):
        owner.use_nodes = True


def set_multilayer_output(bpy: Any, scene: Any) -> None:
    """Have `scene` write one uncompressed, single-part float32 EXR holding every pass."""
    settings = scene.render.image_settings
    if bpy.app.version >= (5, 0):
        settings.media_type = "MULTI_LAYER_IMAGE"
        settings.use_exr_interleave = True
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth = "32"
    settings.exr_codec = "NONE"
