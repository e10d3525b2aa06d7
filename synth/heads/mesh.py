"""A user's own head from an OBJ, GLB or Blender file.

Beside `NAME.obj` stands `NAME.landmarks.json`: a list of the 68 iBUG landmarks, each a vertex
number counted from 0 or a point [x, y, z] in the file's units and axes. The head faces +Z with +Y
up, in Blender files -Y with +Z up; in GLB files, whose exporters split vertices, landmarks are
points.
`NAME.skin.exr`, if there is one, is a texture of its pigments on the same UVs: channels `melanin`
and `haemoglobin` in volume fractions, as `bioface estimate --albedo` writes them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bioface.errors import InputError
from bioface.exr import read_exr
from synth.heads.anatomy import Anatomy, face_centres, label_skin
from synth.heads.imported import SUFFIXES, read_with_blender, to_y_up
from synth.heads.linear import LinearHeads
from synth.heads.obj import PolygonMesh, read_obj
from synth.scene import REGIONS, HeadMesh

# Words in the names of objects, groups and materials, and the region they mean.
_WORDS = (
    (r"(eye)?lash(es)?", "lashes"),
    (r"(teeth|tooth|tongue|mouth)[a-z]*|gums?", "mouth"),
    (r"(eye)?brows?|[a-z]*hairs?|(hair|beard|mo?ustache)[a-z]*", "hair"),
    (r"[a-z]*eyes?|(eyeball|sclera|cornea)[a-z]*|iris(es)?|pupils?", "eye"),
    (r"[a-z]*(shirts?|glasses)|(cloth|collar)[a-z]*|caps?|hats?", "accessory"),
)
_LIDS = re.compile(r"eye[^a-z]?lids?", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PIGMENTS = ("melanin", "haemoglobin")
_EYE_DISTANCE_CM = (3.0, 30.0)
_EYES_ABOVE_ORIGIN = 3.2


@dataclass(frozen=True, eq=False)
class MeshHead(LinearHeads):
    """One fixed head, without identity or expression modes; see `HeadProvider`.

    Attributes
    ----------
    pigment
        (H, W, 2) as `HeadMesh.pigment`; empty where pigments are drawn.
    """

    pigment: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 2), np.float32))

    @classmethod
    def load(cls, path: str | Path, object_name: str = "") -> MeshHead:
        """Read `NAME.obj`, `.glb` or `.blend`, `NAME.landmarks.json` and any `NAME.skin.exr`.

        Units are taken as the power of ten of a centimetre at which the eyes are 3-30 cm apart.
        Faces are skin unless the name of their object, group or material says otherwise.

        Parameters
        ----------
        path
            The mesh; Blender reads GLB and Blender files in a process of its own.
        object_name
            The one object of a GLB or Blender file to take; all visible meshes when empty.

        Raises
        ------
        InputError
            Damaged or missing files, no UVs, landmarks that are not 68 vertices or points, or
            pigments outside 0-1.
        MissingDependencyError
            The file is one for Blender, which is not installed.
        """
        path = Path(path)
        marks = _read_sidecar(path.with_suffix(".landmarks.json"))
        digest = hashlib.sha256(_bytes(path))
        mesh = _read_mesh(path, object_name, digest.hexdigest())
        digest.update(object_name.encode() + marks.astype("<f8").tobytes())
        landmarks = _landmark_vertices(path, marks, mesh.vertices)
        vertices = _to_centimetres(path, mesh.vertices, landmarks)
        anatomy = Anatomy(vertices[landmarks])
        region = label_skin(
            face_centres(vertices, mesh.faces), anatomy, np.zeros(len(mesh.faces), bool)
        )
        region = _named_regions(mesh, region)
        uv = mesh.uvs[np.maximum(mesh.uv_indices, 0)].astype(np.float32)
        uv[mesh.faces < 0] = 0.0
        texture = path.with_suffix(".skin.exr")
        if texture.exists():
            pigment = _read_pigment(texture)
            digest.update(repr(pigment.shape).encode() + pigment.astype("<f4").tobytes())
        else:
            pigment = np.zeros((0, 0, 2), np.float32)
        none = np.zeros((0, vertices.size), np.float32)
        return cls(
            name=f"{path.name}/Object/{object_name}" if object_name else path.name,
            asset_hash=digest.hexdigest(),
            mean_vertices=vertices.astype(np.float32),
            identity_modes=none,
            expression_modes=none,
            faces=mesh.faces.astype(np.int32),
            uv=uv,
            region=region,
            landmarks=landmarks,
            pigment=pigment,
        )

    def deform(self, identity: np.ndarray, expression: np.ndarray) -> HeadMesh:
        """The head itself; there are no coefficients to take."""
        return replace(super().deform(identity, expression), pigment=self.pigment)

    def sample(self, rng: np.random.Generator) -> HeadMesh:
        """The head itself: there is nothing to draw."""
        return self.mean()


def _read_sidecar(path: Path) -> np.ndarray:
    """The landmarks as (68,) vertex numbers or (68, 3) points."""
    wrong = f"{path}: not a JSON list of 68 vertex numbers or points"
    try:
        values = np.array(json.loads(path.read_text()), np.float64)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: not found; list there the 68 iBUG landmarks as vertex numbers or points"
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise InputError(wrong) from error
    numbers = values.shape == (68,) and not (values % 1).any() and values.min() >= 0
    if not np.isfinite(values).all() or not (numbers or values.shape == (68, 3)):
        raise InputError(wrong)
    return values


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _read_mesh(path: Path, object_name: str, digest: str) -> PolygonMesh:
    """The mesh, +Y up, all of it with UVs."""
    if path.suffix.lower() in SUFFIXES:
        mesh = read_with_blender(path, object_name, digest)
    else:
        mesh = read_obj(path)
    if (mesh.uv_indices[mesh.faces >= 0] < 0).any():
        raise InputError(f"{path}: every face needs UVs; unwrap the mesh and export it again")
    return mesh


def _read_pigment(path: Path) -> np.ndarray:
    """Melanin and haemoglobin (H, W, 2); texels without, as off an estimate's mask, get medians."""
    channels = read_exr(path)
    missing = [name for name in _PIGMENTS if name not in channels]
    if missing:
        raise InputError(
            f"{path}: has no channel {missing[0]}; bioface estimate --albedo writes it"
        )
    pigment = np.stack([channels[name] for name in _PIGMENTS], -1).astype(np.float32)
    painted = (pigment > 0).all(-1)
    if not painted.any() or not ((pigment >= 0) & (pigment < 1)).all():
        raise InputError(
            f"{path}: melanin and haemoglobin must be volume fractions between 0 and 1"
        )
    pigment[~painted] = np.median(pigment[painted], 0)
    return pigment


