"""`bioface.dataset_generate`, and a look at what it made."""

import os
from typing import Any

import bpy

from .base import BaseOperator
from .task import TaskOperator


class BIOFACE_OT_dataset_generate(TaskOperator):
    """Render faces whose skin, light and camera are known, beside Blender.

    A folder that was begun with the same settings is continued"""

    bl_idname = "bioface.dataset_generate"
    bl_label = "Generate Dataset"

    def job(self, context: bpy.types.Context) -> Any:
        """Check the settings and start rendering."""
        from bioface.errors import InputError
        from synth.blender.background import Task
        from synth.generate import Settings

        dataset = context.scene.bioface.dataset
        if dataset.folder.startswith("//") and not bpy.data.filepath:
            raise InputError(f"{dataset.folder}: save the .blend first, or choose another folder")
        folder = bpy.path.abspath(dataset.folder)
        if not folder:
            raise InputError("no folder for the dataset; choose one")
        if dataset.heads == "file" and not dataset.heads_file:
            raise InputError("no file of a head; choose one")
        settings = dataset.settings()
        Settings(**settings)
        return Task("dataset", folder=os.path.abspath(folder), settings=settings)

    def finish(self, context: bpy.types.Context, result: dict[str, str]) -> str:
        """Remember the contact sheet."""
        dataset = context.scene.bioface.dataset
        dataset.sheet = result["sheet"]
        return f"{dataset.folder}: {dataset.count} pictures, {result['rendered']} of them new"


class BIOFACE_OT_contact_sheet_open(BaseOperator):
    """Look at the dataset's pictures"""

    bl_idname = "bioface.contact_sheet_open"
    bl_label = "Contact Sheet"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is one."""
        return bool(context.scene.bioface.dataset.sheet)

    def apply(self, context: bpy.types.Context) -> str:
        """Load the picture and show it in a window of its own."""
        from bioface.errors import InputError

        path = bpy.path.abspath(context.scene.bioface.dataset.sheet)
        if not os.path.isfile(path):
            raise InputError(f"{path}: no such file; generate the dataset first")
        image = bpy.data.images.load(path, check_existing=True)
        image.reload()
        if not bpy.app.background:
            bpy.ops.wm.window_new()
            area = context.window_manager.windows[-1].screen.areas[0]
            area.type = "IMAGE_EDITOR"
            area.spaces.active.image = image
        return f"{image.name}: {image.size[0]} x {image.size[1]} pixels"
