"""The exported network: equal to torch, and enough for an estimate without it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from bioface.errors import BiofaceError, InputError
from bioface.photo import network as networks
from bioface.photo.network import load_network
from bioface.photo.read import estimate, read_faces

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

SQUARE = (54.0, 57.0, 92.0)
WITHOUT_TORCH = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        blocked = {"torch", "mediapipe", "cv2", "PIL", "scipy", "safetensors", "onnx", "bpy"}
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked in this test", name=name)
sys.meta_path.insert(0, Blocker())
import numpy as np
import bioface
from bioface.photo.result import write_estimate
photo, weights, out = sys.argv[1:]
found = bioface.estimate(np.load(photo), weights=weights, face_box=(54, 57, 92))
assert found.faces[0].landmarks is None
write_estimate(out, "person", found, None)
np.savez(out + "/maps.npz", **found.maps)
"""


COMMAND = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "mediapipe", "cv2", "scipy", "safetensors", "onnx"}:
            raise ModuleNotFoundError(f"{name} is blocked in this test", name=name)
sys.meta_path.insert(0, Blocker())
from bioface.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def both(weights, onnx_weights):
    return load_network(weights), load_network(onnx_weights)


def test_same_maps_as_torch(both, portrait):
    ours, theirs = (estimate(portrait, weights=network, face_box=SQUARE) for network in both)
    assert [network.runtime for network in both] == ["torch", "onnx"]
    for name, plane in ours.maps.items():
        assert np.abs(plane - theirs.maps[name]).max() < 1e-4, name
    one, other = ours.faces[0], theirs.faces[0]
    for name in ("spd", "b", "sensitivities", "gains", "tone"):
        assert np.abs(getattr(one, name) - getattr(other, name)).max() < 1e-4, name
    assert one.method == other.method
    assert ours.weights_sha256 == theirs.weights_sha256
    assert dict(ours.skin.constants) == pytest.approx(dict(theirs.skin.constants), abs=1e-12)


def test_no_torch_no_mediapipe_no_opencv_no_pillow(tmp_path, onnx_weights, portrait, both):
    """numpy, onnxruntime and OpenEXR are enough where the face's box is known."""
    pytest.importorskip("OpenEXR")
    np.save(tmp_path / "photo.npy", portrait)
    out = tmp_path / "out"
    command = (sys.executable, "-c", WITHOUT_TORCH, tmp_path / "photo.npy", onnx_weights, out)
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"person.exr", "person.json", "maps.npz"}
    expected = estimate(portrait, weights=both[0], face_box=SQUARE)
    with np.load(out / "maps.npz") as maps:
        for name, plane in expected.maps.items():
            assert np.abs(plane - maps[name]).max() < 1e-4, name
    numbers = json.loads((out / "person.json").read_text())
    assert numbers["landmarks"] is None
    assert numbers["face_box"] == [54, 57, 146, 149]


def test_the_commands_run_with_what_the_extra_installs(tmp_path, onnx_weights, portrait):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("OpenEXR")
    image.fromarray(portrait).save(tmp_path / "person.png")
    base = [sys.executable, "-c", COMMAND]
    source = [tmp_path / "person.png", "--out", tmp_path / "out", "--weights", onnx_weights]
    read = [*base, "estimate", *source, "--face-box", *SQUARE]
    edit = [*base, "edit", tmp_path / "out" / "person", "--melanin", 2, "--out", tmp_path / "e.png"]
    for command in (read, edit):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "person.png").exists()
    assert (tmp_path / "e.png").exists()


def test_any_height_width_and_batch_and_what_is_known(both):
    """The graph pads by itself; at a multiple of 32 it is the encoder."""
    import torch

    from bioface.learn.encoder import Known
    from bioface.learn.export import INPUT, KNOWN, OUTPUTS, known_inputs

    model, session = both[0].model, both[1].session
    crops = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    for given in (0.0, 1.0):
        known = known_inputs(model, 3, given)
        named = dict(zip((INPUT, *KNOWN), (t.numpy() for t in (crops, *known)), strict=True))
        found = dict(zip(OUTPUTS, session.run(list(OUTPUTS), named), strict=True))
        with torch.inference_mode():
            expected = model.encoder(crops, Known(*known) if given else None)
        for name in set(OUTPUTS) - {"melanin_std", "haemoglobin_std"}:
            theirs = getattr(expected, name).numpy()
            assert found[name].shape == theirs.shape
            assert np.allclose(found[name], theirs, rtol=1e-4, atol=1e-4), name
    odd = {name: value[:1] for name, value in named.items()} | {
        "srgb": crops[:1, :, :50, :33].numpy()
    }
    melanin, spread = session.run(["melanin", "melanin_std"], odd)
    assert melanin.shape == spread.shape == (1, 50, 33)
    assert (spread > 0).all()


def test_the_file_tells_what_it_is(onnx_weights, weights):
    model = onnx.load(onnx_weights)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    decoder = json.loads(about["decoder"])
    assert np.shape(decoder["camera"]["mean"]) == (33, 3)
    assert decoder["skin"]["model"] == "calibrated"
    stored = {tensor.data_type for tensor in model.graph.initializer if np.prod(tensor.dims) > 500}
    assert stored == {onnx.TensorProto.FLOAT16}
    assert os.fsencode(os.path.dirname(networks.__file__)) not in onnx_weights.read_bytes()


