import dataclasses
import json

import pytest

torch = pytest.importorskip("torch")

from bioface.learn.encoder import Encoder, EncoderConfig, Known  # noqa: E402

pytestmark = pytest.mark.torch

SMALL = EncoderConfig(widths=(16, 24, 32), blocks=(1, 1, 1), fusion=8, glances=3, scene=32, size=32)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    net = Encoder(SMALL).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net


def a_known(given, seed=0):
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(2, SMALL.components, generator=generator)
    spd = 0.1 + torch.rand(2, 33, generator=generator)
    gains = 1 + 0.1 * torch.rand(2, 2, generator=generator)
    return Known(b, spd, gains, torch.tensor([given, given], dtype=torch.float32))


def test_only_what_is_given_changes_the_reading():
    torch.manual_seed(0)
    encoder = Encoder(SMALL).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    images = torch.rand(2, 3, 32, 32)
    alone = encoder(images)
    untold = encoder(images, a_known([0, 0, 0], seed=1))
    torch.testing.assert_close(alone.melanin_u, untold.melanin_u)
    for i in range(3):
        given = [float(k == i) for k in range(3)]
        readings = [encoder(images, a_known(given, seed=seed)).melanin_u for seed in (0, 1)]
        assert not torch.allclose(alone.melanin_u, readings[0])
        assert not torch.allclose(*readings)


def test_normals_change_the_reading_where_they_are_known():
    torch.manual_seed(0)
    encoder = Encoder(SMALL).eval()
    images = torch.rand(2, 3, 37, 50)
    normals = torch.zeros(2, 3, 37, 50)
    normals[1, 2] = 1
    told = dataclasses.replace(a_known([0, 0, 0]), normals=normals)
    fresh = encoder(images).melanin_u
    torch.testing.assert_close(encoder(images, told).melanin_u, fresh)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    alone, knowing = encoder(images).melanin_u, encoder(images, told).melanin_u
    torch.testing.assert_close(knowing[0], alone[0])
    assert not torch.allclose(knowing[1], alone[1])


def test_normals_of_mirrored_photos_are_mirrored():
    normals = torch.zeros(2, 3, 4, 4)
    normals[:, 0, :, 0] = 1
    known = dataclasses.replace(a_known([1, 1, 0]), normals=normals).with_mirrored()
    assert torch.equal(known.normals[2:, 0, :, 3], -torch.ones(2, 4))
    assert torch.equal(known.normals[:2], normals)
    assert torch.equal(known.b[2:], known.b[:2])
    assert a_known([1, 1, 0]).with_mirrored().normals is None


def test_a_network_from_before_normals_says_that_it_cannot_be_told():
    values = dataclasses.asdict(SMALL)
    del values["normals"]
    encoder = Encoder(EncoderConfig.from_dict(json.loads(json.dumps(values))))
    told = dataclasses.replace(a_known([0, 0, 0]), normals=torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match="told normals"):
        encoder(torch.rand(2, 3, 32, 32), told)


def test_the_scale_of_a_known_illuminant_does_not_matter(encoder):
    known = a_known([0, 1, 0])
    brighter = dataclasses.replace(known, spd=7 * known.spd)
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(encoder(images, known).b, encoder(images, brighter).b)


@pytest.mark.parametrize("shape", [(1, 32, 32), (2, 37, 81), (1, 5, 9), (1, 1, 1)])
def test_every_image_size_and_a_batch_of_one(encoder, shape):
    count, height, width = shape
    prediction = encoder(torch.rand(count, 3, height, width))
    for name in ("melanin_u", "haemoglobin_u", "diffuse_shading", "specular_shading", "mask"):
        assert getattr(prediction, name).shape == (count, height, width)
    assert prediction.melanin_u_std.shape == prediction.haemoglobin_u_std.shape
    assert prediction.b.shape == (count, SMALL.components)
    assert prediction.gains.shape == prediction.tone.shape == (count, 2)


def test_an_image_reads_the_same_alone_and_in_a_batch(encoder):
    images = torch.rand(3, 3, 32, 32)
    together = encoder(images)
    alone = encoder(images[1:2])
    for name in ("melanin_u", "diffuse_shading", "b", "daylight_kelvin"):
        torch.testing.assert_close(getattr(alone, name)[0], getattr(together, name)[1])


@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_outputs_are_physical(encoder, extreme):
    prediction = encoder(torch.full((1, 3, 32, 32), extreme))
    assert 0 < prediction.melanin.min() <= prediction.melanin.max() < 1
    assert 0 < prediction.haemoglobin.min() <= prediction.haemoglobin.max() < 0.1
    assert (prediction.diffuse_shading > 0).all()
    assert (prediction.specular_shading >= 0).all()
    assert (prediction.mask.min() >= 0) & (prediction.mask.max() <= 1)
    assert prediction.b.abs().max() <= 3
    torch.testing.assert_close(prediction.illuminant_weights.sum(1), torch.ones(1))
    assert 4000 <= prediction.daylight_kelvin <= 25000
    assert (prediction.tone[:, 1].abs() < 0.9).all()
    assert all(torch.isfinite(value).all() for value in vars(prediction).values())


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    net = Encoder(SMALL)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    known = dataclasses.replace(a_known([1, 1, 1]), normals=torch.rand(2, 3, 32, 32))
    prediction = net(torch.rand(2, 3, 32, 32), known)
    sum(value.square().mean() for value in vars(prediction).values()).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_default_encoder_is_small():
    assert sum(p.numel() for p in Encoder().parameters()) <= 5.8e6


def test_config_survives_json():
    config = EncoderConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(SMALL))))
    assert config == SMALL
