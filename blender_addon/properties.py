"""Settings that are kept with a scene, and what runs at the moment."""

from pathlib import Path

import bpy

HEADS = (
    ("procedural", "Procedural", "The parametric head that comes with BioFace"),
    ("ict-facekit", "ICT-FaceKit", "Install it first: bioface-synth heads install ict-facekit"),
    ("file", "File", "A head of your own: an OBJ with its landmarks beside it"),
)
SOURCES = (
    ("PHOTO", "Photo", "A photo of a face; the light is taken out", "IMAGE_DATA", 0),
    ("ALBEDO", "Texture", "An albedo texture, without light or shadows", "TEXTURE", 1),
)


def _is_camera(_: bpy.types.PropertyGroup, candidate: bpy.types.Object) -> bool:
    return candidate.type == "CAMERA"


class BIOFACE_PG_source(bpy.types.PropertyGroup):
    """What skin is read from: `scene.bioface.source`."""

    kind: bpy.props.EnumProperty(
        name="Read From", description="What the picture shows", items=SOURCES
    )
    filepath: bpy.props.StringProperty(
        name="Picture", description="Picture to read skin from", subtype="FILE_PATH"
    )
    use_box: bpy.props.BoolProperty(
        name="Face Box",
        description="Say where the face is, when it is not found or the wrong one is",
    )
    box_corner: bpy.props.IntVectorProperty(
        name="Corner",
        description=(
            "Upper left corner of a square from brows to chin, ear to ear: pixels from the "
            "picture's upper left corner"
        ),
        size=2,
        subtype="COORDINATES",
    )
    box_side: bpy.props.IntProperty(
        name="Side",
        description="Side of that square",
        subtype="PIXEL",
        default=256,
        min=20,
    )
    result: bpy.props.StringProperty(
        name="Maps", description="The maps that were read last", subtype="FILE_PATH"
    )
    melanin: bpy.props.PointerProperty(
        name="Melanin", description="The melanin in false colours", type=bpy.types.Image
    )
    haemoglobin: bpy.props.PointerProperty(
        name="Haemoglobin", description="The haemoglobin in false colours", type=bpy.types.Image
    )
    melanin_range: bpy.props.FloatVectorProperty(
        name="Melanin Range", description="Ends of the colour bar, and median", size=3
    )
    haemoglobin_range: bpy.props.FloatVectorProperty(
        name="Haemoglobin Range", description="Ends of the colour bar, and median", size=3
    )


class BIOFACE_PG_photo(bpy.types.PropertyGroup):
    """One photo of a character: an item of `scene.bioface.photos`."""

    filepath: bpy.props.StringProperty(
        name="Maps",
        description="EXR with the skin maps of the photo; its JSON stands beside it",
        subtype="FILE_PATH",
    )
    camera: bpy.props.PointerProperty(
        name="Camera",
        description=(
            "Camera that stands as the photo was taken. Empty: BioFace heads are fitted to the "
            "face, others are seen through the scene's camera"
        ),
        type=bpy.types.Object,
        poll=_is_camera,
    )
    weight: bpy.props.FloatProperty(
        name="Weight",
        description="How much the photo counts where others show the same skin",
        default=1,
        min=0,
        max=10,
        soft_max=2,
    )


