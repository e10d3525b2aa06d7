from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("mediapipe")
pytest.importorskip("skimage")

from bioface.errors import InputError
from bioface.evaluate import portraits
from bioface.learn.splits import is_held_out
from bioface.photo.crop import Crop
from bioface.photo.files import read_photo
from bioface.photo.known import NOTHING
from bioface.photo.network import Reading
from bioface.scores.faces import LEAST_PIXELS
from bioface.spectral.camera import CameraModel
from bioface.spectral.illuminant import NAMES
from bioface.spectral.skin import SkinModel

pytestmark = pytest.mark.torch
SIZE = 64


class Black:
    """A network to which everything is unlit skin."""

    size = SIZE
    skin = SkinModel.load()
    sha256 = "none"

    def read(self, srgb, known=NOTHING):
        nothing = np.zeros((SIZE, SIZE), np.float32)
        return Reading(
            **dict.fromkeys(Reading.__dataclass_fields__, nothing)
            | {
                "mask": nothing + 1,
                "illuminant_weights": np.eye(len(NAMES))[1],
                "daylight_kelvin": 6504.0,
                "b": np.zeros(6),
                "sensitivities": CameraModel.load().sensitivities(np.zeros(6)),
                "gains": np.ones(2),
                "tone": np.zeros(2),
                "method": "fitted",
            }
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two portraits whose names are held out, one darker than the other, and one that is not."""
    from PIL import Image
    from skimage import data

    path = tmp_path_factory.mktemp("portraits")
    names = iter(f"{k}.png" for k in range(1000))
    held_out = [name for name in (next(names) for _ in range(100)) if is_held_out(name, 0.1)]
    face = data.astronaut()[:320, 60:380]
    Image.fromarray(face).save(path / held_out[0])
    Image.fromarray((0.8 * face).astype(np.uint8)).save(path / held_out[1])
    trained_on = next(f"t{k}.png" for k in range(100) if not is_held_out(f"t{k}.png", 0.1))
    Image.fromarray(face).save(path / trained_on)
    return path


def test_only_held_out_photos_are_measured(folder):
    assert len(portraits.held_out([folder])) == 2
    assert len(portraits.held_out([folder], 1)) == 1
    with pytest.raises(InputError, match="fewer than two"):
        portraits.portraits(portraits.held_out([folder], 1), Black())
    with pytest.raises(InputError, match="nope: no such folder"):
        portraits.held_out([folder, folder / "nope"])


def test_shifts_are_counted_in_spreads_between_people(folder, monkeypatch):
    """A reading of brightness moves with exposure, and not when the photo is mirrored."""

    def brightness(srgb, network):
        level = float(srgb.mean()) / 255
        return level, level / 2

    monkeypatch.setattr(portraits, "_reading", brightness)
    found = portraits.portraits(portraits.held_out([folder]), Black())
    assert found["photos"] == 2
    least, median, most = found["crop_pixels"]
    assert 150 < least <= median <= most < 500
    assert found["between_sd"]["melanin"] == pytest.approx(2 * found["between_sd"]["haemoglobin"])
    assert found["shift"]["mirrored"]["melanin"] == 0
    assert found["shift"]["one stop darker"]["melanin"] > 1
    assert found["shift"]["JPEG 70"]["melanin"] < 0.05
    # Black reconstructs nothing: the error is all there is of the photo.
    assert found["reconstruction"]["percent"] > 100
    assert 0 < found["reconstruction"]["rmse"] < 1
    # No gain makes black brighter.
    assert found["reconstruction"]["unbalanced_rmse"] == found["reconstruction"]["rmse"]


def test_people_who_read_alike_are_refused(folder, monkeypatch):
    readings = iter([(0.1, 0.3), (0.2, 0.3)])
    monkeypatch.setattr(portraits, "_variants", lambda srgb: [("original", srgb)])
    monkeypatch.setattr(portraits, "_reading", lambda srgb, network: next(readings))
    with pytest.raises(InputError, match="the same haemoglobin; give photos of different people"):
        portraits.portraits(portraits.held_out([folder]), Black())


@pytest.mark.parametrize("more", [0, 1])
def test_a_face_needs_as_much_skin_as_in_the_scores(folder, more):
    srgb = read_photo(portraits.held_out([folder])[0])
    face = portraits._face(srgb)
    inside = Crop.around(face.landmarks, SIZE).extract(face.mask) > 0.99
    few = np.flatnonzero(inside)[: LEAST_PIXELS + more]

    class Seeing(Black):
        def read(self, srgb, known=NOTHING):
            mask = np.zeros((SIZE, SIZE), np.float32)
            mask.flat[few] = 1
            return replace(super().read(srgb, known), mask=mask)

    if more:
        assert portraits._reconstruction(srgb, face, Seeing())[0] > 0
    else:
        with pytest.raises(InputError, match="no skin seen"):
            portraits._reconstruction(srgb, face, Seeing())
