"""Parts that are not the head's own mesh: glasses, headwear, strands of hair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from synth.heads.parts import Patch
from synth.scene import REGIONS, HeadMesh


@dataclass(frozen=True)
class Part:
    """A piece of mesh that is not skin.

    Attributes
    ----------
    patch
        Vertices (V, 3) cm in head coordinates and faces.
    region
        Its name in `REGIONS`.
    reflectance
        (4,) or (V, 4) Bernstein coefficients in 0-1.
    roughness, specular
        0-1, as `Scene.attributes`.
    """

    patch: Patch
    region: str
    reflectance: np.ndarray
    roughness: float
    specular: float


def attach(
    head: HeadMesh, attributes: dict[str, np.ndarray], parts: Sequence[Part]
) -> tuple[HeadMesh, dict[str, np.ndarray]]:
    """`head` and its attributes with `parts` appended; the head's own indices stay.

    The parts hide what is behind them and cast shadows like the rest of the mesh; their `skin` is
    0, so that the mask leaves them out.
    """
    vertices, canonical, faces = [head.vertices], [head.canonical], [head.faces]
    uv, region = [head.uv], [head.region]
    fields = {name: [values] for name, values in attributes.items()}
    start = len(head.vertices)
    for part in parts:
        points = part.patch.vertices.astype(np.float32)
        count = len(points)
        vertices.append(points)
        canonical.append(points)
        faces.append(np.where(part.patch.faces < 0, -1, part.patch.faces + start).astype(np.int32))
        uv.append(part.patch.uv.astype(np.float32))
        region.append(np.full(len(part.patch.faces), REGIONS.index(part.region), np.uint8))
        colour = np.broadcast_to(np.clip(part.reflectance, 0, 1), (count, 4))
        own = {f"reflectance.{k}": colour[:, k] for k in range(4)}
        own["roughness"] = np.full(count, part.roughness)
        own["specular"] = np.full(count, part.specular)
        for name, columns in fields.items():
            columns.append(own.get(name, np.zeros(count)).astype(np.float32))
        start += count
    grown = replace(
        head,
        vertices=np.concatenate(vertices),
        canonical=np.concatenate(canonical),
        faces=np.concatenate(faces),
        uv=np.concatenate(uv),
        region=np.concatenate(region),
    )
    return grown, {name: np.concatenate(columns) for name, columns in fields.items()}
