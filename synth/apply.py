"""`bioface-synth apply`: a photo's skin maps on a head in Blender, as read and with other gains."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bioface.errors import BiofaceError, InputError, install_advice
from synth.launcher import USER_FOLDER

PICTURES = ("before.png", "after.png")
BLEND = "head.blend"
_ENDS = {".png": b"IEND\xaeB`\x82", ".blend": b"\xb1\xea\x92\x8f"}
"""Last bytes of whole files: of a PNG, and of a compressed .blend, whose frames end in a table."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bioface-synth apply`."""
    parser.description = (
        "Fit a head to the face of an estimate, bring its melanin and haemoglobin onto the head's "
        "texture, and render it with the material 'BioFace Skin': before.png as read, after.png "
        "with the gains below. head.blend holds the edited head, maps.<tile>.exr the textures. "
        "The pictures are denoised portraits in Blender's Standard view, not ground truth."
    )
    parser.add_argument(
        "estimate", type=Path, help="RESULT.exr of bioface estimate, beside its JSON"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--heads",
        default="procedural",
        help="procedural, ict-facekit, or a path (default: %(default)s)",
    )
    parser.add_argument(
        "--melanin", type=float, default=1.5, help="gain of after.png (%(default)s)"
    )
    parser.add_argument(
        "--haemoglobin", type=float, default=0.5, help="gain of after.png (%(default)s)"
    )
    parser.add_argument("--size", type=int, default=512, help="pixels a side (%(default)s)")
    parser.add_argument("--texture", type=int, default=1024, help="texels a side (%(default)s)")
    parser.add_argument("--samples", type=int, default=32, help="Cycles samples (%(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")


def run(options: argparse.Namespace) -> None:
    """Run `bioface-synth apply`; writes every result or none.

    Raises
    ------
    BiofaceError
        A value, the estimate or the head cannot be used, a result exists, the folder cannot be
        written, the disk is full, or Blender is missing.
    """
    _check(options)
    from bioface.atomic import replacing
    from bioface.exr import write_exr
    from synth.blender.compat import import_bpy, require_bpy
    from synth.blender.quiet import quiet
    from synth.heads import load_provider
    from synth.project import fit_head, project_maps, read_estimate

    require_bpy()
    estimate = read_estimate(options.estimate)
    if estimate.landmarks is None:
        raise InputError(
            f"{options.estimate}: holds no landmarks, which fitting a head needs; estimate the "
            "photo again without --face-box, with MediaPipe installed "
            f"({install_advice('train')})"
        )
    provider = load_provider(options.heads)
    head = provider.mean()
    print(f"fitting the head to {options.estimate}", flush=True)
    fit = fit_head(head, estimate.landmarks, estimate.shape)
    tiles = project_maps(head, fit, estimate.maps, options.texture)
    names = [*PICTURES, BLEND, *(f"maps.{number}.exr" for number in tiles)]
    with ExitStack() as files:
        files.enter_context(_folder(options.out))
        files.enter_context(_own_user_folder())
        bpy = import_bpy()
        from synth.blender.portrait import build_portrait, render_picture, save_blend, set_gains

        paths = {
            name: files.enter_context(replacing(options.out / name, overwrite=options.overwrite))
            for name in names
        }
        for number, tile in tiles.items():
            planes = {**tile.maps, "seen": tile.seen}
            write_exr(paths[f"maps.{number}.exr"], planes, full_precision=())
        with quiet():
            made = build_portrait(bpy, provider, tiles, estimate.skin)
        for name, gains in zip(
            PICTURES, ((1.0, 1.0), (options.melanin, options.haemoglobin)), strict=True
        ):
            print(
                f"rendering {name}: melanin x {gains[0]:g}, haemoglobin x {gains[1]:g}", flush=True
            )
            set_gains(made, *gains)
            with quiet(), _whole(paths[name], options.out / name):
                render_picture(bpy, paths[name], options.size, options.samples)
        with quiet(), _whole(paths[BLEND], options.out / BLEND):
            save_blend(bpy, paths[BLEND])
    if options.overwrite:  # tiles that this head does not have
        for former in options.out.glob("maps.[0-9][0-9][0-9][0-9].exr"):
            if former.name not in names:
                former.unlink()
    print(f"wrote {', '.join(names)} to {options.out}")


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Make a folder and its parents; when the block raises, remove what was made and is empty."""
    made = [place for place in (path, *path.parents) if not place.exists()]
    try:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BiofaceError(f"{path}: cannot be made ({error.strerror})") from error
        yield
    except BaseException:
        with suppress(OSError):
            for place in made:
                place.rmdir()
        raise


@contextmanager
def _whole(written: Path, target: Path) -> Iterator[None]:
    """Check the file that Blender writes in the block: it may cut one short without a word.

    Raises
    ------
    BiofaceError
        It is not whole; the message names `target`.
    """
    wrong = f"{target}: Blender could not write it; is the disk full?"
    try:
        yield
    except RuntimeError as error:
        raise BiofaceError(wrong) from error
    if not written.read_bytes().endswith(_ENDS[target.suffix]):
        raise BiofaceError(wrong)


@contextmanager
def _own_user_folder() -> Iterator[None]:
    """An empty user folder for the Blender that is imported inside.

    One that is reset to factory settings, as `build_portrait` does, removes the wheels of the
    extensions in its user folder.
    """
    former = os.environ.get(USER_FOLDER)
    with tempfile.TemporaryDirectory(prefix="bioface-", ignore_cleanup_errors=True) as folder:
        os.environ[USER_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[USER_FOLDER]
            if former is not None:
                os.environ[USER_FOLDER] = former


def _check(options: argparse.Namespace) -> None:
    """Refuse before any work what cannot be done; makes nothing."""
    from bioface.photo.result import check_outputs

    for name, low, high in (
        ("melanin", 0, 10),
        ("haemoglobin", 0, 10),
        ("size", 16, 8192),
        ("texture", 16, 8192),
        ("samples", 1, 65536),
    ):
        value = getattr(options, name)
        if not low <= value <= high:
            raise InputError(f"--{name} {value:g}: must lie in {low}-{high}")
    check_outputs(options.out, ())
    for name in () if options.overwrite else (*PICTURES, BLEND):
        if (options.out / name).exists():
            raise BiofaceError(
                f"{options.out / name}: exists already; pass --overwrite to replace it"
            )
