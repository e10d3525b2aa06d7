"""`bioface edit`: a photo with changed skin, light or camera."""

from __future__ import annotations

import argparse
from pathlib import Path

from bioface.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "result", metavar="RESULT", help="what bioface estimate wrote: the .exr, .json or stem"
    )
    parser.add_argument(
        "--melanin", type=float, default=1.0, metavar="FACTOR", help="factor on melanin, 0-10"
    )
    parser.add_argument(
        "--haemoglobin", type=float, default=1.0, metavar="FACTOR", help="factor on blood, 0-10"
    )
    parser.add_argument(
        "--specular", type=float, default=1.0, metavar="FACTOR", help="factor on gloss, 0-10"
    )
    parser.add_argument(
        "--illuminant",
        metavar="LIGHT",
        help="another light: A, D65, D5000 (daylight of 5000 K), F1-F12, LED-B1 ..., a temperature "
        "such as 5600K, or a CSV file; the camera keeps its white balance",
    )
    parser.add_argument(
        "--rebalance", action="store_true", help="let the white balance adapt to --illuminant"
    )
    parser.add_argument(
        "--camera",
        metavar="FILE",
        help="another camera, which balances the light as the estimated one did: a CSV file of "
        "wavelength in nm, red, green, blue; or an npz (FILE.npz:NAME for one of several)",
    )
    parser.add_argument("--photo", metavar="FILE", help="where the photo is, if it was moved since")
    parser.add_argument(
        "--out", required=True, metavar="PNG", help="picture to write, as deep as the photo"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing picture")


def run(options: argparse.Namespace) -> int:
    """Edit one photo and write it."""
    import numpy as np

    from bioface.atomic import check_target, replacing
    from bioface.photo.edit import edit, find_photo
    from bioface.photo.files import PNG_SIGNATURE, png_bytes
    from bioface.photo.result import read_estimate

    target = Path(options.out)
    if target.suffix.lower() != ".png":
        raise InputError(f"{target}: the picture is a PNG; let --out end in .png")
    if options.rebalance and options.illuminant is None:
        raise InputError("--rebalance needs another light; name one with --illuminant")
    check_target(target, overwrite=True)
    estimate = read_estimate(options.result)
    source, srgb, bits = find_photo(estimate, Path(options.result).parent, options.photo)
    if target.exists() and target.samefile(source):
        raise InputError(f"{source}: its picture would replace it; name another --out")
    with replacing(target, overwrite=options.overwrite) as temporary:
        edited = edit(
            srgb,
            estimate,
            melanin=options.melanin,
            haemoglobin=options.haemoglobin,
            specular=options.specular,
            illuminant=options.illuminant,
            rebalance=options.rebalance,
            camera=options.camera,
        )
        content = source.read_bytes() if np.array_equal(edited, srgb) else b""
        # A PNG's depth, profile and metadata are the photo's too.
        whole = content.startswith(PNG_SIGNATURE)
        temporary.write_bytes(content if whole else png_bytes(edited, bits))
    print(target)
    return 0
