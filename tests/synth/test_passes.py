from types import SimpleNamespace

import numpy as np
import pytest

from synth.blender import ground_truth, passes
from synth.blender.compat import PASSES_4, PASSES_5
from synth.blender.passes import RenderCheckError
from synth.blender.truth_material import AOVS


def good_settings():
    return SimpleNamespace(
        render=SimpleNamespace(
            engine="CYCLES", use_persistent_data=False, use_compositing=False, use_sequencer=False
        ),
        cycles=SimpleNamespace(
            use_denoising=False,
            use_adaptive_sampling=False,
            sample_clamp_direct=0,
            sample_clamp_indirect=0,
            use_animated_seed=False,
            film_exposure=1,
        ),
        view_settings=SimpleNamespace(
            view_transform="Standard", look="None", exposure=0.0, gamma=1.0
        ),
    )


@pytest.mark.parametrize(
    ("part", "name", "value", "complaint"),
    [
        ("cycles", "use_denoising", True, "denoiser"),
        ("cycles", "use_adaptive_sampling", True, "adaptive sampling"),
        ("cycles", "sample_clamp_indirect", 10.0, "clamping"),
        ("render", "use_persistent_data", True, "persistent data"),
        ("render", "engine", "BLENDER_EEVEE_NEXT", "engine"),
        ("view_settings", "view_transform", "AgX", "view transform"),
        ("view_settings", "exposure", 1.0, "exposure"),
    ],
)
def test_settings_that_spoil_ground_truth_are_refused(part, name, value, complaint):
    settings = good_settings()
    passes.check_settings(settings)
    setattr(getattr(settings, part), name, value)
    with pytest.raises(RenderCheckError, match=complaint):
        passes.check_settings(settings)


def good_passes():
    """Passes of a 4x4 image half covered by skin of region 1, which recompose."""
    shape = (4, 4, 3)
    covered = np.zeros(shape, np.float32)
    covered[:2] = 1
    raw = {name: np.zeros(shape, np.float32) for name in (*PASSES_4, *AOVS)}
    raw["diffuse_direct"] = 0.7 * covered
    raw["diffuse_colour"] = 0.4 * covered
    raw["combined"] = 0.28 * covered
    raw["alpha"] = covered[..., 0]
    raw["region_0"][:2, :, 0] = 1
    for name in ("pigment", "position", "uv"):
        raw[name] = covered.copy()
    return raw


SCENE = SimpleNamespace(attributes={"melanin": np.ones(3)})


def test_sound_passes_are_accepted():
    assert passes.check_passes(good_passes(), SCENE) < 1e-6


def spoil_sum(raw):
    raw["combined"][0, 0] *= 1.001


def spoil_finite(raw):
    raw["normal"][0, 0] = np.nan


def spoil_aov(raw):
    raw["pigment"][:] = 0


def spoil_region(raw):
    raw["region_0"][:] = 0


def spoil_view(raw):
    raw["alpha"][:] = 0


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (spoil_sum, "do not add up to the image"),
        (spoil_finite, "pass normal holds values that are not finite"),
        (spoil_aov, "pigment AOV is zero"),
        (spoil_region, "region AOVs do not add up"),
        (spoil_view, "not in view"),
    ],
)
def test_unsound_passes_are_refused(spoil, complaint):
    raw = good_passes()
    spoil(raw)
    with pytest.raises(RenderCheckError, match=complaint):
        passes.check_passes(raw, SCENE)


@pytest.mark.parametrize("prefixes", [PASSES_4, PASSES_5])
def test_layers_are_split_under_either_versions_names(prefixes):
    plane = np.ones((2, 2), np.float32)
    channels = {f"ViewLayer.{theirs}.{c}": plane for theirs in prefixes.values() for c in "RGB"}
    channels = {k: v for k, v in channels.items() if ".Normal." not in k}
    channels |= {f"ViewLayer.Normal.{c}": plane * i for i, c in enumerate("XYZ")}
    channels |= {f"ViewLayer.pigment.{c}": plane for c in "RGB"}
    channels["ViewLayer.Combined.A"] = 0.5 * plane
    raw = passes.split_layers(channels, prefixes)
    assert set(raw) == {*PASSES_4, "pigment", "alpha"}
    np.testing.assert_array_equal(raw["normal"][0, 0], [0, 1, 2])
    np.testing.assert_array_equal(raw["alpha"], 0.5 * plane)


def test_passes_that_an_artists_layer_has_besides_are_left_out():
    plane = np.zeros((2, 3), np.float32)
    names = [f"Combined.{c}" for c in "RGBA"] + [f"bioface_pigment.{c}" for c in "RGBA"]
    more = [f"Vector.{c}" for c in "XYZW"] + [f"CryptoObject00.{c}" for c in "rgba"]
    planes = {f"Layer.{name}": plane for name in names + more}
    found = ground_truth._passes(planes, "Layer", PASSES_4)
    assert {name: values.shape for name, values in found.items()} == {
        "combined": (2, 3, 4),
        "bioface_pigment": (2, 3, 4),
    }
