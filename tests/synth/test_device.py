"""Which device is chosen, with a stand-in for the preferences of Cycles."""

from types import SimpleNamespace

import pytest

from bioface.errors import InputError
from synth.blender.device import Device, choose_device, use_device


class Preferences:
    """Cycles' add-on preferences on a machine with `gpus`: pairs of type and name."""

    def __init__(self, gpus, compiled=("NONE", "CUDA", "OPTIX", "HIP", "ONEAPI")):
        self._compiled = compiled
        kinds = [*gpus, ("CPU", "Xeon")]
        self.devices = [SimpleNamespace(type=t, name=n, use=True) for t, n in kinds]
        self.compute_device_type = "NONE"

    def get_device_types(self, context):
        return [(name, name, "", number) for number, name in enumerate(self._compiled)]

    def get_devices_for_type(self, kind):
        assert kind in self._compiled, "Blender raises ValueError at this"
        found = [device for device in self.devices if device.type == kind]
        return found and [*found, self.devices[-1]]


def blender(*gpus, **options):
    preferences = Preferences(gpus, **options)
    addons = {"cycles": SimpleNamespace(preferences=preferences)}
    context = SimpleNamespace(preferences=SimpleNamespace(addons=addons))
    return SimpleNamespace(context=context), preferences


NVIDIA = (("CUDA", "H200"), ("OPTIX", "H200"))
TWO = (("CUDA", "H200"), ("CUDA", "A100"))
METAL = ("NONE", "METAL")


@pytest.mark.parametrize(
    ("gpus", "options", "wanted", "expected"),
    [
        ((), {}, "auto", Device("cpu")),
        ((), {}, "cpu", Device("cpu")),
        (NVIDIA, {}, "auto", Device("optix", ("H200",))),
        (NVIDIA, {}, "cuda", Device("cuda", ("H200",))),
        (NVIDIA, {}, "cpu", Device("cpu")),
        (TWO, {}, "auto", Device("cuda", ("H200", "A100"))),
        ([("METAL", "M4")], {"compiled": METAL}, "auto", Device("metal", ("M4",))),
    ],
)
def test_the_device_that_is_chosen(gpus, options, wanted, expected):
    bpy, _ = blender(*gpus, **options)
    assert choose_device(bpy, wanted) == expected


@pytest.mark.parametrize(
    ("gpus", "wanted", "present"),
    [((), "cuda", "cpu"), ((), "metal", "cpu"), (NVIDIA, "hip", "cpu, optix, cuda")],
)
def test_a_missing_device_is_named_with_what_there_is(gpus, wanted, present):
    bpy, _ = blender(*gpus)
    message = f"--device {wanted}: Blender finds no such device here; there is {present}$"
    with pytest.raises(InputError, match=message):
        choose_device(bpy, wanted)


def test_a_scene_uses_all_gpus_of_the_kind_and_no_other_device():
    bpy, preferences = blender(*TWO, ("OPTIX", "H200"))
    target = SimpleNamespace(cycles=SimpleNamespace(device="CPU"))
    use_device(bpy, target, "cuda")
    assert target.cycles.device == "GPU"
    assert preferences.compute_device_type == "CUDA"
    used = [(device.type, device.use) for device in preferences.devices]
    assert used == [("CUDA", True), ("CUDA", True), ("OPTIX", False), ("CPU", False)]
    use_device(bpy, target, "cpu")
    assert target.cycles.device == "CPU"
    with pytest.raises(InputError, match="--device hip"):
        use_device(bpy, target, "hip")
