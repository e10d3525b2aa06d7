"""Crops of faces that travel to where fine-tuning runs."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioface.cli import main  # noqa: E402
from bioface.errors import InputError  # noqa: E402
from bioface.learn.faces import MARGIN, FaceCrops, kept_side, load_faces  # noqa: E402
from bioface.photo.crop import Crop  # noqa: E402

pytestmark = pytest.mark.torch
SIZE = 32


@pytest.fixture
def crops():
    side = kept_side(SIZE)
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


def test_crops_are_as_sharp_as_photos_are_read():
    photo = np.random.default_rng(0).random((400, 400, 3), np.float32)
    read = Crop((201.3, 198.8), 200.0, 0.1, SIZE)
    kept = Crop(read.centre, MARGIN * read.side, read.roll, kept_side(SIZE))
    planes = np.zeros((1, 5, kept.size, kept.size), np.float32)
    planes[0, :3] = kept.extract(photo).transpose(2, 0, 1)
    central = FaceCrops(("noise",), torch.from_numpy(planes).half(), SIZE).central(0)[0][0]
    seen, wanted = central.permute(1, 2, 0).numpy(), read.extract(photo)
    assert seen.std() == pytest.approx(wanted.std(), rel=0.1)
    assert np.corrcoef(seen.ravel(), wanted.ravel())[0, 1] > 0.8


def test_crops_for_another_size_are_refused(tmp_path, crops):
    crops.save(tmp_path / "crops.npz")
    with pytest.raises(InputError, match=r"crops.npz: faces cropped for 32 pixels.*--size 64"):
        load_faces([tmp_path / "crops.npz"], 64)


def test_crops_of_another_fineness_are_refused(tmp_path, crops):
    old = FaceCrops(crops.names, crops.planes[..., ::2, ::2], SIZE)
    old.save(tmp_path / "crops.npz")
    with pytest.raises(InputError, match="by another version"):
        load_faces([tmp_path / "crops.npz"], SIZE)


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_what_is_no_file_of_crops_is_refused(tmp_path, content):
    path = tmp_path / "crops.npz"
    if content is None:
        np.savez(path, photo=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"crops.npz: .*; make crops of faces with bioface train"):
        load_faces([path], SIZE)


@pytest.mark.parametrize(
    "change", [{"names": np.array(3)}, {"mask": np.zeros((2, 3))}, {"size": np.array("a")}]
)
def test_crops_of_another_layout_are_refused(tmp_path, crops, change):
    path = tmp_path / "crops.npz"
    crops.save(path)
    with np.load(path) as file:
        arrays = dict(file) | change
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"crops.npz: holds arrays of another shape or kind"):
        load_faces([path], SIZE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "96", "--out", "crops.zip"], "let --out end in .npz"),
        (["--size", "8", "--out", "crops.npz"], "--size 8: must be 32 to 1024"),
        (["--size", "96", "--out", "there.npz"], "there.npz: exists already; pass --overwrite"),
        (["--size", "96", "--out", "none/a.npz"], "none/a.npz: its folder does not exist; make"),
        (["--size", "96", "--out", "folder.npz"], "folder.npz: is a folder; name a file"),
    ],
)
def test_bad_arguments_of_crop_are_one_line(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.npz").write_bytes(b"")
    (tmp_path / "folder.npz").mkdir()
    status = main(["train", "crop", "--photos", str(tmp_path), *arguments])
    assert status != 0
    assert said in capsys.readouterr().err
