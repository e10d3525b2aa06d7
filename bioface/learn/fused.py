"""The fast decoder for torch, with its gradients in closed form.

`bioface.spectral.fast.render` under autograd would keep some hundred numbers a pixel. Here the
forward pass keeps the shading and the functions of either pigment with their slopes, 22 numbers,
and the backward pass contracts them. Work goes chunk by chunk, so that temporaries stay in the
processor's cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bioface.spectral import fast
from bioface.spectral.backend import like

CHUNK_ON_DEVICE = 1 << 22
"""Pixels at once on a GPU, where many small kernels would cost more than memory."""


def render(
    series: fast.Series,
    white: Tensor,
    melanin: Tensor,
    haemoglobin: Tensor,
    diffuse: Tensor,
    specular: Tensor,
) -> Tensor:
    """`bioface.spectral.fast.render` with gradients (once) to the table, the white and the maps."""
    arguments = (series.table, white, melanin, haemoglobin, diffuse, specular)
    if not (torch.is_grad_enabled() and any(a.requires_grad for a in arguments)):
        return _forward(series.melanin, series.haemoglobin, *arguments, slopes=False)[0]
    result: Tensor = _Render.apply(series.melanin, series.haemoglobin, *arguments)
    return result


def _functions(basis: Tensor, coordinate: Tensor, slope: Tensor | None) -> Tensor:
    """Functions (I, b, n) of a coordinate (b, n); with their slopes after them, (2 I, b, n).

    The recurrence T_k+1 = 2 x T_k - T_k-1 is run on +-T_k, which makes it one addcmul a row.
    """
    order = basis.shape[1]
    rows = coordinate.new_empty(order, *coordinate.shape)
    signs = [1.0, 1.0]
    rows[0], rows[1] = 1, coordinate
    twice = 2 * coordinate
    for k in range(2, order):
        signs.append(-signs[k - 2])
        torch.addcmul(rows[k - 2], twice, rows[k - 1], value=signs[k] * signs[k - 1], out=rows[k])
    if slope is not None:
        basis = torch.cat([basis, basis @ like(basis, fast.chebyshev_derivative(order))])
    values = ((basis * basis.new_tensor(signs)) @ rows.flatten(1)).unflatten(1, coordinate.shape)
    if slope is not None:
        values[len(values) // 2 :] *= slope
    return values


def _forward(
    melanin_basis: Tensor,
    haemoglobin_basis: Tensor,
    table: Tensor,
    white: Tensor,
    melanin: Tensor,
    haemoglobin: Tensor,
    diffuse: Tensor,
    specular: Tensor,
    *,
    slopes: bool,
) -> tuple[Tensor, list[Tensor]]:
    """The image (B, 3, n), and the functions of each chunk."""
    batch, pixels = melanin.shape
    rank, other = len(melanin_basis), len(haemoglobin_basis)
    out = melanin.new_empty(batch, 3, pixels)
    kept = []
    for images, part in _chunks(melanin):
        m, h, d, s = (x[images, part] for x in (melanin, haemoglobin, diffuse, specular))
        own = slice(None) if len(table) == 1 else images
        a = _functions(
            melanin_basis, fast.warp_melanin(m), fast.warp_melanin_slope(m) if slopes else None
        )
        b = _functions(
            haemoglobin_basis,
            fast.warp_haemoglobin(h),
            fast.warp_haemoglobin_slope(h) if slopes else None,
        )
        kept += [a, b]
        matrix = fast.matrix_of(table[own]).expand(len(m), -1, -1)
        t = torch.bmm(matrix, b[:other].transpose(0, 1)).unflatten(1, (3, rank))
        rgb = t[:, :, 0] * a[0][:, None]
        for i in range(1, rank):
            rgb.addcmul_(t[:, :, i], a[i][:, None])
        torch.mul(rgb, d[:, None], out=out[images, :, part])
        out[images, :, part].addcmul_(s[:, None], white[own, :, None])
    return out, kept


def _chunks(tensor: Tensor) -> list[tuple[slice, slice]]:
    size = fast.CHUNK if tensor.device.type == "cpu" else CHUNK_ON_DEVICE
    batch, pixels = tensor.shape
    return list(fast.chunks(batch, pixels, size))


class _Render(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        out, kept = _forward(*inputs, slopes=True)
        _, _, table, white, _, _, diffuse, specular = inputs
        ctx.save_for_backward(table, white, diffuse, specular, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        table, white, diffuse, specular, *kept = ctx.saved_tensors
        rank, other = table.shape[-2:]
        # One product gives the sums over the channels and the other pigment's functions.
        by_a = table.permute(0, 2, 1, 3).flatten(2)
        by_b = table.permute(0, 3, 1, 2).flatten(2)
        of_table, of_white = torch.zeros_like(table), torch.zeros_like(white)
        of_maps = [torch.empty_like(diffuse) for _ in range(4)]
        for (images, part), a, b in zip(_chunks(diffuse), kept[::2], kept[1::2], strict=True):
            own = slice(None) if len(table) == 1 else images
            g, d, s = gradient[images, :, part], diffuse[images, part], specular[images, part]
            count = len(d)
            z = _outer(g, b[:other])
            r = torch.bmm(by_a[own].expand(count, -1, -1), z).transpose(0, 1)
            of_maps[2][images, part] = _dot(a[:rank], r)
            of_maps[0][images, part] = _dot(a[rank:], r).mul_(d)
            z = _outer(g * d[:, None], a[:rank])
            r = torch.bmm(by_b[own].expand(count, -1, -1), z).transpose(0, 1)
            of_maps[1][images, part] = _dot(b[other:], r)
            of_maps[3][images, part] = (white[own, None] @ g)[:, 0]
            parts = (
                torch.bmm(z, b[:other].permute(1, 2, 0)).unflatten(1, (3, rank)),
                (g @ s[:, :, None])[:, :, 0],
            )
            for total, value in zip((of_table, of_white), parts, strict=True):
                total[own] += value.sum(0, keepdim=True) if len(table) == 1 else value
        return (None, None, of_table, of_white, *of_maps)


def _outer(first: Tensor, second: Tensor) -> Tensor:
    """(b, C, n) times (I, b, n): all products, contiguous (b, C I, n)."""
    count, channels, pixels = first.shape
    out = first.new_empty(count, channels, len(second), pixels)
    torch.mul(first[:, :, None], second.transpose(0, 1)[:, None], out=out)
    return out.flatten(1, 2)


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """Sum over the leading axis of the product."""
    total = first[0] * second[0]
    for one, other in zip(first[1:], second[1:], strict=True):
        total.addcmul_(one, other)
    return total
