import numpy as np
import pytest
from made_datasets import SIZE, channels, info, record, stage

from bioface.errors import InputError
from bioface.packed import read_packed
from bioface.spectral.colour import reflectance_to_linear_srgb
from bioface.spectral.grid import bernstein_basis
from bioface.spectral.skin import SkinModel
from synth import cli
from synth.dataset import inspect
from synth.dataset.inspect import contact_sheet, photograph, statistics, tone_map
from synth.dataset.pack import pack
from synth.dataset.read import Dataset
from synth.dataset.schema import INDIRECT_CHANNELS, PACKED_CHANNELS
from synth.dataset.write import DatasetWriter, stage_sample
from synth.presets import TEST_SEED

COUNT = 3


@pytest.fixture
def folder(tmp_path):
    with DatasetWriter(tmp_path / "set", info()) as writer:
        for index in range(COUNT):
            writer.publish(stage(writer.partial, index))
    return tmp_path / "set"


def test_pack_holds_the_same_numbers(folder, tmp_path):
    assert pack(folder, tmp_path / "set.pack") == COUNT
    packed = read_packed(tmp_path / "set.pack")
    assert packed.channels == PACKED_CHANNELS
    assert packed.images.shape == (COUNT, len(PACKED_CHANNELS), SIZE, SIZE)
    for index in range(COUNT):
        planes = channels(index)
        expected = np.stack([planes[name] for name in PACKED_CHANNELS]).astype(np.float16)
        np.testing.assert_array_equal(packed.images[index], expected)
    assert packed.header["samples"] == [
        {**record(index), "index": index, "seed": 0} for index in range(COUNT)
    ]
    assert packed.header["dataset"]["hash"] == info().hash


def test_pack_carries_the_shares_of_indirect_light_where_a_set_has_them(tmp_path):
    planes = channels(0) | {name: np.full((SIZE, SIZE), 0.25) for name in INDIRECT_CHANNELS}
    config = {**info().config, "indirect": True}
    with DatasetWriter(tmp_path / "set", info(config=config)) as writer:
        line = stage_sample(writer.partial, 0, planes, record(0))
        writer.publish({**line, "seconds": 1.0, "recomposition_error": 0.0})
    pack(tmp_path / "set", tmp_path / "set.pack")
    packed = read_packed(tmp_path / "set.pack")
    assert packed.channels == (*PACKED_CHANNELS, *INDIRECT_CHANNELS)
    assert (packed.images[0, packed.index(INDIRECT_CHANNELS)] == 0.25).all()


def written(folder, count, **changes):
    with DatasetWriter(folder, info(**changes)) as writer:
        for index in range(count):
            writer.publish(stage(writer.partial, index))
    return folder


def test_several_datasets_are_packed_in_their_order(folder, tmp_path):
    other = written(tmp_path / "other", 2, seed=7)
    assert cli.main(["pack", str(folder), str(other), str(tmp_path / "set.pack")]) == 0
    packed = read_packed(tmp_path / "set.pack")
    assert len(packed) == COUNT + 2
    np.testing.assert_array_equal(packed.images[COUNT:], packed.images[:2])
    assert [(s["seed"], s["index"]) for s in packed.header["samples"]] == [
        *((0, index) for index in range(COUNT)),
        *((7, index) for index in range(2)),
    ]
    assert [(d["seed"], d["count"]) for d in packed.header["datasets"]] == [(0, COUNT), (7, 2)]
    assert "dataset" not in packed.header


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "has the seed 0 of .*set and so the same people; generate"),
        ({"seed": TEST_SEED}, "a test set"),
        ({"seed": 1, "config": {**info().config, "size": 32}}, "32 px, but .*set has 16; pack"),
        ({"seed": 1, "config": {**info().config, "indirect": True}}, "lacks indirect light"),
    ],
)
def test_what_does_not_belong_together_is_not_packed(folder, tmp_path, changes, words):
    other = written(tmp_path / "other", 1, **changes)
    with pytest.raises(InputError, match=f"other: .*{words}"):
        pack([folder, other], tmp_path / "set.pack")
    assert not (tmp_path / "set.pack").exists()


def test_pack_of_a_damaged_sample_leaves_no_file(folder, tmp_path):
    (folder / "samples" / "000001.exr").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"000001\.exr: not a readable EXR"):
        pack(folder, tmp_path / "set.pack")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_photograph_shows_the_skin_near_its_albedo():
    planes = channels(1)
    linear = photograph(planes)
    light = sum(planes[f"diffuse_shading.{g}"] for g in ("key", "fill", "environment"))[8, 8]
    albedo = reflectance_to_linear_srgb(SkinModel.load().reflectance(0.07, 0.02))
    # a real camera is not the standard observer: near, not equal
    np.testing.assert_allclose(linear[8, 8], light * albedo, rtol=0.35, atol=0.02)
    np.testing.assert_allclose(linear[0, 0], 0.18)


