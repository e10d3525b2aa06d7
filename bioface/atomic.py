"""Write files whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bioface.errors import BiofaceError


@contextmanager
def replacing(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place when the block succeeds.

    The temporary file keeps the suffix of `path`, so writers that choose a format by suffix work.
    When the block raises, the temporary file is removed and `path` is as it was.

    Raises
    ------
    BiofaceError
        The folder cannot be written, the disk is full, or `path` exists and `overwrite` is false.
    """
    target = Path(path)
    if not overwrite and target.exists():
        raise BiofaceError(f"{target}: exists already; pass --overwrite to replace it")
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem}.", suffix=f".partial{target.suffix}", dir=target.parent
        )
        os.close(handle)
    except OSError as error:
        raise BiofaceError(f"{target}: cannot write here ({error.strerror})") from error
    temporary = Path(name)
    try:
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
        except OSError as error:
            raise BiofaceError(
                f"{target}: cannot be written ({error.strerror or error})"
            ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | os.PathLike[str], text: str, *, overwrite: bool = True) -> None:
    """Write UTF-8 `text` to `path` atomically; errors as in `replacing`."""
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
