"""`bioface-synth heads install`: put a head model where every command finds it."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from bioface.atomic import replacing
from bioface.errors import BiofaceError, InputError
from synth.heads.ict_check import TOLERANCE, verify
from synth.heads.ict_checkout import download, read_checkout
from synth.heads.ict_facekit import ARRAYS, read_arrays

_INSTALLABLE = ("ict-facekit",)
_WHERE = "run `bioface-synth heads install ict-facekit`"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bioface-synth heads`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser(
        "install",
        help="install a head model",
        description=(
            "Install a head model: ICT-FaceKit (USC ICT, MIT licence), downloaded from GitHub or, "
            "with --from, without a network. Its arrays are compared with the published ones."
        ),
    )
    action.add_argument("name", metavar="NAME", choices=_INSTALLABLE, help="ict-facekit")
    action.add_argument(
        "--from",
        dest="source",
        metavar="PATH",
        help="a checkout of ICT-FaceKit, or an npz of its arrays; no download",
    )


def run(options: argparse.Namespace) -> None:
    """Install `options.name` from `options.source` and say where it went."""
    target, exact = install(options.name, options.source)
    print(f"installed {options.name}: {target}")
    if not exact:
        print(
            f"its shapes equal the published ones within {TOLERANCE:g} cm (rms), not to the last "
            "bit: datasets made with them record another asset hash"
        )


def folder() -> Path:
    """Where head models are kept: `$XDG_DATA_HOME/bioface/heads`, by default in ~/.local/share."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "bioface" / "heads"


def installed_file(name: str) -> Path:
    """The file of an installed head model.

    Raises
    ------
    InputError
        It is not installed; the message says how to install it.
    """
    path = folder() / f"{name}.npz"
    if not path.is_file():
        raise InputError(f"the head model {name} is not installed: {_WHERE}")
    return path


def install(name: str, source: str | Path | None = None) -> tuple[Path, bool]:
    """Get a head model, verify its arrays and store them.

    Parameters
    ----------
    name
        `ict-facekit`.
    source
        A checkout of ICT-FaceKit (the folder that holds `FaceXModel`), or an npz of its arrays;
        None downloads it.

    Returns
    -------
    The installed file, and whether its arrays equal the published ones to the last bit.

    Raises
    ------
    InputError
        Unknown name, or a source whose arrays are not the published ones.
    BiofaceError
        The download fails, or the model cannot be stored.
    """
    if name not in _INSTALLABLE:
        raise InputError(f"unknown head model '{name}': {', '.join(_INSTALLABLE)} can be installed")
    arrays = _download() if source is None else _read(Path(source).expanduser())
    exact = verify(arrays, "the download" if source is None else source)
    target = folder() / f"{name}.npz"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BiofaceError(f"{target.parent}: cannot be made ({error.strerror})") from error
    with replacing(target) as temporary:
        np.savez_compressed(temporary, **{key: arrays[key] for key in (*ARRAYS, "expr_names")})
    return target, exact


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; without --from it is downloaded")
    return read_checkout(path) if path.is_dir() else read_arrays(path)


def _download() -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory(prefix="ict-facekit-") as scratch:
        download(Path(scratch))
        return read_checkout(Path(scratch))
