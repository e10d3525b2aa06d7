"""The `bioface-synth` command: each sub-command is a module with `configure` and `run`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bioface.cli import dispatch

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
    return dispatch(
        "bioface-synth",
        "Render faces whose skin, light and camera are known exactly.",
        COMMANDS,
        "render",
        argv,
    )


if __name__ == "__main__":
    sys.exit(main())
