"""The population of skin parameters and draws from it."""

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.spectral.population import SITES, UNIFORM, Population
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, to_unit


@pytest.fixture
def population():
    return Population.load()


def test_draws_are_repeatable_fractions(population):
    first, second = (
        population.sample(np.random.default_rng(3), 500, uniform_share=0.3) for _ in range(2)
    )
    np.testing.assert_array_equal(first.melanin, second.melanin)
    assert first.melanin.shape == first.haemoglobin.shape == (500, len(SITES))
    for values in (first.melanin, first.haemoglobin):
        assert ((values > 0) & (values < 1)).all()


def test_a_group_is_drawn_around_its_mean(population):
    for k, group in enumerate(population.groups):
        drawn = population.sample(np.random.default_rng(k), 4000, group=group)
        assert set(drawn.group) == {group}
        error = np.log(drawn.melanin).mean(axis=0) - population.mean[k, :, 0]
        assert np.abs(error).max() < 0.05


def test_sites_of_a_person_go_together(population):
    drawn = population.sample(np.random.default_rng(0), 4000, group="TH")
    cheek, forehead = np.log(drawn.melanin[:, [0, 3]]).T
    assert 0.4 < np.corrcoef(cheek, forehead)[0, 1] < 0.95


def test_uniform_share_makes_no_skin_rare(population):
    drawn = population.sample(np.random.default_rng(0), 8000, uniform_share=1.0, sites=["cheek"])
    assert set(drawn.group) == {UNIFORM}
    for values, bounds in (
        (drawn.melanin[:, 0], MELANIN_RANGE),
        (drawn.haemoglobin[:, 0], HAEMOGLOBIN_RANGE),
    ):
        u = to_unit(values, bounds)
        count, _ = np.histogram(u, np.linspace(0.1, 0.9, 5))
        assert count.min() > 0.15 * len(u)
    half = population.sample(np.random.default_rng(0), 4000, uniform_share=0.5)
    assert 0.45 < (half.group == UNIFORM).mean() < 0.55


def test_sites_are_chosen_and_ordered(population):
    both = population.sample(np.random.default_rng(0), 10, sites=["nose", "cheek"])
    every = population.sample(np.random.default_rng(0), 10)
    assert both.sites == ("nose", "cheek")
    np.testing.assert_array_equal(both.melanin, every.melanin[:, [4, 0]])


def test_bad_requests_are_named(population):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="unknown group 'martian': choose one of AB"):
        population.sample(rng, 1, group="martian")
    with pytest.raises(InputError, match="unknown site 'ear'"):
        population.sample(rng, 1, sites=["ear"])
    with pytest.raises(InputError, match=r"uniform_share is 1\.5"):
        population.sample(rng, 1, uniform_share=1.5)
