"""How well networks and baselines read drawn photos of people never trained on. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.evaluate.baselines import Baseline, baselines
from bioface.evaluate.conditions import conditions
from bioface.evaluate.contents import (
    contents,
    file_sha256,
    manifest_sha256,
    of_folder,
    samples_per_pixel,
)
from bioface.evaluate.floor import load_floor
from bioface.evaluate.mean_colour import mean_colour_floor
from bioface.evaluate.tables import NETWORK, SMALLER, SPECTRAL, TOLD, TRANSPORT
from bioface.evaluate.within_face import within_face_floor
from bioface.evaluate.worn import by_worn
from bioface.learn.accuracy import NetworkReader, drawn_photos, test_device
from bioface.learn.conditions import RelightConfig
from bioface.learn.larger import times_larger
from bioface.learn.relight import Relighter, photos_at_once
from bioface.learn.spectral_photos import SpectralFace, find_cubes
from bioface.learn.splits import Splits, split_samples
from bioface.learn.weights import load_weights
from bioface.packed import PackedDataset, read_packed
from bioface.photo.cubes import read_cube
from bioface.scores.faces import MAIN_CONDITIONS, FaceRow, Photos, Reader, Rows, measure
from bioface.scores.summary import summarise

CLEAN = "clean"
"""The condition that the floor of a face's mean colour is about."""

WORN = "full"
"""The condition that is always measured on the main set: people as they come."""

_BETWEEN_DRAWS = 1_000_003

TRAINING_PHOTOS = 96
"""Labelled photos that baselines may learn from."""


@dataclass(frozen=True)
class AccuracyOptions:
    """What to measure.

    Attributes
    ----------
    data
        Packed files; the first is the main set, the others are measured for the networks alone.
    weights
        Of the network under test; the shipped ones when None.
    clean_data
        Packed file that stands in for the main set in every condition but `full`: bare skin.
    compare
        More weights for the tables of clean and full on packed sets, by the name they get there.
    larger_data, larger_clean_data
        Packed files of people rendered larger, for the network alone: photos as large as the
        samples, averaged to `size` before they are read. `larger_clean_data` stands in for
        `larger_data` as `clean_data` does for the main set.
    spectral
        Folders of spectral truth (see `bioface.learn.spectral_photos`), for the network alone.
    clean_spectral
        Folders that stand in for those of `spectral`, in the same order, in *clean*: bare skin.
    cameras
        Measured cameras (rawtoaces52.npz), of which those held out are used; the training camera
        model when None.
    identities
        People of a set at most.
    draws
        Photos of each person in every condition, under other lights, cameras and pigments;
        baselines read the first alone.
    size
        Side of the photos, pixels; what the network was trained at when None.
    wanted
        Names of conditions; all when empty.
    with_baselines
        Whether to run them.
    seed
        Of all draws.
    """

    data: Sequence[Path]
    weights: Path | None = None
    clean_data: Path | None = None
    compare: dict[str, Path] = field(default_factory=dict)
    larger_data: Path | None = None
    larger_clean_data: Path | None = None
    spectral: Sequence[Path] = ()
    clean_spectral: Sequence[Path] = ()
    cameras: Path | None = None
    identities: int = 400
    draws: int = 1
    size: int | None = None
    wanted: tuple[str, ...] = ()
    with_baselines: bool = True
    seed: int = 0

    @property
    def seeds(self) -> list[int]:
        """One for each photo of a person."""
        return [self.seed + draw * _BETWEEN_DRAWS for draw in range(self.draws)]


