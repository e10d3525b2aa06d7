"""Whose photos count as worn: the same heads, those who show an item."""

import numpy as np

from bioface.evaluate.worn import ITEMS, by_worn
from bioface.scores.faces import QUANTITIES, SCALARS, Rows
from bioface.scores.sums import pair_sums

BARE = {
    "hair": {"strands": {"scalp": 0, "brows": 0, "beard": 0}},
    "make_up": {"reflectance": {}},
    "glasses": {"shown": False},
    "headwear": {"kind": "none"},
    "clothes": {"kind": "none"},
}
WITH = {
    "scalp hair": {"hair": {"strands": {"scalp": 9, "brows": 0, "beard": 0}}},
    "brows": {"hair": {"strands": {"scalp": 0, "brows": 9, "beard": 0}}},
    "beard": {"hair": {"strands": {"scalp": 0, "brows": 0, "beard": 9}}},
    "make-up": {"make_up": {"reflectance": {"lipstick": [0.1, 0.1, 0.1, 0.1]}}},
    "glasses": {"glasses": {"shown": True}},
    "headwear": {"headwear": {"kind": "cap"}},
    "clothes": {"clothes": {"kind": "scoop"}},
}


def people(*changes):
    return [BARE | {"identity": [k]} | change for k, change in enumerate(changes)]


def rows(errors):
    """A face a person whose melanin is read so far off."""
    count = len(errors)
    sums = np.zeros((count, len(QUANTITIES), len(pair_sums(np.zeros(2), np.ones(2)))))
    for k, error in enumerate(errors):
        true = np.linspace(0, 1, 20)
        sums[k, QUANTITIES.index("melanin_u")] = pair_sums(true + error, true)
    names = np.array([f"set.pack:{k:06d}" for k in range(count)])
    label = np.full(count, "tan")
    return Rows(sums, np.full((count, len(SCALARS)), np.nan), names, label, label, label)


def rmse(figures):
    return figures["quantities"]["melanin_u"]["rmse"][0]


def test_every_item_is_told_by_those_who_show_it():
    assert set(WITH) == set(ITEMS)
    dressed = people({}, *WITH.values())
    errors = np.arange(len(dressed)) / 10
    found = by_worn(rows(errors), rows(0 * errors + 1), dressed, people(*[{}] * len(dressed)))
    assert list(found) == list(ITEMS)
    for k, item in enumerate(WITH, 1):
        assert rmse(found[item]["worn"]) == k / 10, item
        assert rmse(found[item]["bare"]) == 1
        assert found[item]["worn"]["photos"] == 1


def test_other_heads_and_samples_that_do_not_tell_are_left_out():
    dressed = people(*[WITH["glasses"]] * 3)
    del dressed[1]["headwear"]
    bare = people({}, {}, {"identity": [7]})
    found = by_worn(rows([0.1, 0.2, 0.3]), rows([0, 0, 0]), dressed, bare)
    assert list(found) == ["glasses"]
    assert rmse(found["glasses"]["worn"]) == 0.1
    assert by_worn(rows([0.1]), rows([0]), people({}), people({})) == {}
