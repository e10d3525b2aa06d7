from pathlib import Path

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.evaluate.validate_skin import read_spectra, validate_skin
from bioface.spectral.skin import COLOURATION, SkinModel
from bioface.spectral.skin_prior import SkinPrior

SPECTRA = Path(__file__).parents[3] / "shared" / "skin_spectra" / "issa_face_half.npz"


def test_it_is_a_positive_form_over_all_that_may_move():
    prior, skin = SkinPrior.load(), SkinModel.load()
    assert set(prior.names) == {*skin.bounds, *COLOURATION}
    departures = np.random.default_rng(0).normal(size=(50, len(prior.names))) * prior.spread
    costs = [prior.cost(prior.names, d) for d in departures]
    assert min(costs) > 0
    assert prior.cost(prior.names, 0 * departures[0]) == 0
    assert prior.cost(prior.names, 2 * departures[0]) == pytest.approx(4 * costs[0])
    for d, cost in zip(departures, costs, strict=True):
        meaning = np.sum((d / prior.spread) ** 2) / 4
        assert cost == pytest.approx(d @ prior.precision @ d + meaning)
    last = prior.names[-1:]
    alone = np.where(np.array(prior.names) == last[0], departures[0], 0)
    assert prior.cost(last, departures[0][-1:]) == pytest.approx(prior.cost(prior.names, alone))
    order = prior.names[::-1]
    assert prior.cost(order, departures[0][::-1]) == pytest.approx(costs[0])
    with pytest.raises(InputError, match="no constant 'freckles'"):
        prior.cost(("freckles",), np.zeros(1))
    with pytest.raises(InputError, match="has no prior"):
        SkinPrior.load("alotaibi2019")


@pytest.mark.skipif(not SPECTRA.exists(), reason="measured spectra are not at hand")
def test_departures_of_low_cost_leave_measured_skin_fitted():
    wavelength, reflectance = read_spectra(SPECTRA)
    reflectance = reflectance[::16]
    prior, skin = SkinPrior.load(), SkinModel.load()
    precision = prior.precision + np.diag(0.25 / prior.spread**2)
    factor = np.linalg.cholesky(precision)
    rng = np.random.default_rng(1)

    def fitted(direction, cost):
        moved = np.linalg.solve(factor.T, direction * (cost**0.5 / np.linalg.norm(direction)))
        assert prior.cost(prior.names, moved) == pytest.approx(cost)
        constants = {
            name: skin.constants.get(name, 0.0) + float(step)
            for name, step in zip(prior.names, moved, strict=True)
        }
        result = validate_skin(skin.with_constants(**constants), wavelength, reflectance)
        return result.summary()["ciede2000_median"]

    before = validate_skin(skin, wavelength, reflectance).summary()["ciede2000_median"]
    for _ in range(2):
        assert fitted(rng.normal(size=len(factor)), 0.1) < before + 0.12
    _, directions = np.linalg.eigh(prior.precision * np.outer(prior.spread, prior.spread))
    for k in (-1, -3):
        worst = factor.T @ (prior.spread * directions[:, k])
        assert fitted(worst, 0.1) < before + 0.15
        assert fitted(worst, 3.0) > before + 0.5


def test_colouration_is_a_factor_on_all_skin():
    skin = SkinModel.load()
    moved = skin.with_constants(
        colouration_curve_1=0.05, colouration_curve_2=0, colouration_curve_3=0
    )
    ratio = moved.reflectance([0.05, 0.3], [0.01, 0.03]) / skin.reflectance(
        [0.05, 0.3], [0.01, 0.03]
    )
    np.testing.assert_allclose(ratio[0], ratio[1])
    assert 1.05 < ratio.max() / ratio.min() < 1.12
    assert ratio[0, 10] == pytest.approx(1)
    with pytest.raises(InputError, match="no constant 'colouration_curve_1'"):
        SkinModel.load("alotaibi2019").with_constants(colouration_curve_1=0.1)
