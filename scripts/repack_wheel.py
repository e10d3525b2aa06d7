"""Turn an installed pure-Python package back into a wheel: scripts/repack_wheel.py NAME FOLDER.

The set-up has pinned and checked it already, so the extension carries the very version that was
tested, and building needs no network.
"""

import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path


def repack(name: str, folder: Path) -> Path:
    """Write the wheel of the installed distribution `name` to `folder` and return its path."""
    found = distribution(name)
    if found.files is None or "Root-Is-Purelib: true" not in (found.read_text("WHEEL") or ""):
        raise SystemExit(f"{name}: not an installed pure-Python wheel")
    added_by_pip = {"INSTALLER", "REQUESTED", "direct_url.json", "RECORD"}
    files = [
        file
        for file in found.files
        if file.name not in added_by_pip and file.suffix != ".pyc" and ".." not in file.parts
    ]
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{found.version}"
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(files):
            archive.write(file.locate(), str(file))
        kept = {str(file) for file in files}
        lines = (found.read_text("RECORD") or "").splitlines()
        record = [line for line in lines if line.split(",")[0] in kept]
        name_of_record = f"{stem}.dist-info/RECORD"
        archive.writestr(name_of_record, "\n".join([*record, f"{name_of_record},,"]) + "\n")
    return wheel


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    repack(sys.argv[1], Path(sys.argv[2]))
