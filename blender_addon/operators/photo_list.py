"""The list of photos that are projected onto a character."""

import os

import bpy

from .base import BaseOperator, file_argument


class BIOFACE_OT_photo_add(BaseOperator):
    """Add the skin maps of photos to the list that is projected onto the character"""

    bl_idname = "bioface.photo_add"
    bl_label = "Add Photo Maps"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's convention)

    filepath: file_argument("Maps", "EXR that BioFace wrote, beside its JSON")
    directory: bpy.props.StringProperty(
        name="Folder", description="Folder of the files", options={"HIDDEN", "SKIP_SAVE"}
    )
    files: bpy.props.CollectionProperty(
        name="Files",
        description="Names of several EXRs in the folder, instead of one",
        type=bpy.types.OperatorFileListElement,
        options={"HIDDEN", "SKIP_SAVE"},
    )
    filter_glob: bpy.props.StringProperty(default="*.exr", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Take the files that were dropped, or let the user choose some."""
        if self.filepath:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def apply(self, context: bpy.types.Context) -> str:
        """Check that the maps can be read and add them."""
        from synth.project import read_estimate

        chosen = [os.path.join(self.directory, item.name) for item in self.files if item.name]
        paths = chosen or [self.filepath]
        for path in paths:
            read_estimate(bpy.path.abspath(path))
        for path in paths:
            context.scene.bioface.add_photo(path)
        return f"added {', '.join(map(bpy.path.basename, paths))}"


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
