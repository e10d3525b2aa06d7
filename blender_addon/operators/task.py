"""Operators whose work runs in a process of its own, with progress and cancel."""

from typing import Any

import bpy

from .base import BaseOperator

_INTERVAL = 0.2
"""Seconds between two looks at the process."""

_running: dict[int, bpy.types.Operator] = {}


class TaskOperator(BaseOperator):
    """Subclasses write `job`, which starts the process, and `finish`, which uses its result.

    From a button it runs beside Blender: a timer looks after it, the panel shows how far it is and
    `bioface.task_cancel` stops it. Called from a script it waits for the end. The process ends
    with the operator, with the file and with Blender, whatever comes first.
    """

    _task = None
    _timer = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether nothing else runs."""
        if context.window_manager.bioface.operator:
            cls.poll_message_set("BioFace is at work already; wait for it or cancel it")
            return False
        return True

    def job(self, context: bpy.types.Context) -> Any:
        """Check the settings and return a started `synth.blender.background.Task`."""
        raise NotImplementedError

    def finish(self, context: bpy.types.Context, result: dict[str, Any]) -> str:
        """Use the result and return what to tell the user; any exception cancels."""
        raise NotImplementedError

    def apply(self, context: bpy.types.Context) -> str:
        """Start, wait and finish."""
        task = self.job(context)
        try:
            result = task.wait()
        finally:
            task.close()
            self.tidy()
        return self.finish(context, result)

    def tidy(self) -> None:
        """Remove what `job` left for the process, after its end."""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Start beside Blender; in background mode, where nothing happens beside, wait."""
        if bpy.app.background:
            return self.execute(context)
        try:
            self._task = self.job(context)
        except Exception as error:
            return self.failed(error)
        _running[id(self)] = self
        manager = context.window_manager
        manager.bioface.operator = type(self).bl_idname
        manager.bioface.share, manager.bioface.cancel = 0.0, False
        manager.bioface.text = self._task.progress.text
        self._timer = manager.event_timer_add(_INTERVAL, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Look after the process at each tick; every other event goes on to Blender."""
        if event.type != "TIMER" or self._task is None:
            return {"PASS_THROUGH"}
        state = context.window_manager.bioface
        if state.cancel:
            self._end(context)
            self.report({"WARNING"}, f"{self.bl_label}: cancelled")
            return {"CANCELLED"}
        try:
            result = self._task.poll()
            if result is None:
                progress = self._task.progress
                state.share, state.text = progress.share, progress.text
                _redraw(context)
                return {"RUNNING_MODAL"}
            self._end(context)
            message = self.finish(context, result)
        except Exception as error:
            self._end(context)
            return self.failed(error)
        _redraw(context)
        self.report({"INFO"}, message)
        return {"FINISHED"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Called by Blender when a file is loaded or a window closes under the operator."""
        self._end(context)

    def _end(self, context: bpy.types.Context) -> None:
        _running.pop(id(self), None)
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        if self._task is not None:
            self._task.close()
            self._task = None
            self.tidy()
        context.window_manager.bioface.operator = ""
        _redraw(context)


class BIOFACE_OT_task_cancel(bpy.types.Operator):
    """Stop what BioFace does in the background. What is finished stays, and can be continued"""

    bl_idname = "bioface.task_cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether something runs."""
        return bool(context.window_manager.bioface.operator)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask the running operator to stop at its next tick."""
        context.window_manager.bioface.cancel = True
        return {"FINISHED"}


def end_all(*_: object) -> None:
    """End everything that runs: before another file is loaded and when the extension goes."""
    for operator in tuple(_running.values()):
        operator._end(bpy.context)


def _redraw(context: bpy.types.Context) -> None:
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                # The panel alone: drawing the whole view again costs what it shows.
                if area.type == "VIEW_3D" and region.type == "UI":
                    region.tag_redraw()


def register() -> None:
    """Register the cancel button and watch for file loads."""
    bpy.utils.register_class(BIOFACE_OT_task_cancel)
    bpy.app.handlers.load_pre.append(bpy.app.handlers.persistent(end_all))


def unregister() -> None:
    """Undo `register`, ending what runs."""
    end_all()
    bpy.app.handlers.load_pre.remove(end_all)
    bpy.utils.unregister_class(BIOFACE_OT_task_cancel)
