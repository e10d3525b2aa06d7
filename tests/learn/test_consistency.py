import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from bioface.errors import InputError  # noqa: E402
from bioface.learn import consistency  # noqa: E402
from bioface.learn.consistency import KINDS, Changes  # noqa: E402
from bioface.learn.decoder import Decoder  # noqa: E402
from bioface.learn.encoder import Encoder, EncoderConfig  # noqa: E402
from bioface.learn.parallel import share  # noqa: E402
from bioface.learn.photo_losses import (  # noqa: E402
    INGREDIENTS,
    WEIGHTS_OF_LOSSES,
    PhotoBatch,
    check_ingredients,
    departure,
    photo_losses,
)
from bioface.spectral.colour import apply_tone, srgb_decode  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def scene():
    """Encoder, decoder, and photos that are exactly what the encoder reads from them."""
    torch.manual_seed(0)
    encoder = Encoder(
        EncoderConfig(widths=(16, 24), blocks=(1, 1), fusion=8, glances=3, scene=32)
    ).eval()
    decoder = Decoder()
    with torch.no_grad():
        prediction = encoder(torch.rand(6, 3, 32, 32) * 0.3 + 0.3)
        photo = apply_tone(decoder.render(prediction), decoder.tone(prediction))
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 32)] * 2, indexing="ij")
    mask = (x**2 + y**2 < 0.6).float().expand(6, 32, 32)
    return encoder, decoder, prediction, photo.permute(0, 3, 1, 2).contiguous(), mask


def test_draws_depend_on_seed_and_step_alone():
    one, same, other = (Changes.draw(12, 6, 3, step) for step in (5, 5, 6))
    assert all(torch.equal(getattr(one, name), getattr(same, name)) for name in vars(one))
    assert not torch.equal(one.gains, other.gains)
    assert one.kind.bincount(minlength=6).tolist() == [2] * 6
    assert set(Changes.draw(12, 6, 0, 0, ("flip", "relight")).kind.tolist()) == {0, 4}
    torch.testing.assert_close(one.illuminant_weights.sum(1), torch.ones(12))
    corners = torch.tensor([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)])
    assert (one.move @ corners.T).abs().max() <= 1.05  # what is sampled was in the picture


