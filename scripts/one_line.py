"""How scripts end: with one line on stderr where something is wrong that a person can put right."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from bioface.cli import refused
from bioface.errors import BiofaceError


def run(main: Callable[[], int | None]) -> None:
    """Exit with what `main` returns, or with status 1 and one line of what is wrong with a file."""
    try:
        sys.exit(main())
    except BiofaceError as error:
        wrong = str(error)
    except OSError as error:
        wrong = str(error) if error.filename is None else refused(error)
    sys.exit(f"scripts/{Path(sys.argv[0]).name}: error: {wrong}")
