import json

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.evaluate.aims import Aim, aims
from bioface.evaluate.figures import _tones
from bioface.evaluate.methods import side_by_side
from bioface.evaluate.report import as_page
from bioface.evaluate.tables import NETWORK, SPECTRAL, TOLD, floors, group_table, tone_floor
from bioface.scores.faces import Photos, Readings, Rows, albedo_of, measure
from bioface.scores.summary import summarise
from bioface.spectral.camera import CameraModel
from bioface.spectral.colour import (
    reflectance_to_linear_srgb,
)
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

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


def test_one_clipped_channel_is_enough(photos):
    photos.srgb[:, :10, :, 1] = 0.98
    changes = {}
    for name in ("diffuse_shading", "specular_shading", "linear"):
        spoiled = getattr(photos, name).copy()
        spoiled[:, :10] = 50.0
        changes["reconstruction" if name == "linear" else name] = spoiled
    found = figures(photos, said(photos, **changes))["quantities"]
    for name in ("log_diffuse", "specular", "sqrt_specular", "reconstruction"):
        assert found[name]["rmse"][0] == 0, name


def test_shading_in_the_dark_is_not_compared(photos):
    photos.diffuse_shading[:] = 1e-3
    found = figures(photos, said(photos, diffuse_shading=1e-3 * photos.diffuse_shading))
    assert found["quantities"]["log_diffuse"]["rmse"][0] == 0
    found = figures(photos, said(photos, diffuse_shading=20 * photos.diffuse_shading))
    assert found["quantities"]["log_diffuse"]["rmse"][0] == pytest.approx(np.log(2), rel=1e-3)


def test_gloss_is_compared_as_it_is_and_by_its_root(photos):
    photos.specular_shading[:] = 0.04
    found = figures(photos, said(photos, specular_shading=0 * photos.mask + 0.09))["quantities"]
    assert found["specular"]["rmse"][0] == pytest.approx(0.05)
    assert found["sqrt_specular"]["rmse"][0] == pytest.approx(0.1)
    found = figures(photos, said(photos, specular_shading=0 * photos.mask - 0.01))["quantities"]
    assert found["sqrt_specular"]["rmse"][0] == pytest.approx(0.2)


def test_pigments_are_compared_as_fractions_too(photos):
    photos.melanin_u[:], photos.haemoglobin_u[:] = 0.3, 0.6
    off = {name: getattr(photos, name) + 0.1 for name in ("melanin_u", "haemoglobin_u")}
    found = figures(photos, said(photos, **off))["quantities"]
    for name, u, bounds in (
        ("melanin", 0.3, MELANIN_RANGE),
        ("haemoglobin", 0.6, HAEMOGLOBIN_RANGE),
    ):
        assert found[f"{name}_u"]["bias"][0] == pytest.approx(0.1)
        expected = from_unit(u + 0.1, bounds) - from_unit(u, bounds)
        assert found[name]["rmse"][0] == pytest.approx(expected, rel=1e-3)


def test_light_camera_mask_and_certainty_have_errors_of_their_own(photos):
    mired = 200 - 10.0 * np.arange(COUNT)
    spread = np.sqrt((CameraModel.load().deviations ** 2).sum())
    right = np.arange(SIDE) >= SIDE // 2
    error = np.where(photos.counted, np.where(right, 0.1, -0.3), 9.0)
    found = figures(
        photos,
        said(
            photos,
            cct_kelvin=1e6 / mired,
            sensitivities=photos.sensitivities - 0.5 * spread / np.sqrt(99),
            mask=photos.mask + np.where(right, 0.1, -0.3),
            melanin_u=photos.melanin_u + error,
            melanin_u_std=np.full_like(error, 0.2),
            haemoglobin_u_std=np.full_like(error, 1e-9),
        ),
    )["scalars"]
    assert found["cct_error_mired"] == pytest.approx({"mean": 25, "median": 25, "p90": 45})
    kelvin = np.mean(1e6 / mired - 5000)
    assert found["cct_error_kelvin"]["mean"] == pytest.approx(kelvin, rel=1e-3)
    assert found["camera_error"]["median"] == pytest.approx(0.5)
    assert found["mask_error"]["mean"] == pytest.approx(0.2)
    assert found["melanin_covered"]["mean"] == pytest.approx(0.5)
    assert found["haemoglobin_covered"]["mean"] == 1


def test_faces_are_grouped_by_the_median_colour_and_the_mean_melanin_of_their_skin(photos):
    tan = [0.42, 0.22, 0.13]
    photos.albedo[:] = 0.9
    photos.albedo[photos.counted] = tan
    photos.albedo[:, 4:8, 4:8] = 0.0
    levels = np.array([-0.2, 0.32, 0.34, 0.66, 0.67, 1.2])
    photos.melanin_u[:] = np.where(photos.counted, levels[:, None, None], 9.0)
    rows = measure(photos, said(photos))
    assert [row.tone for row in rows] == ["tan"] * COUNT
    assert [row.third for row in rows] == ["low", "low", "middle", "middle", "high", "high"]


