"""`bioface.maps_project`."""

import bpy

from .base import MeshOperator


class BIOFACE_OT_maps_project(MeshOperator):
    """Bring the skin maps that BioFace estimated from a photo onto the active object's UV map.

    Heads of BioFace are fitted to the face; others are taken as the scene's camera shows them"""

    bl_idname = "bioface.maps_project"
    bl_label = "Project Photo Maps"

    filepath: bpy.props.StringProperty(
        name="Estimate",
        description="EXR file that bioface estimate wrote, beside its JSON",
        subtype="FILE_PATH",
    )
    filter_glob: bpy.props.StringProperty(default="*.exr", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Let the user choose the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def apply(self, context: bpy.types.Context) -> str:
        """Fill the object's textures; see `synth.blender.character.project_estimate`."""
        from synth.blender.character import project_estimate

        path = bpy.path.abspath(self.filepath)
        seen = project_estimate(bpy, context.object, path, context.scene.bioface.texture_size)
        return f"{context.object.name}: {seen:.0%} of the skin comes from the photo"
