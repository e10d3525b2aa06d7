"""`bioface evaluate`: measure accuracy, and what accuracy there can be."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bioface evaluate`; alone, it lists what there is."""
    parser.set_defaults(measure=lambda _: parser.print_help())
    what = parser.add_subparsers(dest="what", metavar="WHAT")
    for name, (add_arguments, measure, brief, description) in _MEASURES.items():
        found = what.add_parser(name, help=brief, description=description)
        add_arguments(found)
        found.set_defaults(measure=measure)


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: the shipped ones")


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="of all draws (0)")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    _add_overwrite(parser)


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def _check_targets(options: argparse.Namespace, *paths: Path | None) -> None:
    """Refuse before the work what could not be written after it."""
    from bioface.atomic import check_target

    for path in paths:
        if path is not None:
            check_target(path, overwrite=options.overwrite)


def _add_floor(floor: argparse.ArgumentParser) -> None:
    floor.add_argument(
        "--fresh",
        action="store_true",
        help="simulate even where a table is kept, as --pixels and --seed do",
    )
    floor.add_argument("--pixels", type=int, help="pixels to simulate (1200)")
    floor.add_argument("--seed", type=int, help="of all draws (0)")
    floor.add_argument("--json", action="store_true", help="print one JSON object")
    floor.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON to FILE")
    _add_overwrite(floor)


def _add_accuracy(accuracy: argparse.ArgumentParser) -> None:
    accuracy.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="PACK",
        help="files of bioface-synth pack: the main test set, then others (other heads, say)",
    )  # fmt: skip
    accuracy.add_argument(
        "--clean-data", type=Path, metavar="PACK",
        help="measure every condition but full on this set, of bare skin, instead of the main one",
    )  # fmt: skip
    accuracy.add_argument(
        "--larger-data", type=Path, metavar="PACK",
        help="people rendered two or more times as large: photos of that size, averaged down as "
        "bioface estimate does",
    )  # fmt: skip
    accuracy.add_argument(
        "--larger-clean-data", type=Path, metavar="PACK",
        help="measure every condition of these but full on this set, of bare skin",
    )  # fmt: skip
    _add_weights(accuracy)
    accuracy.add_argument(
        "--compare", nargs="+", default=[], metavar="NAME=FILE", help="other weights to set beside"
    )
    accuracy.add_argument(
        "--cameras", type=Path, metavar="NPZ",
        help="measured cameras (rawtoaces52.npz), of which those held out are used",
    )  # fmt: skip
    accuracy.add_argument(
        "--identities", type=int, default=400, help="people of a set at most (400)"
    )
    accuracy.add_argument(
        "--draws", type=int, default=1, help="photos of each person in every condition (1)"
    )
    accuracy.add_argument("--size", type=int, help="side of the photos; default: as trained")
    accuracy.add_argument(
        "--conditions", nargs="+", default=[], metavar="NAME",
        help="some of the conditions only: clean, full, 'JPEG 70' ...",
    )  # fmt: skip
    for option, metavar, text in (
        ("--photos", "DIR", "folders of portraits, one a person: behaviour on those held out"),
        ("--spectral", "DIR", "folders of spectral truth: cubes with their maps"),
        ("--clean-spectral", "DIR", "for clean, folders of bare people, one for each of these"),
        ("--cubes", "CUBE", "also the benchmark of bioface evaluate multispectral"),
    ):
        accuracy.add_argument(option, type=Path, nargs="+", default=[], metavar=metavar, help=text)
    accuracy.add_argument("--photo-limit", type=int, metavar="N", help="the first N photos only")
    accuracy.add_argument("--no-baselines", action="store_true", help="the networks alone")
    _add_seed(accuracy)
    _add_json(accuracy)
    accuracy.add_argument(
        "--out", type=Path, metavar="PAGE.md",
        help="write a page with tables, and its plots to the folder figures beside it",
    )  # fmt: skip
    accuracy.add_argument(
        "--model-card", type=Path, metavar="CARD.md", help="also rewrite this card's fairness table"
    )


