"""`bioface.face_box_draw`."""

import bpy

from ..photo_overlay import PhotoOverlay, Square
from .base import BaseOperator

_KEYS = "Drag a square around the face, brows to chin and ear to ear   |   Esc, right click: cancel"


class BIOFACE_OT_face_box_draw(BaseOperator):
    """Draw the face's square on the picture: brows to chin, ear to ear.

    Esc or a right click leaves it as it was"""

    bl_idname = "bioface.face_box_draw"
    bl_label = "Draw Face Box"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's convention)

    _overlay: PhotoOverlay | None = None
    _start: tuple[float, float] | None = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a photo is chosen."""
        source = context.scene.bioface.source
        if source.kind != "PHOTO" or not source.filepath:
            cls.poll_message_set("Choose a photo first")
            return False
        return True

    def apply(self, context: bpy.types.Context) -> str:
        """Refuse: without a window there is nothing to draw on."""
        from bioface.errors import InputError

        raise InputError("draw in a 3D view; a script sets box_corner and box_side instead")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Lay the photo over the 3D view."""
        if bpy.app.background or context.area is None or context.area.type != "VIEW_3D":
            return self.execute(context)
        from bioface.photo.files import read_photo

        source = context.scene.bioface.source
        try:
            self._overlay = PhotoOverlay(
                context.area, read_photo(bpy.path.abspath(source.filepath))
            )
        except Exception as error:
            return self.failed(error)
        if source.use_box:
            self._overlay.show((*source.box_corner, source.box_side))
        context.workspace.status_text_set(_KEYS)
        context.area.header_text_set(_KEYS)
        context.window.cursor_modal_set("CROSSHAIR")
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Follow the mouse; letting it go keeps the square, unless it is too small for a face."""
        if event.type in ("ESC", "RIGHTMOUSE") and event.value == "PRESS":
            self.cancel(context)
            return {"CANCELLED"}
        pointer = self._overlay.pointer(event)
        if event.type == "LEFTMOUSE" and event.value == "PRESS":
            self._start = pointer
        elif event.type == "MOUSEMOVE" and self._start is not None:
            self._overlay.show(self._overlay.placement.square(self._start, pointer))
        elif event.type == "LEFTMOUSE" and event.value == "RELEASE" and self._start is not None:
            drawn = self._overlay.placement.square(self._start, pointer)
            self._start = None
            return self._keep(context, drawn)
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Give the 3D view back; Blender calls it when a file is loaded or the window closes."""
        if self._overlay is None:
            return
        self._overlay.remove()
        self._overlay = None
        context.workspace.status_text_set(None)
        if context.area is not None:
            context.area.header_text_set(None)
        context.window.cursor_modal_restore()

    def _keep(self, context: bpy.types.Context, drawn: Square) -> set[str]:
        from bioface.errors import InputError
        from bioface.photo.face import FaceBox

        place = self._overlay.placement
        try:
            FaceBox.square(*drawn, (place.height, place.width))
        except InputError as error:
            self._overlay.show(None)
            self.report({"WARNING"}, f"{error}; draw again")
            return {"RUNNING_MODAL"}
        source = context.scene.bioface.source
        source.use_box = True
        source.set_box(*drawn)
        self.cancel(context)
        self.report({"INFO"}, f"face box: {source.box_side} pixels")
        return {"FINISHED"}
