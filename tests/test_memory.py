"""Freed memory is kept by the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc alone can be told")

PROGRAM = """
import resource, sys
import numpy as np
from bioface.memory import keep_freed_memory

if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit("this C library cannot be told")
np.ones(1 << 22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    np.ones(1 << 22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def new_pages(how: str) -> int:
    """Pages that the system clears for eight arrays of 32 MB, one after the other."""
    command = [sys.executable, "-c", PROGRAM, how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot be told" in done.stderr:
        pytest.skip("not glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_arrays_that_were_freed_cost_no_new_pages():
    assert new_pages("kept") < 64 < new_pages("as ever")
