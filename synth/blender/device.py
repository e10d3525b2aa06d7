"""Which device Cycles renders on.

`python -m synth.blender.device NAME` looks for a device in a process of its own, so that the
command that starts render processes never carries Blender; see `synth.processes.find_device`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

from bioface.errors import BiofaceError, InputError
from synth.blender.compat import import_bpy

GPUS = ("optix", "cuda", "hip", "metal")
"""Kinds of GPU, in the order in which `auto` looks for them."""

DEVICES = ("auto", "cpu", *GPUS)


@dataclass(frozen=True)
class Device:
    """A kind of device (`cpu` or one of `GPUS`) and the names of the GPUs that there are of it."""

    kind: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} ({', '.join(self.names)})" if self.names else self.kind


def choose_device(bpy: Any, wanted: str) -> Device:
    """The device `wanted`, one of `DEVICES`; `auto` is the first GPU that there is, else the CPU.

    Raises
    ------
    InputError
        There is no such device here.
    """
    for kind in GPUS if wanted == "auto" else (wanted,):
        names = _gpu_names(bpy, kind)
        if names:
            return Device(kind, names)
    if wanted in ("auto", "cpu"):
        return Device("cpu")
    present = ["cpu", *(kind for kind in GPUS if _gpu_names(bpy, kind))]
    raise InputError(
        f"--device {wanted}: Blender finds no such device here; there is {', '.join(present)}"
    )


def use_device(bpy: Any, target: Any, kind: str) -> None:
    """Have the Blender scene `target` rendered on all GPUs of one kind, or on the CPU alone.

    Preferences are forgotten at a factory reset: call this after it.

    Raises
    ------
    InputError
        There is no such device here.
    """
    if kind == "cpu":
        target.cycles.device = "CPU"
        return
    choose_device(bpy, kind)
    preferences = _preferences(bpy)
    preferences.compute_device_type = kind.upper()
    for device in preferences.devices:
        device.use = device.type == kind.upper()
    target.cycles.device = "GPU"


def _gpu_names(bpy: Any, kind: str) -> tuple[str, ...]:
    preferences = _preferences(bpy)
    compiled = {item[0] for item in preferences.get_device_types(bpy.context)}
    if kind not in GPUS or kind.upper() not in compiled:
        return ()
    found = preferences.get_devices_for_type(kind.upper())
    return tuple(device.name for device in found if device.type == kind.upper())


def _preferences(bpy: Any) -> Any:
    return bpy.context.preferences.addons["cycles"].preferences


def main(wanted: str) -> int:
    """Print the chosen `Device`, or an `error`, as a line of JSON."""
    try:
        answer = asdict(choose_device(import_bpy(), wanted))
    except BiofaceError as error:
        answer = {"error": str(error)}
    print(f"\n{json.dumps(answer)}", flush=True)
    return "error" in answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
