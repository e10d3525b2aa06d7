"""The sets that accuracy is measured on."""

import dataclasses

import numpy as np

from synth.generate import Settings
from synth.heads import load_provider
from synth.presets import PRESETS, TEST_SEED
from synth.sample.config import SampleConfig
from synth.sample.layout import layout_of
from synth.sample.scene import sample_scene


def test_the_test_sets_differ_in_what_covers_skin_alone():
    worn, bare = (Settings(**PRESETS[name]) for name in ("test", "test-bare"))
    assert (worn.count, worn.size, worn.samples, worn.seed) == (340, 128, 64, TEST_SEED)
    assert worn.sampling == SampleConfig()
    assert dataclasses.replace(bare, sampling=worn.sampling) == worn
    changed = {
        name
        for name, value in bare.sampling.to_dict().items()
        if value != worn.sampling.to_dict()[name]
    }
    assert {getattr(bare.sampling, name) for name in changed} == {0.0}
    assert Settings(**PRESETS["bare"]).sampling == bare.sampling
    assert not changed & {"freckle_share", "tan_share", "vein_share", "birthmark_share"}
    for kept in ("roughness", "specular", "bump", "setups", "melanin", "haemoglobin"):
        assert kept not in changed


def test_bare_people_have_nothing_on_their_skin():
    provider = load_provider("procedural")
    skin = layout_of(provider).skin
    for index in range(3):
        rng = np.random.default_rng([TEST_SEED, index])
        scene = sample_scene(rng, PRESETS["test-bare"]["sampling"], provider)
        assert (scene.attributes["skin"][skin] == 1).all()
        worn = {name: scene.record[name]["kind"] for name in ("clothes", "headwear")}
        assert worn == {"clothes": "none", "headwear": "none"}
        assert not scene.record["glasses"]["shown"]
        assert not any(scene.record["hair"]["strands"].values())
        assert scene.record["surface"]["sweat"] == 0
