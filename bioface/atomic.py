"""Write files whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bioface.errors import BiofaceError, InputError

_LONGEST = 40  # letters of a temporary name: systems take 255 bytes in all


def check_target(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse before the work a file that could not be written after it; `check_absent`, and more.

    Raises
    ------
    InputError
        Its folder does not exist, it is a folder itself, or it exists and `overwrite` is false.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"{target}: its folder does not exist; make it first")
    if target.is_dir():
        raise InputError(f"{target}: is a folder; name a file")
    check_absent(target, overwrite=overwrite)


def check_absent(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """InputError for a file that exists, unless `overwrite` allows to replace it."""
    if not overwrite and os.path.exists(path):
        raise InputError(f"{path}: exists already; pass --overwrite to replace it")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Refuse before the work an `--out` that cannot be made or written to; makes nothing.

    Raises
    ------
    BiofaceError
        Something on the way to it is no folder, or may not be written.
    """
    folder = Path(path)
    try:
        existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not existing.is_dir():
            raise BiofaceError(f"{folder}: {existing} is not a folder; choose another --out")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(folder: Path, error: OSError) -> BiofaceError:
    """What is said of an `--out` that the system refuses."""
    return BiofaceError(f"{folder}: cannot write here ({error.strerror}); choose another --out")


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
    check_absent(target, overwrite=overwrite)
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem[:_LONGEST]}.",
            suffix=f".partial{target.suffix}",
            dir=target.parent,
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
