"""The encoder as photos are read: with their mirror images."""

from __future__ import annotations

import torch
from torch import Tensor

from bioface.learn.encoder import Encoder, Known, Prediction
from bioface.learn.tensors import map_tensors
from bioface.photo.mirror import merge


def read_with_mirror(encoder: Encoder, image: Tensor, known: Known | None = None) -> Prediction:
    """What the encoder says of crops (B, 3, H, W) and of their mirror images, averaged."""
    both = torch.cat([image, image.flip(-1)])
    told = map_tensors(known, lambda tensor: torch.cat([tensor, tensor]))
    prediction = encoder(both.contiguous(memory_format=torch.channels_last), known=told)
    return Prediction(**merge(vars(prediction)))
