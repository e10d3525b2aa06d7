"""Are these arrays ICT-FaceKit's? Exactly, or but for the rounding of its decimal figures."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from bioface.errors import InputError
from synth.heads.ict_facekit import array_hash

ICT_HASH = "75c5220c40cfe9edfae9bfa57a87ad2cf8a8090857faad3d59c8b7c59f6f8701"
"""`array_hash` of the ICT-FaceKit arrays that the published weights were trained on."""

TOPOLOGY = ("faces", "uvidx", "face_mat")
"""The arrays of whole numbers, which must be equal."""

TOPOLOGY_HASH = "1750005af4eaee5ed74b771bb47de04cc4b7caa6d00a5b5dd8382e0f95ade2a7"
"""`array_hash` of these alone."""

TOLERANCE = 1e-4
"""Root mean square of coordinate differences (cm; of UVs: tiles) that rounding may leave."""

TABLE = Path(__file__).with_name("ict_sketch.csv")
_PROJECTIONS = 8


def verify(arrays: Mapping[str, np.ndarray], source: Path | str) -> bool:
    """Compare arrays with the published ones; whether they are equal to the last bit.

    The names of the modes must be equal. When the arrays are not, faces, UV indices and materials
    must still be; the mean, the UVs and each of the 153 modes may differ by `TOLERANCE` (root mean
    square), as far as their projections on eight fixed random sign vectors tell: one vertex that is
    1 mm off, an exchanged mode or another order of vertices is found.

    Parameters
    ----------
    arrays
        As `synth.heads.ict_facekit.read_arrays` gives them.
    source
        What an error names.

    Raises
    ------
    InputError
        They differ by more; the message names the array.
    """
    wrong = f"{source}: these are not the published ICT-FaceKit arrays (sha256 {ICT_HASH[:12]}...)"
    expected = _table()
    names = _names(arrays)
    if names != list(expected):
        raise InputError(f"{wrong}: other modes ({len(names) - 2}); another revision?")
    if array_hash(arrays) == ICT_HASH:
        return True
    if array_hash(arrays, TOPOLOGY) != TOPOLOGY_HASH:
        raise InputError(f"{wrong}: faces, UV indices or materials differ; another revision?")
    for name, (values, count) in sketch(arrays).items():
        error = float(np.sqrt(np.mean((values - expected[name]) ** 2) / count))
        if not error <= TOLERANCE:
            raise InputError(
                f"{wrong}: {name} differs by {error:.2g} (root mean square): "
                "the file is damaged or of another revision"
            )
    return False


def sketch(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, int]]:
    """Eight projections of every shape on fixed random signs, and how many numbers it holds.

    For a difference of two shapes, the mean square of its projections estimates its sum of squares.
    """
    shapes = [arrays["mean"], arrays["vt"], *arrays["identity"], *arrays["expr"]]
    flat = [np.asarray(shape, np.float64).ravel() for shape in shapes]
    signs = _signs(max(map(len, flat)))
    return {
        name: (signs[:, : len(values)] @ values, len(values))
        for name, values in zip(_names(arrays), flat, strict=True)
    }


def _names(arrays: Mapping[str, np.ndarray]) -> list[str]:
    identities = [f"identity{k:03d}" for k in range(len(arrays["identity"]))]
    return ["mean", "vt", *identities, *map(str, arrays["expr_names"])]


def _signs(count: int) -> np.ndarray:
    """(8, count) of -1 and 1, the same everywhere."""
    bits = np.frombuffer(hashlib.shake_256(b"ict-facekit").digest(count), np.uint8)
    return 2.0 * np.unpackbits(bits[:, None], axis=1).T[:_PROJECTIONS] - 1.0


@cache
def _table() -> dict[str, np.ndarray]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = csv.reader(line for line in lines if not line.startswith("#"))
    return {name: np.array(values, np.float64) for name, *values in rows}
