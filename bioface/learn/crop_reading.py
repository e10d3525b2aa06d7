"""The encoder as photos are read: nearer the usual brightness, and with their mirror images."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from bioface.learn.encoder import Encoder, Known, Prediction
from bioface.learn.tensors import map_tensors
from bioface.photo.exposure import factor_to_usual, relit
from bioface.photo.mirror import merge


def read_crops(encoder: Encoder, image: Tensor, known: Known | None = None) -> Prediction:
    """What the encoder says of crops (B, 3, H, W) and of their mirror images, averaged.

    It sees them relit (`bioface.photo.exposure`); the shadings are those of the crops as given.
    """
    factor = factor_to_usual(image)
    seen = relit(image, factor)
    both = torch.cat([seen, seen.flip(-1)])
    told = map_tensors(known, lambda tensor: torch.cat([tensor, tensor]))
    prediction = encoder(both.contiguous(memory_format=torch.channels_last), known=told)
    found = Prediction(**merge(vars(prediction)))
    return dataclasses.replace(
        found,
        diffuse_shading=found.diffuse_shading / factor[:, None, None],
        specular_shading=found.specular_shading / factor[:, None, None],
    )