def _add_multispectral(multispectral: argparse.ArgumentParser) -> None:
    multispectral.add_argument(
        "cubes", type=Path, nargs="+", metavar="CUBE",
        help="ISET .mat (mcCOEF and basis), ENVI .hdr, .exr (channels by nm) or .npz",
    )  # fmt: skip
    _add_weights(multispectral)
    _add_json(multispectral)


def _add_edits(edits: argparse.ArgumentParser) -> None:
    edits.add_argument("--data", type=Path, required=True, metavar="PACK")
    _add_weights(edits)
    edits.add_argument("--rows", type=int, default=3, help="faces (3)")
    _add_seed(edits)
    edits.add_argument("--out", type=Path, required=True, metavar="PNG")
    _add_overwrite(edits)


def _add_agreement(agreement: argparse.ArgumentParser) -> None:
    agreement.add_argument(
        "--photos", type=Path, metavar="DIR",
        help="a folder that holds a folder of photos for each person",
    )  # fmt: skip
    agreement.add_argument(
        "--data", type=Path, metavar="PACK",
        help="a test set of bioface-synth pack, every person of which is photographed twice",
    )  # fmt: skip
    _add_weights(agreement)
    agreement.add_argument(
        "--cameras", type=Path, metavar="NPZ",
        help="measured cameras (rawtoaces52.npz), of which those held out photograph --data",
    )  # fmt: skip
    _add_seed(agreement)
    _add_json(agreement)


def run(options: argparse.Namespace) -> None:
    """Measure what was asked for."""
    from bioface.errors import InputError

    seed = getattr(options, "seed", None)
    if seed is not None and seed < 0:
        raise InputError(f"--seed {seed}: must be 0 or more")
    options.measure(options)


