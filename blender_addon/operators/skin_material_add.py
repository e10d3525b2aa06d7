"""The skin material on the active object: add it, fill it from a preset, bring it up to date."""

import bpy

from .base import BaseOperator, MeshOperator


class BIOFACE_OT_skin_material_add(MeshOperator):
    """Give the active object a skin material driven by melanin and haemoglobin.

    The material that stood in its slot stays in the file"""

    bl_idname = "bioface.skin_material_add"
    bl_label = "Add Skin Material"

    def apply(self, context: bpy.types.Context) -> str:
        """Set the object's active material."""
        from synth.blender.character import add_skin_material

        add_skin_material(bpy, context.object)
        return f"{context.object.name}: added a BioFace skin material"


class BIOFACE_OT_skin_preset_set(MeshOperator):
    """Set melanin and haemoglobin to the mean of people who were measured"""

    bl_idname = "bioface.skin_preset_set"
    bl_label = "Skin Preset"

    group: bpy.props.StringProperty(
        name="Group", description="Code of the group in the International Skin Spectra Archive"
    )

    @classmethod
    def description(
        cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties
    ) -> str:
        """The tooltip of one preset."""
        from synth.blender.skin_presets import skin_presets

        found = {preset.group: preset.description for preset in skin_presets()}
        return found.get(properties.group, cls.__doc__ or "")

    def apply(self, context: bpy.types.Context) -> str:
        """Set the sockets of the object's first skin material."""
        from bioface.errors import InputError
        from synth.blender.character import check_local, skin_slots
        from synth.blender.skin_material import object_skin_node
        from synth.blender.skin_presets import skin_presets

        presets = {preset.group: preset for preset in skin_presets()}
        if self.group not in presets:
            raise InputError(f"no preset {self.group!r}; choose one of {', '.join(presets)}")
        node = object_skin_node(context.object)
        if node is None:
            raise InputError(f"{context.object.name}: add the BioFace skin material first")
        check_local(context.object, skin_slots(context.object))
        preset = presets[self.group]
        pigments = ("Melanin", "Haemoglobin")
        linked = [name for name in pigments if node.inputs[name].is_linked]
        if linked:
            raise InputError(f"{context.object.name}: {linked[0]} comes from an image; unlink it")
        for name in pigments:
            node.inputs[name].default_value = getattr(preset, name.lower())
            node.inputs[f"{name} Gain"].default_value = 1.0
        return f"{context.object.name}: {preset.label}"


class BIOFACE_OT_skin_material_upgrade(BaseOperator):
    """Bring skin materials that an earlier BioFace made up to date; what they are set to stays"""

    bl_idname = "bioface.skin_material_upgrade"
    bl_label = "Upgrade Skin Materials"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's convention)

    def apply(self, context: bpy.types.Context) -> str:
        """Replace outdated groups in the file."""
        from bioface.errors import InputError
        from synth.blender.skin_material import outdated_groups, upgrade_groups

        changed = upgrade_groups(bpy)
        elsewhere = [group.library.filepath for group in outdated_groups(bpy)]
        if elsewhere and not changed:
            raise InputError(f"the materials are linked from {elsewhere[0]}; upgrade them there")
        return f"{changed} skin nodes brought up to date"
