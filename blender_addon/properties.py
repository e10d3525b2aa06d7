"""Settings that are kept with a scene."""

import bpy


class BIOFACE_PG_settings(bpy.types.PropertyGroup):
    """`scene.bioface`."""

    texture_size: bpy.props.IntProperty(
        name="Texture Size",
        description="Pixels along each side of the projected skin maps",
        default=1024,
        min=64,
        max=8192,
    )


def register() -> None:
    bpy.utils.register_class(BIOFACE_PG_settings)
    bpy.types.Scene.bioface = bpy.props.PointerProperty(type=BIOFACE_PG_settings)


def unregister() -> None:
    del bpy.types.Scene.bioface
    bpy.utils.unregister_class(BIOFACE_PG_settings)
