"""`bioface estimate`: photos to skin maps."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bioface.errors import BiofaceError, InputError


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
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    parser.add_argument(
        "--albedo",
        action="store_true",
        help="the files are albedo textures (sRGB, no shading): invert each pixel, no network",
    )


def run(options: argparse.Namespace) -> int:
    """Read every photo; 1 when any could not be read, after all the others are done."""
    from tqdm import tqdm

    from bioface.photo.files import find_photos
    from bioface.photo.network import load_network
    from bioface.photo.result import check_outputs

    photos = find_photos(options.photos)
    if options.face_box and len(photos) > 1:
        raise InputError(f"--face-box tells of one photo, but {len(photos)} are given")
    check_outputs(options.out, photos, overwrite=options.overwrite)
    model = None if options.albedo else load_network(options.weights, options.runtime)
    failed = 0
    with tqdm(photos, unit="photo", disable=None if len(photos) > 1 else True) as progress:
        for photo in progress:
            try:
                read = _read_albedo if options.albedo else _estimate_one
                line = read(photo, options, model)
            except BiofaceError as error:
                failed += 1
                tqdm.write(f"bioface: error: {error}", file=sys.stderr)
            else:
                tqdm.write(line)
    if failed and len(photos) > 1:
        print(f"bioface: {failed} of {len(photos)} photos could not be read", file=sys.stderr)
    return 1 if failed else 0


def _read_albedo(texture: Path, options: argparse.Namespace, _: object) -> str:
    """Read and write one albedo texture; returns what to tell about it."""
    from bioface.photo.albedo import write_albedo_maps

    return str(write_albedo_maps(texture, options.out, overwrite=options.overwrite))


def _estimate_one(photo: Path, options: argparse.Namespace, model) -> str:  # noqa: ANN001
    """Read and write one photo; returns what to tell about it."""
    from dataclasses import replace

    from bioface.photo.files import read_photo
    from bioface.photo.montage import montage
    from bioface.photo.read import faces_in, read_faces
    from bioface.photo.result import write_estimate

    srgb = read_photo(photo)
    faces = faces_in(srgb, photo, model, options.face_box)
    result = read_faces(srgb, faces, model, size=options.size)
    path = Path(os.path.relpath(photo.resolve(), Path(options.out).resolve())).as_posix()
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
    return f"{written}: {count} face{'s' if count > 1 else ''}, {numbers}{note * guessed}"
