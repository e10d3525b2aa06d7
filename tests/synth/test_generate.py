import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_datasets import content, stage

from bioface.errors import BiofaceError, InputError, MissingDependencyError
from synth import cli, generate, processes
from synth.blender import child
from synth.blender.device import Device
from synth.blender.passes import RenderCheckError
from synth.dataset.read import Dataset
from synth.dataset.write import file_hash
from synth.generate import Settings, make_jobs

HEADS = SimpleNamespace(name="procedural", asset_hash="0" * 64)


@pytest.fixture
def rendered(monkeypatch):
    """Replaces Blender by made samples; lists the rendered indices."""
    done = []

    def run_jobs(jobs, workers):
        for job in jobs:
            for index in job.indices:
                done.append(index)
                yield stage(job.partial, index)

    monkeypatch.setattr(generate, "run_jobs", run_jobs)
    monkeypatch.setattr(generate, "require_bpy", lambda: "4.5.15")
    monkeypatch.setattr(generate, "load_provider", lambda name: HEADS)
    return done


def test_a_run_interrupted_anywhere_continues_to_the_same_bytes(rendered, tmp_path):
    settings = Settings(count=5, size=16)
    generate.generate(tmp_path / "whole", settings)

    class KilledError(Exception):
        pass

    for stop in (1, 3, 4):

        def kill(done, wanted, stop=stop):
            if done == stop:
                raise KilledError

        with pytest.raises(KilledError):
            generate.generate(tmp_path / "set", settings, progress=kill)
    rendered.clear()
    assert generate.generate(tmp_path / "set", settings) == 1
    assert rendered == [4]
    assert content(tmp_path / "set") == content(tmp_path / "whole")


def test_a_larger_count_extends_and_a_smaller_one_changes_nothing(rendered, tmp_path):
    seen = []
    generate.generate(tmp_path, Settings(count=2, size=16))
    progress = lambda done, wanted: seen.append((done, wanted))  # noqa: E731
    assert generate.generate(tmp_path, Settings(count=4, size=16), progress=progress) == 2
    assert seen == [(2, 4), (3, 4), (4, 4)]
    assert generate.generate(tmp_path, Settings(count=1, size=16)) == 0
    assert Dataset(tmp_path).indices == [0, 1, 2, 3]
    assert "000003: 1.50 CPU s, recomposition error 3.0e-07" in (tmp_path / "run.log").read_text()


def test_changed_code_does_not_continue_a_dataset(rendered, tmp_path, monkeypatch):
    generate.generate(tmp_path, Settings(count=1, size=16))
    before = content(tmp_path)
    monkeypatch.setattr(generate, "code_hash", lambda: "1" * 64)
    with pytest.raises(InputError, match="begun by another version of the code"):
        generate.generate(tmp_path, Settings(count=2, size=16))
    assert content(tmp_path) == before


def test_batches_cover_all_samples_and_all_workers(tmp_path):
    jobs = make_jobs(tmp_path, list(range(40)), Settings(count=40), {})
    assert [len(job.indices) for job in jobs] == [16, 16, 8]
    jobs = make_jobs(tmp_path, list(range(9)), Settings(count=40, workers=2), {})
    assert [job.indices for job in jobs] == [[0, 1, 2, 3, 4], [5, 6, 7, 8]]
    assert make_jobs(tmp_path, [], Settings(count=1), {}) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--count", "0"], "--count 0: must be at least 1"),
        (["--count", "2", "--size", "4"], "--size 4: must be at least 16"),
        (["--count", "2", "--size", "99999"], "--size 99999: must be at most 4096"),
        (["--count", "2", "--workers", "0"], "--workers 0: must be at least 1"),
        (["--count", "2", "--heads", "no-such-head"], "no-such-head"),
    ],
)
def test_bad_arguments_are_one_line_and_nothing_is_written(tmp_path, capsys, arguments, complaint):
    out = tmp_path / "set"
    assert cli.main(["generate", "--out", str(out), *arguments]) == 1
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_missing_blender_is_said_before_anything_is_written(
    rendered, tmp_path, capsys, monkeypatch
):
    def missing():
        raise MissingDependencyError("bpy needs Python 3.11 and this is 3.13, run: ...")

    monkeypatch.setattr(generate, "require_bpy", missing)
    assert cli.main(["generate", "--out", str(tmp_path / "set"), "--count", "1"]) == 1
    assert "bpy needs Python 3.11" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_generate_command_says_what_it_did(rendered, tmp_path, capsys):
    command = ["generate", "--out", str(tmp_path), "--count", "3", "--size", "16"]
    assert cli.main(command) == 0
    captured = capsys.readouterr()
    assert "3 samples, 3 of them new" in captured.out
    assert captured.err == ""  # no progress bar without a terminal
    assert cli.main(command) == 0
    assert "3 samples, 0 of them new" in capsys.readouterr().out
    command[command.index("3")] = "2"
    assert cli.main(command) == 0
    assert "3 samples, 0 of them new" in capsys.readouterr().out  # what the folder holds


