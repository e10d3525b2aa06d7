"""BioFace in Blender: the skin material, and photo skin maps on a character.

Everything it computes lives in the `bioface` and `synth` packages, which the extension carries as
wheels; here are only operators, panels and properties.
"""

from . import operators, panels, properties

_MODULES = (properties, operators, panels)


def register() -> None:
    """Called by Blender when the extension is enabled."""
    for module in _MODULES:
        module.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    for module in reversed(_MODULES):
        module.unregister()
