"""ICT-FaceKit heads (USC ICT, MIT licence): 100 identity and 53 expression modes.

Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020;
https://github.com/ICT-VGL/ICT-FaceKit. No albedo comes with it: pigment is drawn by us.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from bioface.errors import InputError
from synth.heads.anatomy import Anatomy, face_centres, label_skin
from synth.heads.linear import LinearHeads, draw_expression
from synth.scene import REGIONS, HeadMesh

ARRAYS = ("mean", "identity", "expr", "faces", "uvidx", "vt", "face_mat")
"""What the file must hold: the arrays that `asset_hash` covers, in this order."""

# Published vertex ranges of the parts that are not skin.
_PARTS = (
    ("mouth", 11248, 13294),
    ("eye", 13294, 14062),
    ("mouth", 14062, 21451),
    ("eye", 21451, 24591),
    ("lashes", 25351, 26719),
)
_SKIN_END = 11248
_TRANSPARENT = (24591, 25351)
_INNER_IRIS_MATERIALS = (5, 7)
_LASHES = (25351, 26719)
_LASH_CARD = 114  # vertices: 19 along the lid by 6 from root to tip
_LASH_LENGTH = {"upper": 0.4, "lower": 0.25}

# The 68 iBUG landmarks as published with ICT-FaceKit.
_LANDMARKS = np.array(
    [
        *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272),
        *(4088, 3443, 268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942),
        *(4857, 1140, 2075, 1147, 4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751),
        *(3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957),
        *(5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966),
    ],
    np.int32,
)

_NEUTRAL_SHARE = 0.35
_FAMILIES = (
    (0.30, 0.7, ("mouthSmile_L", "mouthSmile_R", "cheekSquint_L", "cheekSquint_R")),
    (0.20, 0.5, ("jawOpen",)),
    (0.15, 0.8, ("browInnerUp_L", "browInnerUp_R", "browOuterUp_L", "browOuterUp_R")),
    (0.15, 0.6, ("browDown_L", "browDown_R")),
    (0.12, 0.5, ("eyeSquint_L", "eyeSquint_R")),
    (0.06, 1.0, ("eyeBlink_L", "eyeBlink_R")),
    (0.10, 0.6, ("mouthFrown_L", "mouthFrown_R")),
    (0.08, 0.5, ("mouthPucker",)),
    (0.08, 0.5, ("mouthUpperUp_L", "mouthUpperUp_R", "mouthLowerDown_L", "mouthLowerDown_R")),
    (0.05, 0.5, ("noseSneer_L", "noseSneer_R")),
    (0.30, 0.5, ("eyeLookIn_L", "eyeLookOut_R")),
    (0.30, 0.5, ("eyeLookOut_L", "eyeLookIn_R")),
    (0.20, 0.4, ("eyeLookDown_L", "eyeLookDown_R")),
)


@dataclass(frozen=True, eq=False)
class IctFaceKit(LinearHeads):
    """The heads of one ICT-FaceKit file; see `HeadProvider` and `LinearHeads`."""

    expression_names: tuple[str, ...]

    @classmethod
    def load(cls, path: str | Path) -> IctFaceKit:
        """Read an npz of the arrays that `bioface-synth heads install` stores.

        Transparent shells (lacrimal fluid, eye blend, occlusion) and the irises behind the
        corneas are left out; lash cards, which need an alpha texture, are kept as short
        strips at the lids.

        Raises
        ------
        InputError
            Not such a file.
        """
        arrays = read_arrays(path)
        faces = arrays["faces"].astype(np.int64)
        faces[faces == np.iinfo(np.uint16).max] = -1
        first = faces[:, 0]
        dropped = (first >= _TRANSPARENT[0]) & (first < _TRANSPARENT[1])
        dropped |= np.isin(arrays["face_mat"], _INNER_IRIS_MATERIALS)
        dropped |= _is_spare_lash(first)
        faces = faces[~dropped]
        uv = _tiles(arrays, ~dropped)
        shapes = [arrays[key].astype(np.float32) for key in ("mean", "identity", "expr")]
        roots, length = _lash_roots(arrays)
        for shape in shapes:
            root = shape[..., roots, :]
            card = shape[..., _LASHES[0] : _LASHES[1], :]
            card[...] = root + length[:, None] * (card - root)
        mean, identity, expression = shapes
        region = _label(mean, faces)
        used = np.unique(faces[faces >= 0])
        position = np.full(len(mean) + 1, -1)
        position[used] = np.arange(len(used))
        return cls(
            name="ict-facekit",
            asset_hash=array_hash(arrays),
            mean_vertices=mean[used],
            identity_modes=np.ascontiguousarray(identity[:, used]).reshape(len(identity), -1),
            expression_modes=np.ascontiguousarray(expression[:, used]).reshape(len(expression), -1),
            faces=position[faces].astype(np.int32),
            uv=uv,
            region=region,
            landmarks=position[_LANDMARKS].astype(np.int32),
            expression_names=tuple(str(name) for name in arrays["expr_names"]),
        )

    def sample(self, rng: np.random.Generator) -> HeadMesh:
        """Identity N(0, 1) cut at two deviations; a sparse expression of a few families."""
        identity = self.draw_identity(rng)
        expression = draw_expression(rng, self.expression_names, _FAMILIES, _NEUTRAL_SHARE)
        return self.deform(identity, expression)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an ICT-FaceKit npz, checked for presence and shape.

    Raises
    ------
    InputError
        The file cannot be read as npz or lacks arrays.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in (*ARRAYS, "expr_names")}
    except (OSError, ValueError, EOFError, KeyError, TypeError, BadZipFile) as error:
        raise InputError(
            f"{path}: not an ICT-FaceKit npz; see `bioface-synth heads install -h`"
        ) from error
    vertices = arrays["mean"].shape
    if vertices != (26719, 3) or any(arrays[k].shape[1:] != vertices for k in ("identity", "expr")):
        raise InputError(f"{path}: not the ICT-FaceKit topology (26719 vertices)")
    return arrays


def array_hash(arrays: Mapping[str, np.ndarray], keys: Sequence[str] = ARRAYS) -> str:
    """sha256 over names, types, shapes and values of `keys`: independent of compression."""
    digest = hashlib.sha256()
    for key in keys:
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype.str} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _is_spare_lash(first: np.ndarray) -> np.ndarray:
    """Two of the three layers of cards on every lid."""
    card = (first - _LASHES[0]) // _LASH_CARD
    return (first >= _LASHES[0]) & (first < _LASHES[1]) & (card % 3 > 0)


def _tiles(arrays: dict[str, np.ndarray], kept: np.ndarray) -> np.ndarray:
    """Corner UVs (F, 4, 2); the eyeballs, drawn over the face's tile, move to a second row."""
    corner = arrays["uvidx"].astype(np.int64)
    uv = arrays["vt"].astype(np.float32)[np.maximum(corner, 0)]
    uv[corner < 0] = 0.0
    for tile, material in enumerate((4, 5, 6, 7)):
        uv[arrays["face_mat"] == material] += np.array([tile, 1], np.float32)
    return uv[kept]


