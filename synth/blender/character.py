"""An artist's character: photo maps onto its UVs, through cameras or landmarks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.exr import read_exr
from bioface.spectral.skin import SkinModel
from synth.blender.images import data_image, tiled_image
from synth.blender.skin_material import (
    attach_maps,
    set_group,
    skin_group,
    skin_material,
    skin_node,
)
from synth.heads.nearest import nearest_finder
from synth.project import (
    MAPS,
    Estimate,
    Fit,
    Shot,
    fit_box,
    fit_head,
    project_photos,
    read_estimate,
)
from synth.scene import REGIONS, HeadMesh

LANDMARKS = "bioface_landmarks"
"""Mesh property: the vertices of the 68 landmarks; heads of `bioface-synth apply` carry it."""

_REACH = 0.5
"""cm by which modifiers may move a landmark that is looked for among other vertices."""

MAP = "bioface_map"
"""Image property: which map an image of this project is, so that it may be replaced."""


@dataclass(frozen=True)
class PhotoOfCharacter:
    """One photo to project.

    Attributes
    ----------
    path
        EXR of `bioface estimate` or of `synth.blender.ground_truth`, beside its JSON.
    camera
        Camera object that stands as the photo was taken. None: a mesh that carries landmarks is
        fitted to those of the photo, or roughly to its face box where there are none; any other is
        taken as the scene's camera shows it.
    weight
        How much it counts where several photos see the same skin, >= 0.
    """

    path: str | Path
    camera: Any = None
    weight: float = 1.0


def project_estimates(
    bpy: Any,
    mesh_object: Any,
    photos: Sequence[PhotoOfCharacter],
    size: int,
    *,
    level: bool = True,
) -> float:
    """Bring the maps of photos onto an object's active UV map and into its skin material.

    Skin is what has a "BioFace Skin" material; where nothing has, the active material slot gets
    one (`add_skin_material`). Nothing else of the object changes, and running it again replaces
    the images.

    Parameters
    ----------
    photos
        At least one; the first sets the level of the pigments and the skin model.
    size
        Texels along each side of a UV tile.
    level
        See `synth.project.project_photos`.

    Returns
    -------
    The share of the skin's texels that the photos show.

    Raises
    ------
    InputError
        An estimate, the mesh or a camera cannot be used.
    """
    if not photos:
        raise InputError("no photo to project; add one to the list")
    estimates = [read_estimate(photo.path) for photo in photos]
    slots = skin_slots(mesh_object)
    check_local(mesh_object, slots)
    head = head_from_object(bpy, mesh_object, slots or {mesh_object.active_material_index})
    shots = [
        Shot(_fit(bpy, mesh_object, head, photo, estimate), estimate.maps, photo.weight)
        for photo, estimate in zip(photos, estimates, strict=True)
    ]
    tiles = project_photos(head, shots, size, level=level)
    images = {
        name: tiled_image(
            bpy,
            f"{mesh_object.name} {name}",
            {number: tile.maps[name] for number, tile in tiles.items()},
        )
        for name in MAPS
    }
    if not slots:
        add_skin_material(bpy, mesh_object)
        slots = {mesh_object.active_material_index}
    attach_to_slots(bpy, mesh_object, slots, images, estimates[0].skin)
    covered = sum(float(tile.covered.sum()) for tile in tiles.values())
    return sum(float(tile.seen.sum()) for tile in tiles.values()) / covered


def add_skin_material(bpy: Any, mesh_object: Any) -> Any:
    """Give an object's active slot a new "BioFace Skin" material, which it returns.

    A material that stood there stays in the file. The mesh stores its rest position for the
    shader, so that freckles stick to skin that deforms.

    Raises
    ------
    InputError
        The slot belongs to a mesh that is linked from another file.
    """
    check_local(mesh_object, ())
    former = mesh_object.active_material
    if former is not None and former.library is None:
        former.use_fake_user = True
    mesh_object.active_material = skin_material(bpy, "Skin")
    mesh_object.add_rest_position_attribute = True
    return mesh_object.active_material


def attach_to_slots(
    bpy: Any, mesh_object: Any, slots: Iterable[int], images: Mapping[str, Any], skin: SkinModel
) -> None:
    """Connect `melanin` and `haemoglobin` images to the skin materials in `slots`.

    The materials' groups become those of `skin`. Of the images that nothing uses any more, those
    that an earlier call connected are removed and the artist's own stay in the file.
    """
    former: set[Any] = set()
    for index in slots:
        material = mesh_object.material_slots[index].material
        node = skin_node(material)
        set_group(node, skin_group(bpy, skin))
        sources = (node.inputs[name.capitalize()].links for name in images)
        former |= {getattr(links[0].from_node, "image", None) for links in sources if links}
        attach_maps(material, images)
    for image in former - {None, *images.values()}:
        if image.users:
            continue
        if image.get(MAP):
            bpy.data.images.remove(image)
        elif image.library is None:
            image.use_fake_user = True
    for name, image in images.items():
        image[MAP] = name
        image.name = f"{mesh_object.name} {name}"


def attach_texture_maps(bpy: Any, mesh_object: Any, path: str | Path) -> None:
    """Use the maps of an albedo texture on an object whose UV map the texture was made for.

    What in the texture is no skin takes the median of the skin.

    Parameters
    ----------
    path
        EXR of `bioface estimate --albedo`.

    Raises
    ------
    InputError
        The file is missing, damaged, holds no skin or was read from a photo; or the object's skin
        is linked from another file.
    """
    slots = skin_slots(mesh_object)
    check_local(mesh_object, slots)
    planes = read_exr(path)
    if _lists_faces(Path(path).with_suffix(".json")):
        raise InputError(f"{path}: maps of a photo, not of a texture; project them instead")
    absent = [name for name in (*MAPS, "mask") if name not in planes]
    if absent:
        raise InputError(f"{path}: no channel {absent[0]}; read the texture again")
    skin = planes["mask"] > 0.5
    if not skin.any():
        raise InputError(f"{path}: holds no skin")
    images = {
        name: data_image(
            bpy,
            f"{mesh_object.name} {name}",
            np.where(skin, planes[name], np.median(planes[name][skin])),
        )
        for name in MAPS
    }
    if not slots:
        add_skin_material(bpy, mesh_object)
        slots = {mesh_object.active_material_index}
    attach_to_slots(bpy, mesh_object, slots, images, SkinModel.load())


def skin_slots(mesh_object: Any) -> set[int]:
    """Indices of the material slots that hold a "BioFace Skin" material."""
    return {
        index
        for index, slot in enumerate(mesh_object.material_slots)
        if skin_node(slot.material) is not None
    }


def check_local(mesh_object: Any, slots: Iterable[int]) -> None:
    """Refuse to change what another file holds: Blender would show it and never save it.

    Parameters
    ----------
    slots
        Material slots whose skin materials shall change; none: the active slot shall get one.

    Raises
    ------
    InputError
        A material is linked from another file, or the mesh that holds the slot is.
    """
    owned = mesh_object.material_slots
    holders = [owned[index].material for index in slots]
    if not holders:
        active = mesh_object.active_material_index
        by_object = active < len(owned) and owned[active].link == "OBJECT"
        holders = [mesh_object if by_object else mesh_object.data]
    for holder in holders:
        if holder.library is not None:
            raise InputError(
                f"{mesh_object.name}: {holder.name} is linked from {holder.library.filepath}; "
                "make it local first"
            )


def _lists_faces(record: Path) -> bool:
    """Whether the JSON of maps tells of faces, as that of a photo does and a texture's does not."""
    try:
        return "faces" in json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _fit(
    bpy: Any, mesh_object: Any, head: HeadMesh, photo: PhotoOfCharacter, estimate: Estimate
) -> Fit:
    if photo.camera is None and LANDMARKS in mesh_object.data:
        known = estimate.landmarks is not None or estimate.box is not None
        if known and not len(head.landmarks):
            raise InputError(
                f"{mesh_object.name}: modifiers or edits have moved its landmarks; turn the "
                "modifiers off, or choose a camera for the photo"
            )
        if estimate.landmarks is not None:
            return fit_head(head, estimate.landmarks, estimate.shape)
        if estimate.box is not None:
            return fit_box(head, estimate.box, estimate.shape)
    return fit_from_camera(bpy, mesh_object, head, estimate.shape, photo.camera)


