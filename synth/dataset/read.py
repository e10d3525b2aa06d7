"""Read a dataset folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from bioface.errors import InputError
from bioface.exr import read_exr
from synth.dataset.schema import MANIFEST_FILE, SAMPLES_FOLDER, DatasetInfo, sample_id


class Dataset:
    """A dataset folder, read sample by sample.

    Attributes
    ----------
    info
        What the dataset was made from.
    indices
        The finished samples, increasing.

    Raises
    ------
    InputError
        The folder is not a dataset of this version, or holds no finished sample.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.info = DatasetInfo.load(self.folder)
        self.indices = sorted({line["index"] for line in read_manifest(self.folder)})
        if not self.indices:
            raise InputError(f"{self.folder}: holds no finished sample; generate some first")

    def __len__(self) -> int:
        return len(self.indices)

    def channels(self, index: int) -> dict[str, np.ndarray]:
        """Channel name to (H, W) float32; see `synth.dataset.schema` for their meaning.

        Raises
        ------
        InputError
            The file is missing or damaged.
        """
        return read_exr(self._path(index, ".exr"))

    def record(self, index: int) -> dict[str, Any]:
        """The sample's JSON: every drawn parameter, camera, landmarks.

        Raises
        ------
        InputError
            The file is missing or damaged.
        """
        path = self._path(index, ".json")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: missing or damaged; run the command that generated it again"
            ) from error

    def _path(self, index: int, suffix: str) -> Path:
        return self.folder / SAMPLES_FOLDER / (sample_id(index) + suffix)


def read_manifest(folder: str | Path) -> list[dict[str, Any]]:
    """The lines of `folder/manifest.jsonl`; the last of several for one sample wins.

    A last line cut short by a killed writer is left out; a missing manifest is empty.

    Raises
    ------
    InputError
        The file cannot be read, or another line is damaged.
    """
    path = Path(folder, MANIFEST_FILE)
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    complete = text[: text.rfind("\n") + 1]
    lines: dict[int, dict[str, Any]] = {}
    for number, row in enumerate(complete.splitlines(), 1):
        try:
            line = json.loads(row)
            line["exr_sha256"], line["json_sha256"]
            lines[int(line["index"])] = line
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: line {number} is damaged; remove that line") from error
    return list(lines.values())
