"""ICT-FaceKit as its authors publish it: OBJ files, from a checkout or from GitHub."""

from __future__ import annotations

import http.client
import json
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from bioface.errors import BiofaceError, InputError
from synth.heads.obj import read_obj, read_vertices

COMMIT = "1922d84282a3faf345dbf949c4a63b09f87907bc"
"""The revision of ICT-FaceKit that is downloaded."""

ARCHIVE = f"https://github.com/ICT-VGL/ICT-FaceKit/archive/{COMMIT}.tar.gz"
"""Where GitHub packs that revision; the bytes of its archives are not promised to stay equal."""

_FOLDER = "FaceXModel"
_LIST = "vertex_indices.json"
_IDENTITIES = 100
_TIMEOUT_S = 60.0
_ADVICE = (
    "where there is a network, run `git clone https://github.com/ICT-VGL/ICT-FaceKit`, "
    "bring the folder here and pass it with --from"
)


def download(folder: Path) -> None:
    """Fetch `ARCHIVE` and leave its `FaceXModel` in `folder`, with a progress bar.

    Only the OBJ files and the list of expressions are kept; nothing is verified here.

    Raises
    ------
    BiofaceError
        The server cannot be reached, refuses or breaks off, or the disk is full.
    """
    from tqdm import tqdm

    url = ARCHIVE
    request = urllib.request.Request(url, headers={"User-Agent": "bioface"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            length = int(response.headers.get("Content-Length") or 0) or None
            bar = tqdm.wrapattr(response, "read", total=length, desc="download", disable=None)
            with bar as stream:
                _unpack(stream, folder / _FOLDER)
    except urllib.error.HTTPError as error:
        error.close()
        raise BiofaceError(f"{url}: the server answers {error.code}; {_ADVICE}") from error
    except urllib.error.URLError as error:
        raise BiofaceError(f"{url}: cannot be reached ({error.reason}); {_ADVICE}") from error
    except (tarfile.TarError, EOFError, zlib.error, http.client.HTTPException) as error:
        raise BiofaceError(
            f"{url}: the download is damaged or broke off ({error}); run the command again"
        ) from error
    except (TimeoutError, ConnectionError) as error:
        raise BiofaceError(f"{url}: the connection was lost; run the command again") from error
    except OSError as error:
        raise BiofaceError(
            f"{folder}: cannot be written ({error.strerror}); 400 MB are needed there, "
            "TMPDIR names another place"
        ) from error


def read_checkout(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `read_arrays` reads from an npz, made from the OBJ files of a checkout.

    Modes are differences of the decimal figures in float64, rounded to half floats at the end.

    Raises
    ------
    InputError
        Not a checkout, or a file of it is missing or damaged.
    """
    from tqdm import tqdm

    model = path / _FOLDER if (path / _FOLDER).is_dir() else path
    neutral = model / "generic_neutral_mesh.obj"
    if not neutral.is_file():
        raise InputError(f"{path}: no {_FOLDER}/generic_neutral_mesh.obj; is this ICT-FaceKit?")
    try:
        names = sorted(json.loads((model / _LIST).read_text())["expressions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{model / _LIST}: no list of expressions") from error
    mesh = read_obj(neutral, material_only=True)
    stems = [*(f"identity{k:03d}" for k in range(_IDENTITIES)), *names]
    modes = np.stack(
        [
            (_same_count(model / f"{stem}.obj", mesh.vertices) - mesh.vertices).astype(np.float16)
            for stem in tqdm(stems, desc="read", unit="file", disable=None)
        ]
    )
    return {
        "mean": mesh.vertices.astype(np.float32),
        "identity": modes[:_IDENTITIES],
        "expr": modes[_IDENTITIES:],
        "faces": mesh.faces.astype(np.uint16),
        "uvidx": mesh.uv_indices.astype(np.int32),
        "vt": mesh.uvs.astype(np.float32),
        "face_mat": mesh.part.astype(np.uint8),
        "expr_names": np.array(names),
    }


def _unpack(stream: object, folder: Path) -> None:
    """Keep what `read_checkout` reads of a tar archive that arrives."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = 0
    with tarfile.open(fileobj=stream, mode="r|gz") as archive:  # type: ignore[call-overload]
        for member in archive:
            name = PurePosixPath(member.name)
            wanted = name.suffix == ".obj" or name.name == _LIST
            if not (member.isfile() and wanted and name.parent.name == _FOLDER):
                continue
            source = archive.extractfile(member)
            assert source is not None
            with open(folder / name.name, "wb") as target:
                shutil.copyfileobj(source, target)
            kept += 1
    if not kept:
        raise tarfile.TarError(f"no {_FOLDER} in it")


def _same_count(path: Path, like: np.ndarray) -> np.ndarray:
    vertices = read_vertices(path)
    if vertices.shape != like.shape:
        raise InputError(f"{path}: {len(vertices)} vertices where the neutral mesh has {len(like)}")
    return vertices
