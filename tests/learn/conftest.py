import numpy as np
import pytest
from ellipsoids import CHANNELS, INDIRECT_CHANNELS, SIZE, ellipsoid_sample, indirect_shares

from bioface.packed import read_packed, write_packed


@pytest.fixture(autouse=True)
def _one_thread():
    """Idle threads of torch spin: on a busy machine these small networks run 10 times faster so."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def pack_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("pack") / "synthetic.pack"
    rng = np.random.default_rng(0)
    samples = [{"id": f"{i:06d}"} for i in range(12)]
    images = (ellipsoid_sample(rng) for _ in samples)
    write_packed(path, CHANNELS, images, samples, (SIZE, SIZE))
    return path


@pytest.fixture(scope="session")
def indirect_pack_path(pack_path):
    """The same samples with the shares of indirect light."""
    path = pack_path.with_name("indirect.pack")
    packed = read_packed(pack_path)
    images = (np.concatenate([image, indirect_shares(image)]) for image in packed.images)
    samples = packed.header["samples"]
    write_packed(path, (*CHANNELS, *INDIRECT_CHANNELS), images, samples, (SIZE, SIZE))
    return path