def head_from_object(bpy: Any, mesh_object: Any, skin_slots: set[int]) -> HeadMesh:
    """The mesh of an object, modifiers applied, as a head in its own axes, in centimetres.

    Parameters
    ----------
    skin_slots
        Material slots whose faces are skin; a slot beyond the object's is its first.

    Returns
    -------
    A `HeadMesh` of triangles with the active UV map; `landmarks` is empty where the mesh does not
    carry them. Where modifiers add or remove vertices, those nearest to the mesh's own stand for
    them, unless one is farther than 5 mm.

    Raises
    ------
    InputError
        The mesh has no faces or no UV map.
    """
    evaluated = mesh_object.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    try:
        if not len(mesh.polygons):
            raise InputError(f"{mesh_object.name}: the mesh has no faces")
        layer = mesh.uv_layers.active
        if layer is None:
            raise InputError(f"{mesh_object.name}: the mesh has no UV map; unwrap it first")
        mesh.calc_loop_triangles()
        count = len(mesh.loop_triangles)
        vertices = _read(mesh.vertices, "co", np.float32, (-1, 3))
        corners = _read(mesh.loop_triangles, "loops", np.int32, (count, 3))
        triangles = _read(mesh.loop_triangles, "vertices", np.int32, (count, 3))
        slot = _read(mesh.loop_triangles, "material_index", np.int32, (count,))
        uv = _read(layer.uv, "vector", np.float32, (-1, 2))[corners]
    finally:
        evaluated.to_mesh_clear()
    last = max(len(mesh_object.material_slots) - 1, 0)
    skin = np.isin(np.minimum(slot, last), sorted(skin_slots))
    scale = _centimetres(bpy, mesh_object)
    vertices *= scale
    marks = np.array(mesh_object.data.get(LANDMARKS, []), np.int32)
    own = mesh_object.data.vertices
    if marks.max(initial=0) >= len(own):
        marks = marks[:0]
    elif len(marks) and len(own) != len(vertices):
        marks = _nearest(_read(own, "co", np.float32, (-1, 3))[marks] * scale, vertices)
    return HeadMesh(
        vertices=vertices,
        canonical=vertices,
        faces=np.concatenate([triangles, np.full((count, 1), -1, np.int32)], 1),
        uv=np.concatenate([uv, uv[:, :1]], 1),
        region=np.where(skin, REGIONS.index("face"), 0).astype(np.uint8),
        landmarks=marks,
    )


