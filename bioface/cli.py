"""The `bioface` command: one sub-command a module of `bioface.commands`, imported when called."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from bioface.errors import BiofaceError

COMMANDS = {
    "estimate": "read skin, light and camera from face photos",
    "edit": "re-render a photo with changed skin or light",
    "train": "pretrain and fine-tune the encoder",
    "evaluate": "measure what accuracy there can be",
    "validate-skin": "fit a skin model to measured reflectance spectra",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bioface ARGV`; returns the exit status (0 only on success)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else ""
    parser = argparse.ArgumentParser(
        prog="bioface",
        description="Read melanin, haemoglobin, shading, light and camera from face photos.",
    )
    parser.add_argument("--version", action="version", version=_version())
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command, summary in COMMANDS.items():
        subparser = subparsers.add_parser(command, help=summary, description=summary.capitalize())
        if command == name:
            module = importlib.import_module(f"bioface.commands.{command.replace('-', '_')}")
            module.configure(subparser)
            subparser.set_defaults(run=module.run)
    return guarded("bioface", "train", lambda: _run(parser.parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    return int(options.run(options) or 0)


def guarded(program: str, extra: str, action: Callable[[], int]) -> int:
    """Run `action`; a `BiofaceError` becomes one line on stderr and status 1, Ctrl-C status 130.

    So does a missing package of others, with the advice to install the optional part `extra`.
    """
    try:
        return action()
    except BiofaceError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "bioface", "synth"):
            raise
        advice = f"run: pip install 'bioface[{extra}]'"
        print(f"{program}: error: {package} is not installed; {advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130


def _version() -> str:
    from bioface import __version__

    return f"bioface {__version__}"


if __name__ == "__main__":
    sys.exit(main())
