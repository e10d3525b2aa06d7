import copy
import dataclasses

import pytest

torch = pytest.importorskip("torch")

from bioface.learn.decoder import Decoder  # noqa: E402
from bioface.learn.encoder import Prediction  # noqa: E402
from bioface.spectral.camera import CameraModel  # noqa: E402
from bioface.spectral.colour import apply_tone  # noqa: E402
from bioface.spectral.formation import Camera, decode  # noqa: E402
from bioface.spectral.illuminant import mix  # noqa: E402
from bioface.spectral.skin import SkinModel  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture
def prediction():
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape):
        return torch.rand(shape, generator=generator)

    return Prediction(
        melanin_u=uniform(2, 6, 5),
        haemoglobin_u=uniform(2, 6, 5),
        diffuse_shading=uniform(2, 6, 5),
        specular_shading=0.1 * uniform(2, 6, 5),
        mask=torch.ones(2, 6, 5),
        melanin_u_std=0.1 + uniform(2, 6, 5),
        haemoglobin_u_std=0.1 + uniform(2, 6, 5),
        b=uniform(2, 6) - 0.5,
        illuminant_weights=uniform(2, 14).softmax(1),
        daylight_kelvin=5000 + 3000 * uniform(2),
        gains=0.95 + 0.1 * uniform(2, 2),
        tone=0.1 * uniform(2, 2),
    )


def test_without_corrections_it_is_the_physics(prediction):
    decoder = Decoder()
    model = CameraModel.load(name="training")
    camera = Camera.from_coefficients(
        prediction.b, model=model, gains=prediction.gains, method="fitted"
    )
    maps = {
        "melanin": prediction.melanin,
        "haemoglobin": prediction.haemoglobin,
        "diffuse_shading": prediction.diffuse_shading,
        "specular_shading": prediction.specular_shading,
    }
    spd = mix(prediction.illuminant_weights, prediction.daylight_kelvin, validate=False)
    torch.testing.assert_close(decoder.render(prediction), decode(maps, spd, camera))
    torch.testing.assert_close(decoder.tone(prediction), prediction.tone)
    decoder.learn(True)
    torch.testing.assert_close(
        decoder.render(prediction), decode(maps, spd, camera), atol=1e-3, rtol=0
    )


def test_pretraining_moves_nothing_and_fine_tuning_everything(prediction):
    decoder = Decoder()
    assert not any(p.requires_grad for p in decoder.parameters())
    decoder.learn(True)
    (decoder.render(prediction).square().mean() + decoder.tone(prediction).sum()).backward()
    for parameter in decoder.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    assert decoder.camera_offsets.grad.abs().min() > 0


@pytest.mark.parametrize("value", [-50.0, 50.0])
def test_corrections_stay_in_bounds(prediction, value):
    decoder = Decoder()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.fill_(value)
    skin = decoder.skin()
    for name, (low, high) in SkinModel.load().bounds.items():
        assert low - 1e-4 <= float(skin.constants[name]) <= high + 1e-4, name
    mean = decoder.camera_model().mean
    torch.testing.assert_close(mean.sum(0), torch.ones(3))
    assert torch.isfinite(decoder.render(prediction)).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_tone_curve_rises_throughout(prediction, sign):
    decoder = Decoder()
    with torch.no_grad():
        decoder.tone_offset.fill_(50.0 * sign)
    ordinary = decoder.tone(prediction)
    assert torch.equal(ordinary, prediction.tone + 0.3 * torch.tanh(decoder.tone_offset))
    extreme = dataclasses.replace(prediction, tone=torch.tensor([[0.5, 0.85], [0.5, -0.85]]))
    tone = decoder.tone(extreme)
    assert tone[:, 1].abs().max() <= 0.9
    torch.testing.assert_close(tone[:, 0], torch.full((2,), 0.5 + 0.3 * sign))
    levels = torch.linspace(0, 1, 200)[:, None].expand(2, 200, 3)
    assert (apply_tone(levels, tone).diff(dim=1) >= 0).all()


def test_what_is_held_is_not_looked_at_again_until_it_learns(prediction):
    decoder = Decoder()
    before = decoder.render(prediction)
    decoder.hold()
    with torch.no_grad():
        decoder.skin_offsets.fill_(0.5)
    torch.testing.assert_close(decoder.render(prediction), before)
    decoder.learn(False)
    assert (decoder.render(prediction) - before).abs().max() > 1e-3


def test_smooth_camera_correction_is_small():
    decoder = Decoder()
    with torch.no_grad():
        decoder.camera_offsets[0, 0] = 50.0
    mean = torch.tensor(CameraModel.load(name="training").mean, dtype=torch.float32)
    ratio = decoder.camera_model().mean / mean.clamp_min(1e-9)
    assert ratio[mean > 1e-4].min() > 0.8
    assert ratio[mean > 1e-4].max() < 1.25


def test_learned_is_json_and_copies_are_independent():
    import json

    decoder = Decoder()
    other = copy.deepcopy(decoder)
    with torch.no_grad():
        other.skin_offsets.fill_(0.1)
        other.camera_offsets.fill_(0.1)
    learned = json.loads(json.dumps(decoder.learned()))
    assert all(
        entry["learned"] == pytest.approx(entry["calibrated"]) for entry in learned["skin"].values()
    )
    assert float(decoder.prior()) == float(decoder.skin_prior()) == 0
    assert float(other.prior()) > 0
    assert float(other.skin_prior()) > 1
