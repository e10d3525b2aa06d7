"""A public-domain portrait, weights of an untrained network, and an estimate made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bioface.photo.network import Reading
from bioface.photo.result import Estimate, FaceEstimate
from bioface.spectral.camera import CameraModel
from bioface.spectral.formation import decode
from bioface.spectral.illuminant import NAMES, illuminant
from bioface.spectral.skin import SkinModel


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """(512, 512, 3) uint8; the face's landmarks span about (179, 87) to (271, 178)."""
    data = pytest.importorskip("skimage.data")
    return data.astronaut()


@pytest.fixture(scope="session")
def portrait(astronaut) -> np.ndarray:
    """The portrait's head and shoulders alone, (200, 200, 3) uint8."""
    return np.ascontiguousarray(astronaut[30:230, 125:325])


@pytest.fixture(scope="session")
def encoder():
    """A small untrained network."""
    torch = pytest.importorskip("torch")
    from bioface.learn.encoder import Encoder, EncoderConfig

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = EncoderConfig(
            widths=(8, 16), blocks=(1, 1), fusion=8, glances=3, scene=32, size=64
        )
        return Encoder(config).eval()


@pytest.fixture
def reading() -> Reading:
    """A face of 24 x 24 pixels, lit from above, whose right half is no skin."""
    side = 24
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    maps = {
        "melanin_u": 0.3 + 0.2 * x,
        "haemoglobin_u": 0.4 + 0.1 * rng.random((side, side)),
        "diffuse_shading": 0.3 + 0.4 * y,
        "specular_shading": 0.05 * rng.random((side, side)),
        "mask": np.where(x < 0.5, 1.0, 0.1),
    }
    return Reading(
        **{name: np.asarray(value, np.float32) for name, value in maps.items()},
        illuminant_weights=np.eye(len(NAMES))[1],
        daylight_kelvin=5200.0,
        b=np.zeros(6),
        sensitivities=CameraModel.load().sensitivities(np.zeros(6)),
        gains=np.array([1.05, 0.97]),
        tone=np.array([0.1, 0.2]),
        method="fitted",
    )


@pytest.fixture(scope="session")
def weights(tmp_path_factory, encoder):
    """A weight file of the small untrained network."""
    from bioface.learn.decoder import Decoder
    from bioface.learn.weights import save_weights

    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_weights(path, encoder, Decoder())
    return path


@pytest.fixture(scope="session")
def onnx_weights(weights, tmp_path_factory):
    """The same network as `bioface export onnx` writes it."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from bioface.cli import main

    path = tmp_path_factory.mktemp("onnx") / "untrained.onnx"
    assert main(["export", "onnx", "--weights", str(weights), "--out", str(path)]) == 0
    return path


@pytest.fixture
def by_hand() -> tuple[np.ndarray, Estimate]:
    """A 40x60 picture (sRGB floats) and an estimate of one face that explains part of it."""
    rng = np.random.default_rng(0)
    shape = (40, 60)
    model = CameraModel.load()
    b = np.linspace(-0.5, 0.5, len(model.deviations))
    spd = illuminant("D65")
    face = FaceEstimate(
        box=(15.0, 5.0, 45.0, 35.0),
        landmarks=rng.uniform(5, 45, (68, 2)).round(2),
        skin={"melanin_median": 0.1, "haemoglobin_median": 0.01, "pixels": 100},
        illuminant_weights={name: float(name == "D") for name in NAMES},
        daylight_kelvin=6504.0,
        spd=spd,
        b=b,
        sensitivities=np.asarray(model.sensitivities(b)),
        gains=np.array([1.02, 0.97]),
        tone=np.array([0.1, 0.2]),
    )
    mask = np.zeros(shape, np.float32)
    mask[8:32, 18:42] = 1
    mask[8, :] *= 0.5
    skin = SkinModel.load()
    maps = {
        "melanin": rng.uniform(0.05, 0.2, shape),
        "haemoglobin": rng.uniform(0.005, 0.03, shape),
        "diffuse_shading": rng.uniform(0.5, 1.2, shape),
        "specular_shading": rng.uniform(0.0, 0.1, shape),
    }
    maps = {name: (plane * (mask > 0)).astype(np.float32) for name, plane in maps.items()}
    explained = decode(maps, spd, face.camera, skin=skin, path="exact") * (mask > 0)[..., None]
    maps |= {
        "mask": mask,
        "albedo": explained.astype(np.float32),
        "reconstruction": explained.astype(np.float32),
        "melanin_std": 0.2 * maps["melanin"],
        "haemoglobin_std": 0.1 * maps["haemoglobin"],
    }
    estimate = Estimate(maps, (face,), skin, "0" * 64)
    photo = (rng.integers(0, 256, (*shape, 3)) / 255).astype(np.float32)
    return photo, estimate
