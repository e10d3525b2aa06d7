"""Installing ICT-FaceKit: what is verified, from a checkout, and by a download (no network)."""

import argparse
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from bioface.errors import BiofaceError, InputError
from synth.heads import ict_check, ict_checkout, install
from synth.heads.ict_facekit import array_hash, read_arrays

ICT_FILE = Path(__file__).parents[3] / "shared" / "heads" / "ict_facekit_f16.npz"
EXPRESSIONS = ["jawOpen", "browDown_L"]


@pytest.fixture(autouse=True)
def data_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def published():
    if not ICT_FILE.exists():
        pytest.skip("the shared ICT-FaceKit file is absent")
    return read_arrays(ICT_FILE)


def test_the_published_arrays_are_equal_to_the_last_bit(published):
    assert ict_check.verify(published, "npz")
    table = {name: np.round(values, 5) for name, (values, _) in ict_check.sketch(published).items()}
    assert table.keys() == ict_check._table().keys()
    for name, values in ict_check._table().items():
        np.testing.assert_allclose(table[name], values, atol=2e-5)


def test_rounding_is_let_pass_and_said(published, tmp_path, capsys):
    """The modes of coordinates printed with six figures, as far as half floats can tell."""
    mean = published["mean"].astype(float)
    printed = [
        np.char.mod("%.6g", mean + mode.astype(float)).astype(float) - mean
        for mode in published["identity"][:2]
    ]
    identity = published["identity"].copy()
    identity[:2] = printed
    assert (identity != published["identity"]).any()
    source = tmp_path / "rounded.npz"
    np.savez(source, **{**published, "identity": identity})
    install.run(argparse.Namespace(name="ict-facekit", source=source))
    assert "not to the last bit" in capsys.readouterr().out


def moved(arrays):
    arrays["identity"] = arrays["identity"].copy()
    arrays["identity"][7, 123, 1] += 0.1
    return "identity007 differs"


def exchanged(arrays):
    arrays["expr"] = arrays["expr"][[1, 0, *range(2, 53)]]
    return "browDown_L differs"


def shifted(arrays):
    arrays["mean"] = arrays["mean"] + np.float32(1e-3)
    return "mean differs"


def reordered(arrays):
    arrays["faces"] = arrays["faces"][::-1]
    return "faces, UV indices or materials differ"


def renamed(arrays):
    arrays["expr_names"] = np.array([*arrays["expr_names"][:-1], "grin"])
    return "other modes"


def not_a_number(arrays):
    arrays["vt"] = arrays["vt"] * np.float32(np.nan)
    return "vt differs"


@pytest.mark.parametrize("change", [moved, exchanged, shifted, reordered, renamed, not_a_number])
def test_other_arrays_are_refused_by_name(published, change):
    arrays = dict(published)
    message = change(arrays)
    with pytest.raises(InputError, match=message) as error:
        ict_check.verify(arrays, "npz")
    assert "not the published ICT-FaceKit arrays" in str(error.value)
    assert "\n" not in str(error.value)


def square(shift=0.0):
    """An OBJ file of one square and one triangle in two materials."""
    text = "".join(f"v {x} {y} {shift:.6g}\n" for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))
    text += "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl M_Face\nf 1/1 2/2 3/3 4/4\n"
    return text + "usemtl M_Teeth\nf 1/1 2/2 3/3\n"


@pytest.fixture
def files():
    """A checkout of a head model of four vertices."""
    made = {f"identity{k:03d}.obj": square(0.001 * k) for k in range(100)}
    made |= {f"{name}.obj": square(k + 0.5) for k, name in enumerate(EXPRESSIONS)}
    made["generic_neutral_mesh.obj"] = square()
    made["vertex_indices.json"] = json.dumps({"expressions": EXPRESSIONS})
    return made


