"""Fitting skin models to spectra, and the command that reports it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bioface import SkinModel
from bioface.cli import main
from bioface.errors import InputError
from bioface.evaluate.fit_skin import predictor, solve, starts
from bioface.evaluate.validate_skin import read_spectra, validate_skin
from bioface.spectral.grid import WAVELENGTHS

SPECTRA = Path(__file__).parents[3] / "shared" / "skin_spectra" / "issa_face_half.npz"
COMPARED = WAVELENGTHS[WAVELENGTHS <= 700]
OFFSET = 0.03


def synthetic(name="calibrated", count=40, seed=0):
    """Parameters, and the spectra they give with an offset."""
    rng = np.random.default_rng(seed)
    skin = SkinModel.load(name)
    draws = {
        "melanin": rng.uniform(0.03, 0.4, count),
        "haemoglobin": rng.uniform(0.003, 0.05, count),
        "oxygenation": rng.uniform(0.4, 0.9, count),
        "scattering": rng.uniform(0.7, 1.4, count),
    }
    parameters = {key: draws[key] for key in skin.parameters}
    return parameters, skin.reflectance(**parameters)[:, : len(COMPARED)] + OFFSET


@pytest.fixture
def spectra_file(tmp_path):
    def write(**arrays):
        path = tmp_path / "spectra.npz"
        np.savez(path, **arrays)
        return path

    return write


@pytest.mark.parametrize(
    "name", ["calibrated", "calibrated+oxygenation", "calibrated+scattering", "alotaibi2019"]
)
def test_fit_recovers_parameters_and_offset(name):
    parameters, spectra = synthetic(name)
    result = validate_skin(SkinModel.load(name), COMPARED, spectra)
    assert result.specular_offset == pytest.approx(OFFSET, abs=1e-4)
    assert np.median(result.rmse) < 1e-5
    assert np.median(result.ciede2000) < 0.01
    for key, truth in parameters.items():
        error = np.abs(result.parameters[key] / truth - 1)
        assert np.median(error) < 0.01


def test_offset_is_the_least_squares_one():
    rng = np.random.default_rng(1)
    _, spectra = synthetic()
    spectra = spectra + rng.normal(0, 0.004, spectra.shape)
    skin = SkinModel.load()
    found = validate_skin(skin, COMPARED, spectra)

    def cost(offset):
        shifted = np.clip(spectra - offset, 0, 1)
        bands = np.eye(33)[: len(COMPARED)]
        start = starts(skin, bands, shifted)
        _, fitted = solve(predictor(skin, bands), shifted, start, skin.parameters)
        return ((fitted - shifted) ** 2).sum()

    best = cost(found.specular_offset)
    assert best <= cost(found.specular_offset - 0.002)
    assert best <= cost(found.specular_offset + 0.002)
    assert best == pytest.approx((found.rmse**2).sum() * len(COMPARED), rel=1e-4)


@pytest.mark.parametrize(
    ("grid", "bands"),
    [
        (np.arange(380.0, 781.0, 5.0), 31),
        (np.arange(405.0, 700.0, 10.0), 30),
        (np.arange(400.0, 701.0, 20.0), 16),
        (np.arange(450.0, 651.0, 10.0), 21),
    ],
)
def test_other_grids(grid, bands):
    parameters, _ = synthetic()
    skin = SkinModel.load()
    full = skin.reflectance(**parameters)
    spectra = np.stack([np.interp(grid, WAVELENGTHS, s) for s in full]) + OFFSET
    result = validate_skin(skin, grid, spectra)
    assert result.wavelength.shape == (bands,)
    assert np.median(result.rmse) < 2e-3
    assert np.median(result.ciede2000) < 0.3
    error = np.abs(result.parameters["melanin"] / parameters["melanin"] - 1)
    assert np.median(error) < 0.03


def test_bands_outside_400_to_700_do_not_count():
    _, spectra = synthetic()
    wide = np.concatenate([spectra, np.full((len(spectra), 5), 0.9)], axis=1)
    grid = np.arange(400.0, 751.0, 10.0)
    narrow = validate_skin(SkinModel.load(), COMPARED, spectra)
    assert validate_skin(SkinModel.load(), grid, wide).summary() == narrow.summary()


def test_what_instruments_write_is_read():
    _, spectra = synthetic()
    plain = validate_skin(SkinModel.load(), COMPARED, spectra)
    downwards = validate_skin(SkinModel.load(), COMPARED[::-1], spectra[:, ::-1])
    assert downwards.summary() == plain.summary()
    wide = np.pad(spectra.astype(np.float32), ((0, 0), (4, 4)), constant_values=-0.3)
    wide[3, :2] = np.nan
    grid = np.arange(360, 741, 10)
    assert validate_skin(SkinModel.load(), grid, wide).summary() == pytest.approx(
        plain.summary(), abs=1e-4
    )
    blind = spectra.copy()
    blind[:, :2] = np.nan
    assert len(validate_skin(SkinModel.load(), COMPARED, blind).wavelength) == len(COMPARED) - 2
    noisy = spectra.copy()
    noisy[0, 0] = -0.005
    assert np.isfinite(validate_skin(SkinModel.load(), COMPARED, noisy).ciede2000).all()


def test_one_spectrum_is_enough():
    _, spectra = synthetic(count=1)
    assert validate_skin(SkinModel.load(), COMPARED, spectra).rmse.shape == (1,)


def test_command_prints_json(spectra_file, capsys):
    path = spectra_file(wavelength=COMPARED, reflectance=synthetic()[1])
    assert main(["validate-skin", str(path), "--model", "calibrated", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == [
        "model",
        "n",
        "specular_offset",
        "rmse_median",
        "rmse_p95",
        "ciede2000_median",
        "ciede2000_p95",
    ]
    assert printed["model"] == "calibrated"
    assert printed["n"] == 40


def test_command_prints_lines(spectra_file, capsys):
    path = spectra_file(wavelength=COMPARED.astype(int), reflectance=synthetic()[1])
    assert main(["validate-skin", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "specular_offset   0.0300" in printed
    assert "40 spectra, 400-700 nm" in printed


@pytest.mark.torch
def test_the_skin_of_weights_is_told_from_the_model_it_began_as(spectra_file, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    from bioface.learn.decoder import Decoder
    from bioface.learn.encoder import Encoder, EncoderConfig
    from bioface.learn.weights import save_weights

    config = EncoderConfig(widths=(8, 16), blocks=(1, 1), fusion=8, glances=1, scene=32, size=32)
    decoder = Decoder()
    with torch.no_grad():
        for value in decoder.parameters():
            value += 0.1
    sha256 = save_weights(tmp_path / "tuned.safetensors", Encoder(config), decoder)
    path = spectra_file(wavelength=COMPARED, reflectance=synthetic()[1])
    command = ["validate-skin", str(path)]
    learned = ["--weights", str(tmp_path / "tuned.safetensors")]
    assert main([*command, *learned]) == 0
    name = f"calibrated of tuned.safetensors (sha256 {sha256[:16]})"
    assert f"skin model {name}\n" in capsys.readouterr().out
    printed = []
    for options in ([], learned):
        assert main([*command, *options, "--json"]) == 0
        printed.append(json.loads(capsys.readouterr().out))
    plain, tuned = printed
    assert list(tuned) == list(plain)
    assert (plain["model"], tuned["model"]) == ("calibrated", name)
    assert tuned["rmse_median"] > plain["rmse_median"]


BAD = {
    "no array 'wavelength'": {"reflectance": np.full((3, 31), 0.3)},
    "no array 'reflectance'": {"wavelength": COMPARED},
    r"\(W,\) and \(N, W\) are needed": {
        "wavelength": COMPARED,
        "reflectance": np.full((31, 3), 0.3),
    },
    "holds no spectra": {"wavelength": COMPARED, "reflectance": np.empty((0, 31))},
    "NaN .* 1 of 3 spectra, first in number 1": {
        "wavelength": COMPARED,
        "reflectance": np.where(np.arange(3)[:, None] == 1, np.nan, np.full((3, 31), 0.3)),
    },
    "infinite values in wavelength": {
        "wavelength": np.where(COMPARED == 700, np.inf, COMPARED),
        "reflectance": np.full((3, 31), 0.3),
    },
    "looks like percent; divide by 100": {
        "wavelength": COMPARED,
        "reflectance": np.full((3, 31), 30.0),
    },
    "must lie in 0-1": {"wavelength": COMPARED, "reflectance": np.full((3, 31), -0.1)},
    "500 nm is there more than once": {
        "wavelength": np.where(COMPARED == 510, 500.0, COMPARED),
        "reflectance": np.full((3, 31), 0.3),
    },
    "no bands within 400-700": {
        "wavelength": COMPARED + 400,
        "reflectance": np.full((3, 31), 0.3),
    },
    "give them in nm": {"wavelength": COMPARED / 1000, "reflectance": np.full((3, 31), 0.3)},
    "only 2 bands": {"wavelength": np.array([690.0, 700.0]), "reflectance": np.full((3, 2), 0.3)},
    "must hold numbers": {"wavelength": COMPARED, "reflectance": np.full((3, 31), "a")},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_spectra_are_one_clear_line(message, spectra_file, capsys):
    path = spectra_file(**BAD[message])
    assert main(["validate-skin", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert re.search(message, printed.err)
    assert "spectra.npz" in printed.err


def test_unreadable_files_and_unknown_models(tmp_path, spectra_file, capsys):
    with pytest.raises(InputError, match="no such file"):
        read_spectra(tmp_path / "absent.npz")
    with pytest.raises(InputError, match="a folder; name an npz file in it"):
        read_spectra(tmp_path)
    for content in (b"", b"not a zip", b"PK\x03\x04 cut short"):
        path = tmp_path / "broken.npz"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"broken\.npz: not a readable npz"):
            read_spectra(path)
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(InputError, match="not a readable npz"):
        read_spectra(tmp_path / "plain.npy")
    good = spectra_file(wavelength=COMPARED, reflectance=synthetic()[1])
    damaged = tmp_path / "damaged.npz"
    np.savez_compressed(damaged, reflectance=synthetic()[1], wavelength=COMPARED)
    content = bytearray(damaged.read_bytes())
    content[100:200] = bytes(100)
    damaged.write_bytes(content)
    assert main(["validate-skin", str(damaged)]) == 1
    error = capsys.readouterr().err
    assert "damaged.npz: not a readable npz file; write one with numpy.savez" in error
    assert error.count("\n") == 1
    assert main(["validate-skin", str(good), "--model", "pale"]) == 1
    assert "choose one of calibrated" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not SPECTRA.exists(), reason="the measured spectra are not here")
def test_measured_facial_spectra_are_explained():
    """In-sample; cross-validated figures come from scripts/calibrate_skin."""
    wavelength, reflectance = read_spectra(SPECTRA)
    with np.load(SPECTRA) as file:
        group = file["group"]
    result = validate_skin(SkinModel.load(), wavelength, reflectance)
    summary = result.summary()
    assert summary["rmse_median"] <= 0.008
    assert summary["ciede2000_median"] <= 1.4
    assert summary["ciede2000_p95"] <= 4.0
    for name in np.unique(group):
        assert np.median(result.ciede2000[group == name]) <= 1.9
    part = slice(None, None, 8)
    published = validate_skin(SkinModel.load("alotaibi2019"), wavelength, reflectance[part])
    assert published.summary()["ciede2000_median"] > 5
    limits = {"calibrated+oxygenation": 1.1, "calibrated+scattering": 0.6}
    for name, limit in limits.items():
        variant = validate_skin(SkinModel.load(name), wavelength, reflectance[part])
        assert variant.summary()["ciede2000_median"] <= limit
