"""Light transport and pigments of packed samples, cropped for a batch."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bioface.learn.fused import to_be_compiled
from bioface.packed import PackedDataset
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, to_unit

GROUPS = ("key", "fill", "environment")
CHANNELS = (
    *(f"diffuse_shading.{g}" for g in GROUPS),
    *(f"specular_shading.{g}" for g in GROUPS),
    "melanin",
    "haemoglobin",
    "mask",
    "coverage",
    *(f"reflectance.{k}" for k in range(4)),
    "region",
    *(f"normal.{axis}" for axis in "XYZ"),
)
INDIRECT_CHANNELS = ("indirect.diffuse", "indirect.specular")
"""Channels that only some packs have; their planes are 0 for the others."""

DIFFUSE, SPECULAR, PIGMENTS = slice(0, 3), slice(3, 6), slice(6, 8)
MASK, COVERAGE, REFLECTANCE, LIPS, NORMALS = 8, 9, slice(10, 14), 14, slice(15, 18)
INDIRECT = slice(18, 20)
PLANES = 20

LIPS_REGION = 8
"""The lips among the region names of `synth.scene.REGIONS`."""


def stored_channels(packed: PackedDataset) -> tuple[str, ...]:
    """`CHANNELS`, and `INDIRECT_CHANNELS` of a pack that has them."""
    indirect = set(INDIRECT_CHANNELS) <= set(packed.channels)
    return (*CHANNELS, *INDIRECT_CHANNELS) if indirect else CHANNELS


class Planes:
    """Reads samples at one size: (n, 20, size, size) as `CHANNELS` and `INDIRECT_CHANNELS` say.

    Lips stand for the region.

    Samples larger than `size` are averaged down once; the result is kept in memory that processes
    forked from this one share (`size`^2 x 40 bytes a sample).

    Parameters
    ----------
    packed
        The packed file.
    size
        Largest side that is needed.

    Attributes
    ----------
    indirect
        Whether the pack has `INDIRECT_CHANNELS`.
    """

    def __init__(self, packed: PackedDataset, size: int) -> None:
        self.packed = packed
        self.size = size
        names = stored_channels(packed)
        self.indirect = len(names) > len(CHANNELS)
        self._channels = packed.index(names)
        self._share()

    def _share(self) -> None:
        """Room for the averaged samples, empty, and which of them are there."""
        self._smaller = self.packed.images.shape[-1] > self.size
        count = len(self.packed) if self._smaller else 0
        shape = (count, PLANES, self.size, self.size)
        self._kept = _shared(2 * int(np.prod(shape))).view(np.float16).reshape(shape)
        self._filled = _shared(count)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_kept", "_filled")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._share()

    def crop(self, indices: np.ndarray, affine: Tensor, out: Tensor) -> None:
        """Write samples cropped, rolled and mirrored by affine (n, 2, 3) to (n, 20, size, size).

        Shading and pigments (in u) are means over what they belong to; reflectance is weighted by
        the share of what is neither skin nor background, lips by the share of skin; normals are
        `turned`.
        """
        if self._smaller:
            self._keep(indices)
        if to_be_compiled(out[:, 0], out, affine):
            self._crop_compiled(indices, affine, out)
        else:
            out.copy_(move(self._read(indices, out.device), affine, self.size))

    def _crop_compiled(self, indices: np.ndarray, affine: Tensor, out: Tensor) -> None:
        """`move` of samples in the loops of `bioface.learn.compiled_crop`."""
        from bioface.learn import compiled_crop

        bounds = np.cbrt(np.array([MELANIN_RANGE, HAEMOGLOBIN_RANGE])).astype(np.float32)
        absent = [compiled_crop.ABSENT] * (PLANES - len(self._channels))
        pack = compiled_crop.Pack(
            np.arange(PLANES) if self._smaller else np.array([*self._channels, *absent]),
            bounds[:, 0].copy(),
            bounds[:, 1] - bounds[:, 0],
            np.float32(LIPS_REGION),
        )
        stored = self._kept if self._smaller else np.asarray(self.packed.images)
        compiled_crop.crop(
            stored.view(np.uint16), indices, pack, self._smaller, affine.numpy(), out.numpy()
        )

    def _keep(self, indices: np.ndarray) -> None:
        """Average samples down that are not there yet."""
        size = (self.size, self.size)
        for i in np.unique(indices):
            if not self._filled[i]:
                planes = weigh(self._stored(i)[None].float())
                self._kept[i] = functional.interpolate(planes, size, mode="area")[0].numpy()
                self._filled[i] = 1

    def _read(self, indices: np.ndarray, device: torch.device) -> Tensor:
        """Weighted planes (n, 20, S, S), which travel to the device as half floats."""
        if self._smaller:
            return torch.from_numpy(self._kept[indices]).to(device)
        return weigh(torch.stack([self._stored(i) for i in indices]).to(device).float())

    def _stored(self, index: int) -> Tensor:
        stored = torch.from_numpy(self.packed.images[index][self._channels])
        return functional.pad(stored, (0, 0, 0, 0, 0, PLANES - len(stored)))


def weigh(planes: Tensor) -> Tensor:
    """Weight float32 planes (n, 20, S, S), in place, by what they belong to, so that means add up.

    Shading and its indirect share by coverage, pigments (in u from here on), lips and normals by
    the share of skin, reflectance by the share of what is neither skin nor background.
    """
    mask, coverage = planes[:, MASK], planes[:, COVERAGE]
    planes[:, DIFFUSE] *= coverage[:, None]
    planes[:, SPECULAR] *= coverage[:, None]
    for k, bounds in ((6, MELANIN_RANGE), (7, HAEMOGLOBIN_RANGE)):
        planes[:, k] = to_unit(planes[:, k].clamp_min(0), bounds) * mask
    planes[:, REFLECTANCE] *= (coverage - mask).clamp_min(0)[:, None]
    planes[:, LIPS] = (planes[:, LIPS] == LIPS_REGION) * mask
    planes[:, NORMALS] *= mask[:, None]
    planes[:, INDIRECT] *= coverage[:, None]
    return planes


def _shared(count: int) -> np.ndarray:
    """Zeros (count,) uint8 that forked processes share; they take memory once written to."""
    return np.frombuffer(mmap.mmap(-1, max(count, 1)), np.uint8)[:count]


def move(planes: Tensor, affine: Tensor, size: int) -> Tensor:
    """Crop, roll and mirror (n, 20, S, S) planes by affine (n, 2, 3) to (n, 20, size, size).

    Shading, its indirect share and pigments are divided by what weighted them; reflectance, lips,
    mask and coverage keep their weights; normals are `turned`. In float32.
    """
    axis = (2 * torch.arange(size, device=affine.device, dtype=affine.dtype) + 1) / size - 1
    of_x, of_y, shift = affine[..., None, None].unbind(2)
    grid = (of_x * axis + (of_y * axis[:, None] + shift)).permute(0, 2, 3, 1)
    moved = functional.grid_sample(planes.float(), grid, align_corners=False)
    for lit in (slice(DIFFUSE.start, SPECULAR.stop), INDIRECT):
        moved[:, lit] /= moved[:, COVERAGE : COVERAGE + 1].clamp_min(1e-3)
    moved[:, PIGMENTS] /= moved[:, MASK : MASK + 1].clamp_min(1e-3)
    moved[:, NORMALS] = turned(moved, affine)
    return moved


def turned(planes: Tensor, affine: Tensor) -> Tensor:
    """Normals (n, 3, H, W) of moved planes (n, 20, H, W), turned with the photo.

    Of unit length, and 0 where less than half of the pixel is skin.
    """
    turn = affine[:, :, :2] / affine[:, :, :2].det().abs().sqrt()[:, None, None]
    flip = torch.tensor([1.0, -1.0], device=affine.device)  # y is up in normals, down in images
    turn = flip[:, None] * turn.transpose(1, 2) * flip
    normals = planes[:, NORMALS]
    across_and_up = torch.einsum("nij,njhw->nihw", turn, normals[:, :2])
    normals = torch.cat([across_and_up, normals[:, 2:]], 1)
    length = normals.square().sum(1, keepdim=True).sqrt().clamp_min(1e-6)
    return normals * (planes[:, MASK : MASK + 1] > 0.5) / length
