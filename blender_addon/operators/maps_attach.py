"""`bioface.maps_attach`."""

import bpy

from .base import MeshOperator, file_argument


class BIOFACE_OT_maps_attach(MeshOperator):
    """Use the maps of the albedo texture as they are: they lie on the same UV map as the texture"""

    bl_idname = "bioface.maps_attach"
    bl_label = "Use on Active Object"

    filepath: file_argument("Maps", "EXR of an albedo texture; empty: the one that was read last")

    def apply(self, context: bpy.types.Context) -> str:
        """Put the maps into the object's skin material, adding it where there is none."""
        from bioface.errors import InputError
        from synth.blender.character import attach_texture_maps

        path = bpy.path.abspath(self.filepath or context.scene.bioface.source.result)
        if not path:
            raise InputError("no maps to use; read a texture first")
        attach_texture_maps(bpy, context.object, path, warn=self.warnings.append)
        return f"{context.object.name}: skin from {bpy.path.basename(path)}"
