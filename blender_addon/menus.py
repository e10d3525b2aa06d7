"""Menus of the extension, and its entries in Blender's own."""

import bpy


class BIOFACE_MT_presets(bpy.types.Menu):
    """Measured skin to start from."""

    bl_idname = "BIOFACE_MT_presets"
    bl_label = "Skin Presets"

    def draw(self, context: bpy.types.Context) -> None:
        """One entry for each measured group, light to dark."""
        from synth.blender.skin_presets import skin_presets

        for preset in skin_presets():
            entry = self.layout.operator("bioface.skin_preset_set", text=preset.label)
            entry.group = preset.group


class BIOFACE_FH_maps(bpy.types.FileHandler):
    """Maps dropped onto the 3D view go on the list of photos."""

    bl_idname = "BIOFACE_FH_maps"
    bl_label = "BioFace Skin Maps"
    bl_import_operator = "bioface.photo_add"
    bl_file_extensions = ".exr"

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        """Whether it was dropped onto a 3D view."""
        return context.area is not None and context.area.type == "VIEW_3D"


def _add_head(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator("bioface.head_add", icon="USER")


def _import_maps(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator("bioface.photo_add", text="BioFace Skin Maps (.exr)")


_CLASSES = (BIOFACE_MT_presets, BIOFACE_FH_maps)
_ENTRIES = (("VIEW3D_MT_mesh_add", _add_head), ("TOPBAR_MT_file_import", _import_maps))


def register() -> None:
    """Register the menus and append the entries."""
    for item in _CLASSES:
        bpy.utils.register_class(item)
    for menu, entry in _ENTRIES:
        getattr(bpy.types, menu).append(entry)


def unregister() -> None:
    """Undo `register`."""
    for menu, entry in _ENTRIES:
        getattr(bpy.types, menu).remove(entry)
    for item in reversed(_CLASSES):
        bpy.utils.unregister_class(item)
