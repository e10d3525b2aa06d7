"""Fill a dataset folder: one writer, whole files only, resumable at any moment.

Render processes leave finished files in `DIR/.partial` (`stage_sample`); the one writer moves
them into place and then adds them to the manifest. A sample is finished when the manifest names
it and both files still have the recorded SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from bioface.atomic import write_text
from bioface.errors import BiofaceError, InputError, MissingDependencyError
from bioface.exr import write_exr
from synth.dataset.read import read_manifest
from synth.dataset.schema import (
    CHANNELS,
    DATASET_FILE,
    FULL_PRECISION,
    LOG_FILE,
    MANIFEST_FILE,
    OPTIONAL_CHANNELS,
    PARTIAL_FOLDER,
    RADIANCE_CHANNELS,
    SAMPLES_FOLDER,
    DatasetInfo,
    sample_id,
)


def stage_sample(
    partial: str | Path, index: int, channels: Mapping[str, np.ndarray], record: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the two files of a sample into `partial`; returns their line of the manifest.

    Raises
    ------
    InputError
        A channel is missing, unknown or not finite.
    BiofaceError
        The files cannot be written.
    """
    expected = set(CHANNELS)
    if not set(RADIANCE_CHANNELS).isdisjoint(channels):
        expected |= set(RADIANCE_CHANNELS)
    wrong = sorted((set(channels) ^ expected) - set(OPTIONAL_CHANNELS))
    if wrong:
        raise InputError(f"sample {index}: missing or unknown channels {', '.join(wrong)}")
    exr, text = (Path(partial, sample_id(index) + suffix) for suffix in (".exr", ".json"))
    write_exr(exr, channels, full_precision=FULL_PRECISION)
    write_text(text, json.dumps(record, sort_keys=True, allow_nan=False) + "\n")
    return {"index": index, "exr_sha256": file_hash(exr), "json_sha256": file_hash(text)}


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class DatasetWriter:
    """The one writer of a dataset folder; use it as a context manager.

    Opening creates the folder or checks that it was made with the same `info`, takes the lock,
    empties `.partial` and verifies every finished sample.

    Attributes
    ----------
    finished
        Indices of the samples that are in place and whole.
    broken
        Indices the manifest named whose files were missing, truncated or changed.

    Raises
    ------
    BiofaceError
        Another process is writing here, or the folder cannot be written.
    InputError
        The folder belongs to another configuration, head asset or version, or is damaged.
    """

    def __init__(self, folder: str | Path, info: DatasetInfo) -> None:
        self.folder = Path(folder)
        self.partial = self.folder / PARTIAL_FOLDER
        self.finished: set[int] = set()
        self.broken: list[int] = []
        self._lock: IO[str] | None = None
        self._manifest: IO[str] | None = None
        try:
            if self.folder.is_file():
                raise InputError(f"{self.folder}: is a file, not a folder; choose another")
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _take_lock(self.folder)
            self._check_or_write(info)
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(exist_ok=True)
            (self.folder / SAMPLES_FOLDER).mkdir(exist_ok=True)
            self._recover()
        except OSError as error:
            self.close()
            raise BiofaceError(
                f"{self.folder}: cannot be written ({error.strerror or error})"
            ) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock and remove temporary files."""
        if self._manifest is not None:
            with suppress(OSError):  # a line that a full disk refused, which was said before
                self._manifest.close()
            self._manifest = None
        if self._lock is not None:
            shutil.rmtree(self.partial, ignore_errors=True)
            self._lock.close()
            self._lock = None

    def publish(self, line: Mapping[str, Any]) -> None:
        """Move a staged sample into place, then name it in the manifest; `line` of `stage_sample`.

        Raises
        ------
        BiofaceError
            The disk is full or a staged file has vanished.
        """
        assert self._manifest is not None
        name = sample_id(line["index"])
        try:
            for suffix in (".exr", ".json"):
                os.replace(
                    self.partial / (name + suffix), self.folder / SAMPLES_FOLDER / (name + suffix)
                )
            _sync_folder(self.folder / SAMPLES_FOLDER)
            self._manifest.write(_manifest_line(line))
            self._manifest.flush()
            os.fsync(self._manifest.fileno())
        except OSError as error:
            raise BiofaceError(
                f"{self.folder}: sample {name} cannot be put in place ({error.strerror}); "
                "run the same command again to continue"
            ) from error
        self.finished.add(line["index"])

    def log(self, text: str) -> None:
        """Append a line with the time to `run.log`."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        with open(self.folder / LOG_FILE, "a", encoding="utf-8") as file:
            file.write(f"{stamp} {text}\n")

    def sort_manifest(self) -> None:
        """Rewrite the manifest in order of index, so that order of completion leaves no trace."""
        assert self._manifest is not None
        self._manifest.close()
        self._rewrite_manifest(read_manifest(self.folder))
        self._open_manifest()

    def _check_or_write(self, info: DatasetInfo) -> None:
        if (self.folder / DATASET_FILE).exists():
            begun = DatasetInfo.load(self.folder)
            if begun.config.get("code") != info.config.get("code"):
                raise InputError(
                    f"{self.folder}: was begun by another version of the code that makes samples; "
                    "continue with that version or use another --out"
                )
            difference = begun.difference(info)
            if difference:
                raise InputError(
                    f"{self.folder}: was started with another {difference}; "
                    "use the same options or another --out"
                )
            return
        if (self.folder / MANIFEST_FILE).exists():
            raise InputError(
                f"{self.folder}: has a manifest but no {DATASET_FILE}; use another --out"
            )
        samples = self.folder / SAMPLES_FOLDER
        if samples.exists() and any(samples.iterdir()):
            raise InputError(
                f"{samples}: holds files of no dataset (there is no {DATASET_FILE} beside it), "
                "which samples could replace; use another --out"
            )
        write_text(self.folder / DATASET_FILE, info.to_json())

    def _recover(self) -> None:
        whole = []
        for line in read_manifest(self.folder):
            if self._is_whole(line):
                whole.append(line)
                self.finished.add(line["index"])
            else:
                self.broken.append(line["index"])
                self.log(
                    f"{SAMPLES_FOLDER}/{sample_id(line['index'])}: missing, truncated or changed; "
                    "renders again"
                )
        self._rewrite_manifest(whole)
        self._open_manifest()

    def _is_whole(self, line: Mapping[str, Any]) -> bool:
        stem = self.folder / SAMPLES_FOLDER / sample_id(line["index"])
        try:
            return all(
                file_hash(stem.with_suffix(f".{kind}")) == line[f"{kind}_sha256"]
                for kind in ("exr", "json")
            )
        except FileNotFoundError:
            return False

    def _rewrite_manifest(self, lines: list[dict[str, Any]]) -> None:
        ordered = sorted(lines, key=lambda line: line["index"])
        write_text(self.folder / MANIFEST_FILE, "".join(map(_manifest_line, ordered)))

    def _open_manifest(self) -> None:
        self._manifest = open(self.folder / MANIFEST_FILE, "a", encoding="utf-8")  # noqa: SIM115


def _manifest_line(line: Mapping[str, Any]) -> str:
    return json.dumps(line, sort_keys=True) + "\n"


def _take_lock(folder: Path) -> IO[str]:
    try:
        import fcntl
    except ImportError as error:
        raise MissingDependencyError(
            "generating datasets needs Linux or macOS (file locks); read them anywhere"
        ) from error
    lock = open(folder / ".lock", "w", encoding="utf-8")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if not isinstance(error, BlockingIOError):
            raise BiofaceError(
                f"{folder}: this drive cannot lock files ({error.strerror}); use another --out"
            ) from error
        raise BiofaceError(
            f"{folder}: another bioface-synth is writing here; wait for it or use another --out"
        ) from error
    return lock


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
