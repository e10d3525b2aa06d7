"""Look at a dataset: a contact sheet of ordinary pictures, and statistics."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bioface import SkinModel, decode
from bioface.atomic import replacing
from bioface.photo.files import to_bytes
from bioface.spectral.camera import CameraModel
from bioface.spectral.colour import ITA_CLASSES, srgb_encode
from bioface.spectral.formation import Camera, composed
from bioface.spectral.grid import bernstein_basis
from bioface.spectral.illuminant import illuminant
from synth.compare import sure_skin, tone
from synth.dataset.read import Dataset
from synth.dataset.schema import RADIANCE_CHANNELS
from synth.scene import GROUPS

SHEET_FILE = "contact_sheet.png"
_BACKGROUND = 0.18  # linear grey
_SHEET_SAMPLES = 48
_YAW_EDGES = (-45, -15, 15, 45)
_PITCH_EDGES = (-15, -5, 5, 15)
_AZIMUTH_EDGES = (-90, -30, 30, 90)  # of a lamp: behind, side, front, side, behind
_ELEVATION_EDGES = (0, 30, 60)
_SHARE_EDGES = (25, 50, 75)  # %
_SKIN_CHANNELS = ("melanin", "haemoglobin")
_KEPT_VALUES = 1 << 20  # of a channel for its percentiles, over the whole dataset


def photograph(channels: Mapping[str, np.ndarray]) -> np.ndarray:
    """The sample under D65 seen by the mean camera, on grey: linear sRGB (H, W, 3), unclipped.

    All light groups shine with their rendered strength; a sample with rendered bands shows those.
    """
    camera = Camera(CameraModel.load().mean)
    daylight = illuminant("D65")
    if RADIANCE_CHANNELS[0] in channels:
        bands = np.stack([channels[name] for name in RADIANCE_CHANNELS], -1)
        empty = 1 - channels["coverage"][..., None]
        shown: np.ndarray = bands @ camera.projection(daylight) + empty * _BACKGROUND
        return shown
    diffuse, specular = (
        np.sum([channels[f"{kind}_shading.{group}"] for group in GROUPS], 0)
        for kind in ("diffuse", "specular")
    )
    maps = {
        "melanin": channels["melanin"],
        "haemoglobin": channels["haemoglobin"],
        "diffuse_shading": np.ones_like(diffuse),
        "specular_shading": np.zeros_like(diffuse),
    }
    coefficients = np.stack([channels[f"reflectance.{k}"] for k in range(4)], -1)
    coverage = channels["coverage"]
    light: np.ndarray = composed(
        decode(maps, daylight, camera, skin=SkinModel.load()),
        coefficients @ (bernstein_basis(4) @ camera.projection(daylight)),
        mask=channels["mask"],
        coverage=coverage,
        diffuse=diffuse,
        specular=specular,
    )
    return light + (1 - coverage)[..., None] * _BACKGROUND


def tone_map(linear: np.ndarray) -> np.ndarray:
    """Linear sRGB to 8 bits: exact below 0.6, highlights rolled off so that they stay visible."""
    knee = 0.6
    over = np.maximum(linear - knee, 0.0)
    return to_bytes(srgb_encode(np.minimum(linear, knee) + (1 - knee) * over / (over + 1 - knee)))


def contact_sheet(dataset: Dataset, *, limit: int = _SHEET_SAMPLES, columns: int = 8) -> np.ndarray:
    """Pictures (H, W, 3) uint8 of up to `limit` samples spread evenly over the dataset."""
    count = min(limit, len(dataset))
    chosen = [dataset.indices[i * len(dataset) // count] for i in range(count)]
    tiles = [tone_map(photograph(dataset.channels(index))) for index in chosen]
    columns = min(columns, count)
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-count % columns)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def write_contact_sheet(dataset: Dataset) -> Path:
    """Write `contact_sheet.png` into the dataset's folder; returns its path."""
    from PIL import Image

    path = dataset.folder / SHEET_FILE
    sheet = Image.fromarray(contact_sheet(dataset))
    with replacing(path) as temporary:
        sheet.save(temporary)
    return path


@dataclass(frozen=True)
class Statistics:
    """What a dataset covers.

    Attributes
    ----------
    channels
        Channel to its 5th, 50th and 95th percentile and maximum over fully covered pixels
        (of skin for pigments and albedo); percentiles of large datasets over every n-th pixel.
    skin_share
        Mean share of the picture that is skin.
    tones
        Samples by ITA class of the median albedo, light to dark.
    yaws, pitches
        Samples by yaw and pitch of the camera, degrees.
    setups
        Samples by light setup.
    azimuths, elevations
        Samples by where the strongest lamp stands as seen from the head, degrees: azimuth 0 is in
        front of the face, positive on the subject's left; `no lamp` where there is none.
    surroundings
        Samples by the share of the environment in the light of the skin, per cent.
    """

    channels: dict[str, tuple[float, float, float, float]]
    skin_share: float
    tones: dict[str, int]
    yaws: dict[str, int]
    pitches: dict[str, int]
    setups: dict[str, int]
    azimuths: dict[str, int]
    elevations: dict[str, int]
    surroundings: dict[str, int]


