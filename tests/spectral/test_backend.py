"""Tables are brought to torch once, and to numpy as ever."""

import gc

import numpy as np
import pytest

from bioface.spectral import backend
from bioface.spectral.backend import table_like


def test_numpy_gets_the_table_in_its_own_dtype():
    table = np.arange(3.0)
    assert table_like(np.zeros(2), table) is table
    assert table_like(np.zeros(2, np.float32), table).dtype == np.float32


@pytest.mark.torch
def test_torch_gets_a_table_once_for_each_dtype():
    torch = pytest.importorskip("torch")
    table = np.arange(3.0)
    single, double = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    first = table_like(single, table)
    assert table_like(single, table) is first
    assert table_like(double, table).dtype == torch.float64
    np.testing.assert_array_equal(first.numpy(), table)
    x = torch.ones(3, requires_grad=True)
    (x * table_like(x, table)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), table)


@pytest.mark.torch
def test_what_torch_got_goes_with_the_table():
    torch = pytest.importorskip("torch")
    before = set(backend._BROUGHT)
    table = np.arange(4.0)
    table_like(torch.zeros(1), table)
    assert len(set(backend._BROUGHT) - before) == 1
    del table
    gc.collect()
    assert not set(backend._BROUGHT) - before


@pytest.mark.torch
def test_tables_met_in_inference_mode_are_good_for_training_later():
    torch = pytest.importorskip("torch")
    table = np.arange(3.0)
    with torch.inference_mode():
        table_like(torch.zeros(1), table)
    x = torch.ones(3, requires_grad=True)
    (x * table_like(x, table)).sum().backward()
    assert x.grad is not None