def test_numpy_alone_rebuilds_the_decoder(both, portrait):
    """Light, camera and skin of the metadata explain the maps as torch's decoder does."""
    import torch

    from bioface.learn.crop_reading import read_crops

    model = both[0].model
    crop = portrait[40:168, 40:168].astype(np.float32) / 255
    with torch.inference_mode():
        image = torch.from_numpy(crop.transpose(2, 0, 1))[None]
        expected = model.decoder.render(read_crops(model.encoder, image))[0].numpy()
    from bioface.spectral.formation import Camera, decode
    from bioface.spectral.illuminant import mix
    from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

    read = both[1].read(crop)
    maps = {
        "melanin": from_unit(read.melanin_u, MELANIN_RANGE),
        "haemoglobin": from_unit(read.haemoglobin_u, HAEMOGLOBIN_RANGE),
        "diffuse_shading": read.diffuse_shading,
        "specular_shading": read.specular_shading,
    }
    camera = Camera(read.sensitivities, read.gains, read.method)
    found = decode(maps, mix(read.illuminant_weights, read.daylight_kelvin), camera)
    assert np.abs(found - expected).max() < 1e-4


def test_which_runtime(monkeypatch, tmp_path, weights, onnx_weights):
    with pytest.raises(InputError, match="torch runtime cannot read it"):
        load_network(onnx_weights, "torch")
    with pytest.raises(InputError, match=r"onnx runtime cannot read it.*bioface export onnx"):
        load_network(weights, "onnx")
    with pytest.raises(InputError, match="'tpu' is not known; use one of auto, torch, onnx"):
        load_network(None, "tpu")
    monkeypatch.setattr(networks, "WEIGHTS", tmp_path)
    assert load_network().runtime == "torch"
    with pytest.raises(InputError, match="no ONNX weights in this package"):
        load_network(None, "onnx")
    (tmp_path / "shipped.onnx").write_bytes(onnx_weights.read_bytes())
    assert load_network().runtime == "onnx"
    assert load_network(None, "torch").runtime == "torch"
    monkeypatch.setattr(networks, "find_spec", lambda name: None)
    assert load_network().runtime == "torch"


def test_the_packages_files_belong_together():
    shipped = sorted(networks.WEIGHTS.glob("*.onnx"))
    if not shipped:
        pytest.skip("no ONNX weights in the package")
    assert len(shipped) == 1
    assert load_network(None, "onnx").sha256 == load_network(None, "torch").sha256


def test_files_that_are_no_network(tmp_path, onnx_weights):
    whole = onnx_weights.read_bytes()
    cases = {
        "missing.onnx": (None, "cannot be read"),
        "text.onnx": (b"no network", "not an ONNX file"),
        "cut.onnx": (whole[: len(whole) // 2], "not an ONNX file"),
    }
    model = onnx.load(onnx_weights)
    del model.metadata_props[:]
    cases["other.onnx"] = (model.SerializeToString(), "not of BioFace weights")
    onnx.helper.set_model_props(model, {"format": "bioface-onnx", "version": "9"})
    cases["later.onnx"] = (model.SerializeToString(), "format version 9")
    onnx.helper.set_model_props(model, {"format": "bioface-onnx", "version": "1"})
    cases["bare.onnx"] = (model.SerializeToString(), "metadata is damaged")
    for name, (content, message) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message) as raised:
            load_network(tmp_path / name)
        assert name in str(raised.value)
        assert "\n" not in str(raised.value)


def test_export_writes_whole_or_not_at_all(tmp_path, weights, onnx_weights, capsys, monkeypatch):
    from bioface.cli import main
    from bioface.learn import export
    from bioface.learn.weights import load_weights

    def run(*arguments):
        return main(["export", "onnx", "--weights", str(weights), *map(str, arguments)])

    there = tmp_path / "a.onnx"
    there.write_text("mine")
    assert run("--out", there) == 1
    assert "exists already; pass --overwrite" in capsys.readouterr().err
    assert run("--out", tmp_path / "a.bin") == 1
    assert "end in .onnx" in capsys.readouterr().err
    graph = onnx_weights.read_bytes()
    monkeypatch.setattr(export, "_graph", lambda model: graph)
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(BiofaceError, match=r"a\.onnx: not written.*differs from torch"):
        export.export_onnx(load_weights(weights), there, overwrite=True)
    assert there.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_an_export_that_computes_no_numbers_is_not_written(tmp_path, weights, monkeypatch):
    from bioface.learn import export
    from bioface.learn.weights import load_weights

    model = load_weights(weights)
    estimator = export._Estimator(model)

    class Session:
        def run(self, names, inputs):
            told = [torch.from_numpy(inputs[name]) for name in (export.INPUT, *export.KNOWN)]
            with torch.inference_mode():
                found = [value.numpy() for value in estimator(*told)]
            found[names.index("haemoglobin")] *= np.nan
            return found

    class Loaded:
        session = Session()

    monkeypatch.setattr(export, "_graph", lambda model: b"")
    monkeypatch.setattr(export.OnnxNetwork, "load", lambda path: Loaded())
    with pytest.raises(BiofaceError, match=r"a\.onnx: not written.*haemoglobin differs.* by nan"):
        export.export_onnx(model, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_known_box_reads_as_the_mesh_does(both, portrait):
    """Only the mask's shape and the roll tell them apart."""
    from bioface.photo.find import find_faces

    pytest.importorskip("mediapipe")
    faces = find_faces(portrait)
    left, top, right, bottom = faces[0].box
    found = read_faces(portrait.astype(np.float32) / 255, faces, both[0])
    boxed = estimate(
        portrait, weights=both[0], face_box=(left, top, max(right - left, bottom - top))
    )
    medians = [e.faces[0].skin["melanin_median"] for e in (found, boxed)]
    assert medians[0] == pytest.approx(medians[1], rel=0.1)
