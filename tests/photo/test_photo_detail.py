"""Detail through the physics: a pixel's colour explained near the network's maps."""

from __future__ import annotations

import numpy as np
import pytest

from bioface.photo.detail import (
    NOISE,
    SPREAD_HAEMOGLOBIN,
    SPREAD_LOG_DIFFUSE,
    SPREAD_MELANIN,
    SPREAD_SPECULAR,
    Pixels,
    SkinColours,
    refine,
)
from bioface.spectral.camera import CameraModel
from bioface.spectral.colour import reflectance_to_linear_srgb
from bioface.spectral.formation import Camera, decode
from bioface.spectral.illuminant import illuminant
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, UNIT_RANGE, from_unit

COUNT = 500
SURE = np.ones(COUNT, np.float32)
UNCLIPPED = np.full((COUNT, 3), 0.5, np.float32)


@pytest.fixture(scope="module")
def camera() -> Camera:
    model = CameraModel.load()
    b = np.linspace(0.8, -0.8, len(model.deviations))
    return Camera(np.asarray(model.sensitivities(b)), np.array([1.03, 0.98]))


@pytest.fixture(scope="module")
def colours(camera) -> SkinColours:
    return SkinColours.of(SkinModel.load(), np.asarray(camera.projection(illuminant("F11"))))


def pixels(seed: int) -> Pixels:
    rng = np.random.default_rng(seed)
    planes = (
        rng.uniform(0.1, 0.9, COUNT),
        rng.uniform(0.1, 0.9, COUNT),
        rng.uniform(0.3, 1.2, COUNT),
        rng.uniform(0.0, 0.15, COUNT),
    )
    return Pixels(*(plane.astype(np.float32) for plane in planes))


def maps(of: Pixels) -> dict[str, np.ndarray]:
    return {
        "melanin": from_unit(of.melanin_u, MELANIN_RANGE),
        "haemoglobin": from_unit(of.haemoglobin_u, HAEMOGLOBIN_RANGE),
        "diffuse_shading": of.diffuse_shading,
        "specular_shading": of.specular_shading,
    }


def test_render_is_the_decoder(colours, camera):
    truth = pixels(0)
    expected = decode(maps(truth), illuminant("F11"), camera, path="exact")
    assert np.abs(colours.render(truth) - expected).max() < 2e-4


def test_albedo_is_the_reference_condition(colours):
    truth = pixels(0)
    planes = maps(truth)
    reflectance = SkinModel.load().reflectance(planes["melanin"], planes["haemoglobin"])
    assert np.abs(colours.albedo(truth) - reflectance_to_linear_srgb(reflectance)).max() < 2e-4


@pytest.mark.parametrize("which", [0, 1])
def test_slopes_are_those_of_the_values(colours, which):
    rng = np.random.default_rng(3)
    units = [rng.uniform(0, 1, 50) for _ in range(2)]
    step = [1e-4 * (which == k) for k in range(2)]
    rgb = slice(0, 3)
    slope = colours.look_up(units[0], units[1], rgb)[1 + which]
    above = colours.look_up(units[0] + step[0], units[1] + step[1], rgb)[0]
    below = colours.look_up(units[0] - step[0], units[1] - step[1], rgb)[0]
    assert np.median(np.abs((above - below) / 2e-4 - slope)) < 2e-2


def test_true_maps_stay(colours):
    truth = pixels(1)
    found = refine(colours.render(truth), UNCLIPPED, truth, SURE, colours)
    assert np.allclose(found.melanin_u, truth.melanin_u, atol=1e-4)
    assert np.allclose(found.diffuse_shading, truth.diffuse_shading, rtol=1e-3)


def test_smooth_maps_get_their_detail_back(colours):
    """Priors off by as much as smoothing costs: colours are matched, brightness goes to shading."""
    truth = pixels(2)
    rng = np.random.default_rng(4)
    prior = Pixels(
        truth.melanin_u + rng.normal(0, 0.02, COUNT).astype(np.float32),
        truth.haemoglobin_u + rng.normal(0, 0.04, COUNT).astype(np.float32),
        truth.diffuse_shading * np.exp(rng.normal(0, 0.3, COUNT)).astype(np.float32),
        truth.specular_shading,
    )
    photo = colours.render(truth)
    found = refine(photo, UNCLIPPED, prior, SURE, colours)
    before = np.abs(colours.render(prior) - photo).mean()
    after = np.abs(colours.render(found) - photo).mean()
    assert after < 0.1 * before

    def error(maps: Pixels) -> np.ndarray:
        log_shading = np.log(maps.diffuse_shading) - np.log(truth.diffuse_shading)
        return np.array(
            [np.abs(log_shading).mean(), np.abs(maps.melanin_u - truth.melanin_u).mean()]
        )

    assert error(found)[0] < 0.4 * error(prior)[0]
    assert error(found)[1] < 1.3 * error(prior)[1]


