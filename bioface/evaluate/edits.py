"""The edits of Fig. 4 of Alotaibi & Smith (2019), on a rendered face that shows nobody."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bioface.atomic import replacing
from bioface.errors import InputError
from bioface.learn.accuracy import drawn_photos
from bioface.learn.conditions import RelightConfig
from bioface.learn.relight import Relighter
from bioface.learn.splits import split_samples
from bioface.packed import PackedDataset
from bioface.photo.explain import rendered
from bioface.photo.network import Network, Reading
from bioface.scores.faces import CLIPPED, Photos
from bioface.spectral.colour import srgb_decode, srgb_encode
from bioface.spectral.units import HAEMOGLOBIN_RANGE, from_unit, to_unit

MELANIN_STEP = 0.6
"""In the paper's units, from -1 to 1: twice u, so that half of it is added to u."""

HAEMOGLOBIN_FACTOR = 0.5
CHOICE = 8
"""Photos drawn for each row, of which the best exposed is shown."""


def edited(reading: Reading) -> dict[str, Reading]:
    """Title to the changed reading: nothing changed, then the paper's three edits."""
    blood = HAEMOGLOBIN_FACTOR * from_unit(reading.haemoglobin_u, HAEMOGLOBIN_RANGE)
    return {
        "reconstruction": reading,
        "no specular": dataclasses.replace(
            reading, specular_shading=np.zeros_like(reading.specular_shading)
        ),
        f"melanin +{MELANIN_STEP:g}": dataclasses.replace(
            reading, melanin_u=reading.melanin_u + MELANIN_STEP / 2
        ),
        f"haemoglobin x{HAEMOGLOBIN_FACTOR:g}": dataclasses.replace(
            reading, haemoglobin_u=to_unit(blood, HAEMOGLOBIN_RANGE)
        ),
    }


def draw_edits(packed: PackedDataset, network: Network, rows: int, seed: int) -> Figure:
    """A row a held-out face, from light to dark: photo, reconstruction and the three edits.

    The photos are drawn under daylight, with the pigments that the set was rendered with. Edits
    keep what the network does not explain: their difference to the reconstruction is added to the
    photo, on skin.

    Raises
    ------
    InputError
        Fewer people than rows are held out.
    """
    people = split_samples(packed)[1]
    if len(people) < rows:
        raise InputError(f"{packed.path}: {len(people)} people held out; {rows} rows asked for")
    size = packed.images.shape[-1]
    config = dataclasses.replace(RelightConfig.clean(), redraw=0.0)
    relighter = Relighter(packed, size, config=config, lights=("D",))
    count = CHOICE * rows
    photos = next(drawn_photos(relighter, people, count, seed, batch=count))
    figure = Figure(figsize=(10, 2.1 * rows), layout="constrained")
    axes = figure.subplots(rows, 5, squeeze=False)
    for row, i in enumerate(_well_exposed(photos, rows)):
        seen = photos.srgb[i]
        reading = network.read(seen)
        base = rendered(reading, network.skin)
        pictures = {"photo": seen}
        for title, changed in edited(reading).items():
            shown = rendered(changed, network.skin)
            if title != "reconstruction":
                shown = srgb_decode(seen) + shown - base
            skin = photos.mask[i][..., None]
            linear = skin * shown + (1 - skin) * srgb_decode(seen)
            pictures[title] = np.clip(srgb_encode(linear), 0, 1)
        for axis, (title, picture) in zip(axes[row], pictures.items(), strict=True):
            axis.imshow(picture, interpolation="bicubic")
            axis.set_axis_off()
            if row == 0:
                axis.set_title(title, fontsize=10)
    return figure


def _well_exposed(photos: Photos, rows: int) -> list[int]:
    """From the lightest to the darkest skin, each the least clipped of its `CHOICE` photos."""
    pairs = zip(photos.melanin_u, photos.counted, strict=True)
    melanin = [u[on].mean() if on.any() else np.inf for u, on in pairs]
    bright = (photos.srgb.max(-1) >= CLIPPED) & photos.counted
    clipped = bright.sum((1, 2)) / np.maximum(photos.counted.sum((1, 2)), 1)
    parts = np.array_split(np.argsort(melanin), rows)
    return [int(part[clipped[part].argmin()]) for part in parts]


def write_edits(
    packed: PackedDataset, network: Network, path: Path, rows: int = 3, seed: int = 0
) -> None:
    """`draw_edits` to a PNG."""
    figure = draw_edits(packed, network, rows, seed)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
