"""The encoder as photos are read: with their mirror images."""

from __future__ import annotations

import torch
from torch import Tensor

from bioface.learn.encoder import Encoder, Known, Prediction
from bioface.photo.mirror import read_with_mirror


def read_crops(encoder: Encoder, image: Tensor, known: Known | None = None) -> Prediction:
    """What the encoder says of crops (B, 3, H, W): see `bioface.photo.mirror`."""
    told = None if known is None else known.with_mirrored()

    def read(both: Tensor) -> dict[str, Tensor]:
        return vars(encoder(both.contiguous(memory_format=torch.channels_last), known=told))

    return Prediction(**read_with_mirror(image, read))