def _accuracy(options: argparse.Namespace) -> None:
    """Measure networks and baselines; print the main figures, write what was asked for."""
    from bioface.atomic import write_text
    from bioface.errors import InputError
    from bioface.evaluate.accuracy import AccuracyOptions, accuracy, photo_count
    from bioface.evaluate.page import check_card, is_page, write_fairness, write_page
    from bioface.evaluate.report import as_text
    from bioface.memory import keep_freed_memory
    from bioface.photo.crop import SIZES

    for name, least in (("identities", 2), ("draws", 1), ("photo_limit", 2)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')} {value}: must be at least {least}")
    if options.size is not None and not SIZES[0] <= options.size <= SIZES[1]:
        raise InputError(f"--size {options.size}: must be {SIZES[0]} to {SIZES[1]}")
    page = options.out
    _check_targets(options, options.json, None if page and is_page(page) else page)
    if options.model_card:
        check_card(options.model_card)
        if options.conditions and "full" not in options.conditions:
            raise InputError(f"{options.model_card}: its table needs --conditions full, too")
    if options.larger_clean_data and not options.larger_data:
        raise InputError("--larger-clean-data goes with --larger-data; give that, too")
    photos = _held_out(options) if options.photos else []
    for cube in options.cubes:
        if not cube.is_file():
            raise InputError(f"{cube}: no such file; check --cubes")
    keep_freed_memory()
    wanted = AccuracyOptions(
        data=options.data,
        clean_data=options.clean_data,
        weights=options.weights,
        compare=_named(options.compare),
        larger_data=options.larger_data,
        larger_clean_data=options.larger_clean_data,
        spectral=options.spectral,
        clean_spectral=options.clean_spectral,
        cameras=options.cameras,
        identities=options.identities,
        draws=options.draws,
        size=options.size,
        wanted=tuple(options.conditions),
        with_baselines=not options.no_baselines,
        seed=options.seed,
    )
    behaviour = {"portraits": _portraits(options, photos)} if photos else {}
    if options.cubes:
        behaviour["multispectral"] = _benchmark(options)
    with _progress(photo_count(wanted), "photo") as advance:
        results = accuracy(wanted, advance) | behaviour
    print(as_text(results), end="")
    if options.json:
        write_text(options.json, json.dumps(results, indent=1) + "\n")
    if page:
        write_page(results, page, _command(options))
    if options.model_card:
        write_fairness(results, options.model_card)


def _held_out(options: argparse.Namespace) -> list[Path]:
    """The portraits of `--photos` that are held out."""
    from bioface.evaluate.portraits import held_out

    return held_out(options.photos, options.photo_limit)


def _portraits(options: argparse.Namespace, photos: list[Path]) -> dict[str, Any]:
    """Behaviour on photos."""
    from bioface.evaluate.portraits import portraits
    from bioface.photo.network import load_network

    with _progress(len(photos), "portrait") as advance:
        return portraits(photos, load_network(options.weights, "torch"), advance)


def _command(options: argparse.Namespace) -> str:
    """What was called, folders left out."""
    parts = ["bioface", "evaluate", "accuracy", "--data", *(path.name for path in options.data)]
    for name in ("clean_data", "larger_data", "larger_clean_data", "weights", "cameras"):
        path = getattr(options, name)
        parts += [f"--{name.replace('_', '-')}", path.name] if path else []
    for name in ("spectral", "clean_spectral", "photos", "cubes"):
        paths = getattr(options, name)
        parts += [f"--{name.replace('_', '-')}", *(path.name for path in paths)] if paths else []
    if options.compare:
        parts += ["--compare", *(f"{n}={p.name}" for n, p in _named(options.compare).items())]
    if options.conditions:
        parts += ["--conditions", *options.conditions]
    for name in ("identities", "draws", "size", "photo_limit", "seed"):
        value = getattr(options, name)
        parts += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    parts += ["--no-baselines"] if options.no_baselines else []
    return shlex.join([*parts, "--out", options.out.name])


def _named(pairs: list[str]) -> dict[str, Path]:
    """`NAME=FILE` arguments as a mapping."""
    from bioface.errors import InputError
    from bioface.evaluate.baselines import baselines
    from bioface.evaluate.tables import NETWORK, TOLD, TRANSPORT

    found: dict[str, Path] = {}
    taken = {NETWORK, TOLD, TRANSPORT, *(method.name for method in baselines())} if pairs else set()
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not (name and equals and file):
            raise InputError(f"--compare {pair}: give it as NAME=FILE")
        if name in taken | found.keys():
            raise InputError(f"--compare {pair}: another row is called {name}; choose another name")
        found[name] = Path(file)
    return found


def _multispectral(options: argparse.Namespace) -> None:
    """Print the table, and write the figures where asked for."""
    from bioface.atomic import write_text

    _check_targets(options, options.json)
    results = _benchmark(options)
    print(results["table"])
    if options.json:
        write_text(options.json, json.dumps(results, indent=1) + "\n")


def _benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Errors on multispectral images, and their `table`."""
    from bioface.evaluate.multispectral import as_table, benchmark
    from bioface.photo.network import load_network

    results = benchmark(options.cubes, load_network(options.weights, "torch"))
    return results | {"table": as_table(results)}


def _agreement(options: argparse.Namespace) -> None:
    """Print a table for photos, rendered people, or both; write the figures where asked for."""
    from bioface.atomic import write_text
    from bioface.errors import InputError
    from bioface.evaluate import agreement
    from bioface.learn.accuracy import NetworkReader
    from bioface.learn.weights import load_weights
    from bioface.packed import read_packed
    from bioface.photo.network import as_network

    if not (options.photos or options.data):
        raise InputError("evaluate agreement needs --photos DIR, --data PACK, or both")
    if options.cameras and not options.data:
        raise InputError("--cameras photograph the people of --data PACK: give it, too")
    _check_targets(options, options.json)
    results = {}
    photos = agreement.find_people(options.photos) if options.photos else []
    model = load_weights(options.weights)
    if photos:
        with _progress(len(photos), "photo") as advance:
            seen = agreement.of_photos(photos, as_network(model), advance)
        results["photos"] = agreement.agreement(seen, options.seed)
    if options.data:
        packed = read_packed(options.data)
        with _progress(agreement.count_renders(packed), "photo") as advance:
            drawn = agreement.of_renders(
                packed,
                NetworkReader.of("network", model),
                cameras=options.cameras,
                seed=options.seed,
                advance=advance,
            )
        results["rendered"] = agreement.agreement(drawn, options.seed)
    for name, found in results.items():
        skipped = f", {found['skipped']} skipped" if found["skipped"] else ""
        print(f"{name}: {found['people']} people, {found['photos']} photos{skipped}\n")
        print(agreement.as_table(found))
    if options.json:
        write_text(options.json, json.dumps(results, indent=1) + "\n")


def _edits(options: argparse.Namespace) -> None:
    """Write the picture."""
    from bioface.errors import InputError
    from bioface.evaluate.edits import write_edits
    from bioface.packed import read_packed
    from bioface.photo.network import load_network

    if options.out.suffix.lower() != ".png":
        raise InputError(f"{options.out}: the picture is a PNG; let --out end in .png")
    if options.rows < 1:
        raise InputError(f"--rows {options.rows}: at least 1")
    _check_targets(options, options.out)
    network = load_network(options.weights, "torch")
    write_edits(read_packed(options.data), network, options.out, options.rows, options.seed)
    print(options.out)


def _floor(options: argparse.Namespace) -> None:
    """Print the information floor, kept or simulated."""
    from bioface.atomic import write_text
    from bioface.errors import InputError
    from bioface.evaluate.floor import CASES, PRIORS, Settings, floor_table, load_floor

    lights, wanted = Settings().lights, options.pixels or Settings().pixels
    if options.pixels is not None and options.pixels < lights:
        raise InputError(f"--pixels {options.pixels}: at least {lights} are needed")
    _check_targets(options, options.out)
    as_kept = options.pixels is None and options.seed is None
    table = load_floor() if as_kept and not options.fresh else None
    if table is None:
        pixels = wanted - wanted % lights
        with _progress(len(PRIORS) * len(CASES) * pixels, "pixel") as advance:
            settings = Settings(pixels=pixels)
            table = floor_table(settings=settings, seed=options.seed or 0, advance=advance)
    text = json.dumps(table, indent=1) + "\n"
    print(text if options.json else floor_text(table), end="")
    if options.out:
        write_text(options.out, text)


@contextmanager
def _progress(total: int, unit: str) -> Iterator[Callable[..., object]]:
    """A function that moves a progress bar on; without tqdm, or a terminal, it shows nothing."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda *_: None
        return
    with tqdm(total=total, unit=unit, disable=None) as bar:
        yield bar.update


def floor_text(table: dict[str, Any]) -> str:
    """The table for people to read."""
    lines = []
    prior = None
    for row in table["rows"]:
        if row["prior"] != prior:
            prior = row["prior"]
            lines.append(f"prior: {prior}; skin model: {table['skin_model']}")
            lines.append(f"{'known':26}{'melanin u':>11}{'haemogl. u':>11}{'melanin':>10}")
            lines[-1] += f"{'haemoglobin':>13}"
        name = "nothing (prior spread)" if row["case"] == "prior" else row["case"]
        lines.append(
            f"{name:26}{row['melanin_u']:11.3f}{row['haemoglobin_u']:11.3f}"
            f"{row['melanin']:10.4f}{row['haemoglobin']:13.5f}"
        )
    return "\n".join(lines) + "\n"


_MEASURES = {
    "accuracy": (
        _add_accuracy,
        _accuracy,
        "how well a network reads rendered faces it never saw, beside baselines",
        "Accuracy on held-out people, cameras and lights, with baselines.",
    ),
    "floor": (
        _add_floor,
        _floor,
        "the least error with which one pixel can tell its pigments",
        "Bayes error of melanin and haemoglobin from one 8-bit sRGB pixel.",
    ),
    "multispectral": (
        _add_multispectral,
        _multispectral,
        "the paper's benchmark on multispectral images of faces",
        "RMSE of every map against a fit of the skin model to the spectra.",
    ),
    "agreement": (
        _add_agreement,
        _agreement,
        "whether different photos of one person read the same",
        "Intraclass correlation of readings, beside that of plain colour.",
    ),
    "edits": (
        _add_edits,
        _edits,
        "a picture of the paper's edits on rendered faces",
        "No specular, melanin +0.6 in the paper's units, haemoglobin halved.",
    ),
}
"""What `bioface evaluate` measures: its arguments, what runs it, help and description."""