def _nearest(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Indices of the vertices nearest to points (N, 3); none if a point has none within reach."""
    found = nearest_finder(vertices)(points).astype(np.int32)
    away = np.linalg.norm(vertices[found] - points, axis=1)
    return found if away.max() <= _REACH else found[:0]


def fit_from_camera(
    bpy: Any, mesh_object: Any, head: HeadMesh, shape: tuple[int, int], camera_object: Any = None
) -> Fit:
    """The head as a camera sees it, which the artist has aligned with the photo.

    Parameters
    ----------
    head
        `head_from_object` of the same object.
    shape
        (H, W) of the photo, which fills the camera's frame.
    camera_object
        None: the scene's camera.

    Raises
    ------
    InputError
        The scene has no camera, or the object lies behind it.
    """
    camera_object = camera_object or bpy.context.scene.camera
    if camera_object is None:
        raise InputError("the scene has no camera; add one and align it with the photo")
    depsgraph = bpy.context.evaluated_depsgraph_get()
    camera = camera_object.evaluated_get(depsgraph)
    height, width = shape
    lens = np.array(camera.calc_matrix_camera(depsgraph, x=width, y=height))
    to_camera = np.array(camera.matrix_world.normalized().inverted() @ mesh_object.matrix_world)
    scale, own_scale = _centimetres(bpy), _centimetres(bpy, mesh_object)
    points = np.concatenate([head.vertices / own_scale, np.ones((len(head.vertices), 1))], 1)
    seen = points @ to_camera.T
    clip = seen @ lens.T
    if (clip[:, 3] <= 0).any():
        raise InputError(f"{mesh_object.name}: part of it lies behind the camera")
    screen = clip[:, :2] / clip[:, 3:]
    linear = to_camera[:3, :3]
    return Fit(
        rotation=linear * scale / own_scale,
        position=-own_scale * np.linalg.solve(linear, to_camera[:3, 3]),
        focal=float(lens[0, 0] * width / 2),
        points=(screen * [1, -1] + 1) / 2 * [width, height],
        depth=-seen[:, 2] * scale,
        residual=0.0,
    )


def _centimetres(bpy: Any, mesh_object: Any = None) -> float:
    """Centimetres in one unit of the scene, or in one of an object's own units, scale included."""
    size = 1.0 if mesh_object is None else abs(mesh_object.matrix_world.determinant()) ** (1 / 3)
    return 100.0 * size * float(bpy.context.scene.unit_settings.scale_length)


def _read(items: Any, name: str, kind: Any, shape: tuple[int, ...]) -> np.ndarray:
    width = shape[1] if len(shape) > 1 else 1
    values = np.empty(len(items) * width, kind)
    items.foreach_get(name, values)
    return values.reshape(shape)