def test_samples_that_fail_are_left_out_and_said_at_the_end(rendered, tmp_path, monkeypatch):
    def run_jobs(jobs, workers):
        for index in jobs[0].indices:
            bad = {"index": index, "failed": "the head is not in view"}
            yield bad if index in (1, 3) else stage(jobs[0].partial, index)

    monkeypatch.setattr(generate, "run_jobs", run_jobs)
    for _ in range(2):  # a later run tries them again and says so again
        with pytest.raises(
            BiofaceError,
            match=r"2 of 5 samples failed .* 000001 \(the head is not in view\), 000003 .*--count",
        ):
            generate.generate(tmp_path, Settings(count=5, size=16))
        assert Dataset(tmp_path).indices == [0, 2, 4]
    assert "000003: failed its checks and is left out" in (tmp_path / "run.log").read_text()


def test_many_samples_that_fail_stop_the_run(rendered, tmp_path, monkeypatch):
    def run_jobs(jobs, workers):
        yield from ({"index": index, "failed": "not finite"} for index in range(40))
        raise AssertionError("went on")

    monkeypatch.setattr(generate, "run_jobs", run_jobs)
    with pytest.raises(BiofaceError, match=r"10 samples failed their checks.*not finite"):
        generate.generate(tmp_path, Settings(count=40, size=16))


@pytest.mark.parametrize("bad", [1, 2])
def test_a_render_that_fails_its_checks_is_tried_with_another_pattern(monkeypatch, bad):
    tried = []

    def render(job, scene, skin, pattern):
        tried.append(pattern)
        if len(tried) <= bad:
            raise RenderCheckError(f"no {len(tried)}")
        return {}, 1e-7

    monkeypatch.setattr(child, "_render_channels", render)
    if bad == 1:
        assert child._render_sound({}, None, None, [5, 7]) == ({}, 1e-7, {"retried": "no 1"})
    else:
        with pytest.raises(RenderCheckError, match="no 2"):
            child._render_sound({}, None, None, [5, 7])
    assert tried == [5, 7]


def test_the_first_pattern_is_the_one_it_always_was():
    sequence = np.random.SeedSequence([3, 14])
    assert sequence.generate_state(2)[0] == sequence.generate_state(1)[0]


def test_a_process_with_other_code_refuses_to_render(monkeypatch):
    mine = {"code": child.code_hash(), "bpy": "4.5.15", "heads": "0"}
    monkeypatch.setattr(child, "require_bpy", lambda: "4.5.15")
    child._check_versions(mine, "0")
    for name, words in (("code", "the code"), ("bpy", "Blender"), ("heads", "the head asset")):
        with pytest.raises(BiofaceError, match=words):
            child._check_versions({**mine, name: "other"}, "0")


def test_the_device_used_is_recorded_and_another_does_not_continue(rendered, tmp_path, monkeypatch):
    found = Device("optix", ("RTX 6000",))
    monkeypatch.setattr(generate, "find_device", lambda wanted, scheduler: found)
    generate.generate(tmp_path, Settings(count=1, size=16, device="auto"))
    assert Dataset(tmp_path).info.config["device"] == "optix"
    assert "1 of 1 samples to render on optix (RTX 6000)" in (tmp_path / "run.log").read_text()
    monkeypatch.setattr(generate, "find_device", lambda wanted, scheduler: Device("cpu"))
    with pytest.raises(InputError, match=r"another config\.device \(optix, now cpu\)"):
        generate.generate(tmp_path, Settings(count=2, size=16, device="auto"))


