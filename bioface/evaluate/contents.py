"""What a rendered set shows, in words for the accuracy page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHARES = {
    "hair_share": "scalp hair",
    "brow_share": "brows",
    "beard_share": "beard",
    "stubble_share": "stubble",
    "makeup_share": "make-up",
    "sweat_share": "sweat",
    "glasses_share": "glasses",
    "headwear_share": "headwear",
    "clothes_share": "clothes",
}
"""Sampling options of `bioface-synth generate` that put something on skin, and what it is."""


def contents(dataset: Mapping[str, Any]) -> str:
    """What people of a set wear, have grown and have on: shares of them, or `skin only`.

    Parameters
    ----------
    dataset
        Content of its `dataset.json`, which a packed file carries as `dataset`; empty where there
        is none.
    """
    sampling = dataset.get("config", {}).get("sampling")
    if sampling is None:
        return "what covers skin is not recorded"
    shares = {words: sampling[name] for name, words in SHARES.items() if sampling.get(name)}
    if not shares:
        return "skin only"
    return ", ".join(f"{words} {100 * share:.0f} %" for words, share in shares.items())


def samples_per_pixel(dataset: Mapping[str, Any]) -> int | None:
    """How many samples of every pixel were rendered: what its noise depends on; None if unknown."""
    found = dataset.get("config", {}).get("samples")
    return found if isinstance(found, int) else None


def of_folder(folder: Path) -> Mapping[str, Any]:
    """`dataset.json` of a dataset's folder; empty where it has none that can be read."""
    try:
        found = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def file_sha256(path: Path) -> str:
    """What tells a file's content from another's; hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_sha256(folder: Path) -> str | None:
    """That of a dataset's manifest, which holds those of its samples; None without one."""
    manifest = folder / "manifest.jsonl"
    return file_sha256(manifest) if manifest.is_file() else None
