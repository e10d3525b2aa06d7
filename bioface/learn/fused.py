"""The fast decoder for torch, with its gradients in closed form.

`bioface.spectral.fast.render` under autograd would keep some hundred numbers a pixel. Here the
four maps alone are kept, and the backward pass makes the polynomials again: chunk by chunk in the
processor's cache, that is faster than to keep them. float32 on a processor goes to the compiled
loops of `bioface.learn.compiled`, unless numba is missing, there are only a few pixels, or the
environment says `BIOFACE_COMPILED=0`; everything else to torch operations. Both give the same
numbers to the rounding of float32 (2e-6 in linear sRGB).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from bioface.spectral import fast
from bioface.spectral.backend import like, table_like

SWITCH = "BIOFACE_COMPILED"
"""Environment variable; 0 keeps to torch operations."""

COMPILED_FROM = 1 << 14
"""Pixels from which compiled loops are worth loading numba (and compiling once)."""

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
    inputs = (series.table, white, melanin, haemoglobin, diffuse, specular)
    function = _RenderCompiled if to_be_compiled(inputs[2], *inputs) else _Render
    result: Tensor = function.apply(series.lengths, *inputs)
    return result


def to_be_compiled(pixels: Tensor, *tensors: Tensor) -> bool:
    """Whether compiled loops take these: enough pixels, float32 on a processor, and numba there."""
    return (
        pixels.numel() >= COMPILED_FROM
        and all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)
        and os.environ.get(SWITCH, "1") != "0"
        and not torch.compiler.is_compiling()
        and _kernels() is not None
    )


@cache
def _kernels() -> ModuleType | None:
    """`bioface.learn.compiled`; None where numba is missing or told not to compile."""
    try:
        from bioface.learn import compiled
    except ImportError:
        return None
    return compiled if compiled.ENABLED else None


def _products(lengths: tuple[int, ...], melanin: Tensor, haemoglobin: Tensor) -> Tensor:
    """`fast.products` (b, K, n) of the warped fractions (b, n), up to the signs of `_signs`.

    The recurrence T_k+1 = 2 x T_k - T_k-1 on +-T_k is one addcmul for each polynomial of melanin
    and one for all products with each polynomial of haemoglobin.
    """
    x, y = fast.warp_melanin(melanin), fast.warp_haemoglobin(haemoglobin)
    rows = x.new_empty(sum(lengths), *x.shape)
    first, *blocks = rows.split(lengths)
    powers = first.unbind()
    powers[0].fill_(1)
    if len(powers) > 1:
        powers[1].copy_(x)
    twice = 2 * x
    for k in range(2, len(powers)):
        torch.addcmul(powers[k - 2], twice, powers[k - 1], value=_step(k), out=powers[k])
    twice = 2 * y
    before, last = first, first
    for q, block in enumerate(blocks, start=1):
        length = len(block)
        if q == 1:
            torch.mul(last[:length], y, out=block)
        else:
            torch.addcmul(before[:length], last[:length], twice, value=_step(q), out=block)
        before, last = last, block
    return rows.transpose(0, 1)


def _sign(degree: int) -> float:
    return -1.0 if degree % 4 in (2, 3) else 1.0


def _step(degree: int) -> float:
    return _sign(degree) * _sign(degree - 1)


@cache
def _signs(lengths: tuple[int, ...]) -> np.ndarray:
    """(K,) sign with which `_products` holds each product."""
    return np.array(
        [_sign(p) * _sign(q) for q, length in enumerate(lengths) for p in range(length)]
    )


Part = tuple[slice, slice]


def _for_each_chunk(work: Callable[[Part], None], tensor: Tensor) -> None:
    """Call `work` with the slices of every chunk of a map (B, n): on a CPU, in parallel.

    One operation on one chunk is too small to be worth sharing among torch's own threads. Threads
    end with the call, so that processes may fork.
    """
    batch, pixels = tensor.shape
    on_cpu = tensor.device.type == "cpu"
    parts = list(fast.chunks(batch, pixels, fast.CHUNK if on_cpu else CHUNK_ON_DEVICE))
    others = min(torch.get_num_threads(), len(parts)) - 1 if on_cpu else 0
    left = iter(parts)

    def run() -> None:
        with torch.no_grad():  # a thread of its own starts with gradients on
            for part in left:
                work(part)

    if others < 1:
        run()
        return
    with ThreadPoolExecutor(others) as pool:
        started = [pool.submit(run) for _ in range(others)]
        run()
    for thread in started:
        thread.result()


class _Render(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, lengths: tuple[int, ...], *inputs: Tensor) -> Tensor:
        ctx.lengths = lengths
        ctx.save_for_backward(*inputs)
        table, white, *maps = inputs
        batch, pixels = maps[0].shape
        signed = table * table_like(table, _signs(lengths))
        out = maps[0].new_empty(batch, 3, pixels)

        def work(chunk: Part) -> None:
            images, part = chunk
            m, h, d, s = (values[chunk] for values in maps)
            own = slice(None) if len(table) == 1 else images
            colour = torch.bmm(signed[own].expand(len(m), -1, -1), _products(lengths, m, h))
            target = out[images, :, part]
            torch.mul(colour, d[:, None], out=target)
            target.addcmul_(s[:, None], white[own, :, None])

        _for_each_chunk(work, out[:, 0])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        lengths = ctx.lengths
        table, white, *maps = ctx.saved_tensors
        signs = table_like(table, _signs(lengths))
        slopes = table[:, None] @ table_like(table, fast.derivatives(lengths))
        signed = torch.cat([table, *slopes.unbind(1)], dim=1) * signs
        of_maps = [torch.empty_like(values) for values in maps]
        sums: list[tuple[Part, Tensor, Tensor]] = []

        def work(chunk: Part) -> None:
            images, part = chunk
            own = slice(None) if len(table) == 1 else images
            g = gradient[images, :, part]
            m, h, d, s = (values[chunk] for values in maps)
            products = _products(lengths, m, h)
            colours = torch.bmm(signed[own].expand(len(m), -1, -1), products)
            by_x, by_y, by_d = (_dot(g, colours[:, 3 * k : 3 * k + 3]) for k in (1, 2, 0))
            of_maps[0][chunk] = by_x.mul_(d).mul_(fast.warp_melanin_slope(m))
            of_maps[1][chunk] = by_y.mul_(d).mul_(fast.warp_haemoglobin_slope(h))
            of_maps[2][chunk] = by_d
            of_maps[3][chunk] = _dot(g, white[own, :, None])
            of_table = torch.bmm(g * d[:, None], products.transpose(1, 2)) * signs
            of_white = torch.bmm(g, s[:, :, None])[:, :, 0]
            if len(table) == 1:
                of_table, of_white = of_table.sum(0, keepdim=True), of_white.sum(0, keepdim=True)
            sums.append((chunk, of_table, of_white))

        _for_each_chunk(work, maps[0])
        of_table, of_white = torch.zeros_like(table), torch.zeros_like(white)
        for (images, _), by_table, by_white in sorted(sums, key=_place):
            own = slice(None) if len(table) == 1 else images
            of_table[own] += by_table
            of_white[own] += by_white
        return (None, of_table, of_white, *of_maps)


class _RenderCompiled(torch.autograd.Function):
    """`_Render` in the loops of `bioface.learn.compiled`."""

    @staticmethod
    def forward(ctx: Any, lengths: tuple[int, ...], *inputs: Tensor) -> Tensor:
        kernels = _kernels()
        assert kernels is not None
        inputs = tuple(tensor.contiguous() for tensor in inputs)
        ctx.lengths = lengths
        ctx.save_for_backward(*inputs)
        table, white, *maps = inputs
        out = maps[0].new_empty(len(maps[0]), 3, maps[0].shape[1])
        fixed = (
            kernels.WARPS,
            np.array(lengths),
            _padded(table, kernels.STRIDE),
            white.detach().numpy(),
        )
        arrays = tuple(values.detach().numpy() for values in maps), out.numpy()
        _for_each_chunk(lambda part: kernels.forward(*fixed, *arrays, _bounds(part, out)), maps[0])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        kernels = _kernels()
        assert kernels is not None
        lengths = ctx.lengths
        table, white, *maps = ctx.saved_tensors
        slopes = table[:, None] @ table_like(table, fast.derivatives(lengths))
        rows = _padded(torch.cat([table, *slopes.unbind(1)], dim=1), kernels.STRIDE)
        of_maps = [torch.empty_like(values) for values in maps]
        fixed = kernels.WARPS, np.array(lengths), rows, white.numpy()
        arrays = (
            tuple(values.numpy() for values in maps),
            gradient.contiguous().numpy(),
            tuple(values.numpy() for values in of_maps),
        )
        sums: list[tuple[Part, np.ndarray, np.ndarray]] = []

        def work(part: Part) -> None:
            bounds = _bounds(part, gradient)
            count = 1 if len(table) == 1 else bounds[1] - bounds[0]
            of_table, of_white = np.zeros((count, 3, rows.shape[2])), np.zeros((count, 3))
            kernels.backward(*fixed, *arrays, of_table, of_white, bounds)
            sums.append((part, of_table, of_white))

        _for_each_chunk(work, maps[0])
        of_table, of_white = np.zeros(table.shape), np.zeros(white.shape)
        for (images, _), by_table, by_white in sorted(sums, key=_place):
            own = slice(None) if len(table) == 1 else images
            of_table[own] += by_table[:, :, : table.shape[2]]
            of_white[own] += by_white
        return (None, like(table, of_table), like(white, of_white), *of_maps)


def _padded(table: Tensor, multiple: int) -> np.ndarray:
    """Coefficients (B, C, K) with zeros behind, up to a multiple of terms."""
    return functional.pad(table.detach(), (0, -table.shape[2] % multiple)).contiguous().numpy()


def _bounds(part: Part, image: Tensor) -> tuple[int, int, int, int]:
    """A chunk of an image (B, 3, n) in numbers."""
    images, pixels = part
    batch, _, count = image.shape
    return images.start, min(images.stop, batch), pixels.start, min(pixels.stop, count)


def _place(entry: tuple[Part, Any, Any]) -> tuple[int, int]:
    """Order of a chunk: sums in a fixed order are the same at every run."""
    images, part = entry[0]
    return images.start, part.start


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """Sum over the three channels of the product, (b, 3, n) to (b, n)."""
    total = first[:, 0] * second[:, 0]
    for channel in (1, 2):
        total.addcmul_(first[:, channel], second[:, channel])
    return total
