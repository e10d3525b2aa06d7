"""`bioface.asset_library_add`."""

import bpy

from ..preferences import user_folder
from .base import BaseOperator

_NAME = "BioFace"


class BIOFACE_OT_asset_library_add(BaseOperator):
    """Show the skin node group in the asset browser of every file"""

    bl_idname = "bioface.asset_library_add"
    bl_label = "Add Asset Library"

    def apply(self, context: bpy.types.Context) -> str:
        """Write the library into the extension's folder and list it in the preferences."""
        from synth.blender.skin_material import skin_group

        folder = user_folder("assets")
        path = folder / "bioface_skin.blend"
        present = set(bpy.data.node_groups), set(bpy.data.images)
        group = skin_group(bpy)
        bpy.data.libraries.write(str(path), {group}, compress=True)
        if group not in present[0]:
            bpy.data.node_groups.remove(group)
            bpy.data.batch_remove(set(bpy.data.images) - present[1])
        libraries = context.preferences.filepaths.asset_libraries
        if _NAME not in libraries:
            libraries.new(name=_NAME, directory=str(folder))
        return f"asset library {_NAME}: {path}"
