import numpy as np
import pytest

from bioface import SkinModel
from bioface.errors import InputError
from bioface.spectral.population import OXYGENATION
from bioface.spectral.units import MELANIN_RANGE, to_unit
from synth.sample.skin import Residuals, Skin, sample_off_model

MODEL = SkinModel.load()
GRID = np.arange(400.0, 701.0, 10.0)


@pytest.fixture
def spectra(tmp_path):
    """40 people of the model whose spectra bulge by 10 % at 600 nm, gloss included."""
    melanin = np.linspace(0.03, 0.3, 40)
    bulge = 1 + 0.1 * np.exp(-(((GRID - 600) / 40) ** 2))
    reflectance = MODEL.reflectance(melanin, 0.02)[:, :31] * bulge + MODEL.specular_offset
    path = tmp_path / "spectra.npz"
    subject = np.array([f"p{k}" for k in range(40)])
    np.savez(path, wavelength=GRID, reflectance=reflectance, subject=subject)
    return path


def test_the_model_itself_is_the_skin_unless_said_otherwise():
    np.testing.assert_array_equal(Skin().reflectance(0.1, 0.02), MODEL.reflectance(0.1, 0.02))
    length = Skin().blur(np.array([0.01, 0.04]))
    assert length.shape == (2, 33)
    assert (length[1] < length[0]).all()  # more blood, shorter paths
    assert 2.5 * length[0, 25] > 2 * 2.5 * length[0, 5]  # red spreads further than blue
    assert 0.02 < 2.5 * length[0, 25] < 0.2  # cm: light leaves within 0.2-2 mm


def test_residuals_are_those_of_some_people_and_smooth(spectra):
    residuals = Residuals.load(spectra, MODEL)
    assert 3 <= len(residuals.melanin_u) < 25
    raw = residuals.deviation
    assert (raw[:, 20] > 1.01).all()  # the pigments take up a part of the bulge
    assert (np.abs(np.diff(raw, n=2)) < 0.02).all()
    np.testing.assert_array_equal(raw[:, 31], raw[:, 30])


def test_off_model_skin_is_drawn_among_people_of_its_tone(spectra):
    residuals = Residuals.load(spectra, MODEL)
    tone = float(to_unit(0.1, MELANIN_RANGE))
    drawn, again = (
        sample_off_model(np.random.default_rng(3), tone, residuals, MODEL) for _ in range(2)
    )
    assert drawn.record == again.record
    assert OXYGENATION[0] <= drawn.oxygenation <= OXYGENATION[1]
    assert len(drawn.record["deviation"]) == 33
    ours, model = drawn.reflectance(0.1, 0.02), MODEL.reflectance(0.1, 0.02)
    assert 0.005 < np.abs(ours - model).max() < 0.3
    assert ((ours >= 0) & (ours <= 1)).all()


def test_bad_spectra_and_models_are_named(tmp_path, spectra):
    with pytest.raises(InputError, match="no such file"):
        Residuals.load(tmp_path / "none.npz", MODEL)
    path = tmp_path / "few.npz"
    np.savez(path, wavelength=GRID, reflectance=np.full((1, 31), 0.3))
    with pytest.raises(InputError, match="no array 'subject'"):
        Residuals.load(path, MODEL)
    np.savez(path, wavelength=GRID[5:], reflectance=np.full((1, 26), 0.3), subject=["p"])
    with pytest.raises(InputError, match="cover 400-700"):
        Residuals.load(path, MODEL)
    path.write_bytes(b"no zip")
    with pytest.raises(InputError, match="not a readable npz"):
        Residuals.load(path, MODEL)
    with pytest.raises(InputError, match="not separable"):
        Skin(SkinModel.load("alotaibi2019")).blur(np.zeros(1))
