"""The upright crop and its way back."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bioface.photo.crop import FRAMING, Crop
from bioface.photo.resample import blocks, enlarge, fill_outside, shrink


def test_points_there_and_back():
    crop = Crop((120.0, 80.0), 90.0, 0.7, 64)
    points = np.random.default_rng(0).uniform(0, 64, (50, 2))
    assert np.allclose(crop.from_photo(crop.to_photo(points)), points)
    assert np.allclose(crop.to_photo(np.array([32.0, 32.0])), (120, 80))


def test_around_stands_upright():
    rng = np.random.default_rng(1)
    upright = rng.uniform(-20, 20, (68, 2))
    upright[36:42], upright[42:48] = [-8, -5], [8, -5]
    low, high = upright.min(axis=0), upright.max(axis=0)
    upright -= (low + high) / 2
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    crop = Crop.around(upright @ turn.T + [200, 150], 128)
    assert crop.roll == pytest.approx(angle)
    assert crop.side == pytest.approx(FRAMING * (high - low).max())
    assert np.allclose(crop.centre, (200, 150))


def test_around_a_box_is_centred_on_it_and_sized_by_its_larger_side():
    for box, side in (((10, 20, 110, 60), 100), ((10, 20, 50, 90), 70)):
        crop = Crop.around_box(box, 64)
        assert crop.centre == ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        assert crop.side == pytest.approx(FRAMING * side)
        assert (crop.roll, crop.size) == (0, 64)


def test_extract_of_whole_numbers_rounds():
    image = np.random.default_rng(2).integers(0, 256, (40, 50, 3), np.uint8)
    crop = Crop((20.3, 14.4), 16.0, 0.2, 16)
    expected = np.round(crop.extract(image.astype(np.float32)))
    found = crop.extract(image)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


def test_extract_of_an_aligned_square_is_exact():
    image = np.random.default_rng(0).uniform(0, 1, (40, 50, 3)).astype(np.float32)
    crop = Crop((20.0, 14.0), 16.0, 0.0, 16)
    assert np.allclose(crop.extract(image), image[6:22, 12:28], atol=1e-6)


def test_extract_shrinks_without_aliasing():
    image = np.indices((128, 128)).sum(axis=0).astype(np.float32) % 2
    crop = Crop((64.0, 64.0), 128.0, 0.0, 16)
    assert np.allclose(crop.extract(image)[1:-1, 1:-1], 0.5, atol=0.02)


def test_place_puts_a_pattern_back_where_it_came_from():
    y, x = np.mgrid[0:90, 0:120].astype(np.float32)
    image = np.sin(x / 9) + np.cos(y / 11)
    crop = Crop((60.0, 45.0), 50.0, 0.3, 100)
    window = (slice(35, 55), slice(50, 70))
    placed = crop.place(crop.extract(image)[..., None], window)
    assert placed.shape == (20, 20, 1)
    assert np.abs(placed[..., 0] - image[window]).max() < 0.01


def test_place_does_not_overshoot():
    step = np.zeros((32, 32, 1), np.float32)
    step[:, 16:] = 1
    crop = Crop((100.0, 100.0), 150.0, 0.1, 32)
    placed = crop.place(np.dstack([step, 5 - step]), (slice(30, 170), slice(30, 170)))
    np.testing.assert_array_equal(placed.min(axis=(0, 1)), [0, 4])
    np.testing.assert_array_equal(placed.max(axis=(0, 1)), [1, 5])


def test_window_stays_inside_the_photo():
    crop = Crop((5.0, 5.0), 40.0, 0.5, 16)
    rows, columns = crop.window((30, 20))
    assert (rows.start, columns.start) == (0, 0)
    assert rows.stop <= 30
    assert columns.stop <= 20


def test_window_holds_every_pixel_that_is_touched():
    crop = Crop((50.3, 80.6), 20.0, 0.0, 16)
    assert crop.window((200, 100)) == (slice(70, 91), slice(40, 61))
    assert crop.window((200, 100), beyond=0.5) == (slice(60, 101), slice(30, 71))
    outside = Crop((-90.0, 500.0), 20.0, 0.0, 16).window((200, 100))
    assert outside == (slice(199, 200), slice(0, 1))


def test_means_over_squares_repeat_the_last_pixel():
    image = np.arange(15.0).reshape(3, 5, 1)
    expected = [[3, 5, 6.5], [10.5, 12.5, 14]]
    np.testing.assert_allclose(blocks(image, 2)[..., 0], expected)


@pytest.mark.parametrize("shape", [(64, 64), (37, 53), (3, 5)])
def test_fill_outside_keeps_the_inside_and_continues_it(shape):
    weight = np.zeros(shape, np.float32)
    weight[: (shape[0] + 1) // 2] = 1
    planes = np.where(weight > 0, 0.3, 99.0)[..., None].astype(np.float32)
    filled = fill_outside(planes, weight)
    assert np.allclose(filled, 0.3, atol=1e-4)


def test_fill_outside_without_any_inside_is_finite():
    planes = np.random.default_rng(0).uniform(0, 1, (16, 16, 2)).astype(np.float32)
    assert np.isfinite(fill_outside(planes, np.zeros((16, 16), np.float32))).all()


def test_cubic_enlargement_agrees_with_pillow_and_keeps_slopes():
    plane = np.random.default_rng(0).uniform(0, 1, (9, 12)).astype(np.float32)
    expected = np.array(Image.fromarray(plane).resize((36, 27), Image.Resampling.BICUBIC))
    found = enlarge(np.stack([plane, plane], -1), 3)
    inside = np.s_[6:-6, 6:-6]  # Pillow weighs what is left at the edges anew
    assert np.abs(found[inside] - expected[inside][..., None]).max() < 1e-5
    slope = np.broadcast_to(np.arange(12.0, dtype=np.float32)[None, :, None], (9, 12, 1))
    steps = np.diff(enlarge(slope, 3)[:, 6:-6, 0], axis=1)
    np.testing.assert_allclose(steps, 1 / 3, atol=1e-5)


def test_area_means_agree_with_opencv():
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).uniform(0, 1, (50, 37, 3)).astype(np.float32)
    expected = cv2.resize(image, (10, 21), interpolation=cv2.INTER_AREA)
    assert np.abs(shrink(image, (21, 10)) - expected).max() < 1e-5


@pytest.mark.parametrize("roll", [0.0, 0.3])
def test_a_crop_is_the_mean_over_what_it_covers(roll):
    """Against thirty-two samples a side of every pixel of the crop."""
    y, x = np.mgrid[0:400, 0:300].astype(np.float32)
    image = np.sin(x / 9) + np.cos(y / 7)
    crop = Crop((140.0, 210.0), 190.0, roll, 24)
    found = crop.extract(image)
    at = (np.arange(24 * 32) + 0.5) / 32
    points = crop.to_photo(np.stack(np.meshgrid(at, at), axis=-1)) - 0.5
    fine = np.sin(points[..., 0] / 9) + np.cos(points[..., 1] / 7)
    expected = fine.reshape(24, 32, 24, 32).mean(axis=(1, 3))
    assert np.abs(found - expected).max() < 0.05
    assert np.abs(found - expected).mean() < 0.015
