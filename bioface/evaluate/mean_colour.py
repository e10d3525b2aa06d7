"""What the mean colour of a whole face tells of its pigments, at best.

All pixels of a face share light, camera, white balance and exposure, so that reading many of them
does not average away what these leave open. The floor is the root mean square error of the
posterior mean of a face's pigments given its mean colour, exactly and without any gloss, under a
test's own distribution of pigments, lights, cameras, white balance and exposure. What reads better
uses more than a face's mean colour: differences within it, highlights, the whites of the eyes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree

from bioface.learn.pigments import log_uniform
from bioface.learn.relight import Relighter
from bioface.spectral.camera import Method
from bioface.spectral.colour import log_chroma
from bioface.spectral.formation import Camera
from bioface.spectral.inverse import albedo_projection
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

KNOWN = (
    "chroma",
    "colour",
    "colour, and exact white balance",
    "albedo",
)
"""`chroma` is the mean colour but for its brightness; `albedo` that of the skin itself, with light,
camera and shading known exactly."""

Skins = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Diffuse reflectance (N, 33) of people with volume fractions (N, 2) of melanin and haemoglobin."""

_NEIGHBOURS = 128
_BATCH = 10_000
_DARKEST = 1e-4
_OF_BRIGHTNESS = 0.3  # its scale against chroma where neighbours are looked for


def mean_colour_floor(
    relighter: Relighter,
    *,
    skins: Skins | None = None,
    faces: int = 200_000,
    asked: int = 4_000,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Least errors of a face's mean pigments by what is known of it, beside the test's priors.

    By Monte Carlo: the posterior mean is the mean over the 128 most similar of `faces` drawn faces,
    its error that over `asked` others. Good to about 3 %, and erring on the high side.

    Parameters
    ----------
    relighter
        Its lights, cameras and configuration are those of the test, which must be *clean*: one
        light, no tone curve, exposure independent of the skin.
    skins
        What people's skin is; as the relighter's skin model says when None.

    Returns
    -------
    One of `KNOWN` to `melanin_u`, `haemoglobin_u`, `melanin` and `haemoglobin`.
    """
    rng = np.random.default_rng(seed)
    count = faces + asked
    melanin_u, haemoglobin_u = log_uniform(rng.random((count, 2))).T
    truth = {
        "melanin_u": melanin_u,
        "haemoglobin_u": haemoglobin_u,
        "melanin": from_unit(melanin_u, MELANIN_RANGE),
        "haemoglobin": from_unit(haemoglobin_u, HAEMOGLOBIN_RANGE),
    }
    columns = np.stack(list(truth.values()), 1)
    if skins is None:
        of_model = relighter.skin.reflectance(truth["melanin"], truth["haemoglobin"])
        reflectance = np.asarray(of_model)
    else:
        reflectance = skins(columns[:, 2:], rng)
    drawn, balanced = _colours(relighter, reflectance, rng)
    level, spread = relighter.config.log_exposure
    exposure = level + spread * rng.standard_normal(count)
    looks = (
        log_chroma(drawn, _DARKEST),
        _with(drawn, exposure),
        _with(balanced, exposure),
        _with(reflectance @ albedo_projection(), np.zeros(count)),
    )
    found = {}
    for name, look in zip(KNOWN, looks, strict=True):
        _, near = cKDTree(look[asked:]).query(look[:asked], _NEIGHBOURS)
        error = columns[asked:][near].mean(1) - columns[:asked]
        rmse = np.sqrt(np.square(error).mean(0))
        found[name] = dict(zip(truth, map(float, rmse), strict=True))
    return found


def drawn_scenes(
    relighter: Relighter, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Method]:
    """`spd`, `sensitivities`, `gains` and `method` of `Relighter.draw_scenes`, on numpy."""
    scene = relighter.draw_scenes(count, rng)
    spd, sensitivities, gains = (
        scene[name].cpu().double().numpy() for name in ("spd", "sensitivities", "gains")
    )
    return spd, sensitivities, gains, scene["method"]


def _colours(
    relighter: Relighter, reflectance: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Linear sRGB (N, 3) of skin (N, 33), shading 1: as balanced by the camera, and exactly."""
    drawn: list[np.ndarray] = []
    exact: list[np.ndarray] = []
    for start in range(0, len(reflectance), _BATCH):
        part = reflectance[start : start + _BATCH]
        spd, sensitivities, gains, method = drawn_scenes(relighter, len(part), rng)
        for error, colours in ((gains, drawn), (np.ones_like(gains), exact)):
            camera = Camera(sensitivities, error, method)
            colours.append(np.einsum("nw,nwc->nc", part, camera.projection(spd)))
    return np.concatenate(drawn), np.concatenate(exact)


def _with(colour: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """(N, 3) log chroma and, scaled, log brightness under a log exposure (N,)."""
    brightness = np.log(np.maximum(colour[:, 1], _DARKEST)) + exposure
    return np.column_stack([log_chroma(colour, _DARKEST), _OF_BRIGHTNESS * brightness])
