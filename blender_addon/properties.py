"""Settings that are kept with a scene, and what runs at the moment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy

HEADS = (
    ("procedural", "Procedural", "The parametric head that comes with BioFace"),
    ("ict-facekit", "ICT-FaceKit", "Install it first: bioface-synth heads install ict-facekit"),
    ("file", "File", "A head of your own, its landmarks beside it"),
)
SOURCES = (
    ("PHOTO", "Photo", "A photo of a face; the light is taken out", "IMAGE_DATA", 0),
    ("ALBEDO", "Texture", "An albedo texture, without light or shadows", "TEXTURE", 1),
)


def _is_camera(_: bpy.types.PropertyGroup, candidate: bpy.types.Object) -> bool:
    return candidate.type == "CAMERA"


def _file(name: str, description: str) -> Any:
    return bpy.props.StringProperty(name=name, description=description, subtype="FILE_PATH")


def _samples(description: str) -> Any:
    return bpy.props.IntProperty(
        name="Samples", description=description, default=64, min=1, max=65536
    )


def _side(name: str, description: str, default: int, least: int, most: int) -> Any:
    return bpy.props.IntProperty(
        name=name,
        description=description,
        subtype="PIXEL",
        default=default,
        min=least,
        max=most,
    )


class BIOFACE_PG_map(bpy.types.PropertyGroup):
    """One map of the picture that was read last, as it is shown; named as its channel."""

    image: bpy.props.PointerProperty(
        name="Image", description="The map in false colours", type=bpy.types.Image
    )
    low: bpy.props.FloatProperty(
        name="Low", description="Volume fraction at the left end of the colour bar"
    )
    high: bpy.props.FloatProperty(
        name="High", description="Volume fraction at the right end of the colour bar"
    )
    median: bpy.props.FloatProperty(name="Median", description="Median over the skin")


class BIOFACE_PG_source(bpy.types.PropertyGroup):
    """What skin is read from: `scene.bioface.source`."""

    kind: bpy.props.EnumProperty(
        name="Read From", description="What the picture shows", items=SOURCES
    )
    filepath: _file("Picture", "Picture to read skin from")
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
    box_side: _side("Side", "Side of that square", 256, 20, 65536)
    result: _file("Maps", "The maps that were read last")
    maps: bpy.props.CollectionProperty(type=BIOFACE_PG_map)
    show_uncertainty: bpy.props.BoolProperty(
        name="Uncertainty", description="Show how far the pigments of each pixel may be off"
    )

    def set_box(self, x: float, y: float, side: float) -> None:
        """Say where the face is: upper left corner and side of its square, pixels."""
        self.box_corner, self.box_side = (round(x), round(y)), round(side)

    def show(self, shown: Mapping[str, Any]) -> None:
        """List maps as `synth.blender.preview.show_maps` gives them, instead of those before."""
        former = {item.image for item in self.maps} - {None}
        self.maps.clear()
        for name, map_shown in shown.items():
            item = self.maps.add()
            item.name, item.image, item.median = name, map_shown.image, map_shown.median
            item.low, item.high = map_shown.low, map_shown.high
        bpy.data.batch_remove([image for image in former if not image.users])


class BIOFACE_PG_photo(bpy.types.PropertyGroup):
    """One photo of a character: an item of `scene.bioface.photos`."""

    filepath: _file("Maps", "EXR with the skin maps of the photo; its JSON stands beside it")
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
    size: _side("Size", "Width and height of each picture", 128, 16, 4096)
    samples: _samples("Samples per pixel")
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
    heads_file: _file("Head File", "OBJ, GLB or Blender file of a head of your own")
    sheet: _file("Contact Sheet", "Picture of the dataset made last")

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
    texture_size: _side(
        "Texture Size", "Width and height of the skin textures, of each UDIM tile", 1024, 64, 8192
    )
    level: bpy.props.BoolProperty(
        name="Match Photos",
        description="Bring further photos to the level of the first where they overlap",
        default=True,
    )
    dataset: bpy.props.PointerProperty(type=BIOFACE_PG_dataset)
    truth_samples: _samples("Samples per pixel of the ground truth")

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
    BIOFACE_PG_map,
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