def _lash_roots(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """For every lash vertex, the vertex at its root and the share of its length that stays."""
    count = _LASHES[1] - _LASHES[0]
    on_lash = (arrays["faces"][:, 0] >= _LASHES[0]) & (arrays["faces"][:, 0] < _LASHES[1])
    uv = np.zeros((count, 2))
    uv[arrays["faces"][on_lash].astype(int) - _LASHES[0]] = arrays["vt"][arrays["uvidx"][on_lash]]
    roots = np.empty(count, np.int64)
    length = np.empty(count, np.float32)
    for start in range(0, count, _LASH_CARD):
        card = uv[start : start + _LASH_CARD]
        root = np.flatnonzero(card[:, 1] > card[:, 1].max() - 0.01)
        nearest = np.abs(card[:, None, 0] - card[None, root, 0]).argmin(1)
        roots[start : start + _LASH_CARD] = _LASHES[0] + start + root[nearest]
        lid = "upper" if start // (3 * _LASH_CARD) % 2 == 0 else "lower"
        length[start : start + _LASH_CARD] = _LASH_LENGTH[lid]
    return roots, length


def _label(mean: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Region (F,) uint8 of every face."""
    anatomy = Anatomy(mean[_LANDMARKS].astype(np.float64))
    centre = face_centres(mean.astype(np.float64), faces)
    x, y, z = np.abs(centre[:, 0]), centre[:, 1], centre[:, 2]
    ears = (x > 7.3) & (y > -2.8) & (y < 4.6) & (np.abs(z - 0.2) < 2.8)
    region = label_skin(centre, anatomy, ears)
    last = faces.max(1)
    for name, start, end in _PARTS:
        region[(last >= start) & (last < end)] = REGIONS.index(name)
    return region
