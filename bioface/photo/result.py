"""An estimate and its files: maps in an EXR, numbers in a JSON, a picture in a PNG."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from bioface import __version__
from bioface.atomic import check_absent, check_folder, replacing
from bioface.errors import BiofaceError, InputError
from bioface.exr import fill_exr, read_exr
from bioface.photo.face import FaceBox
from bioface.photo.files import is_photo_of
from bioface.spectral.camera import METHODS, Method
from bioface.spectral.formation import Camera
from bioface.spectral.illuminant import NAMES, Illuminant, cct
from bioface.spectral.skin import SkinModel

SCALARS = ("melanin", "haemoglobin", "diffuse_shading", "specular_shading", "mask")
COLOURS = ("albedo", "reconstruction")
STDS = ("melanin_std", "haemoglobin_std")
"""Maps that an estimate may lack: earlier ones, and those of networks that give none."""

SUFFIXES = (".exr", ".json", ".png")

_MOST = float(np.finfo(np.float32).max)
_RANGES = {
    **dict.fromkeys(("melanin", "haemoglobin", "mask"), (0.0, 1.0)),
    **dict.fromkeys(("diffuse_shading", "specular_shading", *STDS), (0.0, _MOST)),
}
_ROUNDING = 1e-3  # of maps that went through half floats

CCT_RANGE = (1000.0, 40000.0)
"""K: where `bioface.spectral.illuminant.cct` holds."""


@dataclass(frozen=True)
class FaceEstimate(FaceBox):
    """One face: where it is, and the light and camera its skin was read under.

    Attributes
    ----------
    landmarks
        (68, 2) iBUG points (x, y), pixels from the photo's top left corner; None for a face known
        by its box alone.
    skin
        Numbers over the surest skin pixels: `melanin_median` and `haemoglobin_median` (volume
        fractions), `albedo_median` (linear sRGB), `ita_degrees`, `pixels` (how many); with
        standard deviations in the maps also `melanin_median_std` and `haemoglobin_median_std`,
        their medians.
    illuminant_weights
        Weight of each basis illuminant by name as the network reads it; sum 1.
    daylight_kelvin
        Temperature of the D component.
    spd
        (33,) the light's spectral power distribution, sum 1: that of the weights, or what was told.
    b
        (N,) camera coefficients, standard deviations.
    sensitivities
        (33, 3) of that camera.
    gains
        (2,) white-balance errors, red and blue.
    tone
        (2,) log gamma and contrast of the photo's tone curve.
    method
        How raw becomes XYZ.
    """

    landmarks: np.ndarray | None
    skin: Mapping[str, Any]
    illuminant_weights: Mapping[str, float]
    daylight_kelvin: float
    spd: np.ndarray
    b: np.ndarray
    sensitivities: np.ndarray
    gains: np.ndarray
    tone: np.ndarray
    method: Method = "pseudo_inverse"

    @property
    def illuminant(self) -> Illuminant:
        """The light: weights, daylight temperature, and with them CCT and spectrum."""
        weights = np.array([self.illuminant_weights[name] for name in NAMES])
        return Illuminant(weights, np.asarray(self.daylight_kelvin))

    @property
    def camera(self) -> Camera:
        """The camera as the decoder takes it."""
        return Camera(self.sensitivities, self.gains, self.method)

    @property
    def cct_kelvin(self) -> float | None:
        """The light's correlated colour temperature; None of colours that have none."""
        kelvin = float(cct(self.spd))
        low, high = CCT_RANGE
        return kelvin if low <= kelvin <= high else None

    def to_json(self) -> dict[str, Any]:
        """As DESIGN's estimate JSON holds a face."""
        return {
            "face_box": _rounded(self.box, 2),
            "landmarks": None if self.landmarks is None else _rounded(self.landmarks, 2),
            "skin": dict(self.skin),
            "illuminant": {
                "weights": {name: float(self.illuminant_weights[name]) for name in NAMES},
                "cct_kelvin": self.cct_kelvin,
                "daylight_kelvin": self.daylight_kelvin,
                "spd": self.spd.tolist(),
            },
            "camera": {
                "b": self.b.tolist(),
                "gains": self.gains.tolist(),
                "tone": self.tone.tolist(),
                "method": self.method,
                "sensitivities": self.sensitivities.tolist(),
            },
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> FaceEstimate:
        """The inverse of `to_json`.

        Raises
        ------
        InputError
            A value that no estimate has; names it.
        KeyError, TypeError, ValueError
            Another layout.
        """
        light, camera = entry["illuminant"], entry["camera"]
        left, top, right, bottom = _array("face_box", entry["face_box"], (4,)).tolist()
        method, landmarks = camera["method"], entry["landmarks"]
        weights = [light["weights"][name] for name in NAMES]
        found = cls(
            box=(left, top, right, bottom),
            landmarks=None if landmarks is None else _array("landmarks", landmarks, (68, 2)),
            skin=dict(entry["skin"]),
            illuminant_weights=dict(
                zip(NAMES, _array("weights", weights, (len(NAMES),)).tolist(), strict=True)
            ),
            daylight_kelvin=float(_array("daylight_kelvin", light["daylight_kelvin"], ())),
            spd=_array("spd", light["spd"], (33,)),
            b=_array("b", camera["b"], (len(camera["b"]),)),
            sensitivities=_array("sensitivities", camera["sensitivities"], (33, 3)),
            gains=_array("gains", camera["gains"], (2,)),
            tone=_array("tone", camera["tone"], (2,)),
            method=cast(Method, method),
        )
        curves = found.sensitivities
        for sound, complaint in (
            (left < right and top < bottom, "face_box is empty"),
            (min(found.illuminant_weights.values()) >= 0, "weights: one is negative"),
            (found.daylight_kelvin > 0, "daylight_kelvin is not above 0"),
            (found.spd.min() >= 0 < found.spd.max(), "spd is negative or 0 throughout"),
            (
                curves.min() >= 0 < curves.max(axis=0).min(),
                "sensitivities are negative or 0 throughout",
            ),
            (found.gains.min() > 0, "gains are not above 0"),
            (abs(found.tone[1]) < 1, "tone: its contrast is not within 1"),
            (method in METHODS, f"method {method!r} is not known"),
        ):
            if not sound:
                raise InputError(complaint)
        return found


@dataclass(frozen=True)
class Estimate:
    """What was read from one photo, on the photo's own pixel grid.

    Attributes
    ----------
    maps
        float32 planes (H, W): `melanin` and `haemoglobin` (volume fractions), `diffuse_shading`
        and `specular_shading` (>= 0, linear), `mask` (0-1, skin); and (H, W, 3): `albedo` (linear
        sRGB under D65, unclipped), `reconstruction` (linear sRGB of the photo before its tone
        curve, as the decoder explains it). From networks that say how sure they are also
        `melanin_std` and `haemoglobin_std` (H, W): standard deviation of the pigments' error,
        volume fractions. All are 0 where the mask is 0.
    faces
        The largest first.
    skin
        The skin model that the maps belong to, with the constants it was used with.
    weights_sha256
        Of the weight file.
    photo
        `path` (relative to the estimate's folder, or None), `sha256` of the photo's pixels.
    known
        What was told about light, camera and white balance (`bioface.photo.known`), JSON-ready.
    version
        Of bioface.
    """

    maps: Mapping[str, np.ndarray]
    faces: tuple[FaceEstimate, ...]
    skin: SkinModel
    weights_sha256: str
    photo: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__

    @property
    def illuminant(self) -> Illuminant:
        """The light on the largest face."""
        return self.faces[0].illuminant

    @property
    def camera(self) -> Camera:
        """The camera of the largest face."""
        return self.faces[0].camera

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the photo."""
        height, width = self.maps["mask"].shape
        return height, width

    def channels(self) -> dict[str, np.ndarray]:
        """The planes by their EXR channel names."""
        stds = (name for name in STDS if name in self.maps)
        planes = {name: self.maps[name] for name in (*SCALARS, *stds)}
        for name in COLOURS:
            planes |= {f"{name}.{c}": self.maps[name][..., k] for k, c in enumerate("RGB")}
        return planes

    def to_json(self) -> dict[str, Any]:
        """The estimate's JSON: the largest face at the top, all of them under `faces`."""
        height, width = self.shape
        faces = [face.to_json() for face in self.faces]
        return {
            **faces[0],
            "faces": faces,
            "photo": {**self.photo, "width": width, "height": height},
            "known": dict(self.known),
            **skin_record(self.skin),
            "weights_sha256": self.weights_sha256,
            "version": self.version,
        }


def write_estimate(
    folder: str | os.PathLike[str],
    stem: str,
    estimate: Estimate,
    picture: np.ndarray | None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write an estimate's files, see `write_files`; returns the path of the EXR.

    The photo itself is neither replaced nor removed.

    Parameters
    ----------
    picture
        The montage (h, w, 3) uint8, see `bioface.photo.montage`; None for no PNG.

    Raises
    ------
    BiofaceError
        As `write_files`, or the picture would replace the photo.
    """
    png = Path(folder) / f"{stem}.png"
    own = png.is_file() and is_photo_of(png, estimate.photo)
    if own and overwrite and picture is not None:
        raise BiofaceError(f"{png}: its picture would replace it; name another folder")
    return write_files(
        folder,
        stem,
        estimate.channels(),
        estimate.to_json(),
        picture,
        overwrite=overwrite,
        keep_picture=own,
    )


def skin_record(skin: SkinModel) -> dict[str, Any]:
    """`skin_model` and `skin_constants`, the entries of a JSON that tell the skin model."""
    return {
        "skin_model": skin.name,
        "skin_constants": {name: float(value) for name, value in skin.constants.items()},
    }


def write_files(
    folder: str | os.PathLike[str],
    stem: str,
    channels: Mapping[str, np.ndarray],
    numbers: Mapping[str, Any],
    picture: np.ndarray | None,
    *,
    overwrite: bool = False,
    keep_picture: bool = False,
) -> Path:
    """Write `stem`.exr, .json and .png, all or none of them; returns the path of the EXR.

    The folder is made if it is not there. When one cannot be written, those before it are put back.

    Parameters
    ----------
    channels, numbers
        Content of the EXR and of the JSON.
    picture
        (h, w, 3) uint8; None writes no PNG (and needs no Pillow).
    overwrite
        Replace existing files, and remove an earlier PNG where there is no new one; otherwise any
        of them is an error.
    keep_picture
        Leave a PNG where there is no new one.

    Raises
    ------
    BiofaceError
        A file exists, or the folder cannot be written.
    """
    base = Path(folder) / stem
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BiofaceError(f"{folder}: cannot be made ({error.strerror})") from error
    paths = [Path(f"{base}{suffix}") for suffix in SUFFIXES]
    with _restoring(paths):
        # Each file is complete under a temporary name before the first gets its own.
        with ExitStack() as stack:
            exr, text, *png = (
                stack.enter_context(replacing(path, overwrite=overwrite))
                for path in (paths if picture is not None else paths[:2])
            )
            fill_exr(exr, channels, name=paths[0])
            text.write_text(_json_text(numbers), encoding="utf-8")
            if picture is not None:
                from PIL import Image

                Image.fromarray(picture).save(png[0], format="PNG")
        if picture is None and overwrite and not keep_picture:
            paths[2].unlink(missing_ok=True)
    return paths[0]


@contextmanager
def _restoring(paths: Sequence[Path]) -> Iterator[None]:
    """When the block fails, put back what stood at `paths` of one folder and remove the rest."""
    folder = paths[0].parent
    try:
        with tempfile.TemporaryDirectory(prefix=".", suffix=".partial", dir=folder) as spare:
            kept = {path: Path(spare) / path.name for path in paths if path.is_file()}
            for path, copy in kept.items():
                _link(path, copy)
            try:
                yield
            except BaseException:
                for path in paths:
                    with suppress(OSError):  # what cannot be replaced was not replaced before
                        if path in kept:
                            kept[path].replace(path)
                        elif path.is_file():
                            path.unlink()
                raise
    except OSError as error:
        raise BiofaceError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _link(path: Path, copy: Path) -> None:
    """A second name for a file; a copy on drives that know no such names."""
    try:
        os.link(path, copy)
    except OSError:
        shutil.copy2(path, copy)


def read_estimate(path: str | os.PathLike[str]) -> Estimate:
    """Read an estimate back, given its EXR, its JSON or both's path without suffix.

    Raises
    ------
    InputError
        A file is missing or damaged, was not written by `bioface estimate`, or holds a value that
        no estimate has.
    """
    given = Path(path)
    base = given.with_suffix("") if given.suffix.lower() in SUFFIXES else given
    exr, numbers = Path(f"{base}.exr"), Path(f"{base}.json")
    if not numbers.is_file():
        raise InputError(f"{numbers}: no such file; give a result of bioface estimate")
    maps = _read_maps(exr)
    try:
        content = json.loads(numbers.read_text(encoding="utf-8"))
        faces = tuple(FaceEstimate.from_json(entry) for entry in content["faces"])
        skin = _read_skin(content)
        photo = {key: content["photo"].get(key) for key in ("path", "sha256")}
        for key, value in photo.items():
            if not isinstance(value, str | None):
                raise InputError(f"photo.{key} is no text")
        known = dict(content.get("known", {}))
        version, sha256 = str(content["version"]), str(content["weights_sha256"])
    except InputError as error:
        raise InputError(f"{numbers}: {error}; estimate the photo again") from error
    except OSError as error:
        raise InputError(f"{numbers}: cannot be read ({error.strerror})") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{base}: not a result of this version of bioface estimate") from error
    if not faces:
        raise InputError(f"{numbers}: lists no faces")
    return Estimate(maps, faces, skin, sha256, photo, known, version)


def _read_maps(exr: Path) -> dict[str, np.ndarray]:
    """The maps of an estimate's EXR; InputError names a channel that is missing or unsound."""
    planes = read_exr(exr)
    scalars = (*SCALARS, *(name for name in STDS if name in planes))
    for name in (*scalars, *(f"{colour}.{c}" for colour in COLOURS for c in "RGB")):
        if name not in planes:
            raise InputError(
                f"{exr}: no channel {name}; not a result of this version of bioface estimate"
            )
        plane, (low, high) = planes[name], _RANGES.get(name, (-_MOST, _MOST))
        if plane.shape != planes[SCALARS[0]].shape:
            raise InputError(f"{exr}: channel {name} has another size; estimate the photo again")
        if not low - _ROUNDING <= plane.min() <= plane.max() <= high + _ROUNDING:
            raise InputError(
                f"{exr}: channel {name} holds values of {plane.min():g} to {plane.max():g}, as no "
                "estimate has; estimate the photo again"
            )
    maps = {name: planes[name].clip(*_RANGES[name]) for name in scalars}
    for name in COLOURS:
        maps[name] = np.stack([planes[f"{name}.{c}"] for c in "RGB"], axis=-1)
    return maps


def _read_skin(content: Mapping[str, Any]) -> SkinModel:
    """The skin model of `skin_record`; InputError for one whose reflectance is no number."""
    constants = {name: float(value) for name, value in content["skin_constants"].items()}
    skin = SkinModel.load(content["skin_model"]).with_constants(**constants)
    with np.errstate(all="ignore"):
        shown = skin.reflectance(np.linspace(0, 1, 11)[:, None], np.linspace(0, 1, 11))
    if not np.isfinite(shown).all():
        raise InputError("skin_constants give no reflectance")
    return skin


def check_outputs(
    folder: str | os.PathLike[str],
    photos: Sequence[str | os.PathLike[str]],
    *,
    overwrite: bool = False,
) -> None:
    """Refuse before any work what could not be written; makes and changes nothing.

    Raises
    ------
    BiofaceError
        The folder has no name, cannot be made or written to, a result exists and `overwrite` is
        false, or a result would replace its own photo.
    """
    if not os.fspath(folder):
        raise InputError("--out names no folder; name one, or . for this one")
    target = Path(folder)
    check_folder(target)
    for photo in map(Path, photos):
        for path in (target / f"{photo.stem}{suffix}" for suffix in SUFFIXES):
            if not path.exists():
                continue
            if photo.exists() and path.samefile(photo):
                raise BiofaceError(f"{photo}: its picture would replace it; name another --out")
            check_absent(path, overwrite=overwrite)


def _json_text(content: Mapping[str, Any]) -> str:
    """Indented JSON with each list of numbers on one line."""
    text = json.dumps(content, indent=1, allow_nan=False)
    return re.sub(r"\[\s+([^][{}]*?)\s+\]", _on_one_line, text) + "\n"


def _on_one_line(match: re.Match[str]) -> str:
    return f"[{' '.join(match[1].split())}]"


def _rounded(values: Any, digits: int) -> Any:
    return np.round(np.asarray(values, np.float64), digits).tolist()


def _array(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.shape != shape:
        raise ValueError(f"{name}: shape {array.shape} instead of {shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: not finite")
    return array
