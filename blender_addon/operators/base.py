"""What the operators share: errors become a short report, with the trace on the console."""

import traceback

import bpy


class MeshOperator(bpy.types.Operator):
    """An edit of the active mesh object; subclasses write `apply`."""

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's convention)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the active object is a mesh; Blender greys the button out otherwise."""
        if context.object is None or context.object.type != "MESH":
            cls.poll_message_set("Select a mesh object")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Report what `apply` says, or its error."""
        try:
            message = self.apply(context)
        except Exception as error:
            return self._failed(error)
        self.report({"INFO"}, message)
        return {"FINISHED"}

    def apply(self, context: bpy.types.Context) -> str:
        """Do the work and return what to tell the user; any exception cancels."""
        raise NotImplementedError

    def _failed(self, error: Exception) -> set[str]:
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
            self.report({"ERROR"}, f"BioFace failed: {error}; the console shows where")
        return {"CANCELLED"}
