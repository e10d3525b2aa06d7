"""Writes the accuracy page with its plots, and the fairness table of the model card."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bioface.atomic import write_text
from bioface.errors import InputError
from bioface.evaluate.report import WRITTEN, as_page
from bioface.evaluate.tables import NETWORK, group_table, tone_floor

BEGIN = "<!-- fairness: written by bioface evaluate accuracy -->"
END = "<!-- fairness: end -->"


def write_page(results: Mapping[str, Any], path: Path, command: str) -> None:
    """Write the page to `path` and its plots to `figures` beside it.

    Without matplotlib there are no plots, which a line on stderr says.
    """
    plots = {}
    try:
        from bioface.evaluate.figures import write_figures
    except ModuleNotFoundError as error:
        print(f"bioface: no plots: {error.name} is not installed", file=sys.stderr)
    else:
        folder = path.parent / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        plots = write_figures(results, folder)
    relative = {name: file.relative_to(path.parent).as_posix() for name, file in plots.items()}
    write_text(path, as_page(results, command, relative))


def is_page(path: Path) -> bool:
    """Whether a file is a page of `write_page`, which another may replace."""
    try:
        return WRITTEN in path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def check_card(path: Path) -> tuple[str, str]:
    """What stands before and behind the fairness table of a model card.

    Raises
    ------
    InputError
        The file cannot be read or lacks the two marks.
    """
    try:
        card = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    before, begin, rest = card.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{path}: no place for the table; put {BEGIN} and {END} there")
    return before, after


def write_fairness(results: Mapping[str, Any], path: Path) -> None:
    """Replace the fairness table of a model card, which stands between `BEGIN` and `END`.

    Raises
    ------
    InputError
        The file cannot be read or lacks the two marks, or the results the condition `full`.
    """
    before, after = check_card(path)
    figures = results["sets"][0]["conditions"].get("full", {}).get(NETWORK)
    if figures is None:
        raise InputError(f"{path}: its table needs the condition full, which was not measured")
    lines = (
        f"Weights sha256 `{results['network']['sha256'][:16]}`, {figures['identities']} people, "
        "condition *full*:"
    )
    table = group_table(figures, "tone", tone_floor(results))
    write_text(path, f"{before}{BEGIN}\n{lines}\n\n{table}\n{END}{after}")
