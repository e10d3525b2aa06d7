"""Values of `bioface train` that no training can have are one line each, and nothing is made."""

import os

import pytest

pytest.importorskip("torch")

from bioface.cli import main
from bioface.cores import usable_cores

pytestmark = pytest.mark.torch

WRONG = [
    ("--batch", "0", "must be at least 1"),
    ("--seed", "-1", "must be at least 0"),
    ("--seed", str(2**63), "must be at most"),
    ("--learning-rate", "nan", "must be more than 0, finite"),
    ("--learning-rate", "inf", "must be more than 0, finite"),
    ("--learning-rate", "-0.001", "must be more than 0, finite"),
    ("--threads", "-2", "must be at least 1"),
    ("--threads", "0", "must be at least 1"),
    ("--steps", "0", "must be more than 0, finite"),
    ("--minutes", "nan", "must be more than 0, finite"),
    ("--minutes", "inf", "must be more than 0, finite"),
]
SHARES = [
    ("--larger-share", "1.5", "must be at most 1"),
    ("--larger-share", "0.5", "is about larger faces: give --larger-data, too"),
]
SIZES = [("--size", "-3", "must be at least 32"), ("--size", "4096", "must be at most 1024")]


def refused(arguments, capsys):
    assert main(["train", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(("name", "value", "message"), WRONG + SHARES + SIZES)
def test_pretrain_names_the_option(pack_path, tmp_path, capsys, name, value, message):
    out = tmp_path / "run"
    error = refused(["pretrain", "--data", str(pack_path), "--out", str(out), name, value], capsys)
    assert f"{name} " in error
    assert message in error
    assert not out.exists()


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_finetune_names_the_option(tmp_path, capsys, name, value, message):
    error = refused(["finetune", "--out", str(tmp_path / "run"), name, value], capsys)
    assert f"{name} " in error
    assert message in error
    assert not (tmp_path / "run").exists()


def test_crops_to_begin_with_are_no_larger(pack_path, tmp_path, capsys):
    arguments = ["pretrain", "--data", str(pack_path), "--out", str(tmp_path / "run")]
    error = refused([*arguments, "--steps", "1", "--size", "48", "--early-size", "64"], capsys)
    assert "--early-size 64: must be at most --size 48" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--replay-batch", "0", "--data", "a.pack"], "--replay-batch 0: must be at least 1"),
        (["--larger-data", "a.pack"], "--larger-data is about rendered faces: give --data, too"),
        (["--replay-batch", "4"], "--replay-batch is about rendered faces: give --data, too"),
        (["--camera-database", "a.npz"], "--camera-database is about rendered faces"),
        (
            ["--replay-batch", "3", "--data", "a.pack", "--devices", "2"],
            "--devices 2: --replay-batch 3 cannot be shared equally",
        ),
    ],
)
def test_finetune_tells_what_replaying_needs(tmp_path, capsys, arguments, message):
    assert message in refused(["finetune", "--out", str(tmp_path / "run"), *arguments], capsys)


def test_out_that_is_a_file(pack_path, tmp_path, capsys):
    (tmp_path / "taken").write_bytes(b"")
    for out in (tmp_path / "taken", tmp_path / "taken" / "run"):
        error = refused(
            ["pretrain", "--data", str(pack_path), "--out", str(out), "--size", "32"], capsys
        )
        assert "taken is not a folder; choose another --out" in error


def test_cores_are_counted_on_every_system(monkeypatch):
    assert 1 <= usable_cores() <= os.cpu_count()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
