"""Scenes small enough for tests: a ball or a plate for a head, one lamp, even surroundings."""

import numpy as np

from synth.scene import REGIONS, AreaLight, Environment, HeadMesh, Scene, View

FACE = REGIONS.index("face")
EYE = REGIONS.index("eye")


def ball(radius=10.0, rows=16, columns=32):
    """A sphere whose half at x > 0 is eye, the other half face; poles at +-Y."""
    elevation = np.linspace(np.pi / 2, -np.pi / 2, rows + 1)
    azimuth = np.linspace(-np.pi, np.pi, columns, endpoint=False)
    elevation, azimuth = np.meshgrid(elevation, azimuth, indexing="ij")
    vertices = radius * np.stack(
        [
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.cos(azimuth),
        ],
        -1,
    ).reshape(-1, 3)
    i, j = (grid.ravel() for grid in np.mgrid[:rows, :columns])
    faces = np.stack(
        [
            i * columns + j,
            (i + 1) * columns + j,
            (i + 1) * columns + (j + 1) % columns,
            i * columns + (j + 1) % columns,
        ],
        1,
    )
    corners = np.array([[0, 0], [0, -1], [1, -1], [1, 0]])
    uv = np.stack([j, rows - i], 1)[:, None] + corners
    return _mesh(
        vertices,
        faces,
        uv / [columns, rows],
        np.where(vertices[faces].mean(1)[:, 0] > 0, EYE, FACE),
    )


def plate(half=10.0):
    """A square of face in the plane z = 0, looking along +Z, as two triangles."""
    vertices = half * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    faces = np.array([[0, 1, 2, -1], [0, 2, 3, -1]])
    uv = (vertices[np.maximum(faces, 0)][..., :2] / half + 1) / 2
    return _mesh(vertices, faces, uv, np.array([FACE, FACE]))


def _mesh(vertices, faces, uv, region):
    vertices = vertices.astype(np.float32)
    return HeadMesh(
        vertices,
        vertices,
        faces.astype(np.int32),
        uv.astype(np.float32),
        region.astype(np.uint8),
        np.zeros(68, np.int32),
    )


def scene(head=None, *, lights=(), radiance=0.2, distance=120.0, **attributes):
    """A matt `head` seen from the front under `lights` and surroundings of constant radiance."""
    head = ball() if head is None else head
    fields = {
        "melanin": 0.1,
        "haemoglobin": 0.02,
        "roughness": 0.5,
        "specular": 0.0,
        "bump": 0.0,
        **{f"reflectance.{k}": 0.2 * (k + 1) for k in range(4)},
        **attributes,
    }
    ones = np.ones(len(head.vertices), np.float32)
    surroundings = np.broadcast_to(np.float32(radiance), (16, 32))
    return Scene(
        head,
        {name: ones * np.float32(value) for name, value in fields.items()},
        tuple(lights),
        Environment("environment", np.ascontiguousarray(surroundings, np.float32)),
        View(np.array([0.0, 0.0, distance]), np.eye(3), 150.0),
        {},
    )


def lamp(group="key", position=(0.0, 0.0, 100.0), size=30.0, irradiance=1.0):
    return AreaLight(group, np.array(position), size, irradiance)
