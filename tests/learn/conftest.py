import numpy as np
import pytest
from ellipsoids import CHANNELS, SIZE, ellipsoid_sample

from bioface.packed import write_packed


@pytest.fixture(scope="session")
def pack_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("pack") / "synthetic.pack"
    rng = np.random.default_rng(0)
    samples = [{"id": f"{i:06d}"} for i in range(12)]
    images = (ellipsoid_sample(rng) for _ in samples)
    write_packed(path, CHANNELS, images, samples, (SIZE, SIZE))
    return path
