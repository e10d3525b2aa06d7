"""Trained weights to one ONNX file that onnxruntime and numpy can use without torch.

The graph holds the encoder, from an sRGB crop to every output in physical units; the metadata holds
what makes a decoder of them (docs/onnx.md). Weights are stored as halves wherever that loses
nothing, and computed with in single precision.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bioface import __version__
from bioface.atomic import replacing
from bioface.errors import BiofaceError, MissingDependencyError, install_advice
from bioface.learn.encoder import Known, Prediction
from bioface.learn.weights import TrainedModel
from bioface.photo.crop import FRAMING
from bioface.photo.network import MULTIPLE
from bioface.photo.onnx_runtime import FORMAT, VERSION, OnnxNetwork
from bioface.spectral.illuminant import NAMES
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, unit_slope

OPSET = 18
INPUT = "srgb"
KNOWN = tuple(f"known_{f.name}" for f in dataclasses.fields(Known) if f.name != "normals")
"""Names of the graph's further inputs: the members of `Known` but for normals."""

OUTPUTS = tuple(field.name.replace("_u", "") for field in dataclasses.fields(Prediction))
"""Names of the graph's outputs: the members of `Prediction`, pigments as volume fractions."""

LARGEST = 12_000_000
"""Bytes that a file for the package may have."""

TOLERANCE = 1e-4
"""Largest difference to torch, relative for temperatures: a file that differs more is refused."""

_SIDES = (32, 4096)
_SMALLEST = 64  # weights from which halves are worth a cast
_CHECKED = ((1, 128, 128), (2, 96, 150))


class _Estimator(nn.Module):
    """The encoder as the graph has it: any height and width, outputs in the order of `OUTPUTS`."""

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.decoder = model.decoder

    def forward(self, srgb: Tensor, *known: Tensor) -> tuple[Tensor, ...]:
        height, width = srgb.shape[-2:]
        # Written as multiples of whole numbers, which the exporter can reason about.
        bottom = (height + MULTIPLE - 1) // MULTIPLE * MULTIPLE - height
        right = (width + MULTIPLE - 1) // MULTIPLE * MULTIPLE - width
        padded = functional.pad(srgb, (0, right, 0, bottom), mode="replicate")
        prediction = self.encoder(padded, Known(*known))
        values = vars(prediction) | {
            "melanin": prediction.melanin,
            "haemoglobin": prediction.haemoglobin,
            "melanin_std": prediction.melanin_u_std * unit_slope(prediction.melanin, MELANIN_RANGE),
            "haemoglobin_std": prediction.haemoglobin_u_std
            * unit_slope(prediction.haemoglobin, HAEMOGLOBIN_RANGE),
            "tone": self.decoder.tone(prediction),
        }
        chosen = (values[name] for name in OUTPUTS)
        return tuple(v[..., :height, :width] if v.ndim == 3 else v for v in chosen)


def known_inputs(model: TrainedModel, batch: int, given: float = 0.0) -> tuple[Tensor, ...]:
    """The inputs `KNOWN` of a batch: what is not known is 0 (`b`, `given`) or 1 (the others)."""
    return (
        torch.zeros(batch, int(model.encoder.config.components)),
        torch.ones(batch, 33),
        torch.ones(batch, 2),
        torch.full((batch, 3), given),
    )


def export_onnx(
    model: TrainedModel, path: str | os.PathLike[str], *, overwrite: bool = False
) -> dict[str, float]:
    """Write a model as ONNX, after comparing it with torch; returns the largest differences.

    Parameters
    ----------
    model
        From `bioface.learn.weights.load_weights`.
    path
        The file, conventionally `.onnx`.

    Returns
    -------
    Output name to its largest difference from torch over random crops of two sizes.

    Raises
    ------
    BiofaceError
        The file exists and `overwrite` is false, cannot be written, or onnxruntime computes
        something else than torch (then no file is left).
    MissingDependencyError
        onnx, onnxscript or onnxruntime is not installed.
    """
    with replacing(path, overwrite=overwrite) as temporary:
        try:
            graph = _graph(model)
        except ImportError as error:
            raise MissingDependencyError(
                f"{error.name} is not installed; run: {install_advice('train')}"
            ) from error
        temporary.write_bytes(graph)
        differences = compare(model, temporary)
        for name, difference in differences.items():
            if not difference <= TOLERANCE:
                raise BiofaceError(
                    f"{path}: not written, as onnxruntime's {name} differs from torch's by "
                    f"{difference:.1e}; check the versions of torch and onnxruntime"
                )
    return differences


