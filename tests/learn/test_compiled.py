"""The fast decoder's compiled loops against its torch operations in float64, and the choice."""

import sys

import numpy as np
import pytest
import torch

from bioface.learn import fused
from bioface.spectral.formation import MAPS, Camera, decode
from bioface.spectral.illuminant import mix
from bioface.spectral.skin import SkinModel

pytestmark = pytest.mark.torch
numba = pytest.importorskip("numba")

SHAPE = (3, 75, 77)  # no multiple of a tile; more than one chunk is tested below


def inputs(shape=SHAPE, seed=0, lights=None):
    """Maps, some fractions outside 0-1, and what light and camera come from; all float64."""
    rng = np.random.default_rng(seed)
    count = shape[0] if lights is None else lights
    values = {
        "melanin": rng.uniform(-0.1, 1.1, shape),
        "haemoglobin": np.exp(rng.uniform(-9, 0.1, shape)) - 0.001,
        "diffuse_shading": rng.uniform(0, 1, shape),
        "specular_shading": rng.uniform(0, 0.3, shape),
        "weights": rng.dirichlet(np.ones(14), count),
        "b": rng.normal(0, 1, (count, 6)),
    }
    return {name: torch.from_numpy(value) for name, value in values.items()}


def colour_and_gradients(values, dtype, skin=None):
    """The image and the gradients of a weighted sum of it, by name."""
    leaves = {n: v.to(dtype).requires_grad_() for n, v in values.items()}
    skin = SkinModel.load() if skin is None else skin
    kelvin = torch.full(leaves["b"].shape[:1], 6500.0, dtype=dtype)
    image = decode(
        {name: leaves[name] for name in MAPS},
        mix(leaves["weights"], kelvin, validate=False),
        Camera.from_coefficients(leaves["b"]),
        skin=skin,
    )
    seed = torch.Generator().manual_seed(1)
    image.backward(torch.randn(image.shape, generator=seed).to(dtype))
    return {"colour": image.detach()} | {name: leaf.grad for name, leaf in leaves.items()}


def assert_close(ours, theirs, colour=2e-6, gradient=1e-5):
    for name, value in theirs.items():
        error = (ours[name].double() - value).abs().max()
        bound = colour if name == "colour" else gradient * max(1, value.abs().max())
        assert error < bound, (name, float(error))


@pytest.fixture
def compiled(monkeypatch):
    """Counts the calls of the compiled loops."""
    kernels, calls = fused._kernels(), []
    forward = kernels.forward
    monkeypatch.setattr(kernels, "forward", lambda *a: (calls.append(1), forward(*a)))
    return calls


@pytest.mark.parametrize("name", ["calibrated", "alotaibi2019"])
@pytest.mark.parametrize("lights", [None, 1])
def test_colour_and_gradients_equal_those_of_torch_in_float64(name, lights, compiled):
    values = inputs(lights=lights)
    skin = SkinModel.load(name)
    ours = colour_and_gradients(values, torch.float32, skin)
    assert len(compiled) == 1
    theirs = colour_and_gradients(values, torch.float64, skin)
    assert len(compiled) == 1
    assert_close(ours, theirs)


def test_gradients_reach_moved_skin_constants(compiled):
    values = inputs()
    name = next(iter(SkinModel.load().bounds))
    number = torch.tensor(float(SkinModel.load().constants[name]), dtype=torch.float64)
    theirs, ours = (gradients_of_constant(values, name, number, t) for t in ("float64", "float32"))
    assert compiled
    assert float(ours) == pytest.approx(float(theirs), rel=1e-4)


def gradients_of_constant(values, name, number, dtype):
    dtype = getattr(torch, dtype)
    constant = number.detach().to(dtype).requires_grad_()
    camera = Camera.from_coefficients(values["b"].to(dtype))
    skin = SkinModel.load().with_constants(**{name: constant})
    light = torch.ones(33, dtype=dtype)
    decode({n: values[n].to(dtype) for n in MAPS}, light, camera, skin=skin).sum().backward()
    return constant.grad


def test_chunks_and_threads_change_nothing(compiled):
    values = inputs((2, 200, 201), lights=1)
    results, threads = [], torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        try:
            results.append(colour_and_gradients(values, torch.float32))
        finally:
            torch.set_num_threads(threads)
    assert len(compiled) == 2 * 4
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name]), name
    assert_close(results[0], colour_and_gradients(values, torch.float64))


def test_views_and_expanded_gradients_are_read_rightly(compiled):
    values = {n: v.float() for n, v in inputs().items()}
    camera, light = Camera.from_coefficients(values["b"]), torch.ones(33)
    maps = {n: values[n].transpose(1, 2).requires_grad_() for n in MAPS}
    decode(maps, light, camera).sum().backward()
    plain = {n: values[n].transpose(1, 2).contiguous().requires_grad_() for n in MAPS}
    (decode(plain, light, camera) * torch.ones(1)).sum().backward()
    assert len(compiled) == 2
    for name in MAPS:
        assert torch.equal(maps[name].grad, plain[name].grad)


def test_what_is_not_a_number_stays_so(compiled):
    values = {n: v.float() for n, v in inputs().items()}
    for k, name in enumerate(MAPS):
        values[name][0, 0, k] = torch.nan
    image = decode(values, torch.ones(33), Camera.from_coefficients(values["b"]))
    assert compiled
    assert image[0, 0, :4].isnan().all()
    assert image.isnan().sum() == 12


@pytest.mark.parametrize("reason", ["switch", "no numba", "told not to compile", "few pixels"])
def test_torch_operations_take_over(reason, compiled, monkeypatch):
    values = inputs((2, 4, 5)) if reason == "few pixels" else inputs()
    if reason == "switch":
        monkeypatch.setenv(fused.SWITCH, "0")
    elif reason == "told not to compile":
        monkeypatch.setattr(fused._kernels(), "ENABLED", False)
    elif reason == "no numba":
        monkeypatch.setitem(sys.modules, "bioface.learn.compiled", None)
        monkeypatch.delattr("bioface.learn.compiled")
    fused._kernels.cache_clear()
    try:
        ours = colour_and_gradients(values, torch.float32)
    finally:
        fused._kernels.cache_clear()
    assert not compiled
    assert_close(ours, colour_and_gradients(values, torch.float64))


def test_code_that_cannot_be_kept_is_compiled_all_the_same(monkeypatch):
    from bioface.learn import compiled

    njit = numba.njit

    def nowhere(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", nowhere)
    assert compiled._compiled(lambda x: x + 1)(1) == 2


class Draws(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        values = {n: v.float() for n, v in inputs().items()}
        return decode(values, torch.ones(33), Camera.from_coefficients(values["b"]))


def test_loader_processes_can_use_it_after_their_parent_did(compiled):
    here = Draws()[0]
    assert compiled
    loader = torch.utils.data.DataLoader(
        Draws(), batch_size=None, num_workers=1, multiprocessing_context="fork"
    )
    assert torch.equal(next(iter(loader)), here)
