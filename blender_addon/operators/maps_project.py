"""`bioface.maps_project`."""

import bpy

from .base import MeshOperator, file_argument


class BIOFACE_OT_maps_project(MeshOperator):
    """Bring the skin maps of the listed photos onto the active object's UV map.

    BioFace heads are fitted to the face; others are taken as the camera shows them.
    The mesh stays as it is; running it again replaces the textures"""

    bl_idname = "bioface.maps_project"
    bl_label = "Project onto Character"

    filepath: file_argument("Maps", "EXR of one photo, instead of the list")

    def apply(self, context: bpy.types.Context) -> str:
        """Fill the object's textures; see `synth.blender.character.project_estimates`."""
        from synth.blender.character import PhotoOfCharacter, project_estimates

        settings = context.scene.bioface
        if self.filepath:
            photos = [PhotoOfCharacter(bpy.path.abspath(self.filepath))]
        else:
            photos = [
                PhotoOfCharacter(bpy.path.abspath(photo.filepath), photo.camera, photo.weight)
                for photo in settings.photos
            ]
        seen = project_estimates(
            bpy,
            context.object,
            photos,
            settings.texture_size,
            level=settings.level,
            warn=self.warnings.append,
        )
        return f"{context.object.name}: {seen:.0%} of the skin comes from the photos"
