"""What is known of light and camera: how it is told, and that it reaches the network."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.photo.known import NOTHING, KnownScene, read_camera, read_light
from bioface.spectral.camera import CameraModel, normalised
from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.illuminant import cct, illuminant

SQUARE = (54.0, 57.0, 92.0)


@pytest.fixture
def a_camera():
    model = CameraModel.load()
    return np.asarray(model.sensitivities(np.linspace(-1, 1, len(model.deviations))))


def write_csv(path, wavelength, columns, title="nm,value"):
    rows = np.column_stack([wavelength, np.transpose(columns)])
    lines = ["# measured", title, *(",".join(map(str, row)) for row in rows.tolist())]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("name", ["A", "F11", "D65", "LED-B3"])
def test_lights_by_name(name):
    np.testing.assert_allclose(read_light(name), illuminant(name), atol=2e-5)


@pytest.mark.parametrize(("told", "kelvin"), [("5600K", 5600), ("2856 K", 2856), ("D5000", 5000)])
def test_lights_by_temperature(told, kelvin):
    spd = read_light(told)
    assert spd.sum() == pytest.approx(1)
    assert float(cct(spd)) == pytest.approx(kelvin, rel=3e-3)


def test_a_black_body_is_illuminant_a():
    np.testing.assert_allclose(read_light("2856K"), illuminant("A"), atol=1e-4)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("candle", "'candle' is not known; choose one of A.*5600K, or a CSV file"),
        ("F13", r"choose one of A, D65, D5000 \(daylight\), F1, "),
        ("200K", "1000-25000 K"),
        ("D39", r"'D39': daylight has 4000-25000 K"),
        ("lamp.csv", "lamp.csv: no such file"),
    ],
)
def test_lights_that_cannot_be_told(told, message):
    with pytest.raises(InputError, match=message) as raised:
        KnownScene.of(illuminant=told)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("step", "factor"), [(10, 1), (10, 100), (20, 1), (1, 1)])
def test_a_lamp_from_a_file_whatever_its_scale(tmp_path, step, factor):
    wavelength = np.arange(380, 741, step)
    file = write_csv(tmp_path / "lamp.csv", wavelength, [factor * wavelength / 500])
    known = KnownScene.of(illuminant=file)
    np.testing.assert_allclose(known.spd, WAVELENGTHS / WAVELENGTHS.sum(), rtol=1e-9)
    assert known.record == {"illuminant": "lamp.csv"}


def test_a_line_of_a_fine_spectrum_falls_into_its_bands(tmp_path):
    wavelength = np.arange(390, 731)
    line = 1e-3 + (wavelength == 546)
    spd = read_light(write_csv(tmp_path / "line.csv", wavelength, [line]))
    assert WAVELENGTHS[spd > 2 * np.median(spd)].tolist() == [550]


def test_what_a_file_lacks_beyond_700_nm_is_held(tmp_path):
    wavelength = np.arange(400, 701, 10)
    spd = read_light(write_csv(tmp_path / "short.csv", wavelength, [wavelength]))
    assert spd[-1] == spd[-2] == spd[-3]


@pytest.mark.parametrize(
    ("wavelength", "power", "message"),
    [
        (np.arange(400, 701, 10), np.nan, "NaN"),
        (np.arange(400, 701, 10), -1.0, "negative"),
        (np.arange(400, 701, 10), 0.0, "0 throughout"),
        (np.arange(400, 651, 10), 1.0, "cover 400-650; 400-700 nm"),
        (np.arange(0.4, 0.72, 0.01), 1.0, "cover 0.4-"),
        (np.arange(400, 701, 50), 1.0, "50 nm apart"),
        (np.arange(700, 399, -10), 1.0, "must increase"),
    ],
)
def test_lamps_that_cannot_be_used(tmp_path, wavelength, power, message):
    file = write_csv(tmp_path / "lamp.csv", wavelength, [np.full(len(wavelength), power)])
    with pytest.raises(InputError, match=f"lamp.csv: .*{message}"):
        read_light(file)


def test_a_lamp_that_nobody_sees_cannot_be_used(tmp_path):
    wavelength = np.arange(390, 951, 10)
    file = write_csv(tmp_path / "infrared.csv", wavelength, [(wavelength > 800).astype(float)])
    with pytest.raises(InputError, match=r"infrared.csv: power is .*0 throughout 400-720 nm"):
        read_light(file)


def test_files_that_are_no_curves(tmp_path, a_camera):
    file = write_csv(tmp_path / "camera.csv", WAVELENGTHS, a_camera.T)
    with pytest.raises(InputError, match=r"must hold 2 numbers: wavelength in nm, power"):
        read_light(file)
    (tmp_path / "words.csv").write_text("nm,power\n400,much\n")
    with pytest.raises(InputError, match="something else than numbers"):
        read_light(tmp_path / "words.csv")
    (tmp_path / "photo.txt").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match="not a readable text file"):
        read_light(tmp_path / "photo.txt")


def test_cameras_from_csv_and_npz(tmp_path, a_camera):
    file = write_csv(tmp_path / "camera.csv", WAVELENGTHS, 50 * a_camera.T)
    np.testing.assert_allclose(read_camera(file), a_camera, rtol=1e-9)
    single, several = tmp_path / "one.npz", tmp_path / "all.npz"
    np.savez(single, wavelength=WAVELENGTHS, sens=a_camera)
    np.testing.assert_allclose(read_camera(single), a_camera)
    both = np.stack([a_camera[:, ::-1], a_camera])
    np.savez(several, wavelength=WAVELENGTHS, sens=both, names=["Ours X1", "Theirs"])
    np.testing.assert_allclose(read_camera(f"{several}:theirs"), a_camera)
    with pytest.raises(InputError, match=r"holds several cameras; tell .*:NAME, of Ours X1, Their"):
        read_camera(several)
    with pytest.raises(InputError, match="no one camera 'mine'"):
        read_camera(f"{several}:mine")
    with pytest.raises(InputError, match="holds one camera"):
        read_camera(f"{single}:mine")


def test_cameras_that_cannot_be_told(tmp_path, a_camera):
    short = write_csv(tmp_path / "camera.csv", WAVELENGTHS[:27], a_camera[:27].T)
    with pytest.raises(InputError, match=r"camera.csv: wavelengths cover 400-660; 400-700 nm"):
        read_camera(short)
    with pytest.raises(InputError, match="'Some Phone': tell its measured sensitivities"):
        read_camera("Some Phone")
    np.savez(tmp_path / "other.npz", values=a_camera)
    with pytest.raises(InputError, match=r"other.npz: holds no array 'wavelength'; a camera has"):
        read_camera(tmp_path / "other.npz")
    np.savez(tmp_path / "words.npz", wavelength=WAVELENGTHS, sens=["much"])
    with pytest.raises(InputError, match=r"words.npz: wavelength and sens must hold numbers"):
        read_camera(tmp_path / "words.npz")
    np.savez(tmp_path / "several.npz", wavelength=WAVELENGTHS, sens=a_camera[None])
    with pytest.raises(InputError, match=r"several.npz: holds no array 'names'; a camera has"):
        read_camera(tmp_path / "several.npz")
    np.savez(tmp_path / "flat.npz", wavelength=WAVELENGTHS, sens=a_camera[:, 0])
    with pytest.raises(InputError, match=r"sens has shape \(33,\)"):
        read_camera(tmp_path / "flat.npz")


@pytest.mark.parametrize("mixed", [[0, 0, 0], [0, 1, 1]])
def test_cameras_that_see_no_colour_are_refused(tmp_path, a_camera, mixed):
    grey = a_camera[:, mixed] * (1.0, 2.0, 3.0)
    file = write_csv(tmp_path / "grey.csv", WAVELENGTHS, grey.T.round(4))
    np.savez(tmp_path / "grey.npz", wavelength=WAVELENGTHS, sens=grey)
    for camera in (file, tmp_path / "grey.npz"):
        with pytest.raises(InputError, match=r"grey\.(csv|npz): red, green and blue are not three"):
            read_camera(camera)


@pytest.mark.parametrize("told", [(1.0,), (1.0, 3.0), (float("nan"), 1.0)])
def test_white_balance_out_of_range(told):
    with pytest.raises(InputError, match=r"white balance .*0.5-2 each"):
        KnownScene.of(white_balance=told)


def test_white_balance_is_named_as_it_was_told():
    with pytest.raises(InputError, match="white balance 0 1: errors"):
        KnownScene.of(white_balance=[0.0, 1.0])


def test_what_the_network_is_told(a_camera):
    model = CameraModel.load()
    nothing = NOTHING.inputs(model)
    assert not nothing["given"].any()
    assert not nothing["b"].any()
    told = KnownScene(sensitivities=a_camera, gains=np.array([1.1, 0.9])).inputs(model)
    assert told["given"].tolist() == [1, 0, 1]
    np.testing.assert_allclose(model.sensitivities(told["b"]), a_camera, atol=2e-3)
    far = KnownScene(sensitivities=np.asarray(normalised(np.eye(33)[:, [30, 15, 2]])))
    assert np.abs(far.inputs(model)["b"]).max() <= 3


@pytest.mark.torch
def test_both_runtimes_are_told_the_same(weights, onnx_weights, portrait, a_camera):
    from bioface.photo.network import load_network
    from bioface.photo.read import estimate

    known = KnownScene(spd=illuminant("F11"), sensitivities=a_camera, gains=np.array([1.1, 0.9]))
    networks = [load_network(path) for path in (weights, onnx_weights)]
    untold = estimate(portrait, weights=networks[0], face_box=SQUARE)
    ours, theirs = (
        estimate(portrait, weights=network, face_box=SQUARE, known=known) for network in networks
    )
    for name, plane in ours.maps.items():
        assert np.abs(plane - theirs.maps[name]).max() < 1e-4 * max(1, plane.max()), name
    assert np.abs(ours.maps["melanin"] - untold.maps["melanin"]).max() > 1e-4
    for one in (ours.faces[0], theirs.faces[0]):
        np.testing.assert_array_equal(one.spd, known.spd)
        np.testing.assert_array_equal(one.sensitivities, a_camera)
        assert one.gains.tolist() == [1.1, 0.9]


@pytest.mark.torch
def test_weights_that_cannot_be_told(weights, onnx_weights, monkeypatch):
    from dataclasses import replace

    from bioface.photo import onnx_runtime
    from bioface.photo.network import load_network

    crop, known = np.zeros((64, 64, 3), np.float32), KnownScene(spd=illuminant("A"))
    torch_network = load_network(weights)
    paper = replace(torch_network.model, config={"kind": "paper"})
    with pytest.raises(InputError, match="paper configuration cannot be told"):
        replace(torch_network, model=paper).read(crop, known)

    class Untold:
        def get_inputs(self):
            return [entry for entry in session.get_inputs() if entry.name == "srgb"]

        def get_outputs(self):
            return session.get_outputs()

    network = load_network(onnx_weights)
    session = network.session
    untold = replace(network, session=Untold())
    assert isinstance(untold, onnx_runtime.OnnxNetwork)
    with pytest.raises(InputError, match=r"cannot be told .*pip install '\.\[train\]'"):
        untold.read(crop, known)


@pytest.mark.torch
def test_the_command_writes_what_it_was_told(tmp_path, portrait, weights, a_camera, capsys):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("OpenEXR")
    from bioface.cli import main
    from bioface.photo.result import read_estimate

    photo = tmp_path / "person.png"
    image.fromarray(portrait).save(photo)
    camera = write_csv(tmp_path / "camera.csv", WAVELENGTHS, a_camera.T)
    out = tmp_path / "out"
    command = ["estimate", str(photo), "--out", str(out), "--weights", str(weights)]
    command += ["--face-box", *map(str, SQUARE)]
    told = ["--illuminant", "F11", "--camera", str(camera), "--white-balance", "1", "1"]
    told.append("--no-tone-curve")
    assert main([*command, *told]) == 0
    numbers = json.loads((out / "person.json").read_text())
    expected = {"illuminant": "F11", "camera": "camera.csv", "white_balance": [1.0, 1.0]}
    expected["no_tone_curve"] = True
    assert numbers["camera"]["tone"] == [0.0, 0.0]
    assert numbers["known"] == expected
    np.testing.assert_allclose(numbers["illuminant"]["spd"], illuminant("F11"))
    assert read_estimate(out / "person").known == expected
    assert main([*command, "--overwrite"]) == 0
    assert json.loads((out / "person.json").read_text())["known"] == {}
    capsys.readouterr()
    assert main([*command, "--overwrite", "--illuminant", "candle"]) == 1
    assert main([*command, "--overwrite", "--albedo", "--illuminant", "A"]) == 1
    assert main([*command, "--overwrite", "--albedo", "--no-tone-curve"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert "candle" in errors[0]
    assert "albedo texture has no light" in errors[1]
    assert "albedo texture has no light" in errors[2]


@pytest.mark.torch
def test_photos_of_one_shoot_share_light_and_camera(tmp_path, portrait, weights, capsys):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("OpenEXR")
    pytest.importorskip("mediapipe")
    from bioface.cli import main
    from bioface.photo.result import read_estimate

    photos = [tmp_path / "one.png", tmp_path / "two.png"]
    image.fromarray(portrait).save(photos[0])
    image.fromarray(portrait // 2).save(photos[1])
    out = tmp_path / "out"
    command = ["estimate", "--out", str(out), "--weights", str(weights), "--illuminant", "A"]
    missing = str(tmp_path / "missing.png")
    assert main([*command, "--same-shoot", *map(str, photos), missing]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line]
    assert [("missing.png: no such photo" in line) for line in errors] == [True, False]
    assert "1 of 3 photos" in errors[1]
    one, two = (read_estimate(out / name) for name in ("one", "two"))
    np.testing.assert_array_equal(one.faces[0].sensitivities, two.faces[0].sensitivities)
    np.testing.assert_allclose(one.faces[0].spd, illuminant("A"))
    assert one.known == {"illuminant": "A", "same_shoot": 2}
    assert not np.array_equal(one.faces[0].gains, two.faces[0].gains)
