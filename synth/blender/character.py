"""An artist's character: photo maps onto its UVs, through cameras or landmarks."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.spectral.skin import SkinModel
from synth.blender.images import data_image, tiled_image
from synth.blender.object_head import fit_from_camera, head_from_object
from synth.blender.skin_material import (
    MAP,
    attach_maps,
    map_node,
    set_group,
    skin_group,
    skin_material,
    skin_node,
)
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
from synth.project.estimate import read_maps, skin_of
from synth.scene import HeadMesh

Warn = Callable[[str], Any]


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
    warn: Warn = warnings.warn,
) -> float:
    """Bring the maps of photos onto the UV map that renders use and into the skin material.

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
    warn
        As of `attach_to_slots`.

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
    attach_to_slots(bpy, mesh_object, slots, images, estimates[0].skin, warn)
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
    bpy: Any,
    mesh_object: Any,
    slots: Iterable[int],
    images: Mapping[str, Any],
    skin: SkinModel,
    warn: Warn = warnings.warn,
) -> None:
    """Connect `melanin` and `haemoglobin` images to the skin materials in `slots`.

    The materials' groups become those of `skin`. Of the images that nothing uses any more, those
    that an earlier call connected are removed and the artist's own stay in the file.

    Parameters
    ----------
    warn
        Takes a line that names what of the artist's was connected: it is kept, unconnected.
    """
    former: set[Any] = set()
    kept: list[str] = []
    for index in slots:
        material = mesh_object.material_slots[index].material
        node = skin_node(material)
        set_group(node, skin_group(bpy, skin))
        former |= {source.image for name in images if (source := map_node(node, name))}
        replaced = attach_maps(material, images)
        kept += [f"the node {other.label or other.name} of {material.name}" for other in replaced]
    for image in former - {None, *images.values()}:
        if image.users:
            continue
        if image.get(MAP):
            bpy.data.images.remove(image)
        elif image.library is None:
            image.use_fake_user = True
            kept.append(f"the image {image.name}")
    for name, image in images.items():
        image[MAP] = name
        image.name = f"{mesh_object.name} {name}"
    if kept:
        named = ", ".join(dict.fromkeys(kept))
        warn(f"{mesh_object.name}: its pigments no longer come from {named}, kept in the file")


def attach_texture_maps(
    bpy: Any, mesh_object: Any, path: str | Path, *, warn: Warn = warnings.warn
) -> None:
    """Use the maps of an albedo texture on an object whose UV map the texture was made for.

    What in the texture is no skin takes the median of the skin. The skin model is that of the JSON
    beside the maps; the calibrated one where there is none.

    Parameters
    ----------
    path
        EXR of `bioface estimate --albedo`.
    warn
        As of `attach_to_slots`.

    Raises
    ------
    InputError
        The file is missing, damaged, holds no skin or was read from a photo; or the object's skin
        is linked from another file.
    """
    slots = skin_slots(mesh_object)
    check_local(mesh_object, slots)
    planes, record = read_maps(path), _record(Path(path).with_suffix(".json"))
    if "faces" in record:
        raise InputError(f"{path}: maps of a photo, not of a texture; project them instead")
    try:
        model = skin_of(record) if record else SkinModel.load()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: the JSON beside it tells no skin model known here; read the texture again"
        ) from error
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
    attach_to_slots(bpy, mesh_object, slots, images, model, warn)


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
        A material is linked from another file, or the mesh that holds the slot is; of a mesh, a
        library override, which has no slots of its own, counts too.
    """
    owned = mesh_object.material_slots
    holders = [owned[index].material for index in slots]
    if not holders:
        active = mesh_object.active_material_index
        by_object = active < len(owned) and owned[active].link == "OBJECT"
        holders = [mesh_object if by_object else mesh_object.data]
    for holder in holders:
        override = holder.override_library if holder == mesh_object.data else None
        library = override.reference.library if override else holder.library
        if library is not None:
            raise InputError(
                f"{mesh_object.name}: {holder.name} is linked from {library.filepath}; "
                "make it local first"
            )


def _record(path: Path) -> dict[str, Any]:
    """The JSON beside maps; empty where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _fit(
    bpy: Any, mesh_object: Any, head: HeadMesh, photo: PhotoOfCharacter, estimate: Estimate
) -> Fit:
    known = estimate.landmarks is not None or estimate.box is not None
    if photo.camera is None and known and len(head.landmarks):
        lost = int((head.landmarks < 0).sum())
        if lost:
            raise InputError(
                f"{mesh_object.name}: modifiers or edits have moved or removed {lost} of its "
                f"{len(head.landmarks)} landmarks; turn the modifiers off, or choose a camera for "
                "the photo"
            )
        if estimate.landmarks is not None:
            return fit_head(head, estimate.landmarks, estimate.shape)
        if estimate.box is not None:
            return fit_box(head, estimate.box, estimate.shape)
    return fit_from_camera(bpy, mesh_object, head, estimate.shape, photo.camera)
