"""The "BioFace" tab of the 3D view's side bar."""

import bpy

from .operators.dataset_generate import BIOFACE_OT_dataset_generate
from .operators.photo_estimate import BIOFACE_OT_photo_estimate
from .operators.scene_ground_truth import BIOFACE_OT_scene_ground_truth

_SLIDERS = (
    ("Pigment", False, (("Melanin", "Melanin Gain"), ("Haemoglobin", "Haemoglobin Gain"))),
    ("Freckles and Flush", True, (("Freckles", "Freckle Size"), ("Flush", "Flush Mask"))),
    ("Surface", False, (("Specular", "Roughness", "Oiliness"), ("Subsurface",))),
)
"""Title, whether it starts closed, and sockets of each group of sliders, in blocks."""

_LABELS = {
    "Melanin Gain": "Gain",
    "Haemoglobin Gain": "Gain",
    "Freckle Size": "Size (mm)",
    "Flush Mask": "Mask",
    "Subsurface": "Scatter (mm)",
}
"""What is shown beside a slider, where the socket's name is too long."""


_PIGMENTS = (("melanin", "Melanin"), ("haemoglobin", "Blood"))
_UNCERTAINTIES = (("melanin_std", "Melanin ±"), ("haemoglobin_std", "Blood ±"))
"""Maps of a picture that are shown side by side, and their titles."""


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
    bl_label = "Skin Material"

    def draw(self, context: bpy.types.Context) -> None:
        from synth.blender.skin_material import is_outdated, object_skin_node

        layout = self.split_layout()
        if context.object is None or context.object.type != "MESH":
            layout.label(text="Select a mesh", icon="INFO")
            return
        node = object_skin_node(context.object)
        if node is None:
            _button(layout, "bioface.skin_material_add", "MATERIAL")
            return
        if is_outdated(node):
            layout.label(text="Made by an earlier BioFace", icon="ERROR")
            _button(layout, "bioface.skin_material_upgrade", "FILE_REFRESH")
            return
        if not (node.inputs["Melanin"].is_linked or node.inputs["Haemoglobin"].is_linked):
            layout.menu("BIOFACE_MT_presets", icon="COMMUNITY")
        for title, closed, blocks in _SLIDERS:
            header, body = layout.panel(f"BIOFACE_{title}", default_closed=closed)
            header.label(text=title)
            if body is None:
                continue
            for names in blocks:
                column = body.column(align=True)
                for name in names:
                    _slider(column, node.inputs[name], _LABELS.get(name, name))


class BIOFACE_PT_photo(_SideBar, bpy.types.Panel):
    """Skin maps of a photo."""

    bl_idname = "BIOFACE_PT_photo"
    bl_label = "Photo to Skin"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.split_layout()
        source = context.scene.bioface.source
        layout.row().prop(source, "kind", expand=True)
        layout.prop(source, "filepath", text="Picture")
        if source.kind == "PHOTO":
            row = layout.row(heading="Face Box")
            row.prop(source, "use_box", text="")
            row.operator("bioface.face_box_draw", text="Draw", icon="SELECT_SET")
            if source.use_box:
                column = layout.column(align=True)
                column.prop(source, "box_corner")
                column.prop(source, "box_side")
        _run_button(layout, context, BIOFACE_OT_photo_estimate, "OUTLINER_OB_IMAGE")
        if not source.maps:
            return
        _maps_row(layout, source, _PIGMENTS)
        if _UNCERTAINTIES[0][0] in source.maps:
            header, body = layout.panel_prop(source, "show_uncertainty")
            header.label(text="Uncertainty")
            if body is not None:
                _maps_row(body, source, _UNCERTAINTIES)
        if source.kind == "ALBEDO":
            _button(layout, "bioface.maps_attach", "MATERIAL")


class BIOFACE_UL_photos(bpy.types.UIList):
    """Photos of a character."""

    bl_idname = "BIOFACE_UL_photos"

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: bpy.types.AnyType,
        item: bpy.types.AnyType,
        icon: int,
        active_data: bpy.types.AnyType,
        active_property: str,
    ) -> None:
        """One photo: its name, and whether it has a camera of its own."""
        row = layout.row(align=True)
        row.prop(item, "name", text="", emboss=False, icon="IMAGE_DATA")
        if item.camera is not None:
            row.label(text="", icon="CAMERA_DATA")


