import errno
import json
import os

import numpy as np
import pytest
from made_datasets import SIZE, channels, content, info, record, stage

from bioface.errors import BiofaceError, InputError
from synth.dataset.read import Dataset, read_manifest
from synth.dataset.schema import CHANNELS, FULL_PRECISION, DatasetInfo
from synth.dataset.write import DatasetWriter, file_hash, stage_sample


def fill(folder, indices, **changes):
    with DatasetWriter(folder, info(**changes)) as writer:
        for index in indices:
            if index not in writer.finished:
                report = stage(writer.partial, index)
                writer.publish({k: report[k] for k in ("index", "exr_sha256", "json_sha256")})
        writer.sort_manifest()
        return writer


def test_a_dataset_reads_back_as_written(tmp_path):
    folder = tmp_path / "set"
    fill(folder, [2, 0, 1])
    dataset = Dataset(folder)
    assert dataset.info == info()
    assert dataset.indices == [0, 1, 2]
    assert len(dataset) == 3
    assert dataset.record(2) == record(2)
    read = dataset.channels(2)
    for name, plane in channels(2).items():
        exact = plane if name in FULL_PRECISION else plane.astype(np.float16)
        np.testing.assert_array_equal(read[name], exact.astype(np.float32), err_msg=name)
    assert not (folder / ".partial").exists()
    for line in read_manifest(folder):
        stem = folder / "samples" / f"{line['index']:06d}"
        assert file_hash(stem.with_suffix(".exr")) == line["exr_sha256"]
        assert file_hash(stem.with_suffix(".json")) == line["json_sha256"]


def test_order_of_completion_leaves_no_trace(tmp_path):
    fill(tmp_path / "a", [0, 1, 2])
    fill(tmp_path / "b", [2, 0])
    fill(tmp_path / "b", [1, 2])
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_finished_samples_are_known_on_resume(tmp_path):
    fill(tmp_path, [0, 1])
    with DatasetWriter(tmp_path, info()) as writer:
        assert writer.finished == {0, 1}
        assert writer.broken == []


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [truncate, flip, os.remove])
@pytest.mark.parametrize("suffix", ["exr", "json"])
def test_a_broken_sample_is_rendered_again_and_named(tmp_path, damage, suffix):
    fill(tmp_path / "whole", [0, 1])
    folder = tmp_path / "set"
    fill(folder, [0, 1])
    damage(folder / "samples" / f"000001.{suffix}")
    writer = fill(folder, [0, 1])
    assert writer.broken == [1]
    assert "samples/000001: missing, truncated or changed" in (folder / "run.log").read_text()
    assert content(folder) == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, r"seed \(0, now 1\)"),
        ({"bpy": "5.0.1"}, r"bpy \(4\.5\.15, now 5\.0\.1\)"),
        ({"heads": {"name": "ict-facekit", "asset_hash": "1"}}, r"heads\.asset_hash"),
        ({"config": {"size": 64, "samples": 4, "sampling": {}}}, r"config\.(sampling|size)"),
        ({"skin_model": {"name": "alotaibi2019", "constants": {}}}, r"skin_model"),
    ],
)
def test_other_settings_are_refused_and_named(tmp_path, changes, named):
    fill(tmp_path, [0])
    before = content(tmp_path)
    with pytest.raises(InputError, match=f"was started with another {named}"):
        DatasetWriter(tmp_path, info(**changes))
    assert content(tmp_path) == before


def test_a_second_writer_is_told_so_and_stops(tmp_path):
    with DatasetWriter(tmp_path, info()) as writer:
        stage(writer.partial, 0)
        with pytest.raises(BiofaceError, match="another bioface-synth is writing here"):
            DatasetWriter(tmp_path, info())
        assert (writer.partial / "000000.exr").exists()
    with DatasetWriter(tmp_path, info()) as writer:
        assert list(writer.partial.iterdir()) == []


