"""How scripts end: with one line on stderr where something is wrong that a person can put right."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from bioface.errors import BiofaceError


def run(main: Callable[[], int | None]) -> None:
    """Exit with what `main` returns, or with status 1 and the line of a `BiofaceError`."""
    try:
        sys.exit(main())
    except BiofaceError as error:
        sys.exit(f"scripts/{Path(sys.argv[0]).name}: error: {error}")
