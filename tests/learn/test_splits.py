import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from bioface.errors import BiofaceError, InputError
from bioface.learn import splits as module
from bioface.learn.conditions import RelightConfig
from bioface.learn.lights import (
    ALL_NAMES,
    LightSampler,
    kind_shares,
    light_kind,
    nearest_weights,
)
from bioface.learn.planes import LIPS_REGION
from bioface.learn.splits import Splits, is_held_out, split_samples
from bioface.packed import read_packed, write_packed
from bioface.spectral.camera import CameraModel
from bioface.spectral.illuminant import mix
from bioface.spectral.tables import DATA
from synth.scene import REGIONS

pytestmark = pytest.mark.torch

SHARED = Path(__file__).resolve().parents[3] / "shared"
DATABASE = SHARED / "cameras" / "rawtoaces52.npz"


def test_sides_do_not_meet():
    splits = Splits.load()
    held_out = set(splits.held_out_cameras)
    assert len(held_out) >= 10
    assert not held_out & set(splits.training_cameras)
    makers = {name.split()[0] for name in splits.training_cameras}
    assert not makers & set(splits.held_out_makers)
    assert {name.split()[0] for name in held_out} == set(splits.held_out_makers)
    assert set(splits.training_illuminants) | set(splits.held_out_illuminants) == set(ALL_NAMES)
    assert not set(splits.training_illuminants) & set(splits.held_out_illuminants)
    assert set(splits.held_out_illuminants) >= {"F2", "F7", "F11"}


def test_the_frozen_conditions_are_those_of_the_code():
    frozen = Splits.load().conditions
    for name in ("clean", "full"):
        code = json.loads(json.dumps(dataclasses.asdict(getattr(RelightConfig, name)())))
        # Not in the tests at all: they were added to training later.
        later = [code.pop(key) for key in ("patchy_share", "single_share", "departing")]
        assert later == [0, 0, 0]
        del code["patchy"]
        assert code["degrade"].pop("grey_noise_share") == code["degrade"].pop("black_share") == 0
        assert frozen[name] == code
    assert REGIONS[LIPS_REGION] == "lips"
    assert Splits.load().excluded_regions == ("lips",)


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    content = json.loads((DATA / "splits.json").read_text())
    content["illuminants"]["held_out"] = ["F2"]
    (tmp_path / "splits.json").write_text(json.dumps(content))
    monkeypatch.setattr(module, "DATA", tmp_path)
    with pytest.raises(BiofaceError, match="changed since it was frozen"):
        module._load.__wrapped__()


def test_the_training_model_never_saw_the_held_out_cameras():
    if not DATABASE.exists():
        pytest.skip(f"{DATABASE} is not here")
    splits = Splits.load()
    fitted = CameraModel.fit(splits.cameras(DATABASE, "training"), 6)
    shipped = CameraModel.load(6, name="training")
    np.testing.assert_allclose(fitted.mean, shipped.mean, atol=1e-12)
    np.testing.assert_allclose(fitted.components, shipped.components, atol=1e-9)
    held_out = splits.cameras(DATABASE)
    assert held_out.shape == (len(splits.held_out_cameras), 33, 3)
    frozen = json.loads((DATA / "splits.json").read_text())["cameras"]["held_out_sha256"]
    values = np.round(1e6 * held_out).astype("<i4")
    assert hashlib.sha256(values.tobytes()).hexdigest() == frozen
    with pytest.raises(InputError, match="no measured cameras"):
        splits.cameras(DATA / "splits.json")


def test_photos_of_the_shared_folder_are_split_as_frozen():
    if not (SHARED / "photos").exists():
        pytest.skip("no photos here")
    names = sorted(path.name for path in (SHARED / "photos").iterdir())
    frozen = json.loads((DATA / "splits.json").read_text())["photos"]
    held_out = [path.name for path in module.held_out_photos(names)]
    assert len(names) == frozen["count"]
    assert len(held_out) == frozen["held_out_count"]
    assert module.digest(held_out) == frozen["held_out_names_sha256"]
    assert is_held_out(held_out[0], frozen["held_out_share"])


def test_sets_of_a_test_seed_are_held_out_whole(tmp_path):
    image = np.zeros((1, 4, 4), np.float32)
    for seed in (0, Splits.load().test_seed):
        write_packed(
            tmp_path / "p", ["mask"], [image] * 50, [{}] * 50, (4, 4), dataset={"seed": seed}
        )
        train, held_out = split_samples(read_packed(tmp_path / "p"))
        assert len(train) + len(held_out) == 50
        assert (len(train) == 0) == (seed > 0)


def test_a_light_is_named_after_what_three_quarters_of_it_are():
    single = np.eye(len(ALL_NAMES))
    names = {name: light_kind(kind_shares(single[[k]])[0]) for k, name in enumerate(ALL_NAMES)}
    assert (names["A"], names["D"], names["F2"], names["LED-B1"]) == (
        *("tungsten", "daylight", "fluorescent", "LED"),
    )
    little_led = 0.9 * single[[1]] + 0.1 * single[[-1]]
    assert light_kind(kind_shares(little_led)[0]) == "daylight"
    assert light_kind(kind_shares(0.5 * single[[1]] + 0.5 * single[[-1]])[0]) == "mixed"


def test_a_person_stays_on_one_side_whatever_else_a_pack_holds(tmp_path):
    image, splits = np.zeros((1, 4, 4), np.float32), Splits.load()
    whole = [{"index": k, "seed": 0} for k in range(60)]
    gaps = [sample for sample in whole if sample["index"] % 7]
    among = [{"index": k, "seed": 3} for k in range(9)] + gaps
    tests = [{"index": k, "seed": splits.test_seed} for k in range(5)]
    sides = []
    for samples in (whole, gaps, among, gaps + tests):
        write_packed(tmp_path / "p", ["mask"], [image] * len(samples), samples, (4, 4))
        train, held_out = split_samples(read_packed(tmp_path / "p"))
        assert sorted((*train, *held_out)) == list(range(len(samples)))
        sides.append(
            [{(samples[k]["seed"], samples[k]["index"]) for k in s} for s in (train, held_out)]
        )
    assert len(sides[0][1]) > 1
    for train, held_out in sides[1:]:
        assert not train & sides[0][1]
        assert not held_out & sides[0][0]
    assert {(s["seed"], s["index"]) for s in tests} <= sides[3][1]


def test_lights_come_from_the_allowed_names_and_near_ones_are_convex():
    rng = np.random.default_rng(0)
    config = RelightConfig()
    allowed = Splits.load().training_illuminants
    drawn = LightSampler(allowed).draw(config, 400, rng)
    used = {ALL_NAMES[k] for k in np.flatnonzero(drawn.weights.sum((0, 1)))}
    assert used == set(allowed)
    np.testing.assert_allclose(drawn.weights.sum(2), 1)
    weights, kelvin = nearest_weights(drawn.weights[:, 0], drawn.kelvin)
    shares = kind_shares(drawn.weights[:, 0])
    np.testing.assert_allclose(shares.sum(1), 1)
    exact = shares[:, 3] < 1e-6
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(kelvin[exact], drawn.kelvin[exact])
    true = mix(drawn.weights[:, 0], drawn.kelvin)
    near = mix(weights, kelvin)
    error = np.abs(near - true).sum(1)
    assert error[exact].max() < 1e-9
    assert 0 < np.median(error[~exact]) < 0.5
    only_a = LightSampler(("A",)).draw(dataclasses.replace(config, mixtures=0), 4, rng)
    assert (only_a.weights[..., 0] == 1).all()
    with pytest.raises(InputError, match="F99"):
        LightSampler(("F99",))
