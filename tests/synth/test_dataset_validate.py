"""Holding a set against what it was made from, without Blender."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_datasets import channels as made_channels
from made_datasets import info, record, stage

from bioface.errors import InputError
from bioface.spectral.colour import ITA_CLASSES
from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.population import UNIFORM
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import MELANIN_RANGE, from_unit, to_unit
from synth import generate
from synth.dataset import validate
from synth.dataset.authored import authored_pigment
from synth.dataset.colours import (
    SkinColours,
    distance,
    measured_colours,
    outside,
    rendered_colours,
    site_table,
    sliced_wasserstein,
    tone_table,
)
from synth.dataset.read import Dataset
from synth.dataset.validate import describe, pigment_error, recomposition_errors, redraw
from synth.dataset.write import DatasetWriter, stage_sample
from synth.heads import load_provider
from synth.sample.config import SampleConfig
from synth.sample.scene import sample_scene
from synth.scene import REGIONS, Environment, HeadMesh, Scene, View

DISTANCE, FOCAL = 40.0, 60.0
PIXELS = 32
PLAIN = SampleConfig(defocus_share=0.0, hair_share=0.0, glasses_share=0.0, headwear_share=0.0)
SHIFT = 0.03  # u


def tilted(hidden=False, pigment=None):
    """A square turned about the vertical axis, its pigments linear over its surface; where asked,
    a strip of hair before its lower half."""
    corners = 10 * np.array([[-1, -1, 0.8], [1, -1, -0.8], [1, 1, -0.8], [-1, 1, 0.8]])
    strip = np.array([[-20, -20, 15], [20, -20, 15], [20, 0, 15], [-20, 0, 15]])
    vertices = np.concatenate([corners, strip]).astype(np.float32)
    faces = np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.int32)[: 1 + hidden]
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    head = HeadMesh(
        vertices,
        vertices,
        faces,
        np.stack([uv] * len(faces)),
        np.array([REGIONS.index("face"), REGIONS.index("hair")], np.uint8)[: len(faces)],
        np.zeros(68, np.int32),
        pigment=np.zeros((0, 0, 2), np.float32) if pigment is None else pigment,
    )
    fields = {
        "melanin": 0.2 + 0.01 * vertices[:, 0],
        "haemoglobin": 0.03 + 0.001 * vertices[:, 1],
        "skin": np.full(len(vertices), 0.8),
    }
    view = View(np.array([0.0, 0.0, DISTANCE]), np.eye(3), FOCAL)
    return Scene(head, fields, (), Environment("environment", np.ones((4, 8))), view, {})


def hits():
    """Where the rays through the pixel centres meet the tilted square: x, y and whether they do."""
    slope = (np.arange(PIXELS) + 0.5 - PIXELS / 2) / PIXELS * 36 / FOCAL
    across, down = np.meshgrid(slope, slope)
    # z = -0.8 x on the square; x = across (40 - z)
    x = across * DISTANCE / (1 - 0.8 * across)
    y = -down * (DISTANCE + 0.8 * x)
    return x, y, (np.abs(x) < 10) & (np.abs(y) < 10)


def test_authored_pigment_at_centres_is_that_of_the_surface_hit():
    _, centre = authored_pigment(tilted(), PIXELS)
    x, y, inside = hits()
    np.testing.assert_allclose(centre.melanin[inside], (0.2 + 0.01 * x)[inside], atol=1e-6)
    np.testing.assert_allclose(centre.haemoglobin[inside], (0.03 + 0.001 * y)[inside], atol=1e-6)
    np.testing.assert_allclose(centre.mask, 0.8 * inside, atol=1e-6)
    assert (centre.melanin[~inside] == 0).all()


def test_the_filter_keeps_linear_fields_and_softens_edges():
    filtered, centre = authored_pigment(tilted(), PIXELS)
    whole = filtered.mask > 0.8 - 1e-6
    assert whole.sum() > 300
    np.testing.assert_allclose(filtered.melanin[whole], centre.melanin[whole], atol=5e-4)
    assert ((filtered.mask > 0.05) & (filtered.mask < 0.75)).any()


def test_what_stands_before_skin_hides_it():
    filtered, centre = authored_pigment(tilted(hidden=True), PIXELS)
    assert (centre.mask[: PIXELS // 2 - 1] > 0).any()
    assert not centre.mask[PIXELS // 2 :].any()
    assert not filtered.mask[PIXELS // 2 + 1 :].any()


def test_a_texture_stands_before_the_vertices():
    # texel centres carry a field linear in u and v: bilinear interpolation gives it back
    v, u = (1 - (np.arange(40) + 0.5) / 40)[:, None], (np.arange(20) + 0.5) / 20
    painted = np.stack(np.broadcast_arrays(0.1 + 0.2 * u, 0.01 + 0.03 * v), -1).astype(np.float32)
    _, centre = authored_pigment(tilted(pigment=painted), PIXELS)
    x, y, inside = hits()
    inside &= (np.abs(x) < 9.4) & (np.abs(y) < 9.7)  # beyond the last texel centre it wraps around
    np.testing.assert_allclose(centre.melanin[inside], (0.2 + 0.01 * x)[inside], atol=1e-5)
    np.testing.assert_allclose(centre.haemoglobin[inside], (0.025 + 0.0015 * y)[inside], atol=1e-5)


@pytest.fixture(scope="module")
def provider():
    return load_provider("procedural")


@pytest.fixture(scope="module")
def drawn(provider, tmp_path_factory):
    """One sample whose channels are the authored maps, melanin `SHIFT` u above them."""
    scene = sample_scene(np.random.default_rng(np.random.SeedSequence([0, 0])), PLAIN, provider)
    maps, _ = authored_pigment(scene, PIXELS)
    planes = made_channels(0, PIXELS)
    melanin = from_unit(to_unit(maps.melanin, MELANIN_RANGE) + SHIFT, MELANIN_RANGE)
    planes |= {"melanin": melanin, "haemoglobin": maps.haemoglobin, "mask": maps.mask}
    folder = tmp_path_factory.mktemp("drawn") / "set"
    config = {"size": PIXELS, "samples": 1, "sampling": PLAIN.to_dict()}
    heads = {"name": provider.name, "asset_hash": provider.asset_hash}
    with DatasetWriter(folder, info(config=config, heads=heads)) as writer:
        planes = {name: plane.astype(np.float32) for name, plane in planes.items()}
        writer.publish(stage_sample(writer.partial, 0, planes, scene.record))
    return Dataset(folder)


def test_pigment_error_is_what_was_added(drawn, provider):
    error = pigment_error(drawn, provider, 5)
    assert error.samples == (0,)
    assert len(error.filtered["melanin"]) > 50
    np.testing.assert_allclose(error.filtered["melanin"], SHIFT, atol=2e-3)  # stored as halves
    np.testing.assert_allclose(error.filtered["haemoglobin"], 0, atol=2e-3)
    assert error.centre["haemoglobin"].max() > error.filtered["haemoglobin"].max()
    assert error.mask.max() < 1e-3
    text = "\n".join(describe(error))
    assert "melanin, under the pixel filter: median 0.03" in text


def test_nothing_to_compare_is_said(drawn, provider, monkeypatch):
    with pytest.raises(InputError, match="0 samples to compare"):
        pigment_error(drawn, provider, 0)
    monkeypatch.setattr(validate, "sure_skin", lambda channels: np.zeros((PIXELS, PIXELS), bool))
    with pytest.raises(InputError, match="no picture of those compared shows enough skin"):
        pigment_error(drawn, provider, 1)


def test_a_scene_of_other_samplers_or_heads_is_refused(drawn, provider, monkeypatch):
    monkeypatch.setitem(drawn.info.heads, "asset_hash", "1" * 64)
    with pytest.raises(InputError, match="give those heads"):
        redraw(drawn, 0, provider)
    monkeypatch.undo()
    stored = drawn.record(0)
    stored["pigment"]["melanin_u"] *= 1 + 1e-15  # the last bit differs between machines
    monkeypatch.setattr(Dataset, "record", lambda *_: stored)
    redraw(drawn, 0, provider)
    stored["pigment"]["melanin_u"] *= 1.01
    with pytest.raises(InputError, match="'pigment' differs"):
        redraw(drawn, 0, provider)
    monkeypatch.undo()
    monkeypatch.setitem(drawn.info.config, "sampling", {**PLAIN.to_dict(), "yaw": 10.0})
    with pytest.raises(InputError, match="'view' differs"):
        redraw(drawn, 0, provider)


def publish(folder, count, log=True):
    with DatasetWriter(folder, info()) as writer:
        for index in range(count):
            planes = made_channels(index)
            planes["region"][planes["region"] > 0] = REGIONS.index("cheek_left")
            writer.publish(stage_sample(writer.partial, index, planes, record(index)))
            error = f", recomposition error {(index + 1) * 1e-7:.1e}" if log else ""
            writer.log(f"{index:06d}: 1.50 CPU s{error}")
    return Dataset(folder)


def test_recomposition_errors_are_those_of_the_log(tmp_path):
    np.testing.assert_allclose(recomposition_errors(publish(tmp_path / "a", 2)), [1e-7, 2e-7])
    with pytest.raises(InputError, match=r"run\.log: has no recomposition error"):
        recomposition_errors(publish(tmp_path / "b", 1, log=False))


def test_recomposition_errors_of_samples_that_took_a_second_pattern_are_found(tmp_path):
    with DatasetWriter(tmp_path, info()) as writer:
        generate.publish(writer, stage(writer.partial, 0))
        reason = "the passes do not add up to the image: relative error 2.0e-05"
        generate.publish(writer, {**stage(writer.partial, 1), "retried": reason})
    np.testing.assert_allclose(recomposition_errors(Dataset(tmp_path)), [3e-7, 3e-7])


def people(seed, count, shift=0.0):
    """Colours of about the spread of measured faces."""
    rng = np.random.default_rng(seed)
    return [55.0, 13.0, 18.0] + rng.standard_normal((count, 3)) * [6, 2, 2] + [0.0, shift, 0.0]


def test_distance_of_the_same_people_is_that_of_two_halves():
    measured = people(0, 400)
    same, reference = distance(measured, people(1, 200))
    assert same == pytest.approx(reference, abs=0.4)
    redder, again = distance(measured, people(1, 200, shift=4.0))
    assert again == reference
    assert redder > same + 1


def test_sliced_wasserstein_of_a_shift_is_its_mean_over_directions():
    cloud = people(0, 300)
    assert sliced_wasserstein(cloud, cloud) == 0
    # a shift s along one axis projects to s |cos|, 1/2 on average over the sphere
    shift = np.array([0, 4.0, 0])
    assert sliced_wasserstein(cloud, cloud + shift) == pytest.approx(2.0, rel=0.1)


def test_outside_counts_one_in_a_hundred_by_plane_and_all_far_ones():
    measured = people(0, 1000)
    assert 0.005 < outside(measured, people(1, 2000)).mean() < 0.04
    assert outside(measured, people(1, 50, shift=30.0)).all()


def spectra_file(path, **changes):
    model = SkinModel.load()
    bands = WAVELENGTHS <= 700
    spectra = model.reflectance(np.array([0.06, 0.06, 0.2]), np.array([0.01, 0.03, 0.02]))
    arrays = {
        "wavelength": WAVELENGTHS[bands],
        "reflectance": spectra[:, bands] + model.specular_offset,
        "subject": np.array(["a", "a", "b"]),
        "site": np.array(["cheek", "nose", "forehead"]),
        "group": np.array(["CA", "CA", "AF"]),
    }
    arrays |= changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_measured_colours_are_of_diffuse_light_by_person_and_site(tmp_path):
    found = measured_colours(spectra_file(tmp_path / "s.npz"))
    assert found.source.tolist() == ["CA", "AF"]
    assert np.isnan(found.sites["nose"]).all(1).tolist() == [False, True]
    cheek, nose = found.sites["cheek"][0], found.sites["nose"][0]
    assert nose[1] > cheek[1] + 3  # more blood
    np.testing.assert_allclose(found.face[0], (cheek + nose) / 2)
    assert found.face[1, 0] < found.face[0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"site": None}, "holds no array 'site'"),
        ({"site": np.array(["arm", "leg", "toe"])}, "holds no spectrum of forehead"),
        ({"site": np.array(["cheek"])}, r"site has shape \(1,\); one for each of the 3 spectra"),
        ({"group": np.array([None] * 3)}, "not a readable npz file"),
        ({"wavelength": np.linspace(450, 650, 31)}, "must cover 400-700 nm"),
    ],
)
def test_unusable_spectra_are_named(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        measured_colours(spectra_file(tmp_path / "s.npz", **changes))


SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "validate_dataset"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--authored", "0"], "--authored 0: must be at least 1"),
        (["--out", "figures"], "--out figures: dataset-colours.png shows colours, which need"),
        (["--spectra", "s.npz", "--out", "s.npz"], "s.npz is not a folder"),
        (["--spectra", "s.npz"], "s.npz: holds 2 people; 20 or more"),
    ],
)
def test_the_script_says_before_any_work_what_cannot_be_done(tmp_path, arguments, message):
    spectra_file(tmp_path / "s.npz")
    ran = subprocess.run(
        [sys.executable, SCRIPT, "nowhere", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])},
    )
    assert ran.returncode == 1
    assert message in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["s.npz"]


def test_rendered_colours_are_medians_by_site(tmp_path):
    found = rendered_colours(publish(tmp_path / "set", 2))
    assert found.source.tolist() == [UNIFORM] * 2
    assert np.isnan(found.sites["nose"]).all()
    np.testing.assert_array_equal(found.face, found.sites["cheek"])
    assert found.face[1, 0] < found.face[0, 0]


def test_tables_name_every_tone_and_site():
    def colours(seed, count, source):
        sites = {name: people(seed, count) for name in ("forehead", "nose", "cheek", "chin")}
        return SkinColours(sites, np.full(count, source))

    measured, generated = colours(0, 500, "CA"), colours(1, 300, UNIFORM)
    text = "\n".join(tone_table(measured, generated))
    for name in (ITA_CLASSES[k] for k in np.unique(generated.tone)):
        assert f"| {name} |" in text
    assert "drawn evenly" in text
    assert len(list(site_table(measured, generated))) == 2 + 4


def test_a_site_that_nobody_shows_has_dashes():
    def colours(*shown):
        sites = {name: np.full((30, 3), np.nan) for name in ("forehead", "nose", "cheek", "chin")}
        return SkinColours(sites | {name: people(0, 30) for name in shown}, np.full(30, UNIFORM))

    rows = list(site_table(colours("cheek"), colours("cheek", "nose")))
    (nose,) = [row for row in rows if row.startswith("| nose |")]
    assert nose.startswith("| nose | - | - | - | +0.0 (0.0) |")
    assert "nan" not in "".join(rows)
