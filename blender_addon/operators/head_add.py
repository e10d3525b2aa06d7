"""`bioface.head_add`."""

import bpy

from ..properties import HEADS
from .base import BaseOperator


class BIOFACE_OT_head_add(BaseOperator):
    """Add a head with the BioFace skin material, to which photos can be fitted by themselves"""

    bl_idname = "bioface.head_add"
    bl_label = "BioFace Head"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's convention)

    heads: bpy.props.EnumProperty(
        name="Head", description="Where the head comes from", items=HEADS[:2]
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether objects can be added."""
        return context.mode == "OBJECT"

    def apply(self, context: bpy.types.Context) -> str:
        """Link the head at the 3D cursor, in true size, and make it active."""
        from synth.blender.portrait import add_dressed_head
        from synth.heads import load_provider

        made = add_dressed_head(bpy, context.scene, load_provider(self.heads))
        made.location = context.scene.cursor.location
        bpy.ops.object.select_all(action="DESELECT")
        made.select_set(True)
        context.view_layer.objects.active = made
        return f"added {made.name}"