def test_albedo_of_pigments_is_that_of_their_spectra():
    u = np.array([[0.1, 0.9], [0.5, 0.2]])
    skin = SkinModel.load()
    spectra = skin.reflectance(from_unit(u[0], MELANIN_RANGE), from_unit(u[1], HAEMOGLOBIN_RANGE))
    np.testing.assert_allclose(albedo_of(skin, *u), reflectance_to_linear_srgb(spectra), atol=1e-3)


@pytest.mark.parametrize("name", ["melanin_u", "albedo", "reconstruction"])
def test_readings_that_are_no_numbers_are_refused(photos, name):
    spoiled = np.array(getattr(said(photos), name))
    spoiled[1, 10, 10] = np.nan
    with pytest.raises(InputError, match=f"values of {name} that are not finite"):
        measure(photos, said(photos, **{name: spoiled}))


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
    assert verdict("photos, the same /") == "missed"
    assert verdict("photos, haemoglobin, sd") == "missed"
    assert verdict("photos, haemoglobin, largest") == "missed"
    assert verdict("photos, melanin, largest") == "met"


def scored(rmse, r2=0.5, tones=(), within=None):
    """Figures of a method whose errors are all the same; of groups by tone, each its own."""
    names = ("melanin_u", "haemoglobin_u", "albedo", "log_diffuse", "specular")
    scores = {"rmse": [rmse], "within_rmse": [within or rmse], "r2": [r2]}
    groups = {str(k): scored(tone) for k, tone in enumerate(tones)}
    return {"quantities": dict.fromkeys(names, scores), "groups": {"tone": groups}}


def test_aims_hold_the_network_against_its_best_rival_and_its_worst_case():
    clean = {
        "prior mean": scored(0.4),
        "per-pixel network": scored(0.25),
        "ICA": scored(0.2),
        NETWORK: scored(0.1, 0.9, tones=(0.08, 0.13, 0.09)),
        TOLD: scored(0.05),
        "older": scored(0.04),
    }
    worse = {name: {NETWORK: scored(0.1, r2)} for name, r2 in (("fog", 0.86), ("JPEG 70", 0.7))}
    cubes = {
        "heads": SPECTRAL,
        "name": "cubes",
        "conditions": {"clean": {NETWORK: scored(0.15, within=0.2)}},
    }
    main = {"heads": "procedural", "conditions": {"clean": clean, **worse}}
    worn = {
        "brows": {"bare": scored(0.1, 0.9), "worn": scored(0.1, 0.8)},
        "glasses": {"bare": scored(0.1, 0.7), "worn": scored(0.1, 0.65)},
    }
    page = aims({"own": ["older"], "sets": [main, cubes], "worn": worn})
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in page.splitlines()[4:]]
    reached = {title: (aim, float(figure)) for title, aim, figure in rows}
    for pigment in ("melanin", "haemoglobin"):
        assert reached[f"{pigment}, R2 lost to one degradation"] == ("at most 0.060", 0.2)
        lost = f"{pigment}, R2 lost with hair, make-up, glasses or clothes"
        assert reached[lost] == ("at most 0.060", 0.1)
        assert reached[f"{pigment}, worst skin tone / all; clean"] == ("at most 1.500", 1.3)
        assert reached[f"{pigment}, cubes / clean"] == ("at most 1.250", 1.5)
        assert reached[f"{pigment} within the face, cubes / clean"] == ("at most 1.250", 2.0)
    for what in ("melanin", "albedo"):
        assert reached[f"{what} / best method of single pixels; clean"] == ("at most 0.500", 0.4)
    assert reached["haemoglobin / best baseline; clean"] == ("at most 0.850", 0.5)
    assert reached["specular shading, R2; clean"] == ("at least 0.820", 0.9)


def test_of_several_changes_of_a_photo_the_largest_shift_counts():
    shift = {"mirrored": {"melanin": 0.1, "haemoglobin": 0.5}}
    shift["darker"] = {"melanin": 0.2, "haemoglobin": 0.1}
    found = {
        "reconstruction": {"rmse": 0.02, "percent": 7.9},
        "between_sd": {"melanin": 0.1, "haemoglobin": 0.09},
        "shift": shift,
    }
    page = aims({"sets": [{"conditions": {}}], "portraits": found})
    largest = "largest shift / sd between people"
    assert f"| photos, melanin, {largest} | at most 0.150 | 0.200 |" in page
    assert f"| photos, haemoglobin, {largest} | at most 0.300 | 0.500 |" in page
    assert "| photos, the same / skin intensity | at most 0.080 | 0.079 | met |" in page