def test_a_search_for_devices_that_crashes_is_one_line(tmp_path, monkeypatch):
    script = tmp_path / "search.py"
    script.write_text("import sys; sys.exit('driver too old')")
    monkeypatch.setattr(processes, "SEARCH", (str(script),))
    with pytest.raises(BiofaceError, match=r"--device cuda: .*status 1 \(driver too old\)"):
        processes.find_device("cuda")
    assert processes.find_device("cpu") == Device("cpu")  # looks for nothing


CHILD = """
import json, os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from made_datasets import stage
job = json.load(sys.stdin)
with os.fdopen(int(sys.argv[1]), "w") as reports:
    for index in job["indices"]:
        {misbehave}
        print(json.dumps(stage(job["partial"], index)), file=reports, flush=True)
"""


@pytest.fixture
def children(tmp_path, monkeypatch, request):
    """Lets render processes run a short script that misbehaves before sample 2."""

    def behave(misbehave):
        script = tmp_path / "child.py"
        tests = str(request.path.parent)
        script.write_text(CHILD.format(tests=tests, misbehave=misbehave))
        monkeypatch.setattr(processes, "CHILD", (str(script),))

    return behave


def run(tmp_path, *, workers=2):
    partial = tmp_path / "partial"
    partial.mkdir()
    jobs = make_jobs(partial, list(range(5)), Settings(count=5, size=16, batch=3), {})
    return [report["index"] for report in processes.run_jobs(jobs, workers)], partial


def test_every_batch_has_its_process(children, tmp_path):
    children("pass")
    indices, partial = run(tmp_path)
    assert sorted(indices) == [0, 1, 2, 3, 4]
    assert {path.suffix for path in partial.iterdir()} == {".exr", ".json"}


