import dataclasses
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from bioface.learn import losses  # noqa: E402
from bioface.learn.encoder import Prediction  # noqa: E402
from bioface.learn.supervision import recalled  # noqa: E402
from bioface.spectral.illuminant import mix  # noqa: E402

pytestmark = pytest.mark.torch


def a_prediction(seed=0, size=8):
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(shape, generator=generator)

    return Prediction(
        melanin_u=uniform(2, size, size),
        haemoglobin_u=uniform(2, size, size),
        diffuse_shading=0.1 + uniform(2, size, size),
        specular_shading=0.1 * uniform(2, size, size),
        mask=uniform(2, size, size).round(),
        melanin_u_std=0.1 + uniform(2, size, size),
        haemoglobin_u_std=0.1 + uniform(2, size, size),
        b=uniform(2, 6),
        illuminant_weights=uniform(2, 14).softmax(1),
        daylight_kelvin=5000 + 3000 * uniform(2),
        gains=0.95 + 0.1 * uniform(2, 2),
        tone=0.1 * uniform(2, 2),
    )


def as_targets(prediction):
    values = vars(prediction)
    spd = mix(prediction.illuminant_weights, prediction.daylight_kelvin)
    return SimpleNamespace(**values, spd=spd, linear=torch.zeros(2, 8, 8, 3))


def test_the_truth_costs_nothing():
    truth = a_prediction()
    found = losses.supervised(truth, as_targets(truth), torch.zeros(2, 8, 8, 3))
    assert set(found) == set(losses.SUPERVISED_WEIGHTS)
    errors = {k: v for k, v in found.items() if not k.endswith("_std")}
    assert all(abs(float(value)) < 1e-6 for value in errors.values())


def test_what_was_read_before_is_recalled_at_the_weights_of_supervision():
    before = a_prediction()
    assert float(recalled(before, before, before.mask)) < 1e-9
    offset = dataclasses.replace(before, melanin_u=before.melanin_u + 0.1)
    expected = losses.SUPERVISED_WEIGHTS["melanin"] * 0.005
    assert float(recalled(offset, before, before.mask)) == pytest.approx(expected, rel=1e-3)


def test_level_and_within_face_are_told_apart():
    truth = a_prediction()
    offset = dataclasses.replace(truth, melanin_u=truth.melanin_u + 0.1)
    found = losses.supervised(offset, as_targets(truth))
    assert float(found["melanin"]) == pytest.approx(0.005, rel=1e-3)
    assert float(found["melanin_within"]) == pytest.approx(0, abs=1e-6)


def test_what_is_not_skin_does_not_count():
    """The same face in a larger frame costs the same, whatever surrounds it."""
    small, large = torch.ones(1, 8, 8), torch.zeros(1, 20, 20)
    large[:, 4:12, 4:12] = 1

    def framed(values):
        out = torch.rand(1, 20, 20, *values.shape[3:])
        out[:, 4:12, 4:12] = values
        return out

    torch.manual_seed(0)
    a, b = torch.rand(2, 1, 8, 8, 3)
    torch.testing.assert_close(
        losses.appearance(framed(a), framed(b), large), losses.appearance(a, b, small)
    )
    shading, proxy = torch.rand(2, 1, 8, 8) + 0.1
    torch.testing.assert_close(
        losses.scale_free_shading(framed(shading), framed(proxy), large),
        losses.scale_free_shading(shading, proxy, small),
    )
    torch.testing.assert_close(
        losses.specular_sparsity(framed(shading), large),
        losses.specular_sparsity(shading, small),
    )


def test_shading_is_compared_up_to_scale():
    torch.manual_seed(0)
    shading, mask = torch.rand(2, 8, 8) + 0.1, torch.ones(2, 8, 8)
    assert losses.scale_free_shading(shading, 7 * shading, mask) < 1e-10
    other = torch.rand(2, 8, 8) + 0.1
    torch.testing.assert_close(
        losses.scale_free_shading(shading, other, mask),
        losses.scale_free_shading(3 * shading, 0.2 * other, mask),
    )


def test_images_without_a_proxy_count_nothing():
    torch.manual_seed(0)
    shading, proxy = torch.rand(2, 2, 8, 8) + 0.1
    proxy[1] = 0
    mask = torch.ones(2, 8, 8)
    torch.testing.assert_close(
        losses.scale_free_shading(shading, proxy, mask),
        losses.scale_free_shading(shading[:1], proxy[:1], mask[:1]),
    )
    assert losses.scale_free_shading(shading, 0 * proxy, mask) == 0


def test_an_empty_mask_is_finite():
    prediction = a_prediction()
    empty = torch.zeros(2, 8, 8)
    found = losses.self_supervised(
        prediction, torch.rand(2, 8, 8, 3), torch.rand(2, 8, 8, 3), empty, empty
    )
    assert set(found) == set(losses.PAPER_LOSSES)
    assert all(torch.isfinite(value) for value in found.values())
    assert found["appearance"] == 0


@pytest.mark.parametrize("size", [0.05, 0.3])
def test_the_deviation_that_costs_least_is_that_of_the_errors(size):
    truth = a_prediction()
    signs = torch.sign(torch.rand_like(truth.melanin_u) - 0.5)
    wrong = dataclasses.replace(truth, melanin_u=truth.melanin_u + size * signs)

    def cost(deviation):
        said = torch.full_like(truth.melanin_u_std, deviation)
        told = dataclasses.replace(wrong, melanin_u_std=said)
        return float(losses.supervised(told, as_targets(truth))["melanin_std"])

    assert cost(size) < min(cost(0.8 * size), cost(1.25 * size))
