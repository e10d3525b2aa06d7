"""`bioface.skin_material_add`."""

import bpy

from .base import MeshOperator


class BIOFACE_OT_skin_material_add(MeshOperator):
    """Give the active object a skin material driven by melanin and haemoglobin"""

    bl_idname = "bioface.skin_material_add"
    bl_label = "Add Skin Material"

    def apply(self, context: bpy.types.Context) -> str:
        """Set the object's active material."""
        from synth.blender.skin_material import skin_material

        context.object.active_material = skin_material(bpy, "Skin")
        return f"{context.object.name}: added a BioFace skin material"
