import json

import numpy as np
import pytest

from bioface.evaluate.aims import Aim, aims
from bioface.evaluate.figures import _tones
from bioface.evaluate.tables import group_table
from bioface.scores.faces import Photos, Readings, Rows, measure
from bioface.scores.summary import summarise
from bioface.spectral.colour import srgb_decode, srgb_encode

COUNT, SIDE = 6, 20


def drawn(rng):
    """Photos whose pigments, shading and colours are plain noise about levels of their own."""
    shape = (COUNT, SIDE, SIDE)
    counted = np.zeros(shape, bool)
    counted[:, 4:-4, 4:-4] = True
    melanin = np.linspace(0.1, 0.9, COUNT)[:, None, None] + rng.normal(0, 0.05, shape)
    diffuse = np.exp(rng.normal(-0.5, 0.4, shape))
    albedo = rng.uniform(0.1, 0.8, (*shape, 3))
    return Photos(
        srgb=rng.uniform(0.2, 0.9, (*shape, 3)).astype(np.float32),
        mask=counted.astype(np.float32),
        counted=counted,
        melanin_u=melanin,
        haemoglobin_u=rng.uniform(0, 1, shape),
        diffuse_shading=diffuse,
        specular_shading=rng.exponential(0.1, shape),
        albedo=albedo,
        linear=albedo * diffuse[..., None],
        cct_kelvin=np.full(COUNT, 5000.0),
        sensitivities=np.full((COUNT, 33, 3), 1 / 33),
        light=["daylight", "LED"] * (COUNT // 2),
        identity=[f"{i // 2}" for i in range(COUNT)],
    )


def said(photos, **changes):
    """The truth as a reading, with changes."""
    truth = {name: getattr(photos, name) for name in Readings.__dataclass_fields__ if
             hasattr(photos, name)}  # fmt: skip
    return Readings(**(truth | {"reconstruction": photos.linear} | changes))


@pytest.fixture
def photos():
    return drawn(np.random.default_rng(0))


def figures(photos, readings):
    return summarise(Rows.of(measure(photos, readings)))


def test_the_truth_scores_perfectly(photos):
    found = figures(photos, said(photos))
    for name, scores in found["quantities"].items():
        assert scores["rmse"] == [0, 0, 0], name
        assert scores["r2"][0] == 1, name
    assert found["scalars"]["cct_error_mired"]["median"] == 0
    assert found["identities"] == 3
    assert sum(group["photos"] for group in found["groups"]["tone"].values()) == COUNT
    assert list(found["groups"]["third"]) == ["low", "middle", "high"]
    assert set(found["groups"]["light"]) == {"daylight", "LED"}
    json.dumps(found)


def test_groups_tell_which_way_their_readings_are_off(photos):
    lighter = np.array(photos.light)[:, None, None] == "LED"
    melanin = photos.melanin_u + np.where(lighter, -0.05, 0.02)
    lines = group_table(figures(photos, said(photos, melanin_u=melanin)), "light").splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[3:5]] == ["melanin RMSE, u", "mean"]
    means = {row.split("|")[1].strip(): row.split("|")[4].strip() for row in lines[2:]}
    assert means == {"LED": "-0.050", "daylight": "+0.020"}


def test_only_counted_pixels_count_and_clipped_ones_have_no_shading(photos):
    spoiled = np.where(photos.counted, photos.melanin_u, 9.0)
    photos.srgb[:, :10] = 1.0
    diffuse = photos.diffuse_shading.copy()
    diffuse[:, :10] = 50.0
    found = figures(photos, said(photos, melanin_u=spoiled, diffuse_shading=diffuse))
    assert found["quantities"]["melanin_u"]["rmse"][0] == 0
    assert found["quantities"]["log_diffuse"]["rmse"][0] == 0


def test_a_level_a_scale_and_a_photo_each_show_where_they_should(photos):
    shifted = photos.melanin_u + 0.1
    found = figures(
        photos, said(photos, melanin_u=shifted, diffuse_shading=2 * photos.diffuse_shading)
    )["quantities"]
    assert found["melanin_u"]["rmse"][0] == pytest.approx(0.1)
    assert found["melanin_u"]["within_rmse"][0] == pytest.approx(0, abs=1e-9)
    assert found["melanin_u"]["face_rmse"][0] == pytest.approx(0.1)
    assert found["log_diffuse"]["rmse"][0] == pytest.approx(np.log(2), rel=1e-3)
    assert found["log_diffuse"]["within_rmse"][0] == pytest.approx(0, abs=1e-9)


