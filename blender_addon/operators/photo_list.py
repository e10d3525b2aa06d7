"""The list of photos that are projected onto a character."""

import bpy

from .base import BaseOperator, file_argument


class BIOFACE_OT_photo_add(BaseOperator):
    """Add the skin maps of a photo to the list that is projected onto the character"""

    bl_idname = "bioface.photo_add"
    bl_label = "Add Photo Maps"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's convention)

    filepath: file_argument("Maps", "EXR that BioFace wrote, beside its JSON")
    filter_glob: bpy.props.StringProperty(default="*.exr", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Take the file that was dropped, or let the user choose one."""
        if self.filepath:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def apply(self, context: bpy.types.Context) -> str:
        """Check that the maps can be read and add them."""
        from synth.project import read_estimate

        read_estimate(bpy.path.abspath(self.filepath))
        context.scene.bioface.add_photo(self.filepath)
        return f"added {bpy.path.basename(self.filepath)}"


class BIOFACE_OT_photo_remove(BaseOperator):
    """Take the active photo off the list; its files stay"""

    bl_idname = "bioface.photo_remove"
    bl_label = "Remove Photo"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's convention)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the list holds a photo."""
        return bool(context.scene.bioface.photos)

    def apply(self, context: bpy.types.Context) -> str:
        """Remove the active item."""
        settings = context.scene.bioface
        name = settings.photos[settings.active_photo].name
        settings.photos.remove(settings.active_photo)
        settings.active_photo = max(min(settings.active_photo, len(settings.photos) - 1), 0)
        return f"removed {name}"