def test_nothing_near_is_more_probable(colours):
    """The stated sum of squares is least at what is found."""
    prior, truth = pixels(9), pixels(10)
    near = Pixels(
        *(0.9 * getattr(prior, n) + 0.1 * getattr(truth, n) for n in Pixels.__dataclass_fields__)
    )
    photo = colours.render(near)
    found = refine(photo, UNCLIPPED, prior, SURE, colours)
    spread = np.broadcast_arrays(
        SPREAD_LOG_DIFFUSE,
        SPREAD_MELANIN,
        SPREAD_HAEMOGLOBIN,
        SPREAD_SPECULAR[0] + SPREAD_SPECULAR[1] * prior.specular_shading,
    )

    def vector(of: Pixels) -> np.ndarray:
        planes = (np.log(of.diffuse_shading), of.melanin_u, of.haemoglobin_u, of.specular_shading)
        return np.array(planes, np.float64)

    def cost(x: np.ndarray) -> np.ndarray:
        shown = colours.render(Pixels(x[1], x[2], np.exp(x[0]), x[3]))
        misfit = (photo - shown) ** 2 / (NOISE**2 * (0.15 + photo))
        return misfit.sum(axis=1) + (((x - vector(prior)) / spread) ** 2).sum(axis=0)

    best = cost(vector(found))
    for k in range(4):
        for sign in (-1, 1):
            step = np.zeros((4, COUNT))
            step[k] = sign * 0.1 * spread[k]
            moved = np.maximum(vector(found) + step, [[-np.inf]] * 3 + [[0]])
            assert (cost(moved) >= best - 1e-6).mean() > 0.98, (k, sign)


def test_what_is_not_skin_moves_no_pigment(colours):
    prior = pixels(5)
    blue = np.tile(np.float32([0.05, 0.1, 0.6]), (COUNT, 1))
    found = refine(blue, UNCLIPPED, prior, np.zeros(COUNT, np.float32), colours)
    assert np.allclose(found.melanin_u, prior.melanin_u)
    assert np.allclose(found.specular_shading, prior.specular_shading)


def test_any_colour_gives_finite_maps_in_range(colours):
    prior = pixels(6)
    rng = np.random.default_rng(7)
    photo = rng.uniform(0, 1, (COUNT, 3)).astype(np.float32)
    photo[:10] = 0
    photo[10:20] = 1
    found = refine(photo, photo, prior, SURE, colours)
    for plane in (found.melanin_u, found.haemoglobin_u):
        assert plane.min() >= UNIT_RANGE[0]
        assert plane.max() <= UNIT_RANGE[1]
    assert np.isfinite(found.diffuse_shading).all()
    assert found.diffuse_shading.min() > 0
    assert found.specular_shading.min() >= 0


def test_clipped_pixels_keep_their_pigments_and_are_at_least_so_bright(colours):
    truth = pixels(8)
    photo = colours.render(truth).astype(np.float32)
    cut = photo.copy()
    cut[:, 0] *= 0.5
    clipped = UNCLIPPED.copy()
    clipped[:, 0] = 1
    found = refine(cut, clipped, truth, SURE, colours)
    assert np.allclose(found.melanin_u, truth.melanin_u, atol=1e-6)
    assert np.abs(np.log(found.diffuse_shading / truth.diffuse_shading)).mean() < 0.1
    brighter = photo.copy()
    brighter[:, 0] *= 1.2
    found = refine(brighter, clipped, truth, SURE, colours)
    assert (colours.render(found)[:, 0] > photo[:, 0]).mean() > 0.95


def test_no_pixels(colours):
    empty = np.zeros(0, np.float32)
    found = refine(
        np.zeros((0, 3), np.float32),
        np.zeros((0, 3), np.float32),
        Pixels(*[empty] * 4),
        empty,
        colours,
    )
    assert found.melanin_u.shape == (0,)
