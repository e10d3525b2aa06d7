"""Weights on disk: safetensors whose metadata holds all it takes to rebuild the model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from bioface.atomic import replacing
from bioface.errors import InputError
from bioface.learn.decoder import Decoder, DecoderConfig, learnable
from bioface.learn.encoder import Encoder, EncoderConfig
from bioface.learn.paper_network import PaperConfig, PaperEncoder

FORMAT = "bioface-weights"
VERSION = "1"
_ADVICE = "train new weights with bioface train, or use the ones that ship with this version"


@dataclass(frozen=True)
class TrainedModel:
    """A model read from a weight file, ready for inference.

    Attributes
    ----------
    encoder, decoder
        On the CPU, in evaluation mode, without gradients.
    config
        `kind` (`default` or `paper`), `encoder` and `decoder`, the dictionaries their configs were
        rebuilt from.
    metadata
        Everything else that was saved with the weights.
    sha256
        Of the file.
    """

    encoder: Encoder
    decoder: Decoder
    config: dict[str, Any]
    metadata: dict[str, Any]
    sha256: str


def save_weights(
    path: str | os.PathLike[str], encoder: Encoder, decoder: Decoder, **metadata: Any
) -> str:
    """Write both modules atomically, the encoder in half precision; returns the file's sha256.

    `metadata` is anything JSON can hold. The same weights and metadata give the same bytes.
    """
    tensors = {
        f"encoder.{name}": value.detach().cpu().half().contiguous()
        for name, value in encoder.state_dict().items()
    } | {
        f"decoder.{name}": value.detach().cpu().float().contiguous()
        for name, value in decoder.state_dict().items()
    }
    config = {
        "kind": "paper" if isinstance(encoder, PaperEncoder) else "default",
        "encoder": dataclasses.asdict(encoder.config),
        "decoder": dataclasses.asdict(decoder.config),
    }
    header = {
        "format": FORMAT,
        "version": VERSION,
        "config": json.dumps(config, sort_keys=True),
        "skin_model": decoder.config.skin,
        "metadata": json.dumps(metadata, sort_keys=True),
    }
    content = _sorted(save(tensors, header))
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _sorted(content: bytes) -> bytes:
    """The same file with its header in order: safetensors writes metadata in random order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def default_path() -> Path:
    """Where the weights that ship with the package are: the one such file in its folder."""
    folder = Path(str(resources.files("bioface") / "data" / "weights"))
    return next(iter(sorted(folder.glob("*.safetensors"))), folder / "release.safetensors")


def load_weights(path: str | os.PathLike[str] | None = None) -> TrainedModel:
    """Read a weight file; None means the one that ships with the package.

    Raises
    ------
    InputError
        Missing, not safetensors, damaged, not ours, or of another version.
    """
    source = default_path() if path is None else Path(path)
    try:
        content = source.read_bytes()
    except OSError as error:
        advice = "pass --weights FILE" if path is None else "check the path"
        raise InputError(
            f"{source}: weights cannot be read ({error.strerror}); {advice}"
        ) from error
    try:
        with safe_open(source, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise InputError(
            f"{source}: not a safetensors file, or a damaged one; {_ADVICE}"
        ) from error
    if header.get("format") != FORMAT:
        raise InputError(f"{source}: safetensors, but not BioFace weights; {_ADVICE}")
    if header.get("version") != VERSION:
        raise InputError(
            f"{source}: weights of format version {header.get('version')}, "
            f"this bioface reads version {VERSION}; {_ADVICE}"
        )
    try:
        config, metadata = json.loads(header["config"]), json.loads(header["metadata"])
        encoder = _encoder(config)
        encoder.load_state_dict(_part(tensors, "encoder."))
        decoder = _decoder(DecoderConfig.from_dict(config["decoder"]), _part(tensors, "decoder."))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{source}: weights do not match their config; {_ADVICE}") from error
    encoder.eval().requires_grad_(False)
    decoder.eval()
    return TrainedModel(encoder, decoder, config, metadata, hashlib.sha256(content).hexdigest())


def _encoder(config: dict[str, Any]) -> Encoder:
    """Of the kind that the config says; files of the first format version knew but one."""
    kind = config.get("kind", "default")
    if kind == "paper":
        return PaperEncoder(PaperConfig.from_dict(config["encoder"]))
    if kind != "default":
        raise ValueError(f"an encoder of kind {kind}")
    return Encoder(EncoderConfig.from_dict(config["encoder"]))


def _decoder(config: DecoderConfig, tensors: dict[str, torch.Tensor]) -> Decoder:
    """Leaves out constants that the skin model no longer has, where nothing was learned of them."""
    known = learnable(config.skin)
    present = torch.tensor([name in known for name in config.constants or ()])
    offsets = tensors["skin_offsets"]
    if bool((offsets[~present] != 0).any()):
        raise ValueError("constants were learned that the skin model does not have")
    kept = tuple(n for n, here in zip(config.constants or (), present, strict=True) if here)
    decoder = Decoder(dataclasses.replace(config, constants=kept))
    decoder.load_state_dict(tensors | {"skin_offsets": offsets[present]})
    return decoder


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
