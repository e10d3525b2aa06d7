"""`bioface.photo_estimate`."""

import hashlib
import os
from pathlib import Path
from typing import Any

import bpy

from ..preferences import network_file, results_folder
from .task import TaskOperator


class BIOFACE_OT_photo_estimate(TaskOperator):
    """Read melanin and haemoglobin of the skin in a photo, or of an albedo texture"""

    bl_idname = "bioface.photo_estimate"
    bl_label = "Read Skin"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's convention)

    filepath: bpy.props.StringProperty(
        name="Picture",
        description="Picture to read; empty: the one that the panel names",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )

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
        # Pictures of one name in several folders do not take each other's place.
        folder = results_folder(context) / hashlib.sha256(photo.encode()).hexdigest()[:8]
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

    def finish(self, context: bpy.types.Context, result: dict[str, str]) -> str:
        """Show the maps; those of a photo go on the list of the character."""
        from synth.blender.preview import show_maps

        settings = context.scene.bioface
        source = settings.source
        source.result = result["path"]
        numbers = []
        for name, shown in show_maps(bpy, result["path"]).items():
            setattr(source, name, shown.image)
            setattr(source, f"{name}_range", (shown.low, shown.high, shown.median))
            numbers.append(f"{name} {100 * shown.median:.1f} %")
        if source.kind == "PHOTO":
            settings.add_photo(result["path"])
        return f"{Path(source.filepath).name}: {', '.join(numbers)}"
