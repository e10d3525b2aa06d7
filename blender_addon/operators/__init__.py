"""What the extension can do, one operator a module."""

import bpy

from .maps_project import BIOFACE_OT_maps_project
from .skin_material_add import BIOFACE_OT_skin_material_add

_CLASSES = (BIOFACE_OT_skin_material_add, BIOFACE_OT_maps_project)

register, unregister = bpy.utils.register_classes_factory(_CLASSES)
