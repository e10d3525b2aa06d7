"""`bioface evaluate`: what is wrong is said before the work, and nothing is replaced unasked."""

import argparse

import pytest

pytest.importorskip("torch")

from bioface.cli import main
from bioface.commands import evaluate
from bioface.evaluate.page import BEGIN, END
from bioface.evaluate.report import WRITTEN

pytestmark = pytest.mark.torch


def parsed(*words):
    parser = argparse.ArgumentParser()
    evaluate.configure(parser)
    return parser.parse_args(list(words))


def refused(capsys, *words):
    """The one line that the command ends with, before it looks for its data."""
    assert main(["evaluate", *map(str, words)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "nothing.pack" not in line
    return line


ACCURACY = ("accuracy", "--data", "nothing.pack")


@pytest.mark.parametrize(
    "words",
    [
        (*ACCURACY, "--json"),
        (*ACCURACY, "--out"),
        ("agreement", "--data", "nothing.pack", "--json"),
        ("multispectral", "nothing.pack", "--json"),
        ("floor", "--out"),
        ("edits", "--data", "nothing.pack", "--out"),
    ],
)
def test_targets_are_looked_at_first_and_never_replaced_unasked(tmp_path, capsys, words):
    kept, folder = tmp_path / "kept.png", tmp_path / "folder.png"
    kept.write_text("precious")
    folder.mkdir()
    assert "exists already; pass --overwrite" in refused(capsys, *words, kept)
    assert "its folder does not exist" in refused(capsys, *words, tmp_path / "no" / "x.png")
    assert "is a folder" in refused(capsys, *words, folder)
    assert kept.read_text() == "precious"


def test_an_earlier_page_may_be_replaced(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"# Accuracy\n\n{WRITTEN}\n")
    assert main(["evaluate", *ACCURACY, "--out", str(page)]) == 1
    assert "nothing.pack" in capsys.readouterr().err


def test_a_card_without_a_place_is_refused_first(tmp_path, capsys):
    card = tmp_path / "card.md"
    card.write_text("no marks")
    assert "no place for the table" in refused(capsys, *ACCURACY, "--model-card", card)
    card.write_text(f"{BEGIN}\n{END}\n")
    words = (*ACCURACY, "--model-card", card, "--conditions", "clean")
    assert "needs --conditions full" in refused(capsys, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*ACCURACY, "--seed", -1), "--seed -1: must be 0 or more"),
        (("floor", "--seed", -1), "--seed -1: must be 0 or more"),
        ((*ACCURACY, "--size", 0), "--size 0: must be 32 to 1024"),
        ((*ACCURACY, "--photo-limit", 1), "--photo-limit 1: must be at least 2"),
        ((*ACCURACY, "--identities", 1), "--identities 1: must be at least 2"),
        ((*ACCURACY, "--cubes", "none.exr"), "none.exr: no such file"),
        ((*ACCURACY, "--compare", "network=w"), "another row is called network"),
        ((*ACCURACY, "--compare", "prior mean=w"), "another row is called prior mean"),
        ((*ACCURACY, "--compare", "a=w", "a=v"), "another row is called a"),
        ((*ACCURACY, "--compare", "a"), "give it as NAME=FILE"),
        (("agreement", "--photos", ".", "--cameras", "c.npz"), "give it, too"),
    ],
)
def test_bad_values_are_named_first(capsys, words, message):
    assert message in refused(capsys, *words)


def test_the_page_tells_the_whole_command(tmp_path):
    words = ("accuracy", "--data", "some/test.pack", "--compare", "mine too=w.safetensors")
    words += ("--conditions", "clean", "JPEG 70", "--size", "40", "--no-baselines", "--draws", "2")
    options = parsed(*words, "--photo-limit", "9", "--out", str(tmp_path / "page.md"))
    assert evaluate._command(options) == (
        "bioface evaluate accuracy --data test.pack --compare 'mine too=w.safetensors' "
        "--conditions clean 'JPEG 70' --identities 400 --draws 2 --size 40 --photo-limit 9 "
        "--seed 0 --no-baselines --out page.md"
    )


def test_pixels_and_seed_of_the_floor_are_heeded(monkeypatch, capsys):
    def simulated(settings, seed, advance):
        return {"skin_model": f"{settings.pixels} pixels, seed {seed}", "rows": []}

    monkeypatch.setattr("bioface.evaluate.floor.floor_table", simulated)
    for words in (("--pixels", "40"), ("--seed", "5"), ("--fresh",)):
        assert main(["evaluate", "floor", "--json", *words]) == 0
        text = capsys.readouterr().out
        assert ("seed 5" in text) == ("--seed" in words)
        assert ("40 pixels" in text) == ("--pixels" in words)
