"""How many cores a render process shows Blender."""

import os
import sys

import pytest

from synth.blender.child import _cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")


def test_blender_finds_as_many_cores_as_it_renders_on():
    before = os.sched_getaffinity(0)
    with _cores(1):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("count", [0, 10_000])
def test_all_are_shown_where_all_are_used(count):
    before = os.sched_getaffinity(0)
    with _cores(count):
        assert os.sched_getaffinity(0) == before


def test_the_cores_come_back_after_a_failure():
    before = os.sched_getaffinity(0)
    with pytest.raises(RuntimeError, match="no Blender"), _cores(1):
        raise RuntimeError("no Blender")
    assert os.sched_getaffinity(0) == before
