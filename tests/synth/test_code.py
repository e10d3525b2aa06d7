import subprocess
import sys
from pathlib import Path, PurePosixPath

from synth.dataset.code import SOURCES, code_hash, meaning

ROOT = Path(__file__).parents[2]
CHILD = """
import sys
import synth.blender.child, synth.blender.render, synth.dataset.write
import synth.blender.read_mesh
import synth.heads, synth.heads.mesh, synth.heads.procedural, synth.sample.scene
import bioface.spectral.colour
from bioface import SkinModel
print(*(m for m in sys.modules if m.partition(".")[0] in ("bioface", "synth")), sep="\\n")
"""

# What a render process imports that leaves no trace in the values of a sample; tables are data,
# and the constants of the skin model are recorded beside the hash.
HARMLESS = {
    *("bioface.atomic", "bioface.errors", "bioface.spectral.tables"),
    *("synth.dataset.code", "synth.dataset.read", "synth.dataset.write", "synth.launcher"),
}


def test_every_module_that_a_render_process_imports_is_hashed():
    out = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    imported = {name for name in out.split() if not is_package(name)}
    hashed = {
        ".".join(PurePosixPath(path.relative_to(ROOT)).with_suffix("").parts)
        for pattern in SOURCES
        for path in ROOT.glob(pattern)
    }
    assert {"synth.sample.pigment", "synth.blender.read_mesh"} <= imported
    assert imported - hashed - HARMLESS == set()
    assert all(list(ROOT.glob(pattern)) for pattern in SOURCES)


def is_package(name):
    return (ROOT / Path(*name.split("."))).is_dir()


def test_words_about_the_code_do_not_count_but_numbers_do():
    source = 'X = 1\n"""About X."""\n\ndef f(a):\n    """Twice."""\n    return 2 * a\n'
    same = "X = 1  # one\ndef f(a):\n    return (2 *\n        a)\n"
    assert meaning(source) == meaning(same)
    assert meaning(source) != meaning(source.replace("2 *", "3 *"))
    assert len(code_hash()) == 64
