"""The fast decoder for torch, with its gradients in closed form.

`bioface.spectral.fast.render` under autograd would keep some hundred numbers a pixel. Here the
four maps alone are kept, and the backward pass makes the functions of either pigment again, with
their slopes: chunk by chunk in the processor's cache, that is faster than to keep them.
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
    result: Tensor = _Render.apply(
        series.melanin,
        series.haemoglobin,
        series.table,
        white,
        melanin,
        haemoglobin,
        diffuse,
        specular,
    )
    return result


def _functions(
    bases: tuple[Tensor, Tensor], melanin: Tensor, haemoglobin: Tensor
) -> tuple[Tensor, Tensor]:
    """The functions a (I, b, n) and b (J, b, n) of fractions (b, n), for bases (I, P), (J, Q).

    The recurrence T_k+1 = 2 x T_k - T_k-1 is run on +-T_k, for both pigments at once, which makes
    it one addcmul a polynomial.
    """
    orders = [basis.shape[1] for basis in bases]
    coordinates = torch.stack([fast.warp_melanin(melanin), fast.warp_haemoglobin(haemoglobin)])
    rows = coordinates.new_empty(max(orders), *coordinates.shape)
    polynomials = rows.unbind()
    polynomials[0].fill_(1)
    polynomials[1].copy_(coordinates)
    twice = 2 * coordinates
    signs = [1.0, 1.0]
    for k in range(2, len(polynomials)):
        signs.append(-signs[k - 2])
        torch.addcmul(
            polynomials[k - 2],
            twice,
            polynomials[k - 1],
            value=signs[k] * signs[k - 1],
            out=polynomials[k],
        )
    sign = coordinates.new_tensor(signs)
    a, b = (
        ((basis * sign[:order]) @ rows[:order, k].flatten(1)).unflatten(1, melanin.shape)
        for k, (basis, order) in enumerate(zip(bases, orders, strict=True))
    )
    return a, b


def _with_slopes(basis: Tensor) -> Tensor:
    """The basis, and below it that of the functions' derivatives by the coordinate."""
    derivative = like(basis, fast.chebyshev_derivative(basis.shape[1]))
    return torch.cat([basis, basis @ derivative])


def _chunks(tensor: Tensor) -> list[tuple[slice, slice]]:
    size = fast.CHUNK if tensor.device.type == "cpu" else CHUNK_ON_DEVICE
    batch, pixels = tensor.shape
    return list(fast.chunks(batch, pixels, size))


class _Render(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        first, second, table, white, *maps = inputs
        batch, pixels = maps[0].shape
        out = maps[0].new_empty(batch, 3, pixels)
        for images, part in _chunks(maps[0]):
            m, h, d, s = (values[images, part] for values in maps)
            own = slice(None) if len(table) == 1 else images
            a, b = _functions((first, second), m, h)
            matrix = fast.matrix_of(table[own]).expand(len(m), -1, -1)
            t = torch.bmm(matrix, b.transpose(0, 1)).unflatten(1, (3, len(a)))
            rgb = t[:, :, 0] * a[0][:, None]
            for i in range(1, len(a)):
                rgb.addcmul_(t[:, :, i], a[i][:, None])
            target = out[images, :, part]
            torch.mul(rgb, d[:, None], out=target)
            target.addcmul_(s[:, None], white[own, :, None])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *bases, table, white, melanin, haemoglobin, diffuse, specular = ctx.saved_tensors
        maps = (melanin, haemoglobin, diffuse, specular)
        first, second = map(_with_slopes, bases)
        rank, other = table.shape[-2:]
        # One product gives the sums over the channels and the other pigment's functions.
        by_a = table.permute(0, 2, 1, 3).flatten(2)
        by_b = table.permute(0, 3, 1, 2).flatten(2)
        of_table, of_white = torch.zeros_like(table), torch.zeros_like(white)
        of_maps = [torch.empty_like(values) for values in maps]
        for images, part in _chunks(maps[0]):
            own = slice(None) if len(table) == 1 else images
            g = gradient[images, :, part]
            m, h, d, s = (values[images, part] for values in maps)
            count = len(d)
            a, b = _functions((first, second), m, h)
            z = _outer(g, b[:other])
            r = torch.bmm(by_a[own].expand(count, -1, -1), z).transpose(0, 1)
            of_maps[2][images, part] = _dot(a[:rank], r)
            of_maps[0][images, part] = _dot(a[rank:], r).mul_(d).mul_(fast.warp_melanin_slope(m))
            z = _outer(g * d[:, None], a[:rank])
            r = torch.bmm(by_b[own].expand(count, -1, -1), z).transpose(0, 1)
            of_maps[1][images, part] = _dot(b[other:], r).mul_(fast.warp_haemoglobin_slope(h))
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
