"""Samplers: ranges, determinism, statistics and what the renderer relies on."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.spectral.colour import ita, ita_class, reflectance_to_xyz, xyz_to_lab
from bioface.spectral.population import UNIFORM, Population
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit, to_unit
from synth.heads import load_provider
from synth.sample import pigment
from synth.sample.config import SampleConfig
from synth.sample.fields import smooth_noise, smoothstep
from synth.sample.layout import layout_of
from synth.sample.light import directions, expose, irradiance, sample_light
from synth.sample.pigment import sample_person
from synth.sample.scene import sample_scene
from synth.sample.view import frame_view, project, sample_view, view_rotation
from synth.scene import GROUPS, REGIONS, SKIN_REGIONS, AreaLight, Environment

CONFIG = SampleConfig()
FIELDS = {
    *("skin", "melanin", "haemoglobin", "roughness", "specular", "bump"),
    *(f"reflectance.{k}" for k in range(4)),
}


def generator(index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([7, index]))


@pytest.fixture(scope="module")
def provider():
    return load_provider("procedural")


@pytest.fixture(scope="module")
def scenes(provider):
    return [sample_scene(generator(index), CONFIG, provider) for index in range(24)]


def test_same_generator_gives_the_same_scene(provider, scenes):
    again = sample_scene(generator(0), CONFIG, provider)
    assert again.record == scenes[0].record
    np.testing.assert_array_equal(again.head.vertices, scenes[0].head.vertices)
    np.testing.assert_array_equal(again.environment.radiance, scenes[0].environment.radiance)
    for name, values in again.attributes.items():
        np.testing.assert_array_equal(values, scenes[0].attributes[name])
    assert scenes[1].record != scenes[0].record


def test_nothing_else_is_random(provider):
    before = str(np.random.get_state(legacy=False)), random.getstate()  # noqa: NPY002
    sample_scene(generator(3), CONFIG, provider)
    after = str(np.random.get_state(legacy=False)), random.getstate()  # noqa: NPY002
    assert after == before


def test_attributes_are_complete_and_in_range(scenes):
    for scene in scenes:
        assert set(scene.attributes) == FIELDS
        for name, values in scene.attributes.items():
            assert values.dtype == np.float32
            assert values.shape == (len(scene.head.vertices),)
            assert np.isfinite(values).all()
            if name != "bump":
                assert values.min() >= 0
                assert values.max() <= 1
        assert np.abs(scene.attributes["bump"]).max() < 0.2


def test_pigment_lies_on_skin_and_reflectance_on_the_rest(provider, scenes):
    layout = layout_of(provider)
    for scene in scenes:
        fields = scene.attributes
        off = np.ones(len(fields["skin"]), bool)  # glasses and the like come after the head's own
        off[layout.skin] = False
        assert (fields["melanin"][layout.skin] > 0).all()
        assert (fields["haemoglobin"][layout.skin] > 0).all()
        for name in ("skin", "melanin", "haemoglobin"):
            assert (fields[name][off] == 0).all()
        colour = sum(fields[f"reflectance.{k}"] for k in range(4))
        assert (colour[off] > 0).all()
        assert (colour[fields["skin"] == 1] == 0).all()
        assert (colour[(fields["skin"] < 1) & ~off] > 0).all()


def test_pigment_spreads_over_its_range_with_the_stated_contrast(provider, scenes):
    layout = layout_of(provider)
    face = layout.face & (layout.lips < -0.2)
    for name, bounds, contrast in (
        ("melanin", MELANIN_RANGE, (0.012, 0.14)),
        ("haemoglobin", HAEMOGLOBIN_RANGE, (0.02, 0.19)),
    ):
        units = [to_unit(s.attributes[name][layout.skin][face], bounds) for s in scenes]
        medians = np.array([np.median(unit) for unit in units])
        assert medians.min() < 0.25
        assert medians.max() > 0.7
        spread = np.array([unit.std() for unit in units])
        assert contrast[0] < spread.min()
        assert spread.max() < contrast[1]


def test_lips_hold_more_blood_and_less_melanin(provider, scenes):
    layout = layout_of(provider)
    lips, cheeks = layout.lips > 0.15, layout.sites["cheeks"] > 0.5
    redder = [
        s.attributes["haemoglobin"][layout.skin][lips].mean()
        > s.attributes["haemoglobin"][layout.skin][cheeks].mean()
        for s in scenes
    ]
    assert np.mean(redder) > 0.8


def test_hair_covers_skin_but_never_the_whole_face(provider, scenes):
    layout = layout_of(provider)
    bare = np.array([s.attributes["skin"][layout.skin][layout.face].mean() for s in scenes])
    assert bare.min() > 0.35
    scalp = layout.hairline > 3
    covered = np.array([1 - s.attributes["skin"][layout.skin][scalp].mean() for s in scenes])
    assert (covered > 0.5).sum() > len(scenes) / 2
    assert (covered < 0.1).any()


def test_landmarks_are_framed_as_configured(scenes):
    for scene in scenes:
        marks = np.array(scene.record["landmarks"])
        low, high = marks.min(0), marks.max(0)
        framing = 1 / (high - low).max()
        assert CONFIG.framing[0] - 0.02 < framing < CONFIG.framing[1] + 0.02
        np.testing.assert_allclose((low + high) / 2, 0.5, atol=2.05 * CONFIG.jitter)
        assert scene.record["view"]["framing"] == pytest.approx(framing, rel=0.01)


def test_view_axes_are_right_handed_and_angles_bounded(scenes):
    for scene in scenes:
        rotation = scene.view.rotation
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        view = scene.record["view"]
        assert abs(view["yaw"]) <= CONFIG.yaw
        assert abs(view["pitch"]) <= CONFIG.pitch
        assert abs(view["roll"]) <= CONFIG.roll


def test_yaw_moves_the_camera_to_the_subjects_left_and_pitch_up():
    assert view_rotation(30, 0, 0)[2, 0] > 0
    assert view_rotation(0, 20, 0)[2, 1] > 0
    np.testing.assert_allclose(view_rotation(0, 0, 0), np.eye(3), atol=1e-15)
    right = view_rotation(0, 0, 10)[0]
    assert right[1] < 0


def test_projection_of_a_known_point():
    marks = np.zeros((68, 3))
    marks[::2, 0], marks[1::2, 0] = -5, 5
    view = frame_view(marks, np.eye(3), 36.0, 2.0)
    np.testing.assert_allclose(view.position, [0, 0, 20], atol=1e-9)
    np.testing.assert_allclose(
        project(view, np.array([[5.0, 0, 0], [0, 5.0, 0], [0, 0, 10.0]])),
        [[0.75, 0.5], [0.5, 0.25], [0.5, 0.5]],
        atol=1e-9,
    )


def test_focal_length_sets_the_distance(provider):
    marks = provider.mean().vertices[provider.mean().landmarks]
    near = replace(CONFIG, focal_mm=(35.0, 35.0), framing=(1.8, 1.8), yaw=0, pitch=0, roll=0)
    far = replace(near, focal_mm=(135.0, 135.0))
    distance = [
        np.linalg.norm(sample_view(generator(0), config, marks)[0].position)
        for config in (near, far)
    ]
    assert 45 < distance[0] < 90
    assert 3 < distance[1] / distance[0] < 4.5


def test_lights_are_few_in_known_groups_and_exposed(provider, scenes):
    for scene in scenes:
        assert 1 <= len(scene.lights) <= 4
        assert {light.group for light in scene.lights} <= set(GROUPS)
        assert scene.environment.group == "environment"
        radiance = scene.environment.radiance
        assert radiance.shape == (64, 128)
        assert radiance.dtype == np.float32
        assert radiance.min() >= 0
        assert all(light.irradiance > 0 and light.size > 0 for light in scene.lights)
        assert CONFIG.exposure[0] <= scene.record["light"]["exposure"] <= CONFIG.exposure[1]
    assert len({scene.record["light"]["setup"] for scene in scenes}) >= 4


def test_every_light_setup_exposes_the_points_as_asked(provider):
    points = np.array([[0.0, 0, 9], [3, 0, 8], [-3, 0, 8]])
    normals = np.array([[0.0, 0, 1], [0.6, 0, 0.8], [-0.6, 0, 0.8]])
    marks = provider.mean().vertices[provider.mean().landmarks]
    view, _ = sample_view(generator(0), CONFIG, marks)
    for setup, _ in CONFIG.setups:
        config = replace(CONFIG, setups=((setup, 1.0),), exposure=(1.0, 1.0))
        rng = generator(1)
        lights, environment, record = sample_light(rng, config, view)
        assert record == {"setup": setup}
        lit = expose(rng, config, lights, environment, points, normals)
        assert irradiance(lit[0], lit[1], points, normals).mean() == pytest.approx(1.0, rel=1e-4)


def test_irradiance_follows_the_conventions():
    """A lamp of irradiance 1 and surroundings of radiance 1 both give shading 1."""
    dark = Environment("environment", np.zeros((64, 128), np.float32))
    lamp = AreaLight("key", np.array([0.0, 0.0, 100.0]), 1.0, 1.0)
    origin, front = np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]])
    assert irradiance((lamp,), dark, origin, front)[0] == pytest.approx(1.0)
    nearer = irradiance((lamp,), dark, 50 * front, front)[0]
    assert nearer == pytest.approx(4.0)
    bright = Environment("environment", np.ones((64, 128), np.float32))
    for normal in (front, np.array([[0.0, 1.0, 0.0]])):
        assert irradiance((), bright, origin, normal)[0] == pytest.approx(1.0, rel=0.02)


def test_environment_axes():
    direction = directions()
    assert direction[0, 0, 1] > 0.99
    np.testing.assert_allclose(direction[32, 64], [0, 0, 1], atol=0.06)
    assert direction[32, 96, 0] > 0.99


@pytest.mark.parametrize("share", [SampleConfig().uniform_share, 1.0])
def test_no_skin_tone_is_rare(share):
    config = replace(CONFIG, uniform_share=share)
    drawn = [sample_person(generator(index), config) for index in range(1500)]
    medians = np.array([person[0] for person in drawn])
    assert np.mean([person[2] == UNIFORM for person in drawn]) == pytest.approx(share, abs=0.04)
    melanin, haemoglobin = (
        from_unit(medians[:, k], limits)
        for k, limits in enumerate((MELANIN_RANGE, HAEMOGLOBIN_RANGE))
    )
    reflectance = SkinModel.load().reflectance(melanin, haemoglobin)
    classes = ita_class(ita(xyz_to_lab(reflectance_to_xyz(reflectance))))
    assert np.bincount(classes, minlength=6).min() > 0.09 * len(drawn)
    counts, _ = np.histogram(haemoglobin, np.geomspace(*config.haemoglobin, 5))
    assert counts.min() > 0.1 * len(drawn)


def test_without_uniform_coverage_people_are_the_populations():
    config = replace(CONFIG, uniform_share=0.0)
    drawn = [sample_person(generator(index), config) for index in range(1500)]
    assert {person[2] for person in drawn} == set(Population.load().groups)
    people = Population.load().sample(np.random.default_rng(0), 4000)
    for k, (values, limits) in enumerate(
        ((people.melanin, MELANIN_RANGE), (people.haemoglobin, HAEMOGLOBIN_RANGE))
    ):
        unit = to_unit(values, limits).mean(1)
        quartiles = np.percentile([person[0][k] for person in drawn], [25, 50, 75])
        np.testing.assert_allclose(quartiles, np.percentile(unit, [25, 50, 75]), atol=0.04)
    chin, cheeks = (np.mean([person[1][s] for person in drawn], 0) for s in ("chin", "cheeks"))
    assert chin[1] > cheeks[1]  # as measured


def test_the_angle_of_a_tone_is_taken_of_whole_columns(monkeypatch):
    """Of strided ones numpy takes the last bit of atan2 from where they happen to lie."""
    seen = []

    def spy(lab):
        seen.append(lab[..., 2].flags.c_contiguous)
        return ita(lab)

    monkeypatch.setattr(pigment, "ita", spy)
    sample_person(generator(0), replace(CONFIG, uniform_share=1.0))
    assert seen
    assert all(seen)


def test_records_are_json_and_configurations_round_trip(scenes):
    for scene in scenes:
        assert json.loads(json.dumps(scene.record)) == scene.record
    config = replace(CONFIG, yaw=30.0, setups=(("flash", 1.0),))
    assert SampleConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(InputError, match="unknown sampling option 'jaw'"):
        SampleConfig.from_dict({"jaw": 1})


def test_user_heads_without_eyes_or_mouth_can_be_sampled(provider):
    """A provider whose mesh is skin only draws a scene too."""
    full = provider.mean()
    skin = np.isin(full.region, [REGIONS.index(name) for name in SKIN_REGIONS])

    class SkinOnly:
        name, asset_hash = "skin", "0" * 64

        def mean(self):
            return replace(full, faces=full.faces[skin], uv=full.uv[skin], region=full.region[skin])

        def sample(self, rng):
            return self.mean()

        def deform(self, identity, expression):
            return self.mean()

    scene = sample_scene(generator(2), CONFIG, SkinOnly())
    assert set(scene.attributes) == FIELDS


def test_smooth_noise_has_unit_deviation_and_its_scale():
    rng = np.random.default_rng(0)
    points = rng.uniform(-40, 40, (20000, 3))
    noise = smooth_noise(rng, points, 2.0)
    assert abs(noise.mean()) < 0.1
    assert noise.std() == pytest.approx(1.0, abs=0.1)
    near = smooth_noise(np.random.default_rng(2), points + np.array([0.1, 0, 0]), 2.0)
    same = smooth_noise(np.random.default_rng(2), points, 2.0)
    assert np.corrcoef(near, same)[0, 1] > 0.98


def test_smoothstep_rises_and_falls():
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(smoothstep(x, 0, 1), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(smoothstep(x, 1, 0), [1, 1, 0.5, 0, 0])