class BIOFACE_PT_apply(_SideBar, bpy.types.Panel):
    """Photos onto the active object."""

    bl_idname = "BIOFACE_PT_apply"
    bl_label = "Apply to Character"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.split_layout()
        settings = context.scene.bioface
        row = layout.row()
        row.template_list(
            "BIOFACE_UL_photos", "", settings, "photos", settings, "active_photo", rows=3
        )
        buttons = row.column(align=True)
        buttons.operator("bioface.photo_add", text="", icon="ADD")
        buttons.operator("bioface.photo_remove", text="", icon="REMOVE")
        if settings.active_photo < len(settings.photos):
            photo = settings.photos[settings.active_photo]
            column = layout.column()
            column.prop(photo, "camera")
            column.prop(photo, "weight")
        column = layout.column()
        column.prop(settings, "texture_size")
        if len(settings.photos) > 1:
            column.prop(settings, "level")
        row = layout.row()
        row.enabled = bool(settings.photos)
        _button(row, "bioface.maps_project", "MOD_UVPROJECT")


class BIOFACE_PT_dataset(_SideBar, bpy.types.Panel):
    """Datasets of rendered faces."""

    bl_idname = "BIOFACE_PT_dataset"
    bl_label = "Dataset"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012 (Blender's convention)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.split_layout()
        dataset = context.scene.bioface.dataset
        layout.prop(dataset, "folder")
        column = layout.column(align=True)
        for name in ("count", "size", "samples"):
            column.prop(dataset, name)
        column = layout.column()
        column.prop(dataset, "heads")
        if dataset.heads == "file":
            column.prop(dataset, "heads_file", text="File")
        column = layout.column(align=True)
        column.prop(dataset, "seed")
        column.prop(dataset, "workers")
        _run_button(layout, context, BIOFACE_OT_dataset_generate, "RENDER_RESULT")
        if dataset.sheet:
            layout.operator("bioface.contact_sheet_open", icon="IMGDISPLAY")


class BIOFACE_PT_truth(_SideBar, bpy.types.Panel):
    """Ground truth of the artist's own scene."""

    bl_idname = "BIOFACE_PT_truth"
    bl_label = "Ground Truth of This Scene"
    bl_parent_id = "BIOFACE_PT_dataset"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.split_layout()
        layout.prop(context.scene.bioface, "truth_samples")
        _run_button(layout, context, BIOFACE_OT_scene_ground_truth, "RENDERLAYERS")


def _slider(layout: bpy.types.UILayout, socket: bpy.types.NodeSocket, text: str) -> None:
    """A socket's value, or that an image drives it."""
    if not socket.is_linked:
        layout.prop(socket, "default_value", text=text)
        return
    row = layout.split(factor=0.4)
    name = row.row()
    name.alignment = "RIGHT"
    name.label(text=text)
    row.label(text="From Image", icon="IMAGE_DATA")


def _maps_row(
    layout: bpy.types.UILayout, source: bpy.types.PropertyGroup, shown: tuple[tuple[str, str], ...]
) -> None:
    """Maps in false colours side by side: median above, ends of the colour bar below."""
    box = layout.box().row()
    for name, title in shown:
        item = source.maps[name]
        column = box.column(align=True)
        column.label(text=f"{bpy.app.translations.pgettext_iface(title)} {item.median:.1%}")
        if item.image is not None:
            column.template_icon(icon_value=item.image.preview_ensure().icon_id, scale=6.0)
        ends = column.row()
        ends.label(text=f"{item.low:.1%}")
        high = ends.row()
        high.alignment = "RIGHT"
        high.label(text=f"{item.high:.1%}")


def _button(layout: bpy.types.UILayout, operator: str, icon: str) -> None:
    row = layout.row()
    row.scale_y = 1.3
    row.operator(operator, icon=icon)


def _run_button(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    operator: type[bpy.types.Operator],
    icon: str,
) -> None:
    """The button of an operator that runs in the background, or how far it is."""
    running = context.window_manager.bioface
    if running.operator != operator.bl_idname:
        _button(layout, operator.bl_idname, icon)
        return
    row = layout.row()
    row.scale_y = 1.3
    row.progress(factor=running.share, text=f"{running.text}  {running.share:.0%}")
    row.operator("bioface.task_cancel", text="", icon="CANCEL")


register, unregister = bpy.utils.register_classes_factory(
    (
        BIOFACE_PT_skin,
        BIOFACE_PT_photo,
        BIOFACE_UL_photos,
        BIOFACE_PT_apply,
        BIOFACE_PT_dataset,
        BIOFACE_PT_truth,
    )
)