def test_each_change_does_what_it_says(scene):
    _, decoder, prediction, photo, mask = scene
    changes = Changes.draw(6, 6, 0, 0)
    changes = dataclasses.replace(changes, kind=torch.arange(6))
    still = changes.move.clone()
    still[:] = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    still[0, 0, 0] = -1
    changes = dataclasses.replace(changes, move=still)
    result = consistency.changed(photo, mask, prediction, decoder, changes)
    torch.testing.assert_close(result[0], photo[0].flip(-1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result[1], photo[1], atol=1e-5, rtol=1e-4)
    ratio = srgb_decode(result[2]) / srgb_decode(photo[2])
    assert ratio.std() < 1e-3
    assert 0.5 <= float(ratio.mean()) <= 2.0
    ratio = (srgb_decode(result[3]) / srgb_decode(photo[3])).flatten(1).median(1).values
    expected = torch.tensor([changes.gains[3, 0], 1.0, changes.gains[3, 1]])
    torch.testing.assert_close(ratio, expected, atol=2e-3, rtol=0)
    for k in (4, 5):
        assert (result[k] - photo[k]).abs().max() > 5e-4
    new = dataclasses.replace(prediction, b=changes.b)
    rendered = apply_tone(decoder.render(new), decoder.tone(new))[5].permute(2, 0, 1).detach()
    inside = mask[5] > 0
    torch.testing.assert_close(result[5][:, inside], rendered[:, inside], atol=5e-3, rtol=0)


def test_the_same_reading_costs_nothing_and_another_one_its_square(scene):
    _, _, prediction, _, mask = scene
    changes = Changes.draw(6, 6, 0, 1)
    maps = consistency.moved(
        torch.stack([prediction.melanin_u, prediction.haemoglobin_u], 1), changes
    )
    same = dataclasses.replace(prediction, melanin_u=maps[:, 0], haemoglobin_u=maps[:, 1])
    assert max(consistency.consistency(prediction, same, mask, changes).values()) < 1e-9
    off = dataclasses.replace(same, melanin_u=maps[:, 0] + 0.1)
    found = consistency.consistency(prediction, off, mask, changes)
    assert set(found) == set(KINDS)
    assert all(float(value) == pytest.approx(0.01, rel=1e-3) for value in found.values())


@pytest.mark.parametrize("kinds", [KINDS, ("flip", "crop", "balance", "relight")])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_agree_with_one(scene, kinds, world):
    """The mean of what they find is that over all photos of a kind."""
    _, _, prediction, _, mask = scene
    changes = Changes.draw(6, 6, 0, 1, kinds)
    offset = 0.1 * torch.arange(1, 7)
    maps = consistency.moved(
        torch.stack([prediction.melanin_u, prediction.haemoglobin_u], 1), changes
    )
    after = dataclasses.replace(
        prediction, melanin_u=maps[:, 0] + offset[:, None, None], haemoglobin_u=maps[:, 1]
    )
    parts = [
        consistency.consistency(*share((prediction, after, mask, changes), rank, world))
        for rank in range(world)
    ]
    for k, kind in enumerate(KINDS):
        mean = torch.stack([part[kind] for part in parts]).mean()
        expected = offset[changes.kind == k].square().mean() if kind in kinds else 0
        assert float(mean) == pytest.approx(float(expected), rel=1e-3)


def batch_of(photo, mask, step=0):
    return PhotoBatch(photo, mask, mask * 0.5, Changes.draw(len(photo), 6, 0, step))


def test_every_ingredient_can_be_left_out(scene):
    encoder, decoder, _, photo, mask = scene
    found = photo_losses(encoder, decoder, encoder, batch_of(photo, mask), 0)
    assert set(found) == set(WEIGHTS_OF_LOSSES) - {"replay", "recall"}
    assert all(torch.isfinite(value) for value in found.values())
    for name in INGREDIENTS:
        less = photo_losses(encoder, decoder, encoder, batch_of(photo, mask), 0, (name,))
        of_others = {"stops": {"chroma"}, "decoder": set(), "replay": set(), "recall": set()}
        gone = of_others.get(name, {name})
        assert set(found) - set(less) == gone, name
    with pytest.raises(InputError, match="--without shade: no such ingredient; choose from appear"):
        check_ingredients(("shade",))


@pytest.mark.parametrize("name", ["melanin_u", "haemoglobin_u", "specular_shading"])
def test_pigments_and_gloss_are_held(scene, name):
    """What they were costs nothing, another value its square; gloss counts by its root."""
    _, _, prediction, _, mask = scene
    assert departure(prediction, prediction, mask) == 0
    value = getattr(prediction, name)
    new = (value.sqrt() + 0.1).square() if name == "specular_shading" else value + 0.1
    moved_away = dataclasses.replace(prediction, **{name: new})
    assert float(departure(moved_away, prediction, mask)) == pytest.approx(0.01, rel=1e-2)


def test_shadows_are_not_read_as_melanin(scene):
    """A photo half in shadow pulls at shading, and at the pigments only without the stops."""
    encoder, decoder, prediction, photo, mask = scene
    dark = torch.ones(32)
    dark[16:] = 0.5
    from bioface.spectral.colour import srgb_encode

    photo = srgb_encode(srgb_decode(photo) * dark)

    def pull(without):
        moving = dataclasses.replace(
            prediction,
            melanin_u=prediction.melanin_u.clone().requires_grad_(),
            diffuse_shading=prediction.diffuse_shading.clone().requires_grad_(),
        )
        losses = photo_losses(
            lambda _: moving,
            decoder,
            encoder,
            batch_of(photo, mask),
            0,
            (*KINDS, "anchor", *without),
        )
        total = losses["appearance"] + losses.get("chroma", 0)
        return torch.autograd.grad(total, [moving.melanin_u, moving.diffuse_shading])

    with_stops, without = pull(()), pull(("stops",))
    assert with_stops[0].abs().sum() < 0.1 * without[0].abs().sum()
    torch.testing.assert_close(with_stops[1], without[1], rtol=1e-3, atol=1e-6)


def test_processes_share_nested_batches(scene):
    _, _, _, photo, mask = scene
    whole = (batch_of(photo, mask), None)
    parts = [share(whole, rank, 2) for rank in range(2)]
    assert parts[0][1] is None
    assert torch.equal(parts[1][0].photo, photo[1::2])
    assert torch.equal(parts[0][0].changes.kind, whole[0].changes.kind[::2])
    assert np.prod(parts[0][0].changes.move.shape) == 3 * 6
