"""Crops of faces that travel to where fine-tuning runs."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioface.cli import main  # noqa: E402
from bioface.errors import InputError  # noqa: E402
from bioface.learn.faces import MARGIN, FaceCrops, load_faces  # noqa: E402

pytestmark = pytest.mark.torch
SIZE = 32


@pytest.fixture
def crops():
    side = round(MARGIN * SIZE)
    planes = torch.rand(2, 5, side, side, generator=torch.Generator().manual_seed(0))
    planes[:, 4] *= 3
    return FaceCrops(("folder/ann.jpg", "bob.jpg"), planes.half(), SIZE)


def test_crops_come_back_in_eight_bits_and_without_folders(tmp_path, crops):
    path = tmp_path / "crops.npz"
    crops.save(path)
    again = load_faces([path], SIZE)
    assert again.names == ("ann.jpg", "bob.jpg")
    difference = (again.planes.float() - crops.planes.float()).abs()
    assert difference[:, :4].max() < 0.6 / 255
    assert difference[:, 4].max() < 0.6 * 3 / 255 + 2e-3
    assert [path.name for path in tmp_path.iterdir()] == ["crops.npz"]


def test_crops_for_another_size_are_refused(tmp_path, crops):
    crops.save(tmp_path / "crops.npz")
    with pytest.raises(InputError, match=r"crops.npz: faces cropped for 32 pixels.*--size 64"):
        load_faces([tmp_path / "crops.npz"], 64)


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_what_is_no_file_of_crops_is_refused(tmp_path, content):
    path = tmp_path / "crops.npz"
    if content is None:
        np.savez(path, photo=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"crops.npz: no crops of faces"):
        load_faces([path], SIZE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "96", "--out", "crops.zip"], "let --out end in .npz"),
        (["--size", "8", "--out", "crops.npz"], "--size 8: must be 32 to 1024"),
        (["--size", "96", "--out", "there.npz"], "there.npz: is there already; pass --overwrite"),
    ],
)
def test_bad_arguments_of_crop_are_one_line(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.npz").write_bytes(b"")
    status = main(["train", "crop", "--photos", str(tmp_path), *arguments])
    assert status != 0
    assert said in capsys.readouterr().err
