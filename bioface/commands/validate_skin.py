"""`bioface validate-skin`: fit a skin model to measured reflectance spectra."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bioface.spectral.skin import SkinModel


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bioface validate-skin`."""
    parser.add_argument(
        "spectra",
        type=Path,
        help="npz with wavelength (W,) in nm and reflectance (N, W), 0-1, specular included",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", default="calibrated", help="name of the skin model")
    which.add_argument(
        "--weights", type=Path, metavar="FILE", help="the skin that fine-tuned weights have learned"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Fit, and print the measures as lines or as one JSON object."""
    from bioface.errors import InputError
    from bioface.evaluate.validate_skin import read_spectra, validate_skin
    from bioface.spectral.skin import SkinModel

    if options.weights is None:
        model = SkinModel.load(options.model)
        name = model.name
    else:
        model, name = _learned(options.weights)
    spectra = read_spectra(options.spectra)
    try:
        result = validate_skin(model, *spectra)
    except InputError as error:
        raise InputError(f"{options.spectra}: {error}") from error
    summary = result.summary() | {"model": name}
    if options.json:
        print(json.dumps(summary))
        return
    low, high = result.wavelength[[0, -1]]
    print(f"{summary['n']} spectra, {low:g}-{high:g} nm, skin model {name}")
    print(f"specular_offset   {result.specular_offset:.4f}")
    print(f"spectral RMSE     median {summary['rmse_median']:.5f}   p95 {summary['rmse_p95']:.5f}")
    print(
        f"CIEDE2000         median {summary['ciede2000_median']:.2f}      "
        f"p95 {summary['ciede2000_p95']:.2f}"
    )
    print(f"on a bound        {result.on_bound.mean():.1%} of spectra")


def _learned(weights: Path) -> tuple[SkinModel, str]:
    """The skin of a weight file, and its name: that of the model it began as, and the file's."""
    from bioface.learn.weights import load_weights
    from bioface.spectral.skin import SkinModel

    trained = load_weights(weights)
    learned = trained.decoder.skin()
    numbers = {name: float(value) for name, value in learned.constants.items()}
    model = SkinModel.load(learned.name).with_constants(**numbers)
    return model, f"{model.name} of {weights.name} (sha256 {trained.sha256[:16]})"
