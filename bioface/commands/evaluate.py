"""`bioface evaluate`: measure accuracy, and what accuracy there can be."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bioface evaluate`."""
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    floor = what.add_parser(
        "floor",
        help="the least error with which one pixel can tell its pigments",
        description="Bayes error of melanin and haemoglobin from one 8-bit sRGB pixel.",
    )
    floor.add_argument("--fresh", action="store_true", help="simulate even where a table is kept")
    floor.add_argument("--pixels", type=int, default=1200, help="pixels to simulate (1200)")
    floor.add_argument("--seed", type=int, default=0)
    floor.add_argument("--json", action="store_true", help="print one JSON object")
    floor.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON to FILE")


def run(options: argparse.Namespace) -> None:
    """Print the information floor, kept or simulated."""
    from bioface.atomic import write_text
    from bioface.errors import InputError
    from bioface.evaluate.floor import CASES, PRIORS, Settings, floor_table, load_floor

    lights = Settings().lights
    if options.pixels < lights:
        raise InputError(f"--pixels {options.pixels}: at least {lights} are needed")
    table = None if options.fresh else load_floor()
    if table is None:
        pixels = options.pixels - options.pixels % lights
        with _progress(len(PRIORS) * len(CASES) * pixels) as advance:
            settings = Settings(pixels=pixels)
            table = floor_table(settings=settings, seed=options.seed, advance=advance)
    text = json.dumps(table, indent=1) + "\n"
    if options.out:
        write_text(options.out, text)
    print(text if options.json else as_text(table), end="")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], object]]:
    """A function that moves a progress bar on; without tqdm, or a terminal, it shows nothing."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda: None
        return
    with tqdm(total=total, unit="pixel", disable=None) as bar:
        yield bar.update


def as_text(table: dict[str, Any]) -> str:
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
