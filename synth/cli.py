"""The `bioface-synth` command: each sub-command is a module with `configure` and `run`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from bioface.cli import guarded

COMMANDS = {
    "generate": ("synth.generate", "render a dataset of synthetic faces"),
    "inspect": ("synth.dataset.inspect", "draw a contact sheet of a dataset and print statistics"),
    "pack": ("synth.dataset.pack", "turn a dataset into one file for training"),
    "heads": ("synth.heads.install", "install head models"),
    "apply": ("synth.apply", "put a photo's skin maps on a head in Blender"),
}
"""Sub-command to its module, imported when called, and its summary."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bioface-synth ARGV`; returns the exit status (0 only on success)."""
    from bioface import __version__

    arguments = list(sys.argv[1:] if argv is None else argv)
    called = arguments[0] if arguments else ""
    parser = argparse.ArgumentParser(
        prog="bioface-synth",
        description="Render faces whose skin, light and camera are known exactly.",
    )
    parser.add_argument("--version", action="version", version=f"bioface {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add_and_run() -> int:
        for name, (module_name, summary) in COMMANDS.items():
            subparser = subparsers.add_parser(
                name, help=summary, description=summary[0].upper() + summary[1:] + "."
            )
            if name == called:
                module = importlib.import_module(module_name)
                module.configure(subparser)
                subparser.set_defaults(run=module.run)
        options = parser.parse_args(arguments)
        return int(options.run(options) or 0)

    return guarded("bioface-synth", "render", add_and_run)


if __name__ == "__main__":
    sys.exit(main())
