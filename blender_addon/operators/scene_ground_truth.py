"""`bioface.scene_ground_truth`."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import bpy

from .base import file_argument
from .task import TaskOperator


class BIOFACE_OT_scene_ground_truth(TaskOperator):
    """Write what is known about every pixel of this scene: skin maps, shading, geometry.

    Renders by Cycles beside Blender; the scene stays as it is"""

    bl_idname = "bioface.scene_ground_truth"
    bl_label = "Render Ground Truth"

    filepath: file_argument("File", "EXR to write, with a JSON beside it. Empty: beside the .blend")

    def job(self, context: bpy.types.Context) -> Any:
        """Save a copy of the file and start rendering it."""
        from bioface.errors import BiofaceError, InputError
        from synth.blender.background import Task

        scene = context.scene
        if scene.camera is None:
            raise InputError(f"{scene.name}: no camera; add one and frame the character")
        self._path = self._target(scene)
        folder = Path(self._path).parent
        if not folder.is_dir():
            raise BiofaceError(f"{folder}: no such folder; make it or choose another file")
        for image in bpy.data.images:
            if image.is_dirty and image.users > image.use_fake_user and image.source != "VIEWER":
                raise InputError(
                    f"{image.name}: painted and not saved, so that the copy that is rendered would "
                    "lack it; save or pack the image first"
                )
        self._folder = tempfile.mkdtemp(prefix="bioface-")
        blend = str(Path(self._folder, "scene.blend"))
        try:
            bpy.ops.wm.save_as_mainfile(
                filepath=blend, copy=True, relative_remap=True, check_existing=False
            )
            return Task(
                "ground_truth",
                blend=blend,
                scene=scene.name,
                path=self._path,
                samples=scene.bioface.truth_samples,
                scripts=context.preferences.filepaths.use_scripts_auto_execute
                and not bpy.app.autoexec_fail,
                blocked=bpy.app.autoexec_fail,
            )
        except BaseException:
            self.tidy()
            raise

    def finish(self, context: bpy.types.Context, result: dict[str, str]) -> str:
        """Say where it is."""
        return f"wrote {result['path']}"

    def tidy(self) -> None:
        """Remove the copy of the file."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _target(self, scene: bpy.types.Scene) -> str:
        from bioface.errors import InputError

        if self.filepath:
            path = bpy.path.ensure_ext(bpy.path.abspath(self.filepath), ".exr")
            return str(Path(path).absolute())
        if not bpy.data.filepath:
            raise InputError("the file has no name yet; save it, or say where to write")
        stem = Path(bpy.data.filepath).stem
        return bpy.path.abspath(f"//{stem}.{scene.name}.{scene.frame_current:04d}.exr")