def compare(model: TrainedModel, path: str | os.PathLike[str]) -> dict[str, float]:
    """Largest difference of each output between torch and the ONNX file, over random crops.

    Temperatures are compared relative to their value.
    """
    session = OnnxNetwork.load(path).session
    estimator = _Estimator(model)
    generator = torch.Generator().manual_seed(0)
    largest = dict.fromkeys(OUTPUTS, 0.0)
    for batch, height, width in _CHECKED:
        crops = torch.rand(batch, 3, height, width, generator=generator)
        with torch.inference_mode():
            known = known_inputs(model, batch, given=float(batch > 1))
            expected = [value.numpy() for value in estimator(crops, *known)]
        names = (INPUT, *KNOWN)
        inputs = {n: value.numpy() for n, value in zip(names, (crops, *known), strict=True)}
        found = session.run(list(OUTPUTS), inputs)
        for name, ours, theirs in zip(OUTPUTS, expected, found, strict=True):
            scale = np.abs(ours) if name == "daylight_kelvin" else 1.0
            difference = float((np.abs(ours - theirs) / scale).max())
            largest[name] = float(np.maximum(largest[name], difference))  # NaN stays
    return largest


def _graph(model: TrainedModel) -> bytes:
    import onnx
    import onnxscript  # noqa: F401  (the exporter reports its absence less clearly)

    size = -(-int(model.encoder.config.size) // MULTIPLE) * MULTIPLE
    # Sides that differ: the exporter would take equal ones for one and the same.
    example = torch.zeros(2, 3, size, size + MULTIPLE)
    dimensions = [torch.export.Dim("batch", min=1, max=1024)]
    dimensions += [torch.export.Dim(n, min=_SIDES[0], max=_SIDES[1]) for n in ("height", "width")]
    with _quiet():
        try:
            program = torch.onnx.export(
                _Estimator(model).eval(),
                (example, *known_inputs(model, len(example))),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT, *KNOWN],
                output_names=list(OUTPUTS),
                dynamic_shapes=(
                    {0: dimensions[0], 2: dimensions[1], 3: dimensions[2]},
                    tuple({0: dimensions[0]} for _ in KNOWN),
                ),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise BiofaceError(f"torch cannot export this encoder to ONNX: {reason}") from error
    assert program is not None
    proto = program.model_proto
    _store_as_halves(proto.graph)
    _describe(proto, model)
    onnx.checker.check_model(proto)
    return proto.SerializeToString(deterministic=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own insides and of packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _store_as_halves(graph: Any) -> None:
    """Replace single-precision initializers by halves and a cast, where no value changes."""
    import onnx
    from onnx import helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if values.size < _SMALLEST or not np.array_equal(halves.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
        casts.append(
            helper.make_node(
                "Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=onnx.TensorProto.FLOAT
            )
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    # Shapes of what lies between are inferred again by whoever reads the file.
    del graph.value_info[:]


def _describe(proto: Any, model: TrainedModel) -> None:
    from onnx import helper

    proto.producer_name, proto.producer_version = "bioface", __version__
    proto.doc_string = (
        f"Input {INPUT}: face crops (batch, 3, height, width), sRGB-encoded, 0-1, upright, the "
        f"face centred, the side {FRAMING} times the larger side of the box of its 68 landmarks. "
        "Inputs known_*: camera coefficients, illuminant and white-balance gains where they are "
        "known and known_given 1 for each; otherwise 0 for known_b, 1 for the other two and 0 for "
        "known_given."
    )
    for node in proto.graph.node:
        # Where in the source a node came from: paths of the machine that exported it.
        node.doc_string = ""
        del node.metadata_props[:]
    del proto.graph.metadata_props[:]
    del proto.metadata_props[:]
    for output in proto.graph.output:
        dimensions = output.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions[1:], ("height", "width"), strict=False):
            if len(dimensions) == 3:
                dimension.dim_param = name
    helper.set_model_props(proto, metadata(model))


def metadata(model: TrainedModel) -> dict[str, str]:
    """What the ONNX file tells beside its graph, as docs/onnx.md lists it."""
    decoder = model.decoder
    with torch.inference_mode():
        skin, cameras = decoder.skin(), decoder.camera_model()
        record = {
            "skin": {
                "model": skin.name,
                "constants": {name: float(value) for name, value in skin.constants.items()},
            },
            "camera": {
                "method": decoder.config.method,
                "mean": np.asarray(cameras.mean, np.float64).tolist(),
                "components": np.asarray(cameras.components, np.float64).tolist(),
                "deviations": np.asarray(cameras.deviations, np.float64).tolist(),
            },
            "illuminants": list(NAMES),
            "wavelengths": {"first": 400, "last": 720, "step": 10},
        }
    return {
        "format": FORMAT,
        "version": VERSION,
        "bioface": __version__,
        "weights_sha256": model.sha256,
        "size": str(int(model.encoder.config.size)),
        "multiple": str(MULTIPLE),
        "framing": str(FRAMING),
        "decoder": json.dumps(record, sort_keys=True),
    }


def file_size(path: str | os.PathLike[str]) -> str:
    """The file's size in words, and whether it is too large for the package."""
    size = Path(path).stat().st_size
    note = "" if size <= LARGEST else f"; over the {LARGEST / 1e6:.0f} MB of a shipped file"
    return f"{size / 1e6:.1f} MB{note}"
