"""The fast decoder against the exact one: over all fractions, models and bounds; its memory."""

import numpy as np
import pytest

from bioface.spectral.fast import CHUNK, LENGTHS, chebyshev, chunks, derivatives, products
from bioface.spectral.formation import MAPS, Camera, decode
from bioface.spectral.illuminant import mix
from bioface.spectral.skin import NAMES, SkinModel

HAEMOGLOBIN = np.r_[0, np.geomspace(1e-5, 1, 59)]


def lights_and_cameras(rng, count):
    spd = mix(rng.dirichlet(0.3 * np.ones(14), count), rng.uniform(4000, 12000, count))
    return spd, Camera.from_coefficients(rng.normal(0, 1, (count, 6)))


def every_fraction(count):
    """Maps (count, 60, 60) that cover melanin and haemoglobin from 0 to 1, densely near 0."""
    melanin = np.r_[0, np.geomspace(1e-4, 1, 59)]
    values = np.broadcast_arrays(melanin[:, None], HAEMOGLOBIN, 1.0, 0.0)
    return {name: np.broadcast_to(v, (count, 60, 60)) for name, v in zip(MAPS, values, strict=True)}


def error(skin):
    rng = np.random.default_rng(0)
    spd, camera = lights_and_cameras(rng, 12)
    maps = every_fraction(12)
    exact, fast = (decode(maps, spd, camera, skin=skin, path=path) for path in ("exact", "fast"))
    return np.abs(exact - fast)


@pytest.mark.parametrize("name", NAMES)
def test_fast_equals_exact_over_all_fractions(name):
    bound = 6e-4 if name == "calibrated" else 2e-3
    difference = error(SkinModel.load(name))
    assert difference.max() < bound
    assert difference.mean() < bound / 6


@pytest.mark.parametrize("end", [0, 1])
def test_fast_stays_close_wherever_fine_tuning_may_move_the_constants(end):
    skin = SkinModel.load()
    for name, limits in skin.bounds.items():
        difference = error(skin.with_constants(**{name: limits[end]}))
        assert difference[:, :, HAEMOGLOBIN > 5e-4].max() < 2e-3, name


def test_fractions_outside_zero_to_one_are_clipped():
    maps = {name: np.ones(2) for name in MAPS} | {"haemoglobin": np.array([-0.5, 1.5])}
    clipped = maps | {"haemoglobin": np.array([0.0, 1.0])}
    light = np.ones(33)
    camera = Camera.from_coefficients(np.zeros(6))
    np.testing.assert_array_equal(decode(maps, light, camera), decode(clipped, light, camera))


def test_products_and_their_derivatives():
    x, y = np.random.default_rng(4).uniform(-1, 1, (2, 9))
    basis = np.polynomial.Chebyshev.basis
    values = products(x, y, LENGTHS)
    by_x, by_y = derivatives(LENGTHS) @ values
    terms = [(p, q) for q, length in enumerate(LENGTHS) for p in range(length)]
    for row, (p, q) in enumerate(terms):
        np.testing.assert_allclose(chebyshev(x, 5)[p], basis(p)(x), atol=1e-12)
        np.testing.assert_allclose(values[row], basis(p)(x) * basis(q)(y), atol=1e-12)
        np.testing.assert_allclose(by_x[row], basis(p).deriv()(x) * basis(q)(y), atol=1e-11)
        np.testing.assert_allclose(by_y[row], basis(p)(x) * basis(q).deriv()(y), atol=1e-11)


@pytest.mark.parametrize(("batch", "pixels"), [(1, 1), (7, 100), (3, CHUNK + 1), (100, 1000)])
def test_chunks_cover_every_pixel_once(batch, pixels):
    seen = np.zeros((batch, pixels), int)
    for images, part in chunks(batch, pixels):
        seen[images, part] += 1
    assert (seen == 1).all()


def test_large_images_and_many_images_agree_with_single_pixels():
    rng = np.random.default_rng(1)
    spd, camera = lights_and_cameras(rng, 2)
    maps = {name: rng.uniform(0.01, 0.4, (2, 200, 201)) for name in MAPS}
    whole = decode(maps, spd, camera)
    for y, x in ((0, 0), (163, 8), (199, 200)):
        one = {name: value[:, y, x] for name, value in maps.items()}
        np.testing.assert_allclose(decode(one, spd, camera), whole[:, y, x], atol=1e-12)


@pytest.mark.torch
def test_a_backward_pass_keeps_little():
    import torch

    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    rng = np.random.default_rng(2)
    maps = {n: torch.tensor(rng.uniform(0, 0.4, (8, 64, 64)), dtype=torch.float32) for n in MAPS}
    for value in maps.values():
        value.requires_grad_()
    b = torch.zeros(8, 6, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        decode(maps, torch.ones(8, 33), Camera.from_coefficients(b)).sum().backward()
    # The four maps: 4.4 MB for a batch of 64 at 64 x 64.
    assert sum(kept.values()) < 5 * 4 * maps["melanin"].numel()
    assert all(torch.isfinite(value.grad).all() for value in (*maps.values(), b))


@pytest.mark.torch
def test_a_light_shared_by_all_images_gathers_their_gradients():
    import torch

    rng = np.random.default_rng(3)
    maps = {n: torch.tensor(rng.uniform(0.01, 0.4, (3, 5, 5))) for n in MAPS}
    gradients = {}
    for path in ("fast", "exact"):
        spd = torch.full((33,), 1 / 33, dtype=torch.float64, requires_grad=True)
        b = torch.zeros(6, dtype=torch.float64, requires_grad=True)
        (decode(maps, spd, Camera.from_coefficients(b), path=path) ** 2).sum().backward()
        gradients[path] = torch.cat([spd.grad, b.grad])
    assert torch.allclose(gradients["fast"], gradients["exact"], rtol=1e-2, atol=1e-2)


@pytest.mark.torch
def test_gradients_reach_skin_constants_on_the_fast_path():
    import torch

    skin = SkinModel.load()
    maps = {n: torch.full((2, 2), 0.05, dtype=torch.float64) for n in MAPS}
    camera = Camera.from_coefficients(np.zeros(6))
    for name, number in skin.constants.items():
        gradient = {}
        for path in ("fast", "exact"):
            value = torch.tensor(float(number), dtype=torch.float64, requires_grad=True)
            moved = skin.with_constants(**{name: value})
            decode(maps, np.ones(33), camera, skin=moved, path=path).sum().backward()
            gradient[path] = float(value.grad)
        assert gradient["fast"] == pytest.approx(gradient["exact"], rel=1e-2, abs=1e-3), name
