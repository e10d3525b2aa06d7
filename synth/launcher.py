"""Start Python where Blender is: Blender's own program inside Blender, else this Python."""

from __future__ import annotations

import json
import os
import sys

USER_FOLDER = "BLENDER_USER_RESOURCES"
"""The variable that says where a Blender keeps what is its user's."""

_BOOT = """
import json, runpy, sys
paths, *words = sys.argv[sys.argv.index("--") + 1:]
sys.path.extend(path for path in json.loads(paths) if path not in sys.path)
as_module = words[0] == "-m"
sys.argv = words[as_module:]
(runpy.run_module if as_module else runpy.run_path)(sys.argv[0], run_name="__main__")
"""


def python_command(*arguments: str) -> list[str]:
    """A command line that runs `python ARGUMENTS` in a process that can import bpy.

    Parameters
    ----------
    arguments
        `-m MODULE ...` or `SCRIPT ...`. What this process can import, the new one can, too.

    Returns
    -------
    Inside Blender: its binary with `--background --factory-startup`, whose standard output also
    carries Blender's own lines. Elsewhere: this Python.
    """
    tail = ["--", json.dumps([path for path in sys.path if path]), *arguments]
    blender = getattr(getattr(sys.modules.get("bpy"), "app", None), "binary_path", "")
    if blender:
        quiet = ["--background", "--factory-startup", "--python-exit-code", "1"]
        return [blender, *quiet, "--python-expr", _BOOT, *tail]
    return [sys.executable, "-c", _BOOT, *tail]


def child_environment(home: str) -> dict[str, str]:
    """The environment for a `python_command` whose Blender has its user folder at `home`.

    Without one of its own, a Blender that is reset to factory settings removes the wheels of the
    extensions that the user has enabled.
    """
    return {**os.environ, USER_FOLDER: home}
