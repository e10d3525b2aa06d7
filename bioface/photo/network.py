"""The encoder seen from numpy, run by torch or by onnxruntime: a crop in, maps, light, camera out.

Which of the two runs is chosen when weights are loaded (`load_network`); what they answer differs
by rounding alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

import numpy as np

from bioface.errors import InputError, MissingDependencyError, install_advice
from bioface.photo.known import NOTHING, KnownScene
from bioface.spectral.camera import Method
from bioface.spectral.skin import SkinModel
from bioface.spectral.tables import DATA

if TYPE_CHECKING:
    from bioface.learn.weights import TrainedModel

Runtime = Literal["auto", "torch", "onnx"]
RUNTIMES: tuple[Runtime, ...] = ("auto", "torch", "onnx")

MULTIPLE = 32
"""Sides of the crops that are read are multiples of this, so that no network pads them."""

WEIGHTS = DATA / "weights"
"""Where the weights that ship with the package lie."""


@dataclass(frozen=True)
class Reading:
    """What the network says about one crop; float64 where not said otherwise.

    Attributes
    ----------
    melanin_u, haemoglobin_u, diffuse_shading, specular_shading, mask
        (h, w) float32; pigments in u.
    illuminant_weights
        (14,) in the order of `bioface.spectral.illuminant.NAMES`, sum 1.
    daylight_kelvin
        K.
    b
        (N,) camera coefficients.
    sensitivities
        (33, 3) of that camera by the decoder's camera model.
    gains, tone
        (2,) each, the decoder's default tone included.
    method
        How raw becomes XYZ.
    melanin_u_std, haemoglobin_u_std
        (h, w) float32 standard deviation of the pigments' error, in u; both None from a network
        that does not say.
    """

    melanin_u: np.ndarray
    haemoglobin_u: np.ndarray
    diffuse_shading: np.ndarray
    specular_shading: np.ndarray
    mask: np.ndarray
    illuminant_weights: np.ndarray
    daylight_kelvin: float
    b: np.ndarray
    sensitivities: np.ndarray
    gains: np.ndarray
    tone: np.ndarray
    method: Method
    melanin_u_std: np.ndarray | None = None
    haemoglobin_u_std: np.ndarray | None = None


class Network(Protocol):
    """Trained weights, ready to read crops."""

    @property
    def size(self) -> int:
        """Side in pixels of the crops it was trained on."""

    @property
    def skin(self) -> SkinModel:
        """The decoder's skin model, its constants as numbers."""

    @property
    def sha256(self) -> str:
        """Of the weight file; an ONNX file tells that of the weights it was made from."""

    @property
    def runtime(self) -> str:
        """`torch` or `onnx`."""

    def read(self, srgb: np.ndarray, known: KnownScene = NOTHING) -> Reading:
        """Read one crop (h, w, 3) of sRGB in 0-1, told what is `known` about it.

        Raises
        ------
        InputError
            Something is known, and these weights cannot be told.
        """

    def skin_masks(self, srgb: np.ndarray) -> np.ndarray:
        """Probability of skin (B, h, w) of crops (B, h, w, 3) of sRGB in 0-1."""


def load_network(
    weights: str | os.PathLike[str] | None = None, runtime: Runtime = "auto"
) -> Network:
    """Weights ready to read crops.

    Parameters
    ----------
    weights
        A weight file (`.safetensors`, read by torch) or what `bioface export onnx` made of one
        (`.onnx`, read by onnxruntime); None takes those of the package.
    runtime
        `auto`: what the given file needs; for the weights of the package onnxruntime where it is
        installed (it starts sooner), otherwise torch. `torch` and `onnx` insist.

    Raises
    ------
    InputError
        The file is missing, damaged or of another kind than the runtime reads.
    MissingDependencyError
        The runtime, or any, is not installed.
    """
    if runtime not in RUNTIMES:
        raise InputError(f"runtime {runtime!r} is not known; use one of {', '.join(RUNTIMES)}")
    if weights is not None:
        needed = "onnx" if Path(weights).suffix.lower() == ".onnx" else "torch"
        if runtime not in ("auto", needed):
            raise InputError(f"{weights}: the {runtime} runtime cannot read it; {_OTHER[runtime]}")
        return _with_onnx(Path(weights)) if needed == "onnx" else _with_torch(weights)
    shipped = sorted(WEIGHTS.glob("*.onnx"))
    if runtime == "auto":
        runtime = "onnx" if shipped and find_spec("onnxruntime") else "torch"
    if runtime == "torch":
        return _with_torch(None)
    if not shipped:
        raise InputError(f"{WEIGHTS}: no ONNX weights in this package; {_OTHER['onnx']}")
    return _with_onnx(shipped[0])


_OTHER = {
    "onnx": "pass --weights FILE.onnx, made by: bioface export onnx --weights FILE --out FILE.onnx",
    "torch": "pass the .safetensors file it was made from",
}


def as_network(model: Network | TrainedModel) -> Network:
    """A network, or what `bioface.learn.weights.load_weights` returns, as a `Network`."""
    if hasattr(model, "read"):
        return cast("Network", model)
    from bioface.learn.runtime import TorchNetwork

    return TorchNetwork(cast("TrainedModel", model))


def _with_torch(weights: str | os.PathLike[str] | None) -> Network:
    try:
        from bioface.learn.runtime import TorchNetwork
    except ImportError as error:
        either = "" if weights else f", or for reading photos alone: {install_advice('onnx')}"
        raise _missing(error, "torch", f"run: {install_advice('train')}{either}") from error
    return TorchNetwork.load(weights)


def _with_onnx(path: Path) -> Network:
    try:
        from bioface.photo.onnx_runtime import OnnxNetwork
    except ImportError as error:
        raise _missing(error, "onnxruntime", f"run: {install_advice('onnx')}") from error
    return OnnxNetwork.load(path)


def _missing(error: ImportError, package: str, advice: str) -> BaseException:
    """What a failed import says: Ctrl-C during it, no such package, or one that does not load."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return cause
        cause = cause.__cause__ or cause.__context__
    name = error.name or package
    if isinstance(error, ModuleNotFoundError):
        return MissingDependencyError(f"{name} is not installed; {advice}")
    return MissingDependencyError(f"{name} cannot be loaded ({error}); {advice}")
