"""An artist's mesh as the arrays that projection works on, seen through the scene's camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import InputError
from synth.blender.images import tiled_image
from synth.blender.skin_material import (
    attach_maps,
    set_group,
    skin_group,
    skin_material,
    skin_node,
)
from synth.project import MAPS, Fit, fit_head, project_maps, read_estimate
from synth.scene import REGIONS, HeadMesh

LANDMARKS = "bioface_landmarks"
"""Mesh property: the vertices of the 68 landmarks; heads of `bioface-synth apply` carry it."""


def project_estimate(bpy: Any, mesh_object: Any, path: str | Path, size: int) -> float:
    """Bring an estimate's maps onto an object's active UV map and attach them to its skin material.

    Skin is what has a "BioFace Skin" material; where nothing has, the active material slot gets
    one. A mesh that carries landmarks is fitted to the face of the photo, any other is taken as
    the scene's camera shows it. Running it again replaces the images.

    Parameters
    ----------
    path
        EXR of `bioface estimate`, beside its JSON.
    size
        Texels along each side of a UV tile.

    Returns
    -------
    The share of the skin's texels that the photo shows.

    Raises
    ------
    InputError
        The estimate, the mesh or the camera cannot be used.
    """
    estimate = read_estimate(path)
    slots = {
        index
        for index, slot in enumerate(mesh_object.material_slots)
        if skin_node(slot.material) is not None
    }
    head = head_from_object(bpy, mesh_object, slots or {mesh_object.active_material_index})
    if len(head.landmarks):
        fit = fit_head(head, estimate.landmarks, estimate.shape)
    else:
        fit = fit_from_camera(bpy, mesh_object, head, estimate.shape)
    tiles = project_maps(head, fit, estimate.maps, size)
    images = {
        name: tiled_image(
            bpy,
            f"{mesh_object.name} {name}",
            {number: tile.maps[name] for number, tile in tiles.items()},
        )
        for name in MAPS
    }
    if not slots:
        mesh_object.active_material = skin_material(bpy, "Skin")
        slots = {mesh_object.active_material_index}
    for index in slots:
        material = mesh_object.material_slots[index].material
        set_group(skin_node(material), skin_group(bpy, estimate.skin))
        attach_maps(material, images)
    covered = sum(float(tile.covered.sum()) for tile in tiles.values())
    return sum(float(tile.seen.sum()) for tile in tiles.values()) / covered


def head_from_object(bpy: Any, mesh_object: Any, skin_slots: set[int]) -> HeadMesh:
    """The mesh of an object, modifiers applied, as a head in its own axes, in centimetres.

    Parameters
    ----------
    skin_slots
        Material slots whose faces are skin; a slot beyond the object's is its first.

    Returns
    -------
    A `HeadMesh` of triangles with the active UV map; `landmarks` is empty where the mesh does not
    carry them (or a modifier has renumbered its vertices).

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
    marks = mesh_object.data.get(LANDMARKS, [])
    if len(vertices) != len(mesh_object.data.vertices):
        marks = []
    last = max(len(mesh_object.material_slots) - 1, 0)
    skin = np.isin(np.minimum(slot, last), sorted(skin_slots))
    vertices *= _centimetres(bpy)
    return HeadMesh(
        vertices=vertices,
        canonical=vertices,
        faces=np.concatenate([triangles, np.full((count, 1), -1, np.int32)], 1),
        uv=np.concatenate([uv, uv[:, :1]], 1),
        region=np.where(skin, REGIONS.index("face"), 0).astype(np.uint8),
        landmarks=np.array(marks, np.int32),
    )


def fit_from_camera(bpy: Any, mesh_object: Any, head: HeadMesh, shape: tuple[int, int]) -> Fit:
    """The head as the scene's camera sees it: the artist has aligned the camera with the photo.

    Parameters
    ----------
    head
        `head_from_object` of the same object.
    shape
        (H, W) of the photo, which fills the camera's frame.

    Raises
    ------
    InputError
        The scene has no camera, or the object lies behind it.
    """
    scene = bpy.context.scene
    if scene.camera is None:
        raise InputError("the scene has no camera; add one and align it with the photo")
    depsgraph = bpy.context.evaluated_depsgraph_get()
    camera = scene.camera.evaluated_get(depsgraph)
    height, width = shape
    lens = np.array(camera.calc_matrix_camera(depsgraph, x=width, y=height))
    to_camera = np.array(camera.matrix_world.normalized().inverted() @ mesh_object.matrix_world)
    scale = _centimetres(bpy)
    points = np.concatenate([head.vertices / scale, np.ones((len(head.vertices), 1))], 1)
    seen = points @ to_camera.T
    clip = seen @ lens.T
    if (clip[:, 3] <= 0).any():
        raise InputError(f"{mesh_object.name}: part of it lies behind the camera")
    screen = clip[:, :2] / clip[:, 3:]
    linear = to_camera[:3, :3]
    return Fit(
        rotation=linear,
        position=-scale * np.linalg.solve(linear, to_camera[:3, 3]),
        focal=float(lens[0, 0] * width / 2),
        points=(screen * [1, -1] + 1) / 2 * [width, height],
        depth=-seen[:, 2] * scale,
        residual=0.0,
    )


def _centimetres(bpy: Any) -> float:
    """Centimetres in one Blender unit of the scene."""
    return 100.0 * float(bpy.context.scene.unit_settings.scale_length)


def _read(items: Any, name: str, kind: Any, shape: tuple[int, ...]) -> np.ndarray:
    width = shape[1] if len(shape) > 1 else 1
    values = np.empty(len(items) * width, kind)
    items.foreach_get(name, values)
    return values.reshape(shape)