def test_a_drive_without_locks_is_not_taken_for_a_second_writer(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(BiofaceError, match="cannot lock files"):
        DatasetWriter(tmp_path, info())


def test_a_manifest_line_cut_short_costs_only_its_sample(tmp_path):
    fill(tmp_path, [0, 1])
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(manifest.read_text()[:-20])
    with DatasetWriter(tmp_path, info()) as writer:
        assert writer.finished == {0}
    assert manifest.read_text().endswith("\n")


def test_a_damaged_manifest_is_named(tmp_path):
    fill(tmp_path, [0, 1])
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("garbage\n" + manifest.read_text())
    with pytest.raises(InputError, match=r"manifest\.jsonl: line 1 is damaged"):
        DatasetWriter(tmp_path, info())
    manifest.write_bytes(b"\xff\n")
    with pytest.raises(InputError, match=r"manifest\.jsonl: line 1 is damaged"):
        Dataset(tmp_path)
    manifest.unlink()
    manifest.mkdir()
    with pytest.raises(InputError, match=r"manifest\.jsonl: cannot be read"):
        Dataset(tmp_path)


def test_a_full_disk_is_said_and_the_run_can_be_continued(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with DatasetWriter(tmp_path, info()) as writer:
        line = stage(writer.partial, 0)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full)
            with pytest.raises(BiofaceError, match=r"No space left on device.*run the same"):
                writer.publish(line)
    fill(tmp_path, [0])
    assert Dataset(tmp_path).indices == [0]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file on a full disk")
def test_a_manifest_that_meets_a_full_disk_leaves_nothing_behind(tmp_path):
    writer = DatasetWriter(tmp_path, info())
    assert writer._manifest is not None
    writer._manifest.close()
    writer._manifest = open("/dev/full", "a")  # noqa: SIM115
    line = stage(writer.partial, 0)
    with pytest.raises(BiofaceError, match="No space left"):
        writer.publish(line)
    writer.close()
    assert not writer.partial.exists()
    fill(tmp_path, [0])
    assert Dataset(tmp_path).indices == [0]


def test_files_of_others_are_not_replaced(tmp_path):
    mine = tmp_path / "samples" / "000000.exr"
    mine.parent.mkdir()
    DatasetWriter(tmp_path, info()).close()  # empty, as good as none
    (tmp_path / "dataset.json").unlink()
    (tmp_path / "manifest.jsonl").unlink()
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"samples: holds files of no dataset .*another --out"):
        DatasetWriter(tmp_path, info())
    assert mine.read_text() == "mine"
    assert not (tmp_path / "dataset.json").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BiofaceError, match="file/set: cannot be written"):
        DatasetWriter(tmp_path / "file" / "set", info())
    with pytest.raises(InputError, match="file: is a file, not a folder; choose another"):
        DatasetWriter(tmp_path / "file", info())


def test_channels_must_be_complete(tmp_path):
    planes = channels(0)
    del planes["mask"]
    with pytest.raises(InputError, match="sample 0: missing or unknown channels mask"):
        stage_sample(tmp_path, 0, planes, {})


def test_a_channel_that_is_not_finite_is_refused(tmp_path):
    planes = channels(0)
    planes["depth"][3, 3] = np.nan
    with pytest.raises(InputError, match="depth holds values that are not finite"):
        stage_sample(tmp_path, 0, planes, {})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda v: v.update(schema_version=99), "schema version 99"),
        (lambda v: v.update(seed=5), "changed since it was written"),
        (lambda v: v.pop("heads"), "damaged"),
    ],
)
def test_another_description_is_refused(tmp_path, change, complaint):
    fill(tmp_path, [0])
    path = tmp_path / "dataset.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=complaint):
        DatasetInfo.load(tmp_path)


def test_reading_what_is_no_dataset(tmp_path):
    with pytest.raises(InputError, match="not a dataset"):
        Dataset(tmp_path)
    with DatasetWriter(tmp_path, info()):
        pass
    with pytest.raises(InputError, match="holds no finished sample"):
        Dataset(tmp_path)


def test_the_schema_lists_each_channel_once():
    assert len(set(CHANNELS)) == len(CHANNELS)
    assert set(channels(0)) == set(CHANNELS)
    assert channels(0)["mask"].shape == (SIZE, SIZE)
