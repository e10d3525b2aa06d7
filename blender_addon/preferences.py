"""Settings of the user, kept with Blender's preferences."""

from pathlib import Path

import bpy


class BIOFACE_AP_preferences(bpy.types.AddonPreferences):
    """Preferences > Add-ons > BioFace."""

    bl_idname = __package__

    results: bpy.props.StringProperty(
        name="Results",
        description="Folder for the skin maps of photos. Empty: the extension's own folder",
        subtype="DIR_PATH",
    )
    network: bpy.props.StringProperty(
        name="Network",
        description="Trained weights (.onnx) that read photos. Empty: those of the extension",
        subtype="FILE_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Lay out the preferences."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "results", placeholder="Extension folder")
        layout.prop(self, "network", placeholder="As shipped")
        row = layout.row()
        row.alignment = "RIGHT"
        row.operator("bioface.asset_library_add", icon="ASSET_MANAGER")


def preferences(context: bpy.types.Context) -> BIOFACE_AP_preferences | None:
    """The user's settings; None while the extension is not enabled in the preferences."""
    addon = context.preferences.addons.get(__package__)
    return addon.preferences if addon else None


def user_folder(name: str) -> Path:
    """A folder for the user's files of one kind, made if it is not there."""
    return Path(bpy.utils.extension_path_user(__package__, path=name, create=True))


def results_folder(context: bpy.types.Context) -> Path:
    """Where maps of photos go."""
    chosen = preferences(context)
    if chosen is not None and chosen.results:
        return Path(bpy.path.abspath(chosen.results))
    return user_folder("maps")


def network_file(context: bpy.types.Context) -> str | None:
    """The weights that read photos: the user's, else None for those of the package."""
    chosen = preferences(context)
    if chosen is not None and chosen.network:
        return str(Path(bpy.path.abspath(chosen.network)))
    return None


register, unregister = bpy.utils.register_classes_factory((BIOFACE_AP_preferences,))
