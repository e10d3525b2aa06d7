"""The fast decoder's gradients in closed form: what bioface.spectral.fast computes, for torch.

Autograd would keep some forty numbers a pixel for the backward pass of `bioface.spectral.fast`.
Written out, the backward pass needs the four maps alone and makes the polynomials again, chunk by
chunk, in the processor's cache: four numbers a pixel kept, and a fraction of the time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bioface.spectral import fast

CHUNK_ON_DEVICE = 1 << 22
"""Pixels at once on a GPU, where many small kernels would cost more than memory."""


def render(
    series: Tensor,
    white: Tensor,
    melanin: Tensor,
    haemoglobin: Tensor,
    diffuse: Tensor,
    specular: Tensor,
) -> Tensor:
    """`bioface.spectral.fast.render` with gradients to all six arguments (once)."""
    result: Tensor = _Render.apply(series, white, melanin, haemoglobin, diffuse, specular)
    return result


def _chunk_size(tensor: Tensor) -> int:
    return fast.CHUNK if tensor.device.type == "cpu" else CHUNK_ON_DEVICE


class _Render(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        series, white, melanin, haemoglobin, diffuse, specular = inputs
        ctx.save_for_backward(*inputs)
        batch, pixels = melanin.shape
        shared = len(series) == 1
        out = melanin.new_empty(batch, 3, pixels)
        for images, part in fast.chunks(batch, pixels, _chunk_size(melanin)):
            own = slice(None) if shared else images
            at = (images, part)
            colour = fast.evaluate(series[own], melanin[at], haemoglobin[at])
            target = out[images, :, part]
            torch.mul(diffuse[at][:, None], colour, out=target)
            target.addcmul_(specular[at][:, None], white[own, :, None])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        series, white, melanin, haemoglobin, diffuse, specular = ctx.saved_tensors
        batch, pixels = melanin.shape
        shared = len(series) == 1
        p, q = series.shape[-2:]
        rows = fast.rows_of(series)
        columns = rows.mT
        grads = [torch.zeros_like(series), torch.zeros_like(white)]
        maps = [torch.empty_like(melanin) for _ in range(4)]
        for images, part in fast.chunks(batch, pixels, _chunk_size(melanin)):
            own = slice(None) if shared else images
            at = (images, part)
            g, d = gradient[images, :, part], diffuse[at]
            x, y = fast.warp_melanin(melanin[at]), fast.warp_haemoglobin(haemoglobin[at])
            v, w = fast.chebyshev(x.value, p), fast.chebyshev(y.value, q)
            t = (rows[own] @ w).unflatten(1, (3, p))
            by_p = (t * g[:, :, None]).sum(1)
            maps[2][at] = (by_p * v).sum(1)
            by_x = (by_p * fast.chebyshev_slope(x.value, p)).sum(1)
            maps[0][at] = by_x * (d * x.slope)
            z = (g[:, :, None] * v[:, None]).flatten(1, 2)
            by_y = ((columns[own] @ z) * fast.chebyshev_slope(y.value, q)).sum(1)
            maps[1][at] = by_y * (d * y.slope)
            maps[3][at] = (g * white[own, :, None]).sum(1)
            of_series = (z @ (w * d[:, None]).mT).unflatten(1, (3, p))
            of_white = (g * specular[at][:, None]).sum(2)
            for total, value in zip(grads, (of_series, of_white), strict=True):
                total[own] += value.sum(0, keepdim=True) if shared else value
        return (*grads, *maps)
