"""The information floor: what is known lowers it, and the kept table belongs to the model."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bioface.cli import main
from bioface.evaluate import floor
from bioface.evaluate.floor import (
    CASES,
    Case,
    Settings,
    colours,
    draw_pigments,
    draw_projections,
    floor_table,
    load_floor,
)
from bioface.spectral.colour import srgb_encode
from bioface.spectral.population import Population
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import MELANIN_RANGE, to_unit

SMALL = Settings(pixels=80, lights=8, candidates=40_000, unknown_lights=100)


@pytest.fixture(scope="module")
def rows():
    table = floor_table(settings=SMALL, priors=("uniform",))
    return {row["case"]: row for row in table["rows"]}


def test_knowing_more_lowers_the_floor(rows):
    order = [case.name for case in CASES]
    melanin = [rows[name]["melanin_u"] for name in order]
    assert melanin[0] < melanin[1] < melanin[3] < melanin[4] < rows["prior"]["melanin_u"]
    for name in ("melanin_u", "haemoglobin_u", "melanin", "haemoglobin"):
        assert rows[order[0]][name] < rows[order[2]][name] < rows["prior"][name]


def test_the_prior_is_uniform_in_unit_u(rows):
    assert rows["prior"]["melanin_u"] == pytest.approx(12**-0.5, rel=0.01)
    melanin = draw_pigments(np.random.default_rng(0), "uniform", 100).melanin
    u = to_unit(melanin, MELANIN_RANGE)
    assert (u.min() >= 0) & (u.max() <= 1)


def test_the_population_is_drawn_as_it_was_measured():
    drawn = draw_pigments(np.random.default_rng(0), "population", 20_000)
    people = Population.load().sample(np.random.default_rng(1), 20_000)
    for name in ("melanin", "haemoglobin"):
        quantiles = (np.quantile(getattr(of, name), (0.1, 0.5, 0.9)) for of in (drawn, people))
        np.testing.assert_allclose(*quantiles, rtol=0.1)


def test_what_a_prior_alone_leaves_open_is_its_spread(rows):
    assert rows["prior"]["melanin_u"] == pytest.approx(12**-0.5, rel=0.01)
    assert rows["prior"]["haemoglobin_u"] == pytest.approx(12**-0.5, rel=0.01)


def test_white_balance_errs_and_gloss_shows_only_where_a_case_says_so():
    settings = Settings(white_balance_error=0.03, specular_ratio=0.2)
    balanced, blind = Case("white balance"), Case("nothing", white_balance=False, specular=True)
    rng = np.random.default_rng
    np.testing.assert_allclose(
        draw_projections(rng(0), 50, balanced, settings).sum(1), 1, atol=1e-6
    )
    projections = draw_projections(rng(0), 50, blind, settings)
    off = np.ptp(np.log(projections.sum(1)), axis=1)
    assert 0.01 < np.median(off) < 0.1
    pigments = draw_pigments(rng(1), "uniform", 50, 40)
    dull, glossy = (
        colours(rng(2), SkinModel.load(), projections, pigments, case, settings)
        for case in (balanced, blind)
    )
    gloss = (glossy - dull).reshape(3, 50, 40) / projections.sum(1).T[..., None]
    np.testing.assert_allclose(gloss, gloss[:1].repeat(3, 0), rtol=1e-6, atol=1e-9)
    assert gloss.min() >= 0
    assert gloss.mean() == pytest.approx(0.2, rel=0.1)


def posterior(colour, code, shading, limits=(0.1, 1.0)):
    """Posterior mean of the first column, of candidates (K, 3) that count as 0, 1, 2 ..."""
    colour = np.repeat(np.asarray(colour, float), 8, axis=0)
    columns = np.repeat(np.arange(len(colour) // 8), 8)[:, None] * np.ones(4)
    bank = floor._Bank(np.log(colour).T, columns)
    return bank.posterior_mean(np.asarray(code, float), shading, limits)[0]


def test_candidates_count_where_they_round_to_the_code():
    skin, shaded = np.array([0.5, 0.3, 0.2]), 0.4
    code = np.rint(255 * srgb_encode(shaded * skin))
    candidates = [0.9 * skin, skin, 1.1 * skin]
    assert posterior(candidates, code, shaded) == 1
    # Unknown shading: all three could be it, but not with more light than there is.
    assert posterior(candidates, code, None) == pytest.approx(1, abs=1e-6)
    assert posterior(candidates, code, None, (0.1, 0.38)) == pytest.approx(2)
    assert posterior(candidates, code, None, (0.43, 1.0)) == pytest.approx(0)
    # A channel at 255 is at least so bright.
    clipped = np.rint(255 * np.clip(srgb_encode(3 * skin), 0, 1))
    assert clipped[0] == 255
    brighter = [skin, skin * [4, 1, 1], skin * [0.1, 1, 1]]
    assert posterior(brighter, clipped, 3.0) == pytest.approx(0.5)


def test_tones_are_those_of_the_pixels(rows):
    melanin = {tone: errors["melanin"] for tone, errors in rows[CASES[0].name]["tones"].items()}
    assert {"light", "brown", "dark"} <= set(melanin)
    assert melanin["dark"] > 2 * melanin["light"]


def test_a_table_of_another_model_is_not_shown(tmp_path, monkeypatch):
    table = load_floor()
    constants = table["constants"]
    table["constants"] = constants | {"baseline": 1.01 * constants["baseline"]}
    (tmp_path / floor.TABLE).write_text(json.dumps(table))
    monkeypatch.setattr(floor, "DATA", tmp_path)
    assert load_floor() is None
    (tmp_path / floor.TABLE).unlink()
    assert load_floor() is None


def test_the_same_seed_gives_the_same_table():
    tiny = Settings(pixels=4, lights=2, candidates=2000, unknown_lights=10)
    first, second = (floor_table(settings=tiny, seed=3) for _ in range(2))
    assert first == second
    json.dumps(first)


def test_the_kept_table_is_that_of_the_shipped_model():
    table = load_floor()
    assert table is not None, "make it again: see `command` in information_floor.json"
    assert {row["prior"] for row in table["rows"]} == {"uniform", "population"}
    assert table["skin_model"] == SkinModel.load().name


def test_the_page_shows_the_kept_table():
    page = Path(__file__).parents[2] / "docs" / "information-floor.md"
    rows = re.findall(r"^\| (?!known)(.+) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    shown = [[float(cell) for cell in row.split(" | ")[1:]] for row in rows]
    kept = [
        [row[name] for name in ("melanin_u", "haemoglobin_u", "melanin", "haemoglobin")]
        for row in load_floor()["rows"]
    ]
    rounding = 0.5001 * np.array([1e-3, 1e-3, 1e-3, 1e-4])
    assert (np.abs(np.array(shown) - kept) < rounding).all()


def test_command_prints_the_kept_table(capsys, tmp_path):
    out = tmp_path / "floor.json"
    assert main(["evaluate", "floor", "--out", str(out)]) == 0
    assert "light, camera, shading" in capsys.readouterr().out
    assert json.loads(out.read_text())["rows"]
    assert main(["evaluate", "floor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]


def test_too_few_pixels_are_refused(capsys):
    assert main(["evaluate", "floor", "--fresh", "--pixels", "3"]) == 1
    assert "--pixels 3" in capsys.readouterr().err
