"""Face crops of real photos for fine-tuning, with their skin and a shading proxy."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import IterableDataset
from tqdm import tqdm

from bioface.atomic import replacing
from bioface.errors import InputError
from bioface.learn.proxy import shading_proxy
from bioface.npz import read_npz
from bioface.photo.crop import FRAMING, Crop
from bioface.photo.files import find_photos, read_photo, to_bytes
from bioface.photo.find import find_faces
from bioface.spectral.colour import srgb_decode, srgb_encode

MARGIN = 1.3
"""Faces are kept in squares so much larger than the crop, which leaves room to move it."""

FINENESS = 1.5
"""Their pixels a pixel of the crop: sampled bilinearly, moved crops are as sharp as `Crop.extract`
makes them for reading (0.005 apart in sRGB; at 1 it was 0.015)."""

ASTRONAUT = "astronaut (scikit-image)"

CROPS_SUFFIX = ".npz"
_DARKEST = 1e-6


@dataclass(frozen=True)
class FaceCrops:
    """The largest face of every photo.

    Attributes
    ----------
    names
        Where each came from.
    planes
        (N, 5, S, S) float16: sRGB, skin mask, shading proxy; S is `kept_side(size)`.
    size
        Side of the crops that `central` and `FaceBatches` make.
    """

    names: tuple[str, ...]
    planes: Tensor
    size: int

    def save(self, path: Path) -> None:
        """Write an npz, in 8 bits: photos as they are, masks, proxies over their largest value."""
        photo, mask, proxy = _split(self.planes.float().numpy())
        largest = np.maximum(proxy.max((1, 2), keepdims=True), _DARKEST)
        values = {"photo": photo.clip(0, 1), "mask": mask.clip(0, 1), "proxy": proxy / largest}
        levels = {name: np.rint(255 * value).astype(np.uint8) for name, value in values.items()}
        names = np.array([Path(name).name for name in self.names])
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file, **levels, largest=largest, names=names, size=np.array(self.size)
            )

    @classmethod
    def load(cls, path: Path, size: int) -> FaceCrops:
        """Read what `save` wrote, whose `size` must be this.

        Raises
        ------
        InputError
            Missing, not such a file, or of another size.
        """
        advice = "make crops of faces with bioface train crop"
        needed = ("photo", "mask", "proxy", "largest", "names", "size")
        parts = read_npz(path, needed, advice)
        try:
            planes = [parts[name].astype(np.float32) / 255 for name in ("photo", "mask", "proxy")]
            planes[2] *= parts["largest"]
            names, made_for = tuple(map(str, parts["names"])), int(parts["size"].item())
            together = np.concatenate([planes[0], planes[1][:, None], planes[2][:, None]], 1)
        except (TypeError, ValueError, LookupError) as error:
            raise InputError(f"{path}: holds arrays of another shape or kind; {advice}") from error
        if made_for != size or together.shape[-1] != kept_side(size):
            raise InputError(
                f"{path}: faces cropped for {made_for} pixels or by another version, the weights "
                f"want {size}; run bioface train crop --size {size}"
            )
        return cls(names, torch.from_numpy(together.astype(np.float16)), size)

    def central(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Photo (1, 3, size, size), mask and proxy (1, size, size) as `estimate` frames them."""
        chosen = self.planes[index : index + 1].float()
        return _parts(_crop(chosen, self.size, torch.tensor([[1.0, 0.0, 0.0, 0.0]])))


def kept_side(size: int) -> int:
    """Side in pixels of the squares that crops of `size` are cut from."""
    return round(FINENESS * MARGIN * size)


