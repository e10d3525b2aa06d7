"""What the operators share: errors become a short report, with the trace on the console."""

import traceback
from typing import Any

import bpy


def file_argument(name: str, description: str) -> Any:
    """The property `filepath` of an operator: forgotten after each call."""
    return bpy.props.StringProperty(
        name=name, description=description, subtype="FILE_PATH", options={"SKIP_SAVE"}
    )


class BaseOperator(bpy.types.Operator):
    """Subclasses write `apply`, or `job` and `finish` (see `TaskOperator`).

    What `apply` puts into `warnings` is reported after its message: the last report is shown.
    """

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Report what `apply` says, or its error."""
        self.warnings: list[str] = []
        try:
            message = self.apply(context)
        except Exception as error:
            return self.failed(error)
        self.report({"INFO"}, message)
        for text in self.warnings:
            self.report({"WARNING"}, text)
        return {"FINISHED"}

    def apply(self, context: bpy.types.Context) -> str:
        """Do the work and return what to tell the user; any exception cancels."""
        raise NotImplementedError

    def failed(self, error: Exception) -> set[str]:
        """Report an error: one line if it is the user's to put right, else also its trace."""
        try:
            from bioface.errors import BiofaceError
        except ImportError:
            expected = False
        else:
            expected = isinstance(error, BiofaceError)
        if expected:
            self.report({"ERROR"}, str(error))
        else:
            traceback.print_exception(error)
            first = str(error).partition("\n")[0] or type(error).__name__
            self.report({"ERROR"}, f"BioFace failed: {first}; the console shows where")
        return {"CANCELLED"}


class MeshOperator(BaseOperator):
    """An edit of the active mesh object."""

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's convention)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the active object is a mesh that can be changed; else the button is grey."""
        if context.object is None or context.object.type != "MESH":
            cls.poll_message_set("Select a mesh object")
            return False
        if context.object.library is not None:
            cls.poll_message_set("The object is linked from another file; make it local first")
            return False
        return True
