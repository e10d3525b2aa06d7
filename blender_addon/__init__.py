"""BioFace in Blender: the skin material, skin maps of photos on a character, datasets.

Everything it computes lives in the `bioface` and `synth` packages, which the extension carries as
wheels; here are only operators, panels and properties.
"""

from . import menus, operators, panels, preferences, properties, translations

_MODULES = (translations, preferences, properties, operators, panels, menus)


def register() -> None:
    """Called by Blender when the extension is enabled."""
    for module in _MODULES:
        module.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    for module in reversed(_MODULES):
        module.unregister()
