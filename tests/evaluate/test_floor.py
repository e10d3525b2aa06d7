"""The information floor: what is known lowers it, and the kept table belongs to the model."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bioface.cli import main
from bioface.evaluate.floor import CASES, Settings, draw_pigments, floor_table, load_floor
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