def test_a_process_that_dies_once_is_replaced(children, tmp_path):
    children(
        "flag = Path(job['partial'], 'died')\n"
        "        if index == 2 and not flag.exists():\n"
        "            flag.touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert sorted(run(tmp_path)[0]) == [0, 1, 2, 3, 4]


def test_a_process_that_keeps_dying_stops_the_run(children, tmp_path):
    children("if index == 2: sys.exit('Segmentation fault in a kernel')")
    with pytest.raises(
        BiofaceError, match=r"sample 000002: .* ended 2 times .*Segmentation fault in a kernel"
    ):
        run(tmp_path, workers=1)


def test_an_error_of_a_process_names_the_sample(children, tmp_path):
    children(
        "if index == 2:\n"
        "            print(json.dumps({'error': 'the head is not in view'}), file=reports)\n"
        "            sys.exit(1)"
    )
    with pytest.raises(BiofaceError, match="sample 000002: the head is not in view"):
        run(tmp_path, workers=1)


def off_model_job(tmp_path):
    spectra, partial = tmp_path / "spectra.npz", tmp_path / "partial"
    spectra.write_bytes(b"measured")
    partial.mkdir()
    made = Settings(count=1, size=16, kind="off-model", spectra=str(spectra))
    (job,) = make_jobs(partial, [0], made, {"spectra": file_hash(spectra)})
    return job, spectra


def test_other_spectra_than_those_of_the_set_are_refused_before_a_render(children, tmp_path):
    children("pass")
    job, spectra = off_model_job(tmp_path)
    assert [report["index"] for report in processes.run_jobs([job], 1)] == [0]
    spectra.write_bytes(b"others")
    with pytest.raises(BiofaceError, match=r"spectra\.npz: is not the file"):
        list(processes.run_jobs([job], 1))
    spectra.unlink()
    with pytest.raises(InputError, match=r"spectra\.npz: cannot be read"):
        list(processes.run_jobs([job], 1))


def test_render_processes_are_told_what_the_set_was_described_with(monkeypatch, tmp_path):
    monkeypatch.setattr(generate, "require_bpy", lambda: "4.5.15")
    monkeypatch.setattr(generate, "load_provider", lambda name: HEADS)
    monkeypatch.setattr(generate.Residuals, "load", lambda path, model: None)
    _, spectra = off_model_job(tmp_path)
    info = Settings(count=1, kind="off-model", spectra=str(spectra)).info()
    assert generate.versions_of(info)["spectra"] == file_hash(spectra)
    assert "spectra" not in generate.versions_of(Settings(count=1).info())


def test_a_linked_head_keeps_its_name_and_what_stands_beside_it(tmp_path):
    (tmp_path / "blob").write_text("v 0 0 0\n")
    link = tmp_path / "hero.obj"
    link.symlink_to("blob")
    (job,) = make_jobs(tmp_path, [0], Settings(count=1, heads=str(link)), {})
    assert job.heads == str(link)
    (job,) = make_jobs(tmp_path, [0], Settings(count=1, heads="hero.obj"), {})
    assert job.heads == str(Path("hero.obj").absolute())
    (job,) = make_jobs(tmp_path, [0], Settings(count=1, heads="ict-facekit"), {})
    assert job.heads == "ict-facekit"


def test_no_dask_names_the_command(rendered, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"pip install '\.\[cluster\]'"):
        generate.generate(tmp_path / "set", Settings(count=1, scheduler="tcp://127.0.0.1:1"))
    assert not (tmp_path / "set").exists()


def test_settings_are_checked():
    with pytest.raises(InputError, match="--samples 0"):
        Settings(count=1, samples=0)


@pytest.fixture
def cluster():
    """Address of a scheduler in this process, with one worker of two threads."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as running:
        yield running.scheduler_address


def test_batches_run_as_tasks_of_a_dask_cluster(children, cluster, tmp_path):
    children("pass")
    partial = tmp_path / "partial"
    partial.mkdir()
    jobs = make_jobs(partial, list(range(3)), Settings(count=3, batch=2, scheduler="tcp://"), {})
    assert {job.threads for job in jobs} == {1}
    with processes.connect(cluster) as client:
        reports = list(processes.run_jobs_on_cluster(jobs, client))
    assert sorted(report["index"] for report in reports) == [0, 1, 2]


def test_a_worker_that_does_not_share_the_folder_says_so(tmp_path):
    (job,) = make_jobs(tmp_path / "elsewhere", [0], Settings(count=1, scheduler="tcp://"), {})
    with pytest.raises(BiofaceError, match=r"elsewhere: .*must share the dataset's folder"):
        processes.render_batch(job)


def unreadable():
    raise ModuleNotFoundError("No module named 'synth'")


class Unreadable:
    """What a scheduler meets that has not the modules of its client."""

    def __reduce__(self):
        return unreadable, ()


def test_a_scheduler_without_our_modules_is_one_line(cluster):
    with (
        pytest.raises(BiofaceError, match=r"cannot read .*; install this version of bioface"),
        processes.connect(cluster) as client,
    ):
        client.submit(print, Unreadable(), pure=False).result()


LOSE = """
import os, signal, sys
from bioface.cli import guarded
from synth.processes import connect

def wait():
    with connect(sys.argv[1]) as client:
        future = client.submit(abs, -1, pure=False)  # there is no worker
        os.kill(int(sys.argv[2]), signal.SIGKILL)
        future.result()

sys.exit(guarded("bioface-synth", "cluster", wait))
"""


@pytest.mark.slow
def test_a_scheduler_that_is_lost_is_one_line(tmp_path):
    pytest.importorskip("distributed")
    where = tmp_path / "scheduler.json"
    options = ("--port", "0", "--no-dashboard", "--scheduler-file", str(where))
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not where.exists():
            assert scheduler.poll() is None
            time.sleep(0.1)
        address = json.loads(where.read_text())["address"]
        ran = subprocess.run(
            [sys.executable, "-c", LOSE, address, str(scheduler.pid)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
        )
    finally:
        scheduler.kill()
        scheduler.wait()
    assert ran.returncode == 1
    assert "the scheduler was lost; start it" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_other_errors_of_a_task_are_not_taken_for_missing_modules(cluster):
    with (
        pytest.raises(RuntimeError, match="no memory"),
        processes.connect(cluster) as client,
    ):
        client.submit(_fail, pure=False).result()


def _fail():
    raise RuntimeError("no memory")


def test_a_scheduler_that_does_not_answer_is_named_and_nothing_is_written(rendered, tmp_path):
    pytest.importorskip("distributed")
    with (
        pytest.importorskip("dask").config.set({"distributed.comm.timeouts.connect": "100ms"}),
        pytest.raises(BiofaceError, match="no Dask scheduler answers"),
    ):
        generate.generate(tmp_path / "set", Settings(count=1, scheduler="tcp://127.0.0.1:1"))
    assert not (tmp_path / "set").exists()