FLOOR = [
    {
        "prior": prior,
        "case": case,
        "melanin_u": factor * 0.2,
        "haemoglobin_u": factor * 0.4,
        "melanin": factor * 0.1,
        "haemoglobin": factor * 0.01,
        "tones": {"tan": {"melanin_u": factor * 0.05, "haemoglobin_u": factor * 0.1}},
    }
    for prior, factor in (("uniform", 1), ("population", 3))
    for case in ("light, camera", "nothing, with specular")
]


def test_groups_stand_beside_the_floor_of_their_own_skin(photos):
    photos.albedo[:] = [0.42, 0.22, 0.13]
    off = {name: getattr(photos, name) + 0.1 for name in ("melanin_u", "haemoglobin_u")}
    found = figures(photos, said(photos, **off))
    results = {"floor": FLOOR}
    assert [title for title, _ in floors(results)] == [
        "nothing known",
        "light and camera known, no gloss",
    ]
    line = group_table(found, "tone", tone_floor(results)).splitlines()[2]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[:3] == ["tan", str(COUNT), "0.100 (0.100 to 0.100)"]
    assert (cells[6], cells[11]) == ("2.00", "1.00")
    assert floors({"floor": None}) == []


def test_the_page_tells_losses_and_ratios_the_right_way_round(photos):
    def off(by):
        changed = {n: getattr(photos, n) + by for n in ("melanin_u", "haemoglobin_u")}
        return {NETWORK: figures(photos, said(photos, **changed))}

    about = {"heads": "procedural", "identities": 3, "samples": 6, "contents": "bare skin"}
    sets = [
        about | {"name": "test", "conditions": {"clean": off(0.1), "fog": off(0.15)}},
        about | {"name": "other", "conditions": {"clean": off(0.2)}},
    ]
    page = as_page(
        {
            "network": {"sha256": "0" * 64, "parameters": 1e6, "cameras": "training"},
            **{"own": [], "splits_sha256": "1" * 64, "cameras": "measured", "size": 64},
            **{"draws": 1, "floor": FLOOR, "mean_colour_floor": None, "sets": sets},
        },
        "bioface evaluate accuracy",
        {},
    )
    before, after = (
        sets[0]["conditions"][name][NETWORK]["quantities"]["melanin_u"]["r2"][0]
        for name in ("clean", "fog")
    )
    assert f"| fog | {after:.2f} ({after - before:+.2f}) |" in page
    assert after < before
    assert "| network, clean | 0.200 / " in page.split("## Another set: other")[1]
    assert " (2.00) |" in page.split("## Another set: other")[1]
    melanin, _ = [line for line in page.splitlines() if "melanin, u, absolute" in line]
    assert melanin.split("|")[-2].strip() == "0.200"


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


def test_methods_stand_side_by_side_in_fractions_and_by_skin_tone(photos):
    photos.albedo[:] = [0.42, 0.22, 0.13]
    off = said(photos, melanin_u=photos.melanin_u + 0.1)
    found = {NETWORK: figures(photos, said(photos)), "other": figures(photos, off)}
    lines = side_by_side({"conditions": {"clean": found}}, "clean", {"floor": None}).splitlines()
    first, fractions, tones = [line for line in lines if "other" in line]
    assert first.startswith(f"| other ({COUNT}) | 0.100 / ")
    melanin = found["other"]["quantities"]["melanin"]
    cells = [cell.strip() for cell in fractions.split("|")[2:-1]]
    assert cells[0] == f"{melanin['rmse'][0]:.3f} / {melanin['r2'][0]:.2f} / 1.00"
    assert cells[2] == "0.0000 / 1.00 / 1.00"
    assert "| method | tan |" in lines
    assert tones == "| other | 0.100 / 0.000 |"
    assert "| **network** | 0.000 / 0.000 |" in lines


def test_further_sets_are_told_in_detail(photos):
    good = figures(photos, said(photos, melanin_u=photos.melanin_u + 0.1))
    entry = {
        "name": "cubes",
        "heads": SPECTRAL,
        "identities": 3,
        "samples": 3,
        "contents": "skin only",
        "sha256": "ab" * 32,
        "conditions": {"clean": {NETWORK: good}},
    }
    results = {
        "network": {"parameters": 1e6, "sha256": "0" * 64, "cameras": "training"},
        "sets": [entry | {"name": "main"}, entry],
        "draws": 1,
        "size": SIDE,
        "cameras": "held-out measured",
        "splits_sha256": "1" * 64,
        "floor": None,
    }
    page = as_page(results, "command", {})
    further = page[page.index("## Another set: cubes") :]
    assert "skin only; sha256 `abababababababab`." in further
    (line,) = [line for line in further.splitlines() if line.startswith("| melanin, u, absolute")]
    assert line.startswith("| melanin, u, absolute | 0.100 (0.100 to 0.100) | ")
    assert line.count("|") == 6
    assert "### By skin tone (ITA class), clean" in further
    assert "| network, clean | 0 | 0 |" in further
