"""What a dataset folder holds: names, channels and the description that identifies it.

A dataset is `DIR/dataset.json` (`DatasetInfo`), `DIR/samples/<id>.exr` and `<id>.json` with
`id = %06d`, and `DIR/manifest.jsonl`, one line for each finished sample. `DIR/run.log` and what
starts with a dot is nobody's data.

Channels of a sample, camera space with +Y up, cm. `<g>` is each of `synth.scene.GROUPS`:

=========================  =====================================================================
`diffuse_shading.<g>`      linear RGB of a perfect white diffuser there under the light of group g
`specular_shading.<g>`     the surface reflection of group g in the same units
`melanin`, `haemoglobin`   volume fractions, of skin
`albedo.R/.G/.B`           linear sRGB of the skin's diffuse reflectance under D65, unclipped
`mask`                     share of the pixel that skin covers
`coverage`                 share of the pixel that anything covers
`region`                   index into `synth.scene.REGIONS` of what covers most of the pixel
`reflectance.0` .. `.3`    Bernstein coefficients of the reflectance of not-skin
`normal.X/.Y/.Z`           unit normal, relief included
`depth`                    distance along the view axis
`position.X/.Y/.Z`         of the surface
`occlusion`                share of the sky above the surface, cosine-weighted, that the head hides;
                           where the dataset was generated with `--occlusion`
`indirect.diffuse`,        share of `diffuse_shading` and of `specular_shading`, summed over groups,
`indirect.specular`        that came by way of other surfaces; with `--indirect`
`uv.U/.V`                  texture coordinates; integer parts are UDIM tiles
`radiance.400` .. `.720`   light of that wavelength (nm, every 10) under spectrally flat light of
                           all groups, subsurface scattering and gloss included, in the units of
                           shading; in the kinds `spectral` and `off-model` only
=========================  =====================================================================

Pigments and albedo are divided by `mask`, `reflectance` by `coverage - mask`, the others by
`coverage`; where nothing covers a pixel they are 0. Radiance is divided by nothing: it is the
picture on black. Half floats but for `FULL_PRECISION`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bioface.errors import InputError
from bioface.spectral.grid import WAVELENGTHS
from synth.scene import GROUPS

SCHEMA_VERSION = 1

FULL_PRECISION = ("depth", "position.X", "position.Y", "position.Z", "uv.U", "uv.V")
"""Channels stored as float32."""

PACKED_CHANNELS = (
    *(f"diffuse_shading.{group}" for group in GROUPS),
    *(f"specular_shading.{group}" for group in GROUPS),
    *("melanin", "haemoglobin", "mask", "coverage"),
    *(f"reflectance.{k}" for k in range(4)),
    *("normal.X", "normal.Y", "normal.Z"),
    "region",
)
"""Channels of a packed training file, in this order."""

CHANNELS = (*PACKED_CHANNELS, "albedo.R", "albedo.G", "albedo.B", *FULL_PRECISION)
"""Every channel of a sample but for `OPTIONAL_CHANNELS`."""

INDIRECT_CHANNELS = ("indirect.diffuse", "indirect.specular")

OPTIONAL_CHANNELS = ("occlusion", *INDIRECT_CHANNELS)
"""Channels that a dataset has when it was asked for them."""

RADIANCE_CHANNELS = tuple(f"radiance.{wavelength:.0f}" for wavelength in WAVELENGTHS)
"""Further channels of the kinds of set that are rendered band by band."""

KINDS = ("transport", "spectral", "off-model")
"""`transport` stores light transport alone; `spectral` also a render of all 33 bands with
subsurface scattering; `off-model` the same for skin that the skin model does not describe."""

DATASET_FILE = "dataset.json"
MANIFEST_FILE = "manifest.jsonl"
LOG_FILE = "run.log"
SAMPLES_FOLDER = "samples"
PARTIAL_FOLDER = ".partial"


def sample_id(index: int) -> str:
    """The name of a sample's files, without suffix."""
    return f"{index:06d}"


@dataclass(frozen=True)
class DatasetInfo:
    """Everything that decides the bytes of a sample, given its index.

    Attributes
    ----------
    config
        `kind` (of `KINDS`; sets of earlier versions have none and are `transport`), `size`
        (pixels), `samples` (per pixel), `sampling` (`SampleConfig.to_dict`), `code`
        (`synth.dataset.code.code_hash`), `occlusion` and `indirect` (whether these are stored),
        `device` (the kind that Cycles rendered on) and, off-model, `spectra` (SHA-256 of the file
        of measured spectra).
    seed
        With the index, the seed of a sample: `SeedSequence([seed, index])`.
    skin_model
        `name` and `constants` of the model whose albedo is stored.
    heads
        `name` and `asset_hash` of the head provider.
    bpy
        Version of Blender.
    """

    config: dict[str, Any]
    seed: int
    skin_model: dict[str, Any]
    heads: dict[str, str]
    bpy: str
    schema_version: int = SCHEMA_VERSION

    @property
    def hash(self) -> str:
        """SHA-256 of the description."""
        return hashlib.sha256(_canonical(asdict(self)).encode()).hexdigest()

    def to_json(self) -> str:
        """The text of `dataset.json`."""
        return json.dumps({**asdict(self), "hash": self.hash}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def load(cls, folder: str | Path) -> DatasetInfo:
        """Read `folder/dataset.json`.

        Raises
        ------
        InputError
            Missing, damaged, changed by hand, or of another schema version.
        """
        path = Path(folder, DATASET_FILE)
        if not path.is_file():
            raise InputError(f"{folder}: not a dataset (no {DATASET_FILE} in it)")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            version = values["schema_version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: damaged; generate the dataset again") from error
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path}: schema version {version}, this is for version {SCHEMA_VERSION}; "
                "generate the dataset again"
            )
        try:
            info = cls(**{field.name: values[field.name] for field in fields(cls)})
        except KeyError as error:
            raise InputError(f"{path}: damaged; generate the dataset again") from error
        if info.hash != values.get("hash"):
            raise InputError(f"{path}: changed since it was written; generate the dataset again")
        return info

    def difference(self, other: DatasetInfo) -> str | None:
        """The first entry in which two descriptions differ, as `name (ours, now other's)`."""
        return _difference(
            json.loads(_canonical(asdict(self))), json.loads(_canonical(asdict(other)))
        )


def _difference(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> str | None:
    for key in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(key), theirs.get(key)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            return _difference(a, b, f"{prefix}{key}.")
        return f"{prefix}{key} ({a}, now {b})"
    return None


def _canonical(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