def test_photograph_shows_a_white_part_white():
    planes = channels(0)
    planes["mask"][:] = 0
    for k in range(len(bernstein_basis())):
        planes[f"reflectance.{k}"][:] = 1
    planes["specular_shading.key"][:] = 0.05 * planes["coverage"]
    light = sum(planes[f"diffuse_shading.{g}"] for g in ("key", "fill", "environment"))[8, 8]
    np.testing.assert_allclose(photograph(planes)[8, 8], light + 0.05, rtol=1e-3)


def test_tone_map_is_exact_in_the_middle_and_never_clips_early():
    linear = np.array([0.0, 0.18, 0.6, 2.0, 50.0])
    encoded = tone_map(linear)
    assert encoded[0] == 0
    assert encoded[1] == 118
    assert (np.diff(encoded.astype(int)) > 0).all()


def test_contact_sheet_fills_rows_with_white(folder):
    sheet = contact_sheet(Dataset(folder), columns=2)
    assert sheet.shape == (2 * SIZE, 2 * SIZE, 3)
    assert (sheet[SIZE:, SIZE:] == 255).all()
    assert contact_sheet(Dataset(folder), limit=1).shape == (SIZE, SIZE, 3)


def test_statistics_count_every_sample(folder):
    found = statistics(Dataset(folder))
    assert sum(found.tones.values()) == COUNT
    assert found.yaws == {"-15..+15": 1, "+15..+45": 2}
    assert found.pitches == {"..-15": 1, "-15..-5": 1, "-5..+5": 1}
    assert found.setups == {"studio": COUNT}
    assert found.azimuths == {"-30..+30": 1, "+30..+90": 1, "no lamp": 1}
    assert found.elevations == {"30..60": 2, "no lamp": 1}
    assert found.surroundings == {"..25": COUNT}
    assert found.skin_share == pytest.approx(0.25)
    assert found.channels["haemoglobin"][1] == pytest.approx(0.02, rel=1e-3)


def test_statistics_of_a_picture_without_skin_say_so(tmp_path):
    with DatasetWriter(tmp_path / "set", info()) as writer:
        planes = channels(0)
        planes["mask"][:] = 0
        line = stage_sample(writer.partial, 0, planes, record(0))
        writer.publish(line)
    found = statistics(Dataset(tmp_path / "set"))
    assert found.tones == {"no skin": 1}
    assert found.surroundings == {"no light": 1}


def test_statistics_of_large_datasets_keep_part_of_the_pixels(folder, monkeypatch):
    every = statistics(Dataset(folder)).channels
    monkeypatch.setattr(inspect, "_KEPT_VALUES", 3 * COUNT)
    some = statistics(Dataset(folder)).channels
    assert some["melanin"] == pytest.approx(every["melanin"])
    assert some["diffuse_shading.key"][3] == every["diffuse_shading.key"][3]


def test_inspect_command_writes_the_sheet_and_prints(folder, capsys):
    assert cli.main(["inspect", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "3 samples of 16 px" in text
    assert "skin tone (ITA)" in text
    assert "strongest lamp, elevation: 30..60 2, no lamp 1" in text
    assert (folder / "contact_sheet.png").stat().st_size > 0


def test_inspect_prints_what_it_found_though_the_sheet_cannot_be_written(folder, capsys):
    (folder / "contact_sheet.png").mkdir()  # fails as on a read-only drive
    assert cli.main(["inspect", str(folder)]) == 1
    captured = capsys.readouterr()
    assert "3 samples of 16 px" in captured.out
    assert "contact_sheet.png: cannot be written" in captured.err
    assert captured.err.count("\n") == 1


def test_a_forgotten_file_to_pack_into_is_said_before_any_work(folder, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    assert cli.main(["pack", str(folder), str(other)]) == 1
    error = capsys.readouterr().err
    assert f"{other}: a folder; name the packed file" in error
    assert error.count("\n") == 1


def test_pack_command_prints_what_it_wrote(folder, tmp_path, capsys):
    assert cli.main(["pack", str(folder), str(tmp_path / "a.pack")]) == 0
    assert "a.pack: 3 samples" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["inspect", "{}"], ["pack", "{}", "{}/x.pack"]])
def test_commands_say_in_one_line_what_is_no_dataset(tmp_path, capsys, command):
    assert cli.main([part.format(tmp_path) for part in command]) == 1
    error = capsys.readouterr().err
    assert "not a dataset" in error
    assert error.count("\n") == 1
