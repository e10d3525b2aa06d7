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
        error = np.cbrt(drawn.haemoglobin).mean(axis=0) - population.mean[k, :, 1]
        assert np.abs(error).max() < 0.01


def test_people_and_sites_vary_as_the_model_says(population):
    for k in (0, len(population.groups) - 1):
        drawn = population.sample(np.random.default_rng(k), 20_000, group=population.groups[k])
        x = np.stack([np.log(drawn.melanin), np.cbrt(drawn.haemoglobin)], -1)
        x = x - x.mean(axis=0)
        size = np.sqrt(np.diag(population.person[k]) + population.site.mean(axis=0).diagonal())
        for s in range(len(SITES)):
            other = (s + 1) % len(SITES)
            own, shared = (x[:, s].T @ x[:, place] / len(x) for place in (s, other))
            for found, expected in (
                (own, population.person[k] + population.site[s]),
                (shared, population.person[k]),
            ):
                assert np.abs((found - expected) / np.outer(size, size)).max() < 0.05


def test_groups_are_drawn_evenly(population):
    drawn = population.sample(np.random.default_rng(0), 8000).group
    share = [(drawn == group).mean() for group in population.groups]
    np.testing.assert_allclose(share, 1 / len(population.groups), rtol=0.15)


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
    melanin, haemoglobin = drawn.melanin[:, 0], drawn.haemoglobin[:, 0]
    assert abs(np.corrcoef(np.log(melanin), np.cbrt(haemoglobin))[0, 1]) < 0.1
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
