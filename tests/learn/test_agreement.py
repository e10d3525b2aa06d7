"""Agreement of several photos of one person: the statistic, and the command."""

import json

import numpy as np
import pytest
from ellipsoids import CHANNELS, SIZE, ellipsoid_sample

pytest.importorskip("torch")

from bioface.cli import main
from bioface.errors import InputError
from bioface.evaluate.agreement import (
    COLOURS,
    READINGS,
    Repeated,
    agreement,
    as_table,
    intraclass,
)
from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Encoder, EncoderConfig
from bioface.learn.splits import Splits
from bioface.learn.weights import save_weights
from bioface.packed import write_packed

pytestmark = pytest.mark.torch

# Table 2 of Shrout & Fleiss (1979): six targets, four judges; their ICC(1,1) is 0.17.
RATINGS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def test_intraclass_is_that_of_the_published_example():
    people = np.repeat(np.arange(6), 4)
    assert intraclass(RATINGS.ravel(), people) == pytest.approx(0.17, abs=0.005)
    assert intraclass(np.repeat(np.arange(6.0), 4), people) == 1


def test_unequal_numbers_of_photos_estimate_the_same():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(3000), rng.integers(2, 6, 3000))
    values = rng.normal(size=3000)[people] + 0.5 * rng.normal(size=len(people))
    assert intraclass(values, people) == pytest.approx(0.8, abs=0.02)


def repeated(within, people=400):
    rng = np.random.default_rng(1)
    owner = np.repeat(np.arange(people), 2)
    columns = len(READINGS + COLOURS)
    values = rng.normal(size=(people, columns))[owner] + within * rng.normal(
        size=(2 * people, columns)
    )
    return Repeated([f"p{i:04d}" for i in owner], values, skipped=1)


def test_spread_between_and_within_and_an_interval_around():
    found = agreement(repeated(0.5))
    assert (found["people"], found["photos"], found["skipped"]) == (400, 800, 1)
    for one in found["agreement"].values():
        value, low, high = one["icc"]
        assert low < value < high
        assert value == pytest.approx(0.8, abs=0.06)
        assert one["within"] == pytest.approx(0.5, rel=0.1)
        assert one["between"] == pytest.approx(np.sqrt(1 + 0.125), rel=0.1)


def test_people_with_one_photo_do_not_count():
    both = repeated(0.5, 3)
    alone = Repeated(both.people[:-1], both.values[:-1])
    assert agreement(alone)["people"] == 2
    with pytest.raises(InputError, match="two readable photos each"):
        agreement(Repeated(both.people[:3], both.values[:3]))


def test_two_people_have_no_interval():
    found = agreement(repeated(0.5, 2))
    for one in found["agreement"].values():
        value, *around = one["icc"]
        assert np.isfinite(value)
        assert around == [None, None]
    assert as_table(found).splitlines()[2].split("|")[3] == " - "
    assert None not in agreement(repeated(0.5, 3))["agreement"]["melanin"]["icc"]


def test_readings_that_are_all_the_same_agree_in_nothing():
    three = repeated(0.5, 3)
    found = agreement(Repeated(three.people, np.ones_like(three.values)))
    assert found["agreement"]["melanin"]["icc"] == [None, None, None]
    assert "| melanin, u | - | - | 0.000 | 0.000 |" in as_table(found)
    json.dumps(found, allow_nan=False)


def test_rendered_people_are_photographed_twice(tmp_path, capsys):
    pack, weights, file = (tmp_path / name for name in ("t.pack", "w.safetensors", "a.json"))
    rng = np.random.default_rng(0)
    samples = [{"id": f"{i:06d}"} for i in range(4)]
    images = (ellipsoid_sample(rng) for _ in samples)
    dataset = {"seed": Splits.load().test_seed}
    write_packed(pack, CHANNELS, images, samples, (SIZE, SIZE), dataset=dataset)
    save_weights(weights, Encoder(EncoderConfig(widths=(16, 16), size=48)), Decoder())
    command = ["evaluate", "agreement", "--data", str(pack), "--weights", str(weights)]
    assert main([*command, "--json", str(file)]) == 0
    found = json.loads(file.read_text())["rendered"]
    assert (found["people"], found["photos"]) == (4, 8)
    assert set(found["agreement"]) == {*READINGS, *COLOURS}
    assert all(one["within"] > 0 for one in found["agreement"].values())
    assert "| haemoglobin, u |" in capsys.readouterr().out


def test_what_is_missing_is_said(tmp_path, capsys):
    assert main(["evaluate", "agreement"]) == 1
    assert "needs --photos DIR, --data PACK" in capsys.readouterr().err
    assert main(["evaluate", "agreement", "--photos", str(tmp_path)]) == 1
    assert "make one for each person's photos" in capsys.readouterr().err
    assert main(["evaluate", "agreement", "--photos", str(tmp_path / "nope")]) == 1
    assert "nope: no such folder" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["evaluate", "agreement", "--photos", str(tmp_path / "file")]) == 1
    assert "file: a file; name a folder" in capsys.readouterr().err


def test_photos_are_read_person_by_person(tmp_path, capsys):
    pytest.importorskip("mediapipe")
    skimage = pytest.importorskip("skimage.data")
    from PIL import Image

    face = Image.fromarray(skimage.astronaut()).crop((100, 0, 350, 250))
    for person, gain in (("ann", 1.0), ("bea", 0.7)):
        (tmp_path / "people" / person).mkdir(parents=True)
        for k, picture in enumerate((face, face.transpose(Image.Transpose.FLIP_LEFT_RIGHT))):
            picture.point(lambda v, gain=gain: int(gain * v)).save(
                tmp_path / "people" / person / f"{k}.png"
            )
    Image.new("RGB", (60, 60)).save(tmp_path / "people" / "bea" / "nobody.png")
    file = tmp_path / "a.json"
    photos = str(tmp_path / "people")
    assert main(["evaluate", "agreement", "--photos", photos, "--json", str(file)]) == 0
    found = json.loads(file.read_text())["photos"]
    assert (found["people"], found["photos"], found["skipped"]) == (2, 4, 1)
    assert found["agreement"]["L*"]["icc"][0] > 0.95
    assert found["agreement"]["melanin"]["within"] < 0.03
    assert "photos: 2 people, 4 photos, 1 skipped" in capsys.readouterr().out
