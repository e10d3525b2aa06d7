"""`bioface export`: weights for programs that do not have torch."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bioface export`."""
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    onnx = formats.add_parser(
        "onnx",
        help="one ONNX file, run by onnxruntime and numpy",
        description="Write the whole network as ONNX, after comparing it with torch.",
    )
    onnx.add_argument("--out", required=True, metavar="FILE", help="file to write, FILE.onnx")
    onnx.add_argument(
        "--weights", metavar="FILE", help="trained weights; default: those of the package"
    )
    onnx.add_argument("--overwrite", action="store_true", help="replace an existing file")


def run(options: argparse.Namespace) -> None:
    """Export, and say how large the file is and how far it is from torch."""
    from pathlib import Path

    from bioface.atomic import check_target
    from bioface.errors import InputError
    from bioface.learn.export import export_onnx, file_size
    from bioface.learn.weights import load_weights

    target = Path(options.out)
    if target.suffix.lower() != ".onnx":
        raise InputError(f"{target}: let the name of an ONNX file end in .onnx")
    check_target(target, overwrite=options.overwrite)
    differences = export_onnx(load_weights(options.weights), target, overwrite=options.overwrite)
    print(f"{target}: {file_size(target)}; differs from torch by {max(differences.values()):.1e}")