def accuracy(options: AccuracyOptions, advance: Callable[[int], object] | None = None) -> dict:
    """Measure everything; `advance` is called with the number of photos done.

    Returns
    -------
    JSON-ready: `network` (what is under test), `own` (which of those it is compared with are no
    baselines but other weights of its kind), `splits_sha256`, `cameras` (where cameras came
    from), `size`, `floor` (rows of the information floor or None), `mean_colour_floor`
    (`bioface.evaluate.mean_colour`, for *clean*; None without baselines), `within_face_floor`
    (`bioface.evaluate.within_face`, likewise), `worn` (`bioface.evaluate.worn`; None without
    `clean_data`) and `sets`: one entry a packed file with `name`, `heads`, `identities`,
    `samples`, `sha256` (of the file, or of a folder's manifest), `contents` (what covers skin, in
    words), `samples_per_pixel` (None if unknown) and `conditions`: condition to method to the
    figures of `bioface.scores.summary.summarise`. Where another set stood in for one in *clean*,
    its entry has `clean_set` too, the same about that one. `larger`, where there is such data, is
    an entry like these with `pixels`, the side of its photos; its methods are the network on
    these, and on photos of the same people, lights and cameras that are as small as it reads.

    Raises
    ------
    InputError
        An unknown condition, a set with nobody held out, or none of whose photos shows skin, more
        or fewer sets of bare spectral truth than of the other, or `larger_data` whose samples are
        not two or more times as large as `size`.
    BiofaceError
        A file cannot be read.
    """
    settings = conditions()
    unknown = [name for name in options.wanted if name not in settings]
    if unknown:
        raise InputError(f"no condition {unknown[0]!r}; choose from {', '.join(settings)}")
    settings = {n: c for n, c in settings.items() if not options.wanted or n in options.wanted}
    if options.clean_spectral and len(options.clean_spectral) != len(options.spectral):
        raise InputError(
            f"{len(options.clean_spectral)} folders of bare spectral truth for "
            f"{len(options.spectral)} of the other; give one for each, in the same order"
        )
    model = load_weights(options.weights)
    size = options.size or model.encoder.config.size
    networks = [NetworkReader.of(NETWORK, model)]
    if model.config.get("kind") != "paper":
        networks.append(NetworkReader.of(TOLD, model, told=True))
    own = []
    for name, path in options.compare.items():
        other = load_weights(path)
        networks.append(NetworkReader.of(name, other))
        if other.config.get("kind") != "paper":
            own.append(name)
    sets: list[dict[str, Any]] = []
    mean_colour = within_face = worn = None
    for k, path in enumerate(options.data):
        test = _Test(read_packed(path), size, options)
        stand_in = options.clean_data if k == 0 else None
        clean = _Test(read_packed(stand_in), size, options) if stand_in else test
        figures = {}
        for name, config in settings.items():
            known = (
                baselines() if options.with_baselines and k == 0 and name in MAIN_CONDITIONS else []
            )
            readers = networks if name in MAIN_CONDITIONS else networks[:1]
            shown = test if name == WORN else clean
            rows = shown.rows(config, readers, known, advance)
            figures[name] = {method: summarise(found) for method, found in rows.items()}
            if stand_in and name == CLEAN:
                dressed = test.rows(config, networks[:1], [], advance)[NETWORK]
                samples = (of.packed.header["samples"] for of in (test, clean))
                worn = by_worn(dressed, rows[NETWORK], *samples)
        if options.with_baselines and k == 0 and CLEAN in settings:
            relighter = clean.relighter(settings[CLEAN])
            mean_colour = mean_colour_floor(relighter, seed=options.seed)
            within_face = {CLEAN: within_face_floor(relighter, seed=options.seed)}
        sets.append({**_about(test, clean), "conditions": figures})
    main = {name: config for name, config in settings.items() if name in MAIN_CONDITIONS}
    for folder, clean_folder in zip_longest(options.spectral, options.clean_spectral):
        sets.append(_spectral(folder, clean_folder, main, networks[0], size, options))
    larger = None
    if options.larger_data:
        larger = _larger(options.larger_data, settings, networks[0], size, options, advance)
    floor = load_floor()
    return {
        "network": {
            "sha256": model.sha256,
            "parameters": sum(p.numel() for p in model.encoder.parameters()),
            "cameras": model.decoder.config.cameras,
            "metadata": model.metadata,
        },
        "own": own,
        "splits_sha256": Splits.load().sha256,
        "cameras": "held-out measured" if options.cameras else "training camera model",
        "size": size,
        "draws": options.draws,
        "seed": options.seed,
        "floor": floor and floor["rows"],
        "mean_colour_floor": mean_colour,
        "within_face_floor": within_face,
        "worn": worn,
        "sets": sets,
        "larger": larger,
    }