def packed(files, root="ICT-FaceKit-1922d84/FaceXModel/"):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in {
            root + "../README.md": "",
            **{root + k: v for k, v in files.items()},
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return data.getvalue()


@pytest.fixture
def serve(monkeypatch):
    """Serve bytes at the address of the archive, on this machine alone."""
    servers = []

    def start(body, status=200):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/ict.tar.gz"
        monkeypatch.setattr(ict_checkout, "ARCHIVE", url)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def small_model(files, tmp_path, monkeypatch):
    """Take the arrays of `files` for the published ones; temporary files go to `scratch`."""
    folder = tmp_path / "checkout" / "FaceXModel"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    arrays = ict_checkout.read_checkout(folder.parent)
    table = {name: values for name, (values, _) in ict_check.sketch(arrays).items()}
    monkeypatch.setattr(ict_check, "_table", lambda: table)
    monkeypatch.setattr(ict_check, "ICT_HASH", array_hash(arrays))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    return arrays


def test_a_checkout_becomes_the_arrays_of_the_npz(small_model):
    assert small_model["mean"].dtype == small_model["vt"].dtype == np.float32
    assert small_model["faces"].tolist() == [[0, 1, 2, 3], [0, 1, 2, 65535]]
    assert small_model["uvidx"].tolist() == [[0, 1, 2, 3], [0, 1, 2, -1]]
    assert small_model["face_mat"].tolist() == [0, 1]
    assert small_model["expr_names"].tolist() == sorted(EXPRESSIONS)
    assert small_model["expr"][:, 0, 2].tolist() == [1.5, 0.5]
    assert small_model["identity"].shape == (100, 4, 3)
    assert small_model["identity"][99, 3, 2] == np.float16(0.099)


@pytest.mark.parametrize("text", ["[]", "{}", "null", "no JSON"])
def test_a_checkout_without_its_list_is_named(small_model, tmp_path, text):
    del small_model
    (tmp_path / "checkout" / "FaceXModel" / "vertex_indices.json").write_text(text)
    with pytest.raises(InputError, match=r"vertex_indices\.json: no list of expressions"):
        ict_checkout.read_checkout(tmp_path / "checkout")


def test_download_unpacks_verifies_and_leaves_only_the_model(small_model, files, serve, tmp_path):
    serve(packed(files))
    target, exact = install.install("ict-facekit")
    assert exact
    with np.load(target) as stored:
        assert array_hash(dict(stored)) == array_hash(small_model)
    assert [entry.name for entry in target.parent.iterdir()] == ["ict-facekit.npz"]
    assert not list((tmp_path / "scratch").iterdir())


def test_a_download_of_something_else_is_not_installed(small_model, files, serve):
    del small_model
    files["jawOpen.obj"] = square(0.7)
    serve(packed(files))
    with pytest.raises(InputError, match="the download: these are not the published"):
        install.install("ict-facekit")
    assert not install.folder().exists()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (lambda files: packed(files)[:900], 200, "damaged or broke off"),
        (lambda files: b"<html>", 200, "damaged or broke off"),
        (lambda files: packed(files, "elsewhere/"), 200, "no FaceXModel in it"),
        (lambda files: b"", 404, "answers 404"),
    ],
)
def test_failed_downloads_leave_nothing(small_model, files, serve, tmp_path, body, status, message):
    del small_model
    serve(body(files), status)
    with pytest.raises(BiofaceError, match=message) as error:
        install.install("ict-facekit")
    assert "\n" not in str(error.value)
    assert not install.folder().exists()
    assert not list((tmp_path / "scratch").iterdir())


def test_without_a_network_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(ict_checkout, "ARCHIVE", "http://127.0.0.1:1/ict.tar.gz")
    with pytest.raises(BiofaceError, match=r"cannot be reached .*git clone .* --from"):
        install.install("ict-facekit")


def test_ctrl_c_leaves_nothing(small_model, files, serve, tmp_path, monkeypatch):
    del small_model
    serve(packed(files))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ict_checkout.shutil, "copyfileobj", interrupt)
    with pytest.raises(KeyboardInterrupt):
        install.install("ict-facekit")
    assert not install.folder().exists()
    assert not list((tmp_path / "scratch").iterdir())