def load_faces(inputs: Sequence[str | os.PathLike[str]], size: int) -> FaceCrops:
    """Crop the faces of photos and folders, or read crops from the npz of `FaceCrops.save`.

    Without inputs it is the face of scikit-image's astronaut.

    Photos that cannot be read or show no face are skipped with a line on stderr.

    Raises
    ------
    InputError
        A folder holds no photos, no photo shows a face, or the npz cannot be used.
    """
    if len(inputs) == 1 and Path(inputs[0]).suffix == CROPS_SUFFIX:
        return FaceCrops.load(Path(inputs[0]), size)
    sources: list[Path] = find_photos(inputs) if inputs else []
    names, planes = [], []
    if inputs:
        for source in tqdm(sources, desc="find faces", disable=None):
            try:
                srgb = read_photo(source)
                planes.append(_face(srgb, size))
                names.append(str(source))
            except InputError as error:
                message = str(error)
                named = message if message.startswith(str(source)) else f"{source}: {message}"
                print(f"skipped {named}", file=sys.stderr)
    else:
        from skimage.data import astronaut

        names, planes = [ASTRONAUT], [_face(astronaut().astype(np.float32) / 255, size)]
    if not planes:
        raise InputError(f"{inputs[0]}: no photo with a face to fine-tune on")
    return FaceCrops(tuple(names), torch.from_numpy(np.stack(planes)), size)


def _face(srgb: np.ndarray, size: int) -> np.ndarray:
    faces = find_faces(to_bytes(srgb))
    if not faces:
        raise InputError("no face found")
    face = faces[0]
    crop = Crop.around(face.landmarks, kept_side(size), MARGIN * FRAMING)
    linear = crop.extract(srgb_decode(srgb.astype(np.float32)))
    photo = srgb_encode(linear)
    mask = crop.extract(face.mask)
    proxy = shading_proxy(linear, mask, crop.from_photo(face.landmarks))
    return np.concatenate([photo.transpose(2, 0, 1), mask[None], proxy[None]]).astype(np.float16)


class FaceBatches(IterableDataset):
    """Endless batches of moved, scaled and mirrored crops; batch k depends only on (seed, k)."""

    def __init__(
        self, faces: FaceCrops, indices: np.ndarray, batch: int, seed: int, start: int = 0
    ) -> None:
        super().__init__()
        self.faces = faces
        self.indices = np.asarray(indices)
        self.batch = batch
        self.seed = seed
        self.start = start

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        step = self.start
        while True:
            yield self.at(step)
            step += 1

    def at(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Photos (B, 3, H, W), skin masks and proxies (B, H, W) of batch number `step`."""
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, step]))
        chosen = rng.choice(self.indices, self.batch, replace=len(self.indices) < self.batch)
        scale = rng.uniform(0.85, 1.2, self.batch)
        mirror = np.where(rng.random(self.batch) < 0.5, -1.0, 1.0)
        angle = np.deg2rad(rng.uniform(-8, 8, self.batch))
        shift = rng.uniform(-0.08, 0.08, (2, self.batch))
        moves = np.stack([scale * np.cos(angle) * mirror, scale * np.sin(angle), *shift], 1)
        planes = _crop(
            self.faces.planes[torch.from_numpy(chosen)].float(),
            self.faces.size,
            torch.from_numpy(moves).float(),
        )
        return _parts(planes)


def _crop(planes: Tensor, size: int, moves: Tensor) -> Tensor:
    """Cut (B, 5, size, size) out of larger squares.

    `moves` (B, 4): cosine and sine of the roll times the scale (a negative cosine mirrors), shift
    in half crop widths.
    """
    cosine, sine, across, down = moves.T
    flat = torch.stack(
        [cosine, -sine, across, sine * cosine.sign(), cosine.abs(), down], 1
    ).reshape(-1, 2, 3)
    shape = [len(planes), planes.shape[1], size, size]
    grid = functional.affine_grid(flat / MARGIN, shape, align_corners=False)
    return functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)


def _parts(planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    photo, mask, proxy = _split(planes)
    return photo.clamp(0, 1), mask.clamp(0, 1), proxy


def _split(planes: Any) -> tuple[Any, Any, Any]:
    """Photo (N, 3, S, S), mask and proxy (N, S, S) of planes (N, 5, S, S)."""
    return planes[:, :3], planes[:, 3], planes[:, 4]
