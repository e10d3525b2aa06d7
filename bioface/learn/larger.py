"""Photos larger than the network reads, averaged down as `bioface estimate` does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from bioface.errors import InputError
from bioface.packed import PackedDataset
from bioface.spectral.colour import srgb_decode, srgb_encode

if TYPE_CHECKING:
    from bioface.learn.relight import Targets


def times_larger(packed: PackedDataset, size: int) -> int:
    """How many times as large as photos of `size` pixels the samples of a packed file are.

    Raises
    ------
    InputError
        Not two, three or more times.
    """
    side = packed.images.shape[-1]
    if side % size or side < 2 * size:
        raise InputError(
            f"{packed.path}: samples of {side} pixels; photos that are averaged to {size} need "
            f"two, three or more times as many ({2 * size}, {3 * size} ...)"
        )
    return int(side // size)


def averaged(photo: Tensor, targets: Targets, factor: int) -> tuple[Tensor, Targets]:
    """Means over squares of `factor` pixels, of which height and width are multiples.

    Of photos (B, 3, H, W) in linear light; of what is true of skin weighted by skin, normals
    scaled to unit length where half of a square and more is skin.
    """
    mask = _squares(targets.mask, factor)

    def of_skin(values: Tensor) -> Tensor:
        return _squares(values * targets.mask, factor) / mask.clamp_min(1e-3)

    normals = functional.avg_pool2d(targets.normals, factor)
    length = normals.square().sum(1, keepdim=True).sqrt().clamp_min(1e-6)
    return srgb_encode(functional.avg_pool2d(srgb_decode(photo), factor)).clamp(0, 1), replace(
        targets,
        melanin_u=of_skin(targets.melanin_u),
        haemoglobin_u=of_skin(targets.haemoglobin_u),
        diffuse_shading=of_skin(targets.diffuse_shading),
        specular_shading=of_skin(targets.specular_shading),
        mask=mask,
        lips=_squares(targets.lips, factor),
        normals=normals / length * (mask > 0.5)[:, None],
        linear=functional.avg_pool2d(targets.linear.permute(0, 3, 1, 2), factor).permute(
            0, 2, 3, 1
        ),
    )


def _squares(plane: Tensor, factor: int) -> Tensor:
    """Means (B, H / factor, W / factor) of (B, H, W)."""
    return functional.avg_pool2d(plane[:, None], factor)[:, 0]