class BIOFACE_PG_dataset(bpy.types.PropertyGroup):
    """Settings of a dataset: `scene.bioface.dataset`."""

    folder: bpy.props.StringProperty(
        name="Folder",
        description="Folder of the dataset; one that was begun is continued",
        subtype="DIR_PATH",
        default="//dataset",
    )
    count: bpy.props.IntProperty(
        name="Pictures", description="How many the dataset shall hold", default=16, min=1
    )
    size: bpy.props.IntProperty(
        name="Size",
        description="Width and height of each picture",
        subtype="PIXEL",
        default=128,
        min=16,
        max=4096,
    )
    samples: bpy.props.IntProperty(
        name="Samples", description="Samples per pixel", default=64, min=1, max=65536
    )
    seed: bpy.props.IntProperty(
        name="Seed", description="The same seed gives the same faces", default=0, min=0
    )
    workers: bpy.props.IntProperty(
        name="Processes",
        description="Render processes at a time; they share the processor's cores",
        default=1,
        min=1,
        max=64,
    )
    heads: bpy.props.EnumProperty(name="Heads", description="Where heads come from", items=HEADS)
    heads_file: bpy.props.StringProperty(
        name="Head File", description="OBJ file of a head of your own", subtype="FILE_PATH"
    )
    sheet: bpy.props.StringProperty(
        name="Contact Sheet", description="Picture of the dataset made last", subtype="FILE_PATH"
    )

    def settings(self) -> dict[str, object]:
        """Keyword arguments of `synth.generate.Settings`."""
        heads = bpy.path.abspath(self.heads_file) if self.heads == "file" else self.heads
        numbers = ("count", "size", "samples", "seed", "workers")
        return {"heads": heads, **{name: getattr(self, name) for name in numbers}}


class BIOFACE_PG_settings(bpy.types.PropertyGroup):
    """`scene.bioface`."""

    source: bpy.props.PointerProperty(type=BIOFACE_PG_source)
    photos: bpy.props.CollectionProperty(type=BIOFACE_PG_photo)
    active_photo: bpy.props.IntProperty(
        name="Active Photo", description="Photo whose settings are shown"
    )
    texture_size: bpy.props.IntProperty(
        name="Texture Size",
        description="Width and height of the skin textures, of each UDIM tile",
        subtype="PIXEL",
        default=1024,
        min=64,
        max=8192,
    )
    level: bpy.props.BoolProperty(
        name="Match Photos",
        description="Bring further photos to the level of the first where they overlap",
        default=True,
    )
    dataset: bpy.props.PointerProperty(type=BIOFACE_PG_dataset)
    truth_samples: bpy.props.IntProperty(
        name="Samples",
        description="Samples per pixel of the ground truth",
        default=64,
        min=1,
        max=65536,
    )

    def add_photo(self, filepath: str) -> None:
        """Put maps on the list of the character's photos, once, and make them active."""
        paths = [bpy.path.abspath(photo.filepath) for photo in self.photos]
        full = bpy.path.abspath(filepath)
        if full not in paths:
            photo = self.photos.add()
            photo.filepath = filepath
            photo.name = Path(full).stem
            paths.append(full)
        self.active_photo = paths.index(full)


class BIOFACE_PG_running(bpy.types.PropertyGroup):
    """What runs in the background: `window_manager.bioface`, never saved."""

    operator: bpy.props.StringProperty(
        name="Operator", description="Identifier of the running operator; empty when none runs"
    )
    share: bpy.props.FloatProperty(
        name="Done", description="How much is done", subtype="FACTOR", min=0, max=1
    )
    text: bpy.props.StringProperty(name="Step", description="What is being done")
    cancel: bpy.props.BoolProperty(name="Cancel", description="Whether it shall stop")


_CLASSES = (
    BIOFACE_PG_source,
    BIOFACE_PG_photo,
    BIOFACE_PG_dataset,
    BIOFACE_PG_settings,
    BIOFACE_PG_running,
)


def register() -> None:
    """Register the classes and attach them to scenes and the window manager."""
    for item in _CLASSES:
        bpy.utils.register_class(item)
    bpy.types.Scene.bioface = bpy.props.PointerProperty(type=BIOFACE_PG_settings)
    bpy.types.WindowManager.bioface = bpy.props.PointerProperty(
        type=BIOFACE_PG_running, options={"SKIP_SAVE"}
    )


def unregister() -> None:
    """Undo `register`."""
    del bpy.types.WindowManager.bioface
    del bpy.types.Scene.bioface
    for item in reversed(_CLASSES):
        bpy.utils.unregister_class(item)