def test_what_a_method_does_not_say_is_left_out(photos):
    only = Readings(photos.melanin_u, photos.haemoglobin_u)
    found = figures(photos, only)
    assert set(found["quantities"]) == {"melanin_u", "haemoglobin_u", "melanin", "haemoglobin"}
    assert found["scalars"] == {}


def test_photos_with_hardly_any_skin_do_not_count(photos):
    photos.counted[0] = False
    assert len(measure(photos, said(photos))) == COUNT - 1


def test_larger_photos_are_averaged_in_light_and_their_truth_over_skin(photos):
    photos.mask[0, 5, 5] = 0.2
    photos.counted[0, 5, 5] = False
    small = photos.shrunk(2)
    assert small.srgb.shape == (COUNT, SIDE // 2, SIDE // 2, 3)
    square = np.s_[0, 4:6, 4:6]
    light = srgb_decode(photos.srgb[square]).mean((0, 1))
    np.testing.assert_allclose(small.srgb[0, 2, 2], srgb_encode(light), atol=1e-6)
    weights = photos.mask[square]
    for name in ("melanin_u", "albedo", "diffuse_shading"):
        mean = np.average(getattr(photos, name)[square].reshape(4, -1), 0, weights.ravel())
        np.testing.assert_allclose(getattr(small, name)[0, 2, 2], np.squeeze(mean), rtol=1e-6)
    np.testing.assert_allclose(small.linear[0, 2, 2], photos.linear[square].mean((0, 1)))
    assert small.mask[0, 2, 2] == pytest.approx(0.8)
    assert not small.counted[0, 2, 2]
    assert small.counted.sum() == photos.counted.sum() // 4
    assert photos.shrunk(1) is photos


def test_an_aim_missed_by_little_does_not_look_reached():
    assert Aim("melanin", 0.08, 0.0803).shown == "0.0803"
    assert Aim("melanin", 0.08, 0.07998).shown == "0.080"
    assert Aim("gloss", 0.82, 0.81999, less=False).shown == "0.81999"


def test_aims_say_what_was_met_and_what_was_missed(photos):
    good, bad = figures(photos, said(photos)), figures(photos, said(photos, melanin_u=photos.mask))
    methods = {"network": good, "prior mean": bad}
    entry = {"heads": "procedural", "conditions": {"clean": methods, "JPEG 70": {"network": bad}}}
    shift = {"mirrored": {"melanin": 0.1, "haemoglobin": 0.5}}
    results = {
        "sets": [entry],
        "larger": {"pixels": 256, "conditions": {n: {"network": good} for n in ("clean", "fog")}},
        "portraits": {
            "reconstruction": {"rmse": 0.02, "unbalanced_rmse": 0.03, "percent": 9.0},
            "between_sd": {"melanin": 0.1, "haemoglobin": 0.05},
            "shift": shift,
        },
    }
    lines = aims(results).splitlines()

    def verdict(start):
        (line,) = [line for line in lines if line.startswith(f"| {start}")]
        return "met" if "| met |" in line else "missed"

    assert verdict("melanin, u; clean |") == "met"
    assert verdict("melanin / best method of single pixels; clean") == "met"
    assert verdict("melanin, R2 lost to one degradation |") == "missed"
    assert verdict("haemoglobin, R2 lost to one degradation |") == "met"
    assert verdict("melanin, R2 lost to one degradation; photos of 256 pixels") == "met"
    assert verdict("melanin, u; clean; photos of 256 pixels") == "met"
    assert verdict("photos, reconstruction RMSE") == "met"
    assert verdict("photos, reconstruction /") == "missed"
    assert verdict("photos, haemoglobin, sd") == "missed"
    assert verdict("photos, haemoglobin, largest") == "missed"
    assert verdict("photos, melanin, largest") == "met"


def test_every_skin_tone_is_drawn_over_its_own_name():
    def group(photos, rmse):
        quantity = {"rmse": [rmse, rmse, rmse]}
        return {
            "photos": photos,
            "quantities": dict.fromkeys(("melanin_u", "haemoglobin_u"), quantity),
        }

    tones = {
        "clean": {"very light": group(5, 0.1), "tan": group(6, 0.2), "dark": group(7, 0.3)},
        "full": {"tan": group(8, 0.2), "dark": group(7, 0.3)},
    }
    conditions = {name: {"network": {"groups": {"tone": found}}} for name, found in tones.items()}
    axis = _tones(conditions).axes[0]
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert labels == ["very light\n5 / 0", "tan\n6 / 8", "dark\n7"]
    for (line, *_), found in zip(axis.containers, tones.values(), strict=True):
        at = [labels[round(x)].split("\n")[0] for x in line.get_xdata()]
        assert at == list(found)
