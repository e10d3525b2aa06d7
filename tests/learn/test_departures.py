import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from bioface.learn import departures as module
from bioface.learn.conditions import RelightConfig
from bioface.learn.degrade import DegradeConfig, degrade
from bioface.learn.departures import (
    GRAIN_OF_BRIGHTNESS,
    GRAIN_POWER,
    draw_departures,
    with_grain,
)
from bioface.learn.relight import Relighter
from bioface.packed import read_packed
from bioface.spectral.formation import Camera
from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

pytestmark = pytest.mark.torch

COUNT = 400
INDIRECT = ("on_skin", "on_others", "mirrored")


def drawn(share=1.0, melanin_u=0.5, **options):
    u = torch.full((COUNT,), melanin_u)
    rng = np.random.default_rng(0)
    return draw_departures(share, u, torch.full_like(u, 0.4), SkinModel.load(), rng, **options)


def test_light_by_way_of_skin_lacks_blue_and_the_more_so_the_darker_it_is():
    blue, red = (int(np.flatnonzero(nm == WAVELENGTHS)[0]) for nm in (450, 650))
    light, dark = (drawn(melanin_u=u, off_model=0.0) for u in (0.0, 1.0))
    assert (light.skin == 1).all()
    for name in INDIRECT:
        of_light, of_dark = getattr(light, name), getattr(dark, name)
        assert (of_light[:, blue] <= of_light[:, red]).all()
        assert of_dark[:, blue].mean() < of_light[:, blue].mean() < 1
    # Eyes and hair see more of it than open skin does.
    on_skin, on_others, _ = light.shares.median(0).values
    assert on_others > 2 * on_skin


def test_only_a_share_departs_and_the_others_are_untouched():
    found = drawn(share=0.3)
    departing = found.departing > 0
    assert 0.2 < departing.float().mean() < 0.4
    for name in INDIRECT:
        factors = getattr(found, name)
        assert (factors[~departing] == 1).all()
        assert (factors[departing] != 1).any(1).all()


def test_off_the_model_skin_varies_as_measured_residuals_do():
    """The sd of the log factor by band; ISSA's people who teach it have 0.12 at 440 nm (docs)."""
    skin = np.log(drawn().skin.numpy())
    assert 0.05 < skin.std(0)[4] < 0.25
    assert 0.01 < skin.std(0)[24] < 0.15


@pytest.fixture
def truth(monkeypatch):
    """Draws four photos of a pack with given departures, the exposure held for comparison."""
    monkeypatch.setattr(Relighter, "_exposure", lambda self, raw, *_: torch.full((len(raw),), 0.5))
    config = dataclasses.replace(RelightConfig.clean(), departing=1.0, two_lights=0.0)

    def draw(path, size, *factors, shares=(1.0, 1.0, 1.0), grain=0.0):
        def fixed(share, melanin_u, *_):
            rows = [torch.as_tensor(f, dtype=torch.float32).expand(4, 33) for f in factors]
            return module.Departures(
                *rows,
                shares=torch.tensor(shares).expand(4, 3),
                reflectance=torch.full((4, 33), 0.3),
                grain=torch.full_like(melanin_u, grain),
                departing=torch.ones_like(melanin_u),
            )

        monkeypatch.setattr("bioface.learn.relight.draw_departures", fixed)
        relighter = Relighter(read_packed(path), size, config=config)
        return relighter.draw(np.arange(4), np.random.default_rng(0))

    return draw


@pytest.mark.parametrize("size", [24, 64])  # few pixels, and enough for compiled loops
def test_departures_colour_skin_and_indirect_light_each_by_its_factor(pack_path, truth, size):
    whole = truth(pack_path, size, 1.0, 1.0, 1.0, 1.0)[1].linear
    lost = [
        whole - truth(pack_path, size, 1.0, *(0.5 if k == one else 1.0 for k in range(3)))[1].linear
        for one in range(3)
    ]
    torch.testing.assert_close(2 * sum(lost), whole, atol=1e-5, rtol=1e-3)
    assert all(part.abs().max() > 0.005 for part in lost)

    ramp = np.linspace(0.6, 1.4, 33)
    found = truth(pack_path, size, ramp, 1.0, 1.0, ramp[::-1].copy(), shares=(0.1, 0.3, 1.0))[1]
    camera = Camera(found.sensitivities.double().numpy(), found.gains.double().numpy(), "fitted")
    projection = camera.projection(found.spd.double().numpy())
    fractions = (
        from_unit(getattr(found, f"{name}_u").double().numpy(), bounds).clip(0, 1)
        for name, bounds in (("melanin", MELANIN_RANGE), ("haemoglobin", HAEMOGLOBIN_RANGE))
    )
    diffuse, specular = found.diffuse_shading.numpy(), found.specular_shading.numpy()
    reflected = SkinModel.load().reflectance(*fractions) * ramp * diffuse[..., None]
    light = reflected + ramp[::-1] * specular[..., None]
    expected = np.einsum("bhxw,bwc->bhxc", light, projection)
    skin = (found.mask > 0.999).numpy()
    np.testing.assert_allclose(found.linear.numpy()[skin], expected[skin], atol=2e-3, rtol=5e-3)


