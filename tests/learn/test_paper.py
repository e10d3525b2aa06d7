import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from bioface.errors import InputError  # noqa: E402
from bioface.learn import paper, pretrain  # noqa: E402
from bioface.learn.decoder import Decoder, DecoderConfig  # noqa: E402
from bioface.learn.paper_network import PaperConfig, PaperEncoder  # noqa: E402
from bioface.learn.weights import load_weights, save_weights  # noqa: E402
from bioface.spectral.camera import CameraModel, raw_to_xyz  # noqa: E402
from bioface.spectral.colour import WHITE_XYZ  # noqa: E402

pytestmark = pytest.mark.torch


def test_the_published_network():
    encoder = PaperEncoder()
    first = encoder.levels[0]
    kinds = [type(layer).__name__ for layer in first]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU"] * 3
    assert [level[0].out_channels for level in encoder.levels] == [32, 64, 128, 256, 512]
    assert set(encoder.branches) == {"melanin", "haemoglobin", "diffuse", "specular", "mask"}


def test_any_size_and_a_batch_of_one():
    encoder = PaperEncoder(PaperConfig(widths=(4, 8, 8))).eval()
    with torch.no_grad():
        found = encoder(torch.rand(1, 3, 37, 50))
    assert found.melanin_u.shape == found.mask.shape == (1, 37, 50)
    assert found.b.shape == (1, 2)
    assert found.b.abs().max() <= 3
    assert 4000 <= float(found.daylight_kelvin) <= 25000
    torch.testing.assert_close(found.illuminant_weights.sum(1), torch.ones(1))
    assert torch.equal(found.gains, torch.ones(1, 2))
    assert torch.equal(found.tone, torch.zeros(1, 2))


def test_raw_to_xyz_is_looked_up_over_b():
    decoder = Decoder(paper.decoder_config("calibrated", "training"))
    b = torch.tensor([[0.31, -1.27], [2.4, 0.9], [-3.0, 3.0]])
    model = CameraModel.load(2, name="training")
    expected = raw_to_xyz(model.sensitivities(b))
    found = decoder._looked_up(b, "pseudo_inverse")
    torch.testing.assert_close(found, expected.float(), atol=5e-3, rtol=0)
    white = torch.tensor(np.array(WHITE_XYZ), dtype=torch.float32).expand(3, 3)
    torch.testing.assert_close(found.sum(2), white)
    with pytest.raises(InputError, match="needs two components, not 6"):
        DecoderConfig(lookup=51)


def test_pretraining_does_not_go_on_from_its_weights(pack_path, tmp_path):
    weights = tmp_path / "paper.safetensors"
    decoder = Decoder(paper.decoder_config("calibrated", "training"))
    save_weights(weights, PaperEncoder(PaperConfig(widths=(4, 8))), decoder)
    with pytest.raises(InputError, match=r"paper\.safetensors: weights of --config paper"):
        pretrain.pretrain(
            pretrain.PretrainOptions(pack_path, tmp_path / "run", weights=weights, steps=1, size=32)
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_it_trains_and_its_weights_come_back(pack_path, tmp_path, monkeypatch):
    def small(**values):
        return PaperConfig(widths=(4, 8, 12), **values)

    monkeypatch.setattr(pretrain, "PaperConfig", small)
    monkeypatch.setattr("bioface.learn.callbacks.LOG_EVERY", 1)
    options = pretrain.PretrainOptions(
        pack_path, tmp_path / "run", config="paper", steps=60, size=32, batch=4, evaluate=8
    )
    assert options.learning_rate == paper.LEARNING_RATE
    pretrain.pretrain(options)
    lines = (tmp_path / "run" / "log.csv").read_text().splitlines()
    column = lines[0].split(",").index("appearance")
    losses = [float(line.split(",")[column]) for line in lines[1:]]
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    model = load_weights(tmp_path / "run" / "weights.safetensors")
    assert model.config["kind"] == "paper"
    assert isinstance(model.encoder, PaperEncoder)
    assert model.decoder.config.lookup == paper.LOOKUP
    with pytest.raises(InputError, match="leave out --weights"):
        pretrain.PretrainOptions(
            pack_path, tmp_path, config="paper", weights=tmp_path / "run" / "weights.safetensors"
        )
