import numpy as np
import pytest

from bioface.scores.sums import interval, pair_sums, resampled, scores


@pytest.fixture
def faces():
    rng = np.random.default_rng(0)
    out = []
    for count in (40, 60, 25):
        true = rng.normal(rng.uniform(0, 1), 0.1, count)
        out.append((0.8 * true + rng.normal(0.05, 0.03, count), true))
    return out


def test_pooled_scores_are_the_textbook_ones(faces):
    predicted, true = (np.concatenate(side) for side in zip(*faces, strict=True))
    found = scores(sum(pair_sums(*face) for face in faces))
    error = predicted - true
    assert found["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert found["r2"] == pytest.approx(1 - (error**2).sum() / ((true - true.mean()) ** 2).sum())
    assert found["correlation"] == pytest.approx(np.corrcoef(predicted, true)[0, 1])
    assert found["prior"] == pytest.approx(true.std())
    assert found["bias"] == pytest.approx(error.mean())


def test_within_pools_what_is_left_after_each_face_lost_its_mean(faces):
    predicted, true = (
        np.concatenate([side - side.mean() for side in sides]) for sides in zip(*faces, strict=True)
    )
    found = scores(sum(pair_sums(*face) for face in faces))
    assert found["within_rmse"] == pytest.approx(np.sqrt(((predicted - true) ** 2).mean()))
    assert found["within_r2"] == pytest.approx(1 - ((predicted - true) ** 2).sum() / (true @ true))
    assert found["within_correlation"] == pytest.approx(
        predicted @ true / np.sqrt(predicted @ predicted * (true @ true))
    )


def test_faces_weigh_the_same_whatever_their_size(faces):
    means = np.array([[predicted.mean(), true.mean()] for predicted, true in faces])
    found = scores(sum(pair_sums(*face) for face in faces))
    error = means[:, 0] - means[:, 1]
    assert found["face_rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert found["face_prior"] == pytest.approx(means[:, 1].std())
    assert found["face_r2"] == pytest.approx(1 - (error**2).mean() / means[:, 1].var())


def test_an_offset_costs_nothing_within_and_a_factor_nothing_scale_free():
    true = np.random.default_rng(1).uniform(1, 2, 50)
    assert scores(pair_sums(true + 3, true))["within_rmse"] == pytest.approx(0, abs=1e-9)
    assert scores(pair_sums(5 * true, true))["scale_free_rmse"] == pytest.approx(0, abs=1e-6)
    assert scores(pair_sums(true, true))["r2"] == 1


def test_scale_free_lets_each_face_choose_its_own_factor(faces):
    found = scores(sum(pair_sums(*face) for face in faces))
    left = []
    for predicted, true in faces:
        factor = np.linalg.lstsq(predicted[:, None], true, rcond=None)[0]
        left.append(factor * predicted - true)
    expected = np.sqrt((np.concatenate(left) ** 2).mean())
    assert found["scale_free_rmse"] == pytest.approx(expected)


def test_the_interval_is_the_middle_95_percent_of_what_is_defined():
    values = np.r_[np.nan, np.random.default_rng(0).permutation(np.arange(1001.0)), np.inf]
    assert interval(values) == pytest.approx((25, 975))


def test_a_constant_truth_has_no_r2_and_no_pixels_no_scores():
    flat = scores(pair_sums(np.full(9, 0.1), np.full(9, 0.3)))
    assert np.isnan(flat["r2"])
    assert flat["rmse"] == pytest.approx(0.2)
    assert np.isnan(scores(pair_sums(np.zeros(0), np.zeros(0)))["rmse"])


def test_resampling_keeps_the_photos_of_one_person_together():
    sums = np.array([[1.0, 10.0], [1.0, 10.0], [1.0, 1.0]])
    drawn = resampled(sums, np.array(["a", "a", "b"]), np.random.default_rng(0), draws=200)
    # Two people are drawn: both photos of a, or b's one, each time.
    assert {tuple(row) for row in drawn} == {(4.0, 40.0), (3.0, 21.0), (2.0, 2.0)}


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        values = rng.normal(0, 1, (40, 1))
        drawn = resampled(values, np.arange(40), rng, draws=300)[:, 0] / 40
        low, high = interval(drawn)
        covered += low < 0 < high
    assert 0.88 <= covered / 200 <= 0.99
