"""Several photos of one shoot: what they share of light and camera, read from all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bioface.errors import InputError
from bioface.photo.known import KnownScene
from bioface.photo.read import SeenFace


def shared_scene(faces: Sequence[SeenFace], known: KnownScene) -> KnownScene:
    """Light and camera that faces of one shoot share: the mean of what the network says of each.

    A face counts by the share of its crop that is skin. What is known already stays; white balance
    is not taken for shared, as cameras set it anew for every photo.

    Parameters
    ----------
    faces
        Read without being told of each other (`bioface.photo.read.ask`).
    known
        What is known beside.

    Raises
    ------
    InputError
        There are no faces.
    """
    if not faces:
        raise InputError("no face was found in any photo of the shoot")
    # A little for every face, so that there is a mean where no skin shows.
    weights = np.array([face.reading.mask.mean() + 1e-3 for face in faces])
    weights = weights / weights.sum()
    spd = np.einsum("f,fw->w", weights, np.stack([face.estimate.spd for face in faces]))
    cameras = np.stack([face.estimate.sensitivities for face in faces])
    return replace(
        known,
        spd=spd if known.spd is None else known.spd,
        sensitivities=(
            np.einsum("f,fwc->wc", weights, cameras)
            if known.sensitivities is None
            else known.sensitivities
        ),
        shared=known.spd is None or known.sensitivities is None,
        record={**known.record, "same_shoot": len(faces)},
    )
