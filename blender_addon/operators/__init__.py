"""What the extension can do, one subject a module."""

import bpy

from . import task
from .asset_library_add import BIOFACE_OT_asset_library_add
from .dataset_generate import BIOFACE_OT_contact_sheet_open, BIOFACE_OT_dataset_generate
from .face_box_draw import BIOFACE_OT_face_box_draw
from .head_add import BIOFACE_OT_head_add
from .maps_attach import BIOFACE_OT_maps_attach
from .maps_project import BIOFACE_OT_maps_project
from .photo_estimate import BIOFACE_OT_photo_estimate
from .photo_list import BIOFACE_OT_photo_add, BIOFACE_OT_photo_remove
from .scene_ground_truth import BIOFACE_OT_scene_ground_truth
from .skin_material_add import (
    BIOFACE_OT_skin_material_add,
    BIOFACE_OT_skin_material_upgrade,
    BIOFACE_OT_skin_preset_set,
)

_CLASSES = (
    BIOFACE_OT_skin_material_add,
    BIOFACE_OT_skin_material_upgrade,
    BIOFACE_OT_skin_preset_set,
    BIOFACE_OT_head_add,
    BIOFACE_OT_photo_estimate,
    BIOFACE_OT_face_box_draw,
    BIOFACE_OT_photo_add,
    BIOFACE_OT_photo_remove,
    BIOFACE_OT_maps_project,
    BIOFACE_OT_maps_attach,
    BIOFACE_OT_dataset_generate,
    BIOFACE_OT_contact_sheet_open,
    BIOFACE_OT_scene_ground_truth,
    BIOFACE_OT_asset_library_add,
)


def register() -> None:
    """Register every operator."""
    for item in _CLASSES:
        bpy.utils.register_class(item)
    task.register()


def unregister() -> None:
    """Undo `register`."""
    task.unregister()
    for item in reversed(_CLASSES):
        bpy.utils.unregister_class(item)
