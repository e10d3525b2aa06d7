"""A mesh object as a head: arrays in its own axes, its landmarks, and how a camera sees it."""

from __future__ import annotations

from typing import Any

import numpy as np

from bioface.errors import InputError
from synth.heads.nearest import nearest_finder
from synth.project import Fit
from synth.project.camera import LANDMARKS as COUNT
from synth.scene import REGIONS, HeadMesh

LANDMARKS = "bioface_landmarks"
"""Mesh attribute that heads of this project carry: at the vertex of a landmark its number, from 1,
and 0 elsewhere. Edits of the mesh keep it. Heads of earlier versions have a property of this name
instead, the vertices of the 68 landmarks."""

_REACH = 0.5
"""cm by which modifiers may move a landmark that is looked for among other vertices."""


def mark_landmarks(mesh: Any, vertices: np.ndarray) -> None:
    """Have a mesh carry the landmarks (68,) at these of its vertices; see `LANDMARKS`."""
    numbers = np.zeros(len(mesh.vertices), np.int32)
    numbers[vertices] = np.arange(1, len(vertices) + 1)
    mesh.attributes.new(LANDMARKS, "INT", "POINT").data.foreach_set("value", numbers)


def head_from_object(bpy: Any, mesh_object: Any, skin_slots: set[int]) -> HeadMesh:
    """The mesh of an object, modifiers applied, as a head in its own axes, in centimetres.

    Parameters
    ----------
    skin_slots
        Material slots whose faces are skin; a slot beyond the object's is its last.

    Returns
    -------
    A `HeadMesh` of triangles with the UV map that renders use; `landmarks` is empty where the mesh
    does not carry them, and -1 for those whose vertex edits have removed. Where modifiers add or
    remove vertices, those nearest to the mesh's own stand for them, and -1 for any that none comes
    within 5 mm of.

    Raises
    ------
    InputError
        The mesh has no faces or no UV map, or the object is flat for a scale of 0.
    """
    scale = _centimetres(bpy, mesh_object)
    if not scale:
        raise InputError(f"{mesh_object.name}: its scale along an axis is 0; set another")
    if mesh_object.mode == "EDIT":
        mesh_object.update_from_editmode()
    marks, own = _landmarks(mesh_object)
    evaluated = mesh_object.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    try:
        if not len(mesh.polygons):
            raise InputError(f"{mesh_object.name}: the mesh has no faces")
        layer = next((layer for layer in mesh.uv_layers if layer.active_render), None)
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
    vertices *= scale
    if len(own) != len(vertices):
        there = marks >= 0
        marks[there] = _nearest(own[marks[there]] * scale, vertices)
    return HeadMesh(
        vertices=vertices,
        canonical=vertices,
        faces=np.concatenate([triangles, np.full((count, 1), -1, np.int32)], 1),
        uv=np.concatenate([uv, uv[:, :1]], 1),
        region=np.where(skin, REGIONS.index("face"), 0).astype(np.uint8),
        landmarks=marks,
    )


def _landmarks(mesh_object: Any) -> tuple[np.ndarray, np.ndarray]:
    """The landmarks of an object's own mesh, without modifiers, and its vertices.

    Returns
    -------
    marks
        (68,) int32 vertices, -1 for those that are gone; (0,) where the mesh carries none.
    vertices
        (V, 3) in the object's units.
    """
    mesh = mesh_object.to_mesh()
    try:
        vertices = _read(mesh.vertices, "co", np.float32, (-1, 3))
        attribute = mesh.attributes.get(LANDMARKS)
        if attribute is None:
            marks = np.array(mesh_object.data.get(LANDMARKS, []), np.int32)
            marks[marks >= len(vertices)] = -1
            return marks, vertices
        numbers = _read(attribute.data, "value", np.int32, (-1,))
    finally:
        mesh_object.to_mesh_clear()
    # Vertices that an edit adds may have the number of one beside them, but a higher index.
    found, first = np.unique(numbers, return_index=True)
    there = (found > 0) & (found <= COUNT)
    marks = np.full(COUNT if there.any() else 0, -1, np.int32)
    marks[found[there] - 1] = first[there]
    return marks, vertices


def _nearest(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Indices of the vertices nearest to points (N, 3); -1 for points that have none in reach."""
    found = nearest_finder(vertices)(points).astype(np.int32)
    away = np.linalg.norm(vertices[found] - points, axis=1)
    return np.where(away <= _REACH, found, np.int32(-1))


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
