"""The encoder run by onnxruntime, from a file of `bioface export onnx`: numpy, and no torch.

The file's metadata holds what the graph does not: the decoder's camera model and skin constants
(see docs/onnx.md).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from bioface.cores import usable_cores
from bioface.errors import InputError, install_advice
from bioface.photo.known import NOTHING, KnownScene
from bioface.photo.mirror import read_with_mirror
from bioface.photo.network import Reading
from bioface.spectral.camera import METHODS, CameraModel, Method
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, to_unit, unit_slope

FORMAT = "bioface-onnx"
VERSION = "1"
_UNKNOWN = {"known_b": 0.0, "known_spd": 1.0, "known_gains": 1.0, "known_given": 0.0}
_ADVICE = "make it again with bioface export onnx"


@dataclass(frozen=True)
class OnnxNetwork:
    """A `bioface.photo.network.Network` around an onnxruntime session.

    Attributes
    ----------
    size
        Side in pixels of the crops it was trained on.
    sha256
        Of the weight file that the ONNX file was made from.
    skin, camera, method
        The decoder's: skin model, camera model, and how raw becomes XYZ.
    """

    size: int
    sha256: str
    skin: SkinModel
    camera: CameraModel
    method: Method
    session: onnxruntime.InferenceSession
    runtime = "onnx"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OnnxNetwork:
        """Read an ONNX file.

        Raises
        ------
        InputError
            Missing, damaged, not made by `bioface export onnx`, or of another version.
        """
        source = Path(path)
        try:
            content = source.read_bytes()
        except OSError as error:
            raise InputError(
                f"{source}: cannot be read ({error.strerror}); check the path"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
            metadata = session.get_modelmeta().custom_metadata_map
        except Exception as error:  # onnxruntime raises classes of its own, without a common base
            raise InputError(f"{source}: not an ONNX file, or a damaged one; {_ADVICE}") from error
        if metadata.get("format") != FORMAT:
            raise InputError(f"{source}: an ONNX file, but not of BioFace weights; {_ADVICE}")
        if metadata.get("version") != VERSION:
            raise InputError(
                f"{source}: format version {metadata.get('version')}, this bioface reads version "
                f"{VERSION}; {_ADVICE}"
            )
        try:
            return cls(
                size=int(metadata["size"]),
                sha256=metadata["weights_sha256"],
                session=session,
                **decoder_parts(json.loads(metadata["decoder"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{source}: its metadata is damaged; {_ADVICE}") from error

    def read(self, srgb: np.ndarray, known: KnownScene = NOTHING) -> Reading:
        """Read one crop (h, w, 3) of sRGB in 0-1; `InputError` where it cannot be told."""
        told: dict[str, np.ndarray] = {}
        if any(known.given):
            told = {f"known_{name}": v for name, v in known.inputs(self.camera).items()}
        crop = _channels_first(srgb[None])
        merged = read_with_mirror(crop, lambda both: _in_unit(self._run(both, told=told)))
        out = {name: values[0] for name, values in merged.items()}
        b = out["b"].astype(np.float64)
        weights = out["illuminant_weights"].astype(np.float64)
        return Reading(
            melanin_u=out["melanin"],
            haemoglobin_u=out["haemoglobin"],
            diffuse_shading=out["diffuse_shading"],
            specular_shading=out["specular_shading"],
            mask=out["mask"],
            illuminant_weights=weights / weights.sum(),
            daylight_kelvin=float(out["daylight_kelvin"]),
            b=b,
            sensitivities=np.asarray(self.camera.sensitivities(b)),
            gains=out["gains"].astype(np.float64),
            tone=out["tone"].astype(np.float64),
            method=self.method,
            melanin_u_std=out.get("melanin_std"),
            haemoglobin_u_std=out.get("haemoglobin_std"),
        )

    def skin_masks(self, srgb: np.ndarray) -> np.ndarray:
        """Probability of skin (B, h, w) of crops (B, h, w, 3) of sRGB in 0-1."""
        return self._run(_channels_first(srgb), ["mask"])["mask"]

    def _run(
        self,
        images: np.ndarray,
        names: list[str] | None = None,
        told: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        names = names or [output.name for output in self.session.get_outputs()]
        accepted = {entry.name: entry.shape for entry in self.session.get_inputs()}
        told = told or {}
        if not told.keys() <= accepted.keys():
            raise InputError(
                "these ONNX weights cannot be told light or camera; pass the .safetensors file "
                f"they were made from, which torch reads: {install_advice('train')}"
            )
        inputs = {"srgb": np.ascontiguousarray(images, np.float32)}
        for name in accepted.keys() & _UNKNOWN.keys():
            values = told.get(name, np.full(accepted[name][1], _UNKNOWN[name], np.float32))
            inputs[name] = np.repeat(values[None], len(images), axis=0)
        return dict(zip(names, self.session.run(names, inputs), strict=True))


def _channels_first(srgb: np.ndarray) -> np.ndarray:
    return srgb.transpose(0, 3, 1, 2)


def _in_unit(out: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the graph gives, its pigments and their standard deviations in u."""
    found = dict(out)
    for pigment, bounds in (("melanin", MELANIN_RANGE), ("haemoglobin", HAEMOGLOBIN_RANGE)):
        found[pigment] = to_unit(out[pigment], bounds)
        if (std := out.get(f"{pigment}_std")) is not None:
            found[f"{pigment}_std"] = std / unit_slope(out[pigment], bounds)
    return found


def decoder_parts(record: Mapping[str, Any]) -> dict[str, Any]:
    """`skin`, `camera` and `method` of the metadata entry `decoder`.

    KeyError, TypeError or ValueError for another layout.
    """
    constants = {name: float(value) for name, value in record["skin"]["constants"].items()}
    arrays = (np.asarray(record["camera"][name]) for name in ("mean", "components", "deviations"))
    method = record["camera"]["method"]
    if method not in METHODS:
        raise ValueError(f"raw to XYZ method {method!r}")
    return {
        "skin": SkinModel.load(record["skin"]["model"]).with_constants(**constants),
        "camera": CameraModel(*arrays),
        "method": method,
    }
