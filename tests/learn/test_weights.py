import json

import pytest

torch = pytest.importorskip("torch")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from bioface.errors import InputError  # noqa: E402
from bioface.learn.decoder import Decoder, DecoderConfig  # noqa: E402
from bioface.learn.encoder import Encoder, EncoderConfig  # noqa: E402
from bioface.learn.weights import load_weights, save_weights  # noqa: E402

pytestmark = pytest.mark.torch

SMALL = EncoderConfig(widths=(8, 16), blocks=(1, 1), fusion=8, glances=3, scene=32, size=32)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    decoder = Decoder()
    with torch.no_grad():
        decoder.tone_offset[0] = 0.5
    return Encoder(SMALL).eval(), decoder


def test_round_trip(model, tmp_path):
    encoder, decoder = model
    digest = save_weights(tmp_path / "a.safetensors", encoder, decoder, stage="test")
    loaded = load_weights(tmp_path / "a.safetensors")
    assert loaded.sha256 == digest
    assert loaded.metadata == {"stage": "test"}
    assert loaded.encoder.config == SMALL
    assert loaded.decoder.config == decoder.config
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(
        loaded.encoder(image).melanin_u, encoder(image).melanin_u, atol=5e-3, rtol=0
    )
    torch.testing.assert_close(loaded.decoder.tone_offset, decoder.tone_offset)
    assert not any(p.requires_grad for p in loaded.encoder.parameters())


def test_same_weights_same_bytes(model, tmp_path):
    first = save_weights(tmp_path / "a.safetensors", *model, stage="test")
    assert save_weights(tmp_path / "b.safetensors", *model, stage="test") == first


def rewrite(source, target, **header):
    with safe_open(source, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        save_file(tensors, target, file.metadata() | header)


def test_another_version_is_refused_by_name(model, tmp_path):
    save_weights(tmp_path / "a.safetensors", *model)
    rewrite(tmp_path / "a.safetensors", tmp_path / "b.safetensors", version="7")
    with pytest.raises(InputError, match=r"b\.safetensors: weights of format version 7"):
        load_weights(tmp_path / "b.safetensors")


def test_weights_that_do_not_match_their_config(model, tmp_path):
    save_weights(tmp_path / "a.safetensors", *model)
    config = json.dumps({"encoder": {"widths": [8]}, "decoder": {}})
    rewrite(tmp_path / "a.safetensors", tmp_path / "b.safetensors", config=config)
    with pytest.raises(InputError, match="do not match their config"):
        load_weights(tmp_path / "b.safetensors")


def test_weights_of_the_time_before_the_training_cameras(model, tmp_path):
    save_weights(tmp_path / "a.safetensors", *model)
    assert load_weights(tmp_path / "a.safetensors").decoder.config.cameras == "training"
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
    del config["decoder"]["cameras"]
    rewrite(tmp_path / "a.safetensors", tmp_path / "b.safetensors", config=json.dumps(config))
    assert load_weights(tmp_path / "b.safetensors").decoder.config.cameras == "all"


def test_constants_that_the_skin_model_lost(model, tmp_path):
    encoder, _ = model
    names = (*Decoder().constants, "a_constant_of_the_past")
    decoder = Decoder(DecoderConfig(constants=names))
    save_weights(tmp_path / "a.safetensors", encoder, decoder)
    assert (
        "a_constant_of_the_past" not in load_weights(tmp_path / "a.safetensors").decoder.constants
    )
    with torch.no_grad():
        decoder.skin_offsets.fill_(0.1)
    save_weights(tmp_path / "b.safetensors", encoder, decoder)
    with pytest.raises(InputError, match="do not match"):
        load_weights(tmp_path / "b.safetensors")


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04" + bytes(200)])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.pt: not a safetensors file"):
        load_weights(path)


def test_a_truncated_file_is_refused(model, tmp_path):
    save_weights(tmp_path / "a.safetensors", *model)
    content = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"):
        load_weights(tmp_path / "a.safetensors")


def test_safetensors_of_others_and_missing_files(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="not BioFace weights"):
        load_weights(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="No such file"):
        load_weights(tmp_path / "y.safetensors")
