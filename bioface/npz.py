"""Named arrays of npz files that people give, read without pickle."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from bioface.errors import InputError


def read_npz(
    path: str | os.PathLike[str], names: Sequence[str], advice: str, *, others: bool = False
) -> dict[str, np.ndarray]:
    """The named arrays of an npz file.

    Parameters
    ----------
    names
        What must be there.
    advice
        How such a file is made or what it holds: the end of the messages.
    others
        Read all other arrays too.

    Raises
    ------
    InputError
        The file is missing, truncated, damaged or no npz, lacks a named array, or holds pickled
        objects in one that is read.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [name for name in names if name not in file]
            read = [*file] if others else [name for name in names if name in file]
            arrays = {name: np.asarray(file[name]) for name in read}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except Exception as error:
        raise InputError(f"{path}: not a readable npz file; {advice}") from error
    if missing:
        raise InputError(f"{path}: holds no array {missing[0]!r}; {advice}")
    return arrays
