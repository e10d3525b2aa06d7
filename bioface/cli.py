"""The `bioface` command: one sub-command a module of `bioface.commands`, imported when called."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from bioface import __version__
from bioface.errors import BiofaceError, install_advice

COMMANDS = {
    "estimate": ("bioface.commands.estimate", "read skin, light and camera from face photos"),
    "edit": ("bioface.commands.edit", "re-render a photo with changed skin, light or camera"),
    "train": ("bioface.commands.train", "pretrain and fine-tune the encoder"),
    "export": ("bioface.commands.export", "write the network as ONNX, for use without torch"),
    "evaluate": ("bioface.commands.evaluate", "measure accuracy, and what accuracy there can be"),
    "validate-skin": (
        "bioface.commands.validate_skin",
        "fit a skin model to measured reflectance spectra",
    ),
}
"""Sub-command to its module, imported when called, and its summary."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bioface ARGV`; returns the exit status (0 only on success)."""
    return dispatch(
        "bioface",
        "Read melanin, haemoglobin, shading, light and camera from face photos.",
        COMMANDS,
        "train",
        argv,
    )


def dispatch(
    program: str,
    description: str,
    commands: Mapping[str, tuple[str, str]],
    extra: str,
    argv: Sequence[str] | None,
) -> int:
    """Run one of the `commands` of `program`: modules with `configure(parser)` and `run(options)`.

    Only the called module is imported. `extra` is the optional part that a missing package of
    others is looked for in, see `guarded`. Returns the exit status.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    called = arguments[0] if arguments else ""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--version", action="version", version=f"bioface {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def configure_and_run() -> int:
        for name, (module_name, summary) in commands.items():
            subparser = subparsers.add_parser(
                name, help=summary, description=summary[0].upper() + summary[1:] + "."
            )
            if name == called:
                module = importlib.import_module(module_name)
                module.configure(subparser)
                subparser.set_defaults(run=module.run)
        options = parser.parse_args(arguments)
        return int(options.run(options) or 0)

    return guarded(program, extra, configure_and_run)


def guarded(program: str, extra: str, action: Callable[[], int]) -> int:
    """Run `action`; a `BiofaceError` becomes one line on stderr and status 1, Ctrl-C status 130.

    So does a file that the system refuses, and a missing package of others, with the advice to
    install the optional part `extra`. A reader of stdout that has gone (`| head`) ends the command
    without a word, with status 141.
    """
    try:
        status = action()
        sys.stdout.flush()
        return status
    except BiofaceError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "bioface", "synth"):
            raise
        advice = f"run: {install_advice(extra)}"
        print(f"{program}: error: {package} is not installed; {advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _give_up_stdout()
        return 141
    except OSError as error:
        if error.filename is None:
            _give_up_stdout()
            print(f"{program}: error: standard output: {error.strerror}", file=sys.stderr)
        else:
            print(f"{program}: error: {refused(error)}", file=sys.stderr)
        return 1


def refused(error: OSError) -> str:
    """What is said of a file that the system refuses."""
    return f"{error.filename}: {error.strerror}; check the path and who may use it"


def _give_up_stdout() -> None:
    """Nothing more goes there, not even what Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
