"""Read the small tables of `bioface/data`: CSV with `#` provenance lines above the header."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from bioface.errors import BiofaceError

DATA = Path(__file__).resolve().parent.parent / "data"


@cache
def read_table(name: str) -> dict[str, np.ndarray]:
    """Columns of `bioface/data/<name>.csv` by name: read-only float64 vectors.

    Raises
    ------
    BiofaceError
        The file is missing or damaged: the installation is not whole.
    """
    path = DATA / f"{name}.csv"
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line for line in file if not line.startswith("#")]
        columns = lines[0].strip().split(",")
        values = np.loadtxt(lines[1:], delimiter=",", ndmin=2)
        table = {column: values[:, k].copy() for k, column in enumerate(columns)}
    except (OSError, ValueError, IndexError) as error:
        raise BiofaceError(f"{path}: cannot be read ({error}); install bioface again") from error
    for column in table.values():
        column.flags.writeable = False
    return table
