"""Whether different photos of one person read the same, beside plain colour. Imports torch.

Intraclass correlation, ICC(1,1) of Shrout & Fleiss (1979): the share of the variance of readings
that is between people rather than between photos of one person. 1 is perfect; what only tells how
a photo was taken has 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import BiofaceError, InputError
from bioface.evaluate.portraits import medians_u
from bioface.evaluate.tables import number
from bioface.learn.accuracy import NetworkReader, drawn_photos, test_device
from bioface.learn.conditions import RelightConfig
from bioface.learn.relight import Relighter
from bioface.learn.splits import split_samples
from bioface.packed import PackedDataset
from bioface.photo.files import find_photos, read_photo
from bioface.photo.network import Network
from bioface.photo.read import SURE, faces_in, read_faces
from bioface.scores.faces import LEAST_PIXELS
from bioface.scores.summary import DRAWS, bounds
from bioface.scores.sums import resampled
from bioface.spectral.colour import ita, linear_srgb_to_xyz, srgb_decode, xyz_to_lab

READINGS = ("melanin", "haemoglobin")
COLOURS = ("ITA", "L*", "a*", "b*")
"""What is compared: medians over a face's skin of pigments in u, and of the photo's own colour."""

_PHOTOS = 2


@dataclass(frozen=True)
class Repeated:
    """Readings of several photos of several people.

    Attributes
    ----------
    people
        (F,) whose photo it is.
    values
        (F, 6) of `READINGS` and `COLOURS`.
    skipped
        Photos without a readable face.
    """

    people: Sequence[str]
    values: np.ndarray
    skipped: int = 0


def intraclass(values: np.ndarray, people: Sequence[str] | np.ndarray) -> float:
    """ICC(1,1) of values (F,) by whose they are; people may have different numbers of photos."""
    moments, _ = _moments(np.asarray(values, np.float64)[:, None], people)
    return float(_intraclass(moments.sum(0))[0])


def agreement(repeated: Repeated, seed: int = 0) -> dict[str, Any]:
    """JSON-ready: `people`, `photos`, `skipped`, and of each reading and colour what agrees.

    Of each: `icc` as [value, low, high], the bounds of the 95 % bootstrap interval over people
    (None for fewer than `bioface.scores.summary.FEWEST`; the value, too, where all readings are the
    same), and the standard deviations `between` people (of their means) and `within` them, in u for
    readings, degrees for the ITA and CIELAB units for the rest. People with one photo do not count.

    Raises
    ------
    InputError
        Fewer than two people have two readable photos.
    """
    names, counts = np.unique(np.asarray(repeated.people), return_counts=True)
    kept = np.isin(repeated.people, names[counts > 1])
    if (counts > 1).sum() < 2:
        raise InputError("agreement needs two people at least, with two readable photos each")
    people, values = np.asarray(repeated.people)[kept], repeated.values[kept]
    moments, names = _moments(values, people)
    whole = _intraclass(moments.sum(0))
    drawn = _intraclass(resampled(moments, names, np.random.default_rng(seed), DRAWS))
    found = {}
    for k, name in enumerate((*READINGS, *COLOURS)):
        _, n, _, s, _, within = moments[:, k].T
        found[name] = {
            "icc": [
                float(v) if np.isfinite(v) else None
                for v in (whole[k], *bounds(drawn[:, k], len(names)))
            ],
            "between": float((s / n).std()),
            "within": float(np.sqrt(within.sum() / (n.sum() - len(n)))),
        }
    return {
        "people": len(names),
        "photos": len(people),
        "skipped": repeated.skipped,
        "agreement": found,
    }


def of_photos(
    photos: Sequence[tuple[str, Path]],
    network: Network,
    advance: Callable[[int], object] = lambda _: None,
) -> Repeated:
    """Photos of `find_people` as `bioface estimate` reads them; the largest face of each counts."""
    people, values, skipped = [], [], 0
    for person, path in photos:
        try:
            srgb = read_photo(path)
            read = read_faces(srgb, faces_in(srgb, path, network)[:1], network)
            pigments = medians_u(read.faces[0])
            sure = read.maps["mask"] > SURE
            if sure.sum() <= LEAST_PIXELS:
                raise InputError("no skin seen")
        except BiofaceError:
            skipped += 1
        else:
            people.append(person)
            values.append([*pigments, *_colours(srgb[sure])])
        advance(1)
    return Repeated(people, np.array(values).reshape(-1, len(READINGS + COLOURS)), skipped)


def find_people(folder: Path) -> list[tuple[str, Path]]:
    """(person, photo) of every photo in the folders inside `folder`, which name the people.

    Raises
    ------
    InputError
        There are no such folders, or no photos in one of them; or `folder` is none.
    """
    if not folder.exists():
        raise InputError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise InputError(f"{folder}: a file; name a folder that holds one for each person's photos")
    inside = sorted(path for path in folder.glob("*") if path.is_dir())
    if not inside:
        raise InputError(f"{folder}: holds no folders; make one for each person's photos")
    return [(person.name, photo) for person in inside for photo in find_photos([person])]


def of_renders(
    packed: PackedDataset,
    reader: NetworkReader,
    *,
    cameras: Path | None = None,
    seed: int = 0,
    advance: Callable[[int], object] = lambda _: None,
) -> Repeated:
    """Two photos of each held-out rendered person, with the pigments they were rendered with.

    Everything else is drawn as in *full*: light and its brightness, gloss, camera (held-out ones of
    the database `cameras`, or the training model), white balance, exposure, tone, saturation, blur,
    noise, JPEG, the crop. Pose and the places of the lights are the render's.

    Raises
    ------
    InputError
        Nobody is held out.
    """
    held_out = split_samples(packed)[1]
    if len(held_out) == 0:
        raise InputError(f"{packed.path}: nobody is held out in this set")
    config = dataclasses.replace(RelightConfig.full(), redraw=0.0, within_sd=None)
    size = reader.encoder.config.size
    relighter = Relighter.for_test(packed, size, config, database=cameras, device=test_device())
    people, values, skipped = [], [], 0
    for photos in drawn_photos(relighter, held_out, _PHOTOS * len(held_out), seed):
        read = reader.read(photos)
        for i, on in enumerate(photos.counted):
            if on.sum() <= LEAST_PIXELS:
                skipped += 1
                continue
            maps = (read.melanin_u, read.haemoglobin_u)
            pigments = [float(np.median(plane[i][on])) for plane in maps]
            people.append(photos.identity[i])
            values.append([*pigments, *_colours(photos.srgb[i][on])])
        advance(len(photos.srgb))
    return Repeated(people, np.array(values).reshape(-1, len(READINGS + COLOURS)), skipped)


def count_renders(packed: PackedDataset) -> int:
    """How many photos `of_renders` draws."""
    return _PHOTOS * len(split_samples(packed)[1])


def as_table(found: dict[str, Any]) -> str:
    """Markdown: a row for each reading and colour."""
    rows = [
        "| median over skin | ICC(1,1) | 95 % | sd of people's means | within them |",
        "|---|---|---|---|---|",
    ]
    for name, one in found["agreement"].items():
        value, low, high = (number(figure, 2) for figure in one["icc"])
        digits = 3 if name in READINGS else 1
        around = low if low == high == "-" else f"{low} to {high}"
        rows.append(
            f"| {name}{', u' if name in READINGS else ''} | {value} | {around} "
            f"| {one['between']:.{digits}f} | {one['within']:.{digits}f} |"
        )
    return "\n".join(rows)


def _colours(srgb: np.ndarray) -> list[float]:
    """ITA, L*, a* and b* of the median colour (P, 3) of sRGB pixels."""
    lab = np.asarray(xyz_to_lab(linear_srgb_to_xyz(srgb_decode(srgb.astype(np.float64)))))
    median = np.median(lab, axis=0)
    return [float(ita(median)), *map(float, median)]


def _moments(
    values: np.ndarray, people: Sequence[str] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What `_intraclass` needs of every person, (people, columns, 6), and the people's names.

    Of values (F, columns): 1, their number, its square, their sum, its square over the number,
    and the sum of squares about their mean.
    """
    names, owner = np.unique(np.asarray(people), return_inverse=True)
    n, s, q = np.zeros((3, len(names), values.shape[1]))
    for total, each in ((n, np.ones_like(values)), (s, values), (q, values**2)):
        np.add.at(total, owner, each)
    return np.stack([np.ones_like(n), n, n**2, s, s**2 / n, q - s**2 / n], -1), names


def _intraclass(moments: np.ndarray) -> np.ndarray:
    """ICC(1,1) (...) of `_moments` summed over people, (..., 6)."""
    people, photos, squared, total, of_people, within = np.moveaxis(moments, -1, 0)
    mean_square_between = (of_people - total**2 / photos) / (people - 1)
    mean_square_within = within / (photos - people)
    each = (photos - squared / photos) / (people - 1)
    with np.errstate(invalid="ignore"):
        ratio: np.ndarray = (mean_square_between - mean_square_within) / (
            mean_square_between + (each - 1) * mean_square_within
        )
    return ratio