def _landmark_vertices(path: Path, marks: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """(68,) int32 vertex indices: the given ones, or those nearest to the given points."""
    suffix = path.suffix.lower()
    if suffix == ".blend" and marks.ndim == 2:
        marks = to_y_up(marks)
    if suffix == ".glb" and marks.ndim == 1:
        raise InputError(
            f"{path.with_suffix('.landmarks.json')}: give points [x, y, z]; vertices of GLB files "
            "are split and have no numbers of their own"
        )
    if marks.ndim == 2:
        return ((vertices - marks[:, None]) ** 2).sum(-1).argmin(1).astype(np.int32)
    if marks.max() >= len(vertices):
        raise InputError(f"{path}: has {len(vertices)} vertices; a landmark is {marks.max():.0f}")
    return marks.astype(np.int32)


def _to_centimetres(path: Path, vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Vertices in cm, the eyes in front of and above the origin as on the other heads."""
    marks = vertices[landmarks]
    eyes = float(np.linalg.norm(marks[42:48].mean(0) - marks[36:42].mean(0)))
    low, high = _EYE_DISTANCE_CM
    scales = [10.0**k for k in range(-4, 5) if low <= eyes * 10.0**k < high]
    if not scales or marks[30, 2] <= marks[36:48, 2].mean() or marks[8, 1] >= marks[27, 1]:
        raise InputError(f"{path}: landmarks and mesh do not fit: +Y must be up and +Z the front")
    vertices, marks = vertices * scales[0], marks * scales[0]
    origin = Anatomy(marks).axis
    origin[1] = marks[36:48, 1].mean() - _EYES_ABOVE_ORIGIN
    return vertices - origin


def _named_regions(mesh: PolygonMesh, region: np.ndarray) -> np.ndarray:
    out = region.copy()
    for number, name in enumerate(mesh.parts):
        words = [word.lower() for word in _WORD.findall(_LIDS.sub("", name))]
        for pattern, meaning in _WORDS:
            if any(re.fullmatch(pattern, word) for word in words):
                out[mesh.part == number] = REGIONS.index(meaning)
                break
    return out