def statistics(dataset: Dataset) -> Statistics:
    """Statistics over every sample, with a progress bar on a terminal."""
    from tqdm import tqdm

    values: dict[str, list[np.ndarray]] = {}
    highest: dict[str, float] = {}
    kept = max(_KEPT_VALUES // len(dataset), 1)
    tones: Counter[str] = Counter()
    setups: Counter[str] = Counter()
    angles: list[tuple[float, float]] = []
    lamps: list[tuple[float, float]] = []
    environments: list[float] = []
    shares = []
    for index in tqdm(dataset.indices, unit="image", desc="inspect", disable=None):
        channels = dataset.channels(index)
        skin, covered = sure_skin(channels), channels["coverage"] > 0.95
        shares.append(float(channels["mask"].mean()))
        for name, plane in channels.items():
            on_skin = name in _SKIN_CHANNELS or name.startswith("albedo")
            shown = plane[skin if on_skin else covered]
            values.setdefault(name, []).append(shown[:: max(-(-shown.size // kept), 1)])
            highest[name] = max(highest.get(name, -np.inf), shown.max(initial=-np.inf))
        tones[tone(channels, skin) if skin.any() else "no skin"] += 1
        record = dataset.record(index)
        angles.append((record["view"]["yaw"], record["view"]["pitch"]))
        setups[record["light"]["setup"]] += 1
        lamps.append(_strongest_lamp(record["light"]["lamps"]))
        environments.append(_environment_share(channels, skin))
    yaws, pitches = np.transpose(angles)
    azimuths, elevations = np.transpose(lamps)
    return Statistics(
        {name: _summary(planes, highest[name]) for name, planes in sorted(values.items())},
        float(np.mean(shares)),
        {name: tones[name] for name in (*ITA_CLASSES, "no skin") if name in tones},
        _binned(yaws, _YAW_EDGES),
        _binned(pitches, _PITCH_EDGES),
        dict(sorted(setups.items())),
        _binned(azimuths, _AZIMUTH_EDGES, "no lamp"),
        _binned(elevations, _ELEVATION_EDGES, "no lamp"),
        _binned(environments, _SHARE_EDGES, "no light"),
    )


def _strongest_lamp(lamps: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Azimuth from +Z towards +X and elevation of the lamp of most irradiance; NaN without."""
    if not lamps:
        return np.nan, np.nan
    x, y, z = max(lamps, key=lambda lamp: lamp["irradiance"])["position"]
    return float(np.degrees(np.arctan2(x, z))), float(np.degrees(np.arctan2(y, np.hypot(x, z))))


def _environment_share(channels: Mapping[str, np.ndarray], skin: np.ndarray) -> float:
    """Per cent of the diffuse light on the skin that the environment gives; NaN where all is dark.

    A lamp may shine in its group.
    """
    lights = {group: channels[f"diffuse_shading.{group}"][skin].sum() for group in GROUPS}
    total = sum(lights.values())
    return float(100 * lights["environment"] / total) if total else np.nan


def _binned(
    values: Sequence[float] | np.ndarray, edges: Sequence[int], other: str = ""
) -> dict[str, int]:
    """Values between the edges, in order, without empty bins; NaN count as `other`."""
    values = np.asarray(values)
    known = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, known), minlength=len(edges) + 1)
    signed = "+d" if min(edges) < 0 else "d"
    ends = ("", *(f"{edge:{signed}}" for edge in edges), "")
    names = [f"{low}..{high}" for low, high in pairwise(ends)]
    found = dict(zip(names, counts.tolist(), strict=True)) | {other: len(values) - len(known)}
    return {name: count for name, count in found.items() if count}


def _summary(planes: Sequence[np.ndarray], highest: float) -> tuple[float, float, float, float]:
    joined = np.concatenate(planes)
    if not joined.size:
        return (0.0, 0.0, 0.0, 0.0)
    low, middle, high = np.percentile(joined, (5, 50, 95))
    return float(low), float(middle), float(high), float(highest)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def describe(dataset: Dataset, found: Statistics) -> Iterable[str]:
    """Lines of text for a person to read."""
    info: Any = dataset.info
    kind = info.config.get("kind", "transport")
    yield (
        f"{len(dataset)} samples of {info.config['size']} px ({kind}) at "
        f"{info.config['samples']} spp, heads {info.heads['name']}, seed {info.seed}, "
        f"Blender {info.bpy}"
    )
    yield f"skin covers {found.skin_share:.0%} of the pictures"
    yield f"skin tone (ITA): {_counts(found.tones)}"
    yield f"yaw: {_counts(found.yaws)}"
    yield f"pitch: {_counts(found.pitches)}"
    yield f"light: {_counts(found.setups)}"
    yield f"strongest lamp, azimuth from the face: {_counts(found.azimuths)}"
    yield f"strongest lamp, elevation: {_counts(found.elevations)}"
    yield f"environment, % of the light on skin: {_counts(found.surroundings)}"
    yield f"{'channel':<30}{'5 %':>11}{'median':>11}{'95 %':>11}{'maximum':>11}"
    for name, row in found.channels.items():
        yield f"{name:<30}" + "".join(f"{value:>11.4g}" for value in row)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bioface-synth inspect`."""
    parser.add_argument("folder", metavar="DIR", help="dataset folder")


def run(options: argparse.Namespace) -> int:
    """`bioface-synth inspect`."""
    dataset = Dataset(options.folder)
    for line in describe(dataset, statistics(dataset)):
        print(line)
    print(f"contact sheet: {write_contact_sheet(dataset)}")
    return 0
