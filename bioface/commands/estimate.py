"""`bioface estimate`: photos to skin maps."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bioface.errors import BiofaceError, InputError

if TYPE_CHECKING:
    import numpy as np

    from bioface.photo.known import KnownScene
    from bioface.photo.network import Network
    from bioface.photo.read import SeenFace

Result = TypeVar("Result")

_GREY = 1.5 / 255

_NOT_OF_ALBEDO = (
    *("face_box", "weights", "runtime", "size", "illuminant", "camera", "white_balance"),
    *("no_tone_curve", "same_shoot"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "photos", nargs="+", metavar="PHOTO", help="photo files, or folders of photos"
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for <stem>.exr (maps), <stem>.json (numbers) and <stem>.png (picture)",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="trained weights, .safetensors or .onnx; default: those of the package",
    )
    parser.add_argument(
        "--runtime",
        choices=("auto", "torch", "onnx"),
        default="auto",
        help="what runs the network; default: what is installed, onnxruntime before torch",
    )
    parser.add_argument(
        "--face-box",
        nargs=3,
        type=float,
        action="append",
        metavar=("X", "Y", "SIDE"),
        help="where an upright face is: left, top and side in pixels of the square from brows to "
        "chin; again for further faces; needs no MediaPipe and gives no landmarks",
    )
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="side of the square in which the network sees a face; default: as it was trained",
    )
    parser.add_argument(
        "--illuminant",
        metavar="LIGHT",
        help="the light, if it is known: A, D65, D5000, F1-F12, LED-B1 ..., a temperature such as "
        "5600K, or a CSV file of wavelength in nm and power",
    )
    parser.add_argument(
        "--camera",
        metavar="FILE",
        help="the camera, if its sensitivities are known: a CSV file of wavelength in nm, red, "
        "green, blue; or an npz (FILE.npz:NAME for one of several)",
    )
    parser.add_argument(
        "--white-balance",
        nargs=2,
        type=float,
        metavar=("R", "B"),
        help="factors by which white balance erred in red and blue, if they are known: 1 1 where "
        "it was set on a grey card",
    )
    parser.add_argument(
        "--no-tone-curve",
        action="store_true",
        help="the photo was developed without a tone curve, contrast or saturation",
    )
    parser.add_argument(
        "--same-shoot",
        action="store_true",
        help="the photos share one light and camera: read all, then each again, told their mean",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    parser.add_argument(
        "--albedo",
        action="store_true",
        help="the files are albedo textures (sRGB, no shading): invert each pixel, no network",
    )


def run(options: argparse.Namespace) -> int:
    """Read every photo; 1 when any failed, after all the others are done."""
    from bioface.photo.files import find_photos
    from bioface.photo.known import KnownScene
    from bioface.photo.network import load_network
    from bioface.photo.read import check_size
    from bioface.photo.result import check_outputs
    from bioface.photo.shoot import shared_scene

    if options.albedo:
        _refuse_with_albedo(options)
    check_size(options.size)
    photos = find_photos(options.photos)
    if options.face_box and len(photos) > 1:
        raise InputError(f"--face-box tells of one photo, but {len(photos)} are given")
    known = KnownScene.of(
        illuminant=options.illuminant,
        camera=options.camera,
        white_balance=options.white_balance,
        no_tone_curve=options.no_tone_curve,
    )
    check_outputs(options.out, photos, overwrite=options.overwrite)
    readable = photos
    if options.albedo:
        work = partial(_read_albedo, options)
    else:
        model = load_network(options.weights, options.runtime)
        if options.same_shoot:
            seen = _for_each(photos, partial(_look, options, model, known))
            readable = list(seen)
            if seen:
                known = shared_scene([face for faces in seen.values() for face in faces], known)
        work = partial(_estimate_one, options, model, known)
    failed = len(photos) - len(_for_each(readable, work))
    if failed and len(photos) > 1:
        print(f"bioface: {failed} of {len(photos)} photos failed", file=sys.stderr)
    return 1 if failed else 0


def _refuse_with_albedo(options: argparse.Namespace) -> None:
    for name in _NOT_OF_ALBEDO:
        value = getattr(options, name)
        if value is not False and value not in (None, "auto"):
            raise InputError(
                f"--{name.replace('_', '-')}: an albedo texture has no light, camera or face to "
                "tell, and no network reads it; leave this or --albedo out"
            )


def _for_each(photos: Sequence[Path], work: Callable[[Path], Result]) -> dict[Path, Result]:
    """What `work` returns of each photo; one that cannot be read is told of and left out."""
    from tqdm import tqdm

    done = {}
    with tqdm(photos, unit="photo", disable=None if len(photos) > 1 else True) as progress:
        for photo in progress:
            try:
                done[photo] = work(photo)
            except BiofaceError as error:
                tqdm.write(f"bioface: error: {error}", file=sys.stderr)
    return done


def _read_albedo(options: argparse.Namespace, texture: Path) -> None:
    """Read and write one albedo texture."""
    from tqdm import tqdm

    from bioface.photo.albedo import write_albedo_maps

    tqdm.write(str(write_albedo_maps(texture, options.out, overwrite=options.overwrite)))


def _look(
    options: argparse.Namespace, model: Network, known: KnownScene, photo: Path
) -> list[SeenFace]:
    """What the network says of each face, before anything is written."""
    from bioface.photo.files import read_photo
    from bioface.photo.read import ask, faces_in

    srgb = read_photo(photo)
    faces = faces_in(srgb, photo, model, options.face_box)
    return [ask(srgb, face, model, size=options.size, known=known) for face in faces]


def _estimate_one(
    options: argparse.Namespace, model: Network, known: KnownScene, photo: Path
) -> None:
    """Read and write one photo, and tell about it."""
    from tqdm import tqdm

    from bioface.photo.files import read_photo
    from bioface.photo.montage import montage
    from bioface.photo.read import faces_in, read_faces
    from bioface.photo.result import write_estimate

    srgb = read_photo(photo)
    faces = faces_in(srgb, photo, model, options.face_box)
    result = read_faces(srgb, faces, model, size=options.size, known=known)
    path = _path_from(Path(options.out).resolve(), photo.resolve())
    result = replace(result, photo={**result.photo, "path": path})
    written = write_estimate(
        options.out, photo.stem, result, montage(srgb, result), overwrite=options.overwrite
    )
    count = len(result.faces)
    skin = result.faces[0].skin
    numbers = (
        "no skin found in the face"
        if not skin["pixels"]
        else f"melanin {100 * skin['melanin_median']:.1f} %, "
        f"haemoglobin {100 * skin['haemoglobin_median']:.2f} %"
    )
    guessed = not options.face_box and result.faces[0].landmarks is None
    note = " (found by the network, without MediaPipe: check it, or pass --face-box)"
    note *= guessed
    if _is_grey(srgb, result.maps["mask"]):
        note += " (a grey photo: its pigments are a guess)"
    tqdm.write(f"{written}: {count} face{'s' if count > 1 else ''}, {numbers}{note}")


def _is_grey(srgb: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the three channels are equal over the skin, but for a step of eight bits."""
    from bioface.photo.read import SURE

    skin = srgb[mask > SURE]
    return skin.size > 0 and float((skin.max(-1) - skin.min(-1)).max()) < _GREY


def _path_from(folder: Path, photo: Path) -> str:
    """The photo's path relative to a folder; absolute where none leads there: another drive."""
    try:
        return Path(os.path.relpath(photo, folder)).as_posix()
    except ValueError:
        return photo.as_posix()