def _larger(
    path: Path,
    settings: Mapping[str, RelightConfig],
    network: NetworkReader,
    size: int,
    options: AccuracyOptions,
    advance: Callable[[int], object] | None,
) -> dict[str, Any]:
    """What `accuracy` returns as `larger`."""
    test = clean = _Test(read_packed(path), size, options)
    if options.larger_clean_data:
        clean = _Test(read_packed(options.larger_clean_data), size, options)
    pixels = size * times_larger(test.packed, size)
    if size * times_larger(clean.packed, size) != pixels:
        raise InputError(
            f"{clean.packed.path}: samples of other sizes than those of {test.packed.path}; give "
            "sets that were rendered with one --size"
        )
    figures: dict[str, dict[str, Any]] = {}
    for name, config in settings.items():
        figures[name] = {}
        for method, factor in ((network.name, pixels // size), (SMALLER, 1)):
            shown = replace(test if name == WORN else clean, factor=factor)
            rows = shown.rows(config, [network], [], advance)
            figures[name][method] = summarise(rows[network.name])
    return {**_about(test, clean), "pixels": pixels, "conditions": figures}


def _spectral(
    folder: Path,
    clean_folder: Path | None,
    settings: Mapping[str, RelightConfig],
    network: NetworkReader,
    size: int,
    options: AccuracyOptions,
) -> dict[str, Any]:
    """The entry of a folder of spectral truth in `sets`, `clean_folder` in its stead in *clean*."""
    shown: dict[Path, dict[str, RelightConfig]] = {}
    for condition, config in settings.items():
        place = clean_folder if clean_folder and condition == CLEAN else folder
        shown.setdefault(place, {})[condition] = config
    figures: dict[str, Any] = {}
    for place, conditions_there in shown.items():
        figures |= _of_cubes(place, conditions_there, network, size, options)
    stand_in = {"clean_set": _about_cubes(clean_folder)} if clean_folder else {}
    return {**_about_cubes(folder), **stand_in, "conditions": figures}


def _about_cubes(folder: Path) -> dict[str, Any]:
    """What the entry of a folder of spectral truth says beside its figures."""
    count = len(find_cubes(folder))
    return {
        "name": folder.name,
        "heads": SPECTRAL,
        "identities": count,
        "samples": count,
        "sha256": manifest_sha256(folder),
        **_shown(of_folder(folder)),
    }


def _of_cubes(
    folder: Path,
    settings: Mapping[str, RelightConfig],
    network: NetworkReader,
    size: int,
    options: AccuracyOptions,
) -> dict[str, Any]:
    """Condition to method to figures on a folder of spectral truth."""
    cubes = find_cubes(folder)
    measured = Splits.load().cameras(options.cameras) if options.cameras else None
    rows: dict[str, dict[str, list[FaceRow]]] = {
        condition: {network.name: [], TRANSPORT: []} for condition in settings
    }
    comparable = True
    for k, path in enumerate(cubes):
        face = SpectralFace.of(path, read_cube(path), size)
        shown = {network.name: face}
        if face.transport is not None:
            shown[TRANSPORT] = face.as_transport
        comparable = comparable and TRANSPORT in shown
        for condition, config in settings.items():
            for method, person in shown.items():
                for seed in options.seeds:
                    rng = np.random.default_rng(np.random.SeedSequence([seed, k]))
                    photo = person.photo(config, rng, measured)
                    rows[condition][method] += measure(photo, network.read(photo))
    figures: dict[str, dict[str, Any]] = {}
    for condition, found in rows.items():
        if not found[network.name]:
            raise InputError(f"{folder}: no cube shows enough skin at size {size}")
        methods = [network.name, TRANSPORT] if comparable else [network.name]
        figures[condition] = {name: summarise(Rows.of(found[name])) for name in methods}
    return figures


def _about(test: _Test, clean: _Test) -> dict[str, Any]:
    """What the entry of a set says beside its figures, and of the set that stood in for it."""
    return test.about() if clean is test else test.about() | {"clean_set": clean.about()}


def _shown(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What a set shows, for its entry in `sets`."""
    return {"contents": contents(dataset), "samples_per_pixel": samples_per_pixel(dataset)}


def photo_count(options: AccuracyOptions) -> int:
    """How many photos `accuracy` goes through: for a progress bar."""
    names = options.wanted or tuple(conditions())

    def people(path: Path) -> int:
        return min(len(split_samples(read_packed(path))[1]), options.identities)

    def of_set(data: Path, clean: Path | None = None) -> int:
        return sum(people(data if name == WORN else clean or data) for name in names)

    first, *others = options.data
    photos = of_set(first, options.clean_data) + sum(map(of_set, others))
    if options.clean_data and CLEAN in names:
        photos += people(first)
    if options.larger_data:
        photos += 2 * of_set(options.larger_data, options.larger_clean_data)
    return options.draws * photos


@dataclass(frozen=True)
class _Test:
    """One packed file under test; photos are made `factor` times as large as they are read."""

    packed: PackedDataset
    size: int
    options: AccuracyOptions
    factor: int = 1

    @property
    def people(self) -> np.ndarray:
        """Samples held out, as many as are wanted."""
        held_out = split_samples(self.packed)[1]
        if len(held_out) == 0:
            raise InputError(f"{self.packed.path}: nobody is held out in this set")
        return held_out[: self.options.identities]

    def about(self) -> dict[str, Any]:
        """What `accuracy` returns of a set beside its figures."""
        dataset = self.packed.header.get("dataset", {})
        return {
            "name": self.packed.path.stem,
            "heads": dataset.get("heads", {}).get("name", "unknown"),
            "identities": len(self.people),
            "samples": len(self.packed),
            "sha256": file_sha256(self.packed.path),
            **_shown(dataset),
        }

    def relighter(self, config: RelightConfig) -> Relighter:
        """What draws the photos of a condition."""
        return Relighter.for_test(
            self.packed,
            self.size,
            config,
            factor=self.factor,
            database=self.options.cameras,
            device=test_device(),
            at_once=photos_at_once(self.size),
        )

    def rows(
        self,
        config: RelightConfig,
        networks: Sequence[Reader],
        known: Sequence[Baseline],
        advance: Callable[[int], object] | None,
    ) -> dict[str, Rows]:
        """Method to its faces under one condition."""
        relighter = self.relighter(config)
        if known:
            training = list(self._training(relighter))
            for baseline in known:
                baseline.fit(training)
        people, rows = self.people, {}
        for reader in (*known, *networks):
            rows[reader.name] = list[FaceRow]()
        for draw, seed in enumerate(self.options.seeds):
            seen = 0
            for photos in drawn_photos(relighter, people, len(people), seed):
                for reader in (*networks, *(known if draw == 0 else ())):
                    limit = getattr(reader, "limit", None)
                    if limit is None or seen < limit:
                        rows[reader.name] += measure(photos, reader.read(photos))
                seen += len(photos.srgb)
                if advance:
                    advance(len(photos.srgb))
        empty = [name for name, found in rows.items() if not found]
        if empty:
            raise InputError(
                f"{self.packed.path}: no held-out photo shows enough skin at size {self.size}"
            )
        return {name: Rows.of(found) for name, found in rows.items()}

    def _training(self, tested: Relighter) -> Iterator[Photos]:
        """Photos under the same conditions of people, cameras and lights not tested on."""
        train, held_out = split_samples(self.packed)
        relighter = Relighter(
            self.packed,
            self.size,
            config=tested.config,
            lights=Splits.load().training_illuminants,
            device=test_device(),
        )
        people = train if len(train) else held_out[self.options.identities :]
        if len(people) == 0:
            raise InputError(
                f"{self.packed.path}: nobody is left for the baselines to learn from; lower "
                "--identities, or leave baselines out"
            )
        return drawn_photos(relighter, people, TRAINING_PHOTOS, self.options.seed + 1)
