"""One sample as plain arrays: what the samplers draw and what Blender renders.

Space: head coordinates in cm, right-handed, +X towards the subject's left (image right), +Y up,
+Z out of the face towards the viewer. Nothing here imports Blender.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

GROUPS = ("key", "fill", "environment")
"""The transport groups of every sample: each is rendered into one colour channel."""

REGIONS = (
    "background",
    "face",
    "forehead",
    "nose",
    "cheek_left",
    "cheek_right",
    "under_eye_left",
    "under_eye_right",
    "lips",
    "chin",
    "ear_left",
    "ear_right",
    "neck",
    "scalp",
    "eye",
    "mouth",
    "lashes",
    "hair",
    "accessory",
)
"""Region names; a region is stored as the index into this tuple. `face` is other facial skin."""

SKIN_REGIONS = frozenset(REGIONS[1:14])


@dataclass(frozen=True)
class HeadMesh:
    """A head as arrays.

    Attributes
    ----------
    vertices
        (V, 3) float32, cm.
    canonical
        (V, 3) float32, cm: the same vertices on the provider's mean head, so that procedural
        pigment sticks to anatomy.
    faces
        (F, 4) int32 vertex indices, counter-clockwise from outside; -1 pads triangles.
    uv
        (F, 4, 2) float32 per corner; integer parts are UDIM tiles: (0, 0) the face, (1, 0) the
        rest of the skin and the inside of the mouth, (2, 0) gums and tongue, (3, 0) teeth,
        (6, 0) lashes, (k, 1) the eyes. A user's mesh may use other tiles.
    region
        (F,) uint8 index into REGIONS.
    landmarks
        (68,) int32 vertex indices in iBUG order (0-16 the jaw from the subject's right).
    identity, expression
        The coefficients that made it; empty for a mean or user mesh.
    pigment
        (H, W, 2) float32 melanin and haemoglobin as volume fractions, painted on the UVs (row 0 at
        V = 1, the same in every tile); empty where pigments are drawn.
    """

    vertices: np.ndarray
    canonical: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    region: np.ndarray
    landmarks: np.ndarray
    identity: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    expression: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    pigment: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 2), np.float32))


@dataclass(frozen=True)
class AreaLight:
    """A square lamp. `irradiance` is what it would give a surface facing it at the origin."""

    group: str
    position: np.ndarray
    size: float
    irradiance: float


@dataclass(frozen=True)
class Environment:
    """Distant light: (H, 2H) float32 equirectangular radiance, row 0 at +Y, centre column at +Z."""

    group: str
    radiance: np.ndarray


@dataclass(frozen=True)
class View:
    """A camera: a pinhole, or a thin lens where `aperture` is not 0.

    Attributes
    ----------
    position
        (3,) cm, head coordinates.
    rotation
        (3, 3) rows are the camera's right, up and backward axes in head coordinates, so that
        camera-space = rotation @ (point - position), the view looking along -Z.
    focal_mm
        For a 36 mm wide sensor; square pixels and image.
    aperture
        Diameter of the lens, cm; 0 keeps everything sharp.
    focus
        Distance along the view axis of what is sharp, cm.
    """

    position: np.ndarray
    rotation: np.ndarray
    focal_mm: float
    aperture: float = 0.0
    focus: float = 100.0


@dataclass(frozen=True)
class Scene:
    """Everything Blender needs for one sample.

    Attributes
    ----------
    attributes
        Per-vertex float32 fields (V,): `skin` (0-1, the share that is bare skin: 0 on parts that
        are not skin, less than 1 where hair, brows or a beard hide it; the mask), `melanin`,
        `haemoglobin` (volume fractions of the skin, also under hair; 0 off skin regions; the
        renderer takes them from the head's texture where it has one), `roughness` (0-1),
        `specular` (Principled IOR level, 0.5 is F0 = 4 %), `bump` (cm, displacement along the
        normal used as a bump map) and `reflectance.0` .. `reflectance.3` (Bernstein coefficients
        of what is not skin, for the share 1 - `skin`; 0 where that is 0).
    record
        JSON-ready truth that the sample's file keeps: every drawn parameter.
    """

    head: HeadMesh
    attributes: dict[str, np.ndarray]
    lights: tuple[AreaLight, ...]
    environment: Environment
    view: View
    record: dict[str, Any]
