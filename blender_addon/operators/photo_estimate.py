"""`bioface.photo_estimate`."""

import hashlib
import os
from pathlib import Path
from typing import Any

import bpy

from ..preferences import network_file, results_folder
from .base import file_argument
from .task import TaskOperator


class BIOFACE_OT_photo_estimate(TaskOperator):
    """Read melanin and haemoglobin of the skin in a photo, or of an albedo texture"""

    bl_idname = "bioface.photo_estimate"
    bl_label = "Read Skin"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's convention)

    filepath: file_argument("Picture", "Picture to read; empty: the one that the panel names")

    def job(self, context: bpy.types.Context) -> Any:
        """Check the picture and start reading."""
        from bioface.errors import BiofaceError, InputError
        from synth.blender.background import Task

        source = context.scene.bioface.source
        if self.filepath:
            source.filepath = self.filepath
        if not source.filepath:
            raise InputError("no picture to read; choose one")
        photo = os.path.abspath(bpy.path.abspath(source.filepath))
        if not os.path.isfile(photo):
            raise InputError(f"{photo}: no such file")
        # Pictures of one name in several folders do not take each other's place, nor does what is
        # read from one as a texture that of the photo.
        folder = results_folder(context) / hashlib.sha256(photo.encode()).hexdigest()[:8]
        if source.kind == "ALBEDO":
            folder /= "texture"
        self._picture = Path(photo).name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BiofaceError(
                f"{folder}: cannot be made ({error.strerror}); choose another in the preferences"
            ) from error
        if source.kind == "ALBEDO":
            return Task("albedo", photo=photo, folder=str(folder))
        box = [*source.box_corner, source.box_side] if source.use_box else None
        return Task(
            "photo",
            photo=photo,
            folder=str(folder),
            weights=network_file(context),
            face_box=box,
        )

    def finish(self, context: bpy.types.Context, result: dict[str, Any]) -> str:
        """Show the maps; those of a photo go on the list of the character."""
        from synth.blender.preview import show_maps
        from synth.project import MAPS

        settings = context.scene.bioface
        source = settings.source
        source.result = result["path"]
        source.show(show_maps(bpy, result["path"]))
        if "face_box" in result:
            source.set_box(*result["face_box"])
            settings.add_photo(result["path"])
        said = (f"{name} {100 * source.maps[name].median:.1f} %" for name in MAPS)
        return f"{self._picture}: {', '.join(said)}"
