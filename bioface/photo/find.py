"""Find faces in a photo with MediaPipe's models, which come inside its wheel: nothing is fetched.

A detector looks at the whole photo and, in large photos, at overlapping tiles of it; the face mesh
then looks at an upright, enlarged crop around each detection, so that small and tilted faces are
read as well as large, upright ones.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from bioface.errors import InputError, MissingDependencyError, install_advice
from bioface.photo.crop import Crop
from bioface.photo.face import MIN_FACE, Face
from bioface.photo.landmarks import bounding_box, eye_centres, ibug_landmarks
from bioface.spectral.colour import srgb_decode, srgb_encode

_DETECTION_CONFIDENCE = 0.4
_SURELY_UPRIGHT = 0.85  # detection score that no turned face reaches; upright ones score .9
_MESH_CONFIDENCE = 0.5
_MESH_SIZE = 384  # pixels a side of the crop the mesh looks at
_MESH_FRAMING = 2.2  # side of that crop over the side of the detector's box
_USUAL = 0.25  # linear green of the middle of a face as photos usually show it
_MOST_LIGHTENED = 8.0
_TILE_LEVELS = ((640, 2), (1600, 4))  # photos with a side from the first: that side split so often
_SAME_FACE = 0.5  # share of the smaller box inside the other above which both are one face


def can_find() -> bool:
    """Whether MediaPipe is installed."""
    return find_spec("mediapipe") is not None


def find_faces(srgb: np.ndarray) -> list[Face]:
    """Every face in a photo (H, W, 3) of sRGB bytes, the largest first; an empty list for none.

    A photo in which no face is surely upright is tried on its side and upside down as well.

    Raises
    ------
    InputError
        Not a (H, W, 3) uint8 array.
    MissingDependencyError
        MediaPipe, or a system library it needs, is not installed.
    """
    if srgb.dtype != np.uint8 or srgb.ndim != 3 or srgb.shape[2] != 3:
        raise InputError(f"a photo of shape {srgb.shape} {srgb.dtype}; (H, W, 3) uint8 is needed")
    srgb = np.ascontiguousarray(srgb)
    shape = (srgb.shape[0], srgb.shape[1])
    with _quiet_stderr():
        quarters, turned, candidates = 0, srgb, _candidates(srgb)
        best = _best(candidates)
        for more in (1, 3, 2) if best < _SURELY_UPRIGHT else ():
            other = np.ascontiguousarray(np.rot90(srgb, more))
            found = _candidates(other)
            if _best(found) > best:
                quarters, turned, candidates, best = more, other, found, _best(found)
        meshes = _meshes(turned, [crop for _, crop in candidates])
    faces = []
    for mesh in (_unturn(mesh, quarters, shape) for mesh in meshes):
        landmarks = ibug_landmarks(mesh)
        box = bounding_box(landmarks)
        faces.append(Face(box, landmarks, mesh, shape))
    return sorted(faces, key=lambda face: -face.size)


def _meshes(srgb: np.ndarray, candidates: list[Crop]) -> list[np.ndarray]:
    """Face meshes (478, 2) of the faces in the candidate crops, overlapping ones merged."""
    found: list[np.ndarray] = []
    for crop in candidates:
        if any(_contains(bounding_box(mesh), crop.centre) for mesh in found):
            continue
        mesh = _mesh_in(srgb, crop)
        if mesh is None:
            continue
        box = bounding_box(ibug_landmarks(mesh))
        inside = 0 <= (box[0] + box[2]) / 2 <= srgb.shape[1]
        inside &= 0 <= (box[1] + box[3]) / 2 <= srgb.shape[0]
        if not inside or max(box[2] - box[0], box[3] - box[1]) < MIN_FACE:
            continue
        if all(_overlap(bounding_box(other), bounding_box(mesh)) < _SAME_FACE for other in found):
            found.append(mesh)
    return found


def _mesh_in(srgb: np.ndarray, crop: Crop) -> np.ndarray | None:
    """The mesh (478, 2) in pixels of the photo; a second look straightens a face that is tilted."""
    mesh = None
    for _ in range(2):
        result = _models().mesh.process(_levelled(crop.extract(srgb)))
        if not result.multi_face_landmarks:
            return mesh
        points = result.multi_face_landmarks[0].landmark
        in_crop = np.array([(point.x, point.y) for point in points]) * crop.size
        mesh = crop.to_photo(in_crop)
        right_eye, left_eye = eye_centres(ibug_landmarks(in_crop))
        across = left_eye - right_eye
        tilt = float(np.arctan2(across[1], across[0]))
        if abs(tilt) < np.radians(10):
            return mesh
        crop = Crop(crop.centre, crop.side, crop.roll + tilt, crop.size)
    return mesh


def _levelled(srgb: np.ndarray) -> np.ndarray:
    """A crop (H, W, 3) of sRGB bytes at the usual brightness, at which the mesh sees every face.

    The mesh lies elsewhere in a darker copy of a photo, which moves the crop that is read.
    """
    linear = np.asarray(srgb_decode(np.arange(256) / 255))
    rows, columns = srgb.shape[0] // 4, srgb.shape[1] // 4
    middle = float(np.median(linear[srgb[rows:-rows, columns:-columns, 1]]))
    factor = min(_USUAL / max(middle, 1e-4), _MOST_LIGHTENED)
    encoded = np.clip(np.asarray(srgb_encode(factor * linear)), 0, 1)
    return np.round(255 * encoded).astype(np.uint8)[srgb]


def _candidates(srgb: np.ndarray) -> list[tuple[float, Crop]]:
    """Scores (0-1) of and crops around what the detectors take for faces, the surest first."""
    height, width = srgb.shape[:2]
    scored = _detect(srgb, (0, 0))
    longest = max(height, width)
    for least, parts in _TILE_LEVELS:
        if longest < least:
            continue
        side = int(np.ceil(longest / parts))
        for top in _tile_starts(height, side):
            for left in _tile_starts(width, side):
                tile = np.ascontiguousarray(srgb[top : top + side, left : left + side])
                scored += _detect(tile, (left, top))
    return sorted(scored, key=lambda pair: -pair[0])


def _best(candidates: list[tuple[float, Crop]]) -> float:
    return candidates[0][0] if candidates else 0.0


def _tile_starts(length: int, side: int) -> list[int]:
    """Where tiles of `side` start along `length` so that neighbours overlap by half."""
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side / 2))) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def _detect(srgb: np.ndarray, corner: tuple[int, int]) -> list[tuple[float, Crop]]:
    """Score and crop of each detection in a part of the photo that starts at `corner` (x, y)."""
    height, width = srgb.shape[:2]
    scored = []
    for model in _models().detectors:
        for detection in model.process(srgb).detections or ():
            location = detection.location_data
            box = location.relative_bounding_box
            side = _MESH_FRAMING * max(box.width * width, box.height * height)
            centre = (
                corner[0] + (box.xmin + box.width / 2) * width,
                corner[1] + (box.ymin + box.height / 2) * height,
            )
            right_eye, left_eye = location.relative_keypoints[:2]
            roll = float(
                np.arctan2((left_eye.y - right_eye.y) * height, (left_eye.x - right_eye.x) * width)
            )
            if side > 0:
                scored.append((float(detection.score[0]), Crop(centre, side, roll, _MESH_SIZE)))
    return scored


def _contains(box: tuple[float, float, float, float], point: tuple[float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Share of the smaller of two (left, top, right, bottom) boxes that lies in the other."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))


def _unturn(points: np.ndarray, quarters: int, shape: tuple[int, int]) -> np.ndarray:
    """Points (N, 2) of `np.rot90(photo, quarters)` back to the photo of `shape` (H, W)."""
    height, width = shape
    x, y = points[:, 0], points[:, 1]
    if quarters == 0:
        return points
    if quarters == 1:
        return np.stack([width - y, x], axis=1)
    if quarters == 2:
        return np.stack([width - x, height - y], axis=1)
    return np.stack([y, height - x], axis=1)


@dataclass(frozen=True)
class _Models:
    detectors: tuple[Any, Any]
    mesh: Any


@lru_cache(maxsize=1)
def _models() -> _Models:
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    try:
        from mediapipe.python.solutions import face_detection, face_mesh
    except ImportError as error:
        if ".so" in str(error):
            library = str(error).split(":")[0]
            raise MissingDependencyError(
                f"the system library {library} is missing; on Debian: "
                "apt-get install libgl1 libglib2.0-0"
            ) from error
        raise MissingDependencyError(
            f"MediaPipe is not installed; run: {install_advice('train')}"
        ) from error
    detectors = tuple(
        face_detection.FaceDetection(
            model_selection=selection, min_detection_confidence=_DETECTION_CONFIDENCE
        )
        for selection in (1, 0)
    )
    mesh = face_mesh.FaceMesh(
        static_image_mode=True,
        max_num_faces=1,
        refine_landmarks=True,
        min_detection_confidence=_MESH_CONFIDENCE,
    )
    return _Models((detectors[0], detectors[1]), mesh)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep what the models' C++ code writes to file descriptor 2 from the terminal."""
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(silent)
        os.close(saved)
