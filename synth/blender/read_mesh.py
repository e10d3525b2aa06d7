"""The process that reads the mesh of a GLB or Blender file with Blender's own importers.

`python -m synth.blender.read_mesh FILE OBJECT TARGET` writes the arrays of `read_mesh` to the npz
TARGET; what is wrong with FILE goes to standard error, as a line that begins with `ERROR`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import BiofaceError, InputError
from synth.blender.compat import import_bpy

ERROR = "bioface-error: "
"""What the line begins with that says why there is no mesh."""


def main(arguments: list[str]) -> int:
    """Read a file; see the module's text. Returns the exit status."""
    path, object_name, target = arguments
    try:
        np.savez(target, **read_mesh(Path(path), object_name))
    except (BiofaceError, OSError) as error:
        print(f"{ERROR}{error}", file=sys.stderr)
        return 1
    return 0


def read_mesh(path: Path, object_name: str = "") -> dict[str, np.ndarray]:
    """The meshes of a GLB or Blender file as one, modifiers, shape keys and poses applied.

    Objects hidden in the viewport or in renders are left out, instances are taken, other kinds of
    object than meshes are not; the order is that of the objects' names.

    Parameters
    ----------
    path
        A `.glb` or `.blend` file.
    object_name
        The one object to take; all when empty.

    Returns
    -------
    `vertices` (V, 3) in Blender's world coordinates, `corner_vertex` (L,) and `corner_uv` (L, 2)
    of polygon after polygon (NaN without UVs), `polygon_size` (P,) corners, `part` (P,) into
    `parts`, the distinct `object/mesh/material` names.

    Raises
    ------
    InputError
        Blender cannot read the file, or it holds no such mesh.
    MissingDependencyError
        Blender is not installed.
    """
    bpy = import_bpy()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    try:
        if path.suffix.lower() == ".glb":
            bpy.ops.import_scene.gltf(filepath=str(path), disable_bone_shape=True)
        else:
            bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=False)
    except RuntimeError as error:
        raise InputError(f"{path}: Blender cannot read this file ({_reason(error)})") from error
    if object_name:
        _show(bpy, path, object_name)
    pieces = _pieces(bpy.context.evaluated_depsgraph_get(), object_name)
    if not any(len(piece["polygon_size"]) for piece in pieces):
        raise InputError(f"{path}: holds no mesh that is visible in renders")
    if path.suffix.lower() == ".glb":
        pieces = [_welded(piece) for piece in pieces]
    return _joined(pieces)


def _reason(error: RuntimeError) -> str:
    """The line of what an operator says that tells most: of a traceback its last."""
    first, *others = str(error).removeprefix("Error: ").strip().splitlines()
    if not first.startswith("Python: Traceback"):
        return first
    said = [line for line in others if line[:1].strip() and not line.startswith("Location: ")]
    return said[-1] if said else first


def _show(bpy: Any, path: Path, name: str) -> None:
    """Make the object visible, as only then its modifiers are applied."""
    meshes = {item.name: item for item in bpy.context.view_layer.objects if item.type == "MESH"}
    if name not in meshes:
        raise InputError(
            f"{path}: has no mesh object '{name}'; it has {', '.join(sorted(meshes)) or 'none'}"
        )
    meshes[name].hide_render = meshes[name].hide_viewport = False
    meshes[name].hide_set(False)


def _pieces(depsgraph: Any, only: str) -> list[dict[str, Any]]:
    """The arrays of every visible mesh, in order of name; parts still by name."""
    found = []
    for instance in depsgraph.object_instances:
        item = instance.object
        taken = item.type == "MESH" and not item.original.hide_render and instance.show_self
        if taken and only in ("", item.name):
            key = (item.name, tuple(instance.persistent_id))
            found.append((key, _arrays(item, np.array(instance.matrix_world, np.float64))))
    return [piece for _, piece in sorted(found, key=lambda entry: entry[0])]


def _arrays(item: Any, matrix: np.ndarray) -> dict[str, Any]:
    """What `read_mesh` returns, of an evaluated object that stands at `matrix`."""
    mesh = item.to_mesh()
    local = _values(mesh.vertices, "co", 3)
    size = _values(mesh.polygons, "loop_total")
    corner = _values(mesh.loops, "vertex_index")
    layer = next((layer for layer in mesh.uv_layers if layer.active_render), None)
    uv = np.full((len(corner), 2), np.nan) if layer is None else _values(layer.uv, "vector", 2)
    order = np.repeat(_values(mesh.polygons, "loop_start"), size)
    within = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    mirrored = np.linalg.det(matrix[:3, :3]) < 0
    order += np.repeat(size, size) - 1 - within if mirrored else within
    names = [slot.material.name if slot.material else "" for slot in item.material_slots]
    material = _values(mesh.polygons, "material_index")
    arrays = {
        "vertices": local @ matrix[:3, :3].T + matrix[:3, 3],
        "corner_vertex": corner[order],
        "corner_uv": uv[order],
        "polygon_size": size,
        "part": [
            f"{item.name}/{item.data.name}/{names[k] if k < len(names) else ''}" for k in material
        ],
    }
    item.to_mesh_clear()
    return arrays


def _values(items: Any, name: str, width: int = 0) -> np.ndarray:
    """One attribute of a Blender collection: (N, width) float64, or (N,) int64 without `width`."""
    if not width:
        numbers = np.empty(len(items), np.int32)
        items.foreach_get(name, numbers)
        return numbers.astype(np.int64)
    values = np.empty(len(items) * width, np.float32)
    items.foreach_get(name, values)
    return values.reshape(-1, width).astype(np.float64)


def _welded(piece: dict[str, Any]) -> dict[str, Any]:
    """One vertex where GLB holds copies, one for every UV and normal, in order of appearance."""
    _, first, number = np.unique(piece["vertices"], axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    return {
        **piece,
        "vertices": piece["vertices"][first[order]],
        "corner_vertex": position[number.ravel()][piece["corner_vertex"]],
    }


def _joined(pieces: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    counts = [len(piece["vertices"]) for piece in pieces]
    offsets = np.cumsum([0, *counts[:-1]])
    names = [name for piece in pieces for name in piece["part"]]
    parts = {name: number for number, name in enumerate(dict.fromkeys(names))}
    corners = [
        piece["corner_vertex"] + offset for piece, offset in zip(pieces, offsets, strict=True)
    ]
    whole = {
        key: np.concatenate([piece[key] for piece in pieces])
        for key in ("vertices", "corner_uv", "polygon_size")
    }
    return {
        **whole,
        "corner_vertex": np.concatenate(corners),
        "part": np.array([parts[name] for name in names]),
        "parts": np.array(list(parts)),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