@pytest.mark.parametrize("size", [24, 64])
def test_packs_say_where_light_is_indirect(pack_path, indirect_pack_path, truth, size):
    """Light that others took all of is missing by its stored share, or by one for each kind."""
    whole = truth(pack_path, size, 1.0, 1.0, 1.0, 1.0)[1]
    skin = (whole.mask > 0.999) & (whole.linear.sum(-1) > 0.01)

    def lost(path, *factors, **options):
        found = truth(path, size, 1.0, *factors, **options)[1].linear
        return (1 - found.sum(-1) / whole.linear.sum(-1))[skin]

    even = lost(pack_path, 0.0, 0.0, 0.0, shares=(0.1, 0.3, 0.1))
    torch.testing.assert_close(even, torch.full_like(even, 0.1), atol=1e-4, rtol=0)
    stored = lost(indirect_pack_path, 0.0, 0.0, 0.0)
    assert stored.min() < 0.25
    assert stored.max() > 0.35
    rows = torch.arange(size)[:, None].expand(size, size).expand_as(whole.mask)[skin]
    only_scattered = lost(indirect_pack_path, 0.0, 0.0, 1.0)
    upper, lower = (only_scattered[part].mean() for part in (rows < size // 2, rows >= size // 2))
    assert lower > 1.2 * upper


def test_targets_say_which_photos_depart_and_tests_have_none(pack_path):
    packed = read_packed(pack_path)
    config = dataclasses.replace(RelightConfig(), departing=0.5)
    indices = np.arange(40) % len(packed)
    truth = Relighter(packed, 16, config=config).draw(indices, np.random.default_rng(1))[1]
    departing = truth.departing > 0
    assert departing.any()
    assert not departing.all()
    explained = truth.explained()
    assert (explained[departing] == 0).all()
    assert torch.equal(explained[~departing], truth.mask[~departing])
    for config in (RelightConfig.clean(), RelightConfig.full()):
        truth = Relighter(packed, 16, config=config).draw(indices, np.random.default_rng(1))[1]
        assert not truth.departing.any()


def test_grain_keeps_the_mean_and_shows_more_where_it_is_dark():
    level = torch.tensor([0.05, 0.4]).repeat_interleave(64)
    linear = level.expand(3, 3, 128, 128).contiguous()
    deviation = torch.tensor([0.0, 0.1, 0.1])
    seen = with_grain(linear, deviation, np.random.default_rng(0))
    assert torch.equal(seen, with_grain(linear, deviation, np.random.default_rng(0)))
    assert torch.equal(seen[0], linear[0])
    grain = (seen[1:] / linear[1:] - 1).flatten(2)
    assert abs(grain.mean()) < 0.002
    dark, light = (
        grain.unflatten(2, (128, 128))[..., part] for part in (slice(64), slice(64, 128))
    )
    middling = level.mean()
    for part, own in ((dark, 0.05), (light, 0.4)):
        expected = 0.1 * (own / middling) ** -GRAIN_POWER
        assert float(part.std()) == pytest.approx(float(expected), rel=0.03)
    between = torch.corrcoef(light[0].flatten(1))
    assert float(between[0, 2]) == pytest.approx(GRAIN_OF_BRIGHTNESS, abs=0.02)
    assert with_grain(linear, torch.zeros(3), np.random.default_rng(0)) is linear


def test_a_third_of_departing_photos_show_grain_and_no_truth_does(pack_path, truth):
    found = drawn(share=0.5)
    grained = found.grain > 0
    assert not grained[found.departing == 0].any()
    assert 0.2 < grained[found.departing > 0].float().mean() < 0.45
    (smooth, exact), (noisy, _), (grainy, same) = (
        truth(pack_path, 24, 1.0, 1.0, 1.0, 1.0, grain=grain) for grain in (0.0, 1e-9, 0.15)
    )
    assert torch.equal(exact.linear, same.linear)
    skin = (exact.mask > 0.999)[:, None].expand_as(smooth)
    noise = (noisy - smooth)[skin].abs().mean()
    assert (grainy - smooth)[skin].abs().mean() > 2 * noise


def test_noise_may_be_without_colour_and_black_backgrounds_are_black():
    grey, nothing = torch.full((6, 3, 32, 32), 0.2), torch.zeros(6, 32, 32)
    config = dataclasses.replace(DegradeConfig.clean(), noise_percent=(3.0, 3.0))

    def photo(linear, coverage, **changes):
        changed = dataclasses.replace(config, **changes)
        return degrade(linear, coverage, changed, np.random.default_rng(0))[0]

    everywhere = torch.ones_like(nothing)
    noisy = photo(grey, everywhere, grey_noise_share=1.0)
    assert torch.equal(noisy[:, 0], noisy[:, 1])
    assert torch.equal(noisy[:, 0], noisy[:, 2])
    assert noisy[:, 0].std() > 0.02
    coloured = photo(grey, everywhere)
    assert not torch.equal(coloured[:, 0], coloured[:, 1])
    black = photo(0 * grey, nothing, noise_percent=(0.0, 0.0), black_share=1.0)
    assert not black.any()
    assert photo(0 * grey, nothing, noise_percent=(0.0, 0.0)).any()
