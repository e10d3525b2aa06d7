"""The "BioFace" tab of the 3D view's side bar."""

import bpy

_SLIDERS = (
    ("Pigment", ("Melanin", "Melanin Gain", "Haemoglobin", "Haemoglobin Gain")),
    ("Surface", ("Specular", "Roughness", "Subsurface")),
)


class _SideBar:
    """Where the panels stand, and how they lay out their properties."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "BioFace"

    def split_layout(self) -> bpy.types.UILayout:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        return layout


class BIOFACE_PT_skin(_SideBar, bpy.types.Panel):
    """Skin of the active object."""

    bl_idname = "BIOFACE_PT_skin"
    bl_label = "Skin"

    def draw(self, context: bpy.types.Context) -> None:
        from synth.blender.skin_material import object_skin_node

        layout = self.split_layout()
        if context.object is None or context.object.type != "MESH":
            layout.label(text="Select a mesh", icon="INFO")
            return
        node = object_skin_node(context.object)
        if node is None:
            layout.operator("bioface.skin_material_add", icon="MATERIAL")
            return
        for title, names in _SLIDERS:
            column = layout.column(heading=title, align=True)
            for name in names:
                socket = node.inputs[name]
                if socket.is_linked:
                    column.label(text=f"{name} from image", icon="IMAGE_DATA")
                else:
                    column.prop(socket, "default_value", text=name)


class BIOFACE_PT_photo(_SideBar, bpy.types.Panel):
    """Skin maps of a photo on the active object."""

    bl_idname = "BIOFACE_PT_photo"
    bl_label = "Photo to Skin"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.split_layout()
        layout.prop(context.scene.bioface, "texture_size")
        layout.operator("bioface.maps_project", icon="CAMERA_DATA")


_CLASSES = (BIOFACE_PT_skin, BIOFACE_PT_photo)

register, unregister = bpy.utils.register_classes_factory(_CLASSES)
