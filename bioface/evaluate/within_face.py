"""What one pixel tells at best of how its pigments differ from those of its whole face.

Light, camera, white balance and the face's mean pigments are known exactly; the pixel's shading and
gloss are not, and it is noisy. The floor is the root mean square error of the posterior mean, by
Monte Carlo, under a test's own lights, cameras, differences within a face and noise. What reads
better joins neighbours: noise averages away among them, and shading and gloss are smooth.
"""

from __future__ import annotations

import numpy as np

from bioface.errors import InputError
from bioface.evaluate.mean_colour import drawn_scenes
from bioface.learn.pigments import log_uniform
from bioface.learn.relight import Relighter
from bioface.spectral.colour import log_chroma
from bioface.spectral.formation import Camera
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

_DARKEST = 1e-4


def within_face_floor(
    relighter: Relighter,
    *,
    shading: tuple[float, float] = (0.1, 1.0),
    gloss: float = 0.1,
    faces: int = 200,
    pixels: int = 16,
    candidates: int = 4_000,
    seed: int = 0,
) -> dict[str, float]:
    """Least errors of single pixels about their face's mean, by the chroma that they show.

    Good to about 3 %.

    Parameters
    ----------
    relighter
        Its lights, cameras and configuration are those of the test, which must be *clean* and tell
        `within_sd`: one light, no tone curve.
    shading
        Range of diffuse shading, uniform in its logarithm.
    gloss
        Mean of specular over diffuse shading, exponential.
    faces, pixels, candidates
        How many are drawn; pixels and candidates for each face.
    seed
        Of all draws.

    Returns
    -------
    `melanin_u`, `haemoglobin_u`, `melanin` and `haemoglobin`.

    Raises
    ------
    InputError
        The configuration does not tell `within_sd`.
    """
    config, rng = relighter.config, np.random.default_rng(seed)
    if config.within_sd is None:
        raise InputError("within_sd: these conditions do not tell how pigments differ in a face")
    spd, sensitivities, gains, method = drawn_scenes(relighter, faces, rng)
    projections = Camera(sensitivities, gains, method).projection(spd)
    means = log_uniform(rng.random((faces, 2)))
    noise = config.degrade.noise_percent[1] / 100
    darkest, brightest = map(float, np.log(shading))
    squares = []
    for mean, projection in zip(means, projections, strict=True):
        u = mean + np.array(config.within_sd) * rng.standard_normal((pixels + candidates, 2))
        u = u.clip(0, 1)
        fractions = from_unit(u[:, 0], MELANIN_RANGE), from_unit(u[:, 1], HAEMOGLOBIN_RANGE)
        columns = np.column_stack([u, *fractions])
        shown = np.asarray(relighter.skin.reflectance(*fractions)) @ projection
        shown = shown + rng.exponential(gloss, (len(u), 1)) * projection.sum(0)
        level = np.exp(rng.uniform(darkest, brightest, (pixels, 1)))
        seen = level * shown[:pixels]
        deviation = noise * np.sqrt(0.15 + seen)
        seen = seen + deviation * rng.standard_normal(seen.shape)
        near = _likelihood(seen, deviation, shown[pixels:])
        found = near @ columns[pixels:] / near.sum(1, keepdims=True)
        squares.append(np.square(found - columns[:pixels]))
    rmse = np.sqrt(np.mean(np.concatenate(squares), 0))
    names = ("melanin_u", "haemoglobin_u", "melanin", "haemoglobin")
    return dict(zip(names, map(float, rmse), strict=True))


def _likelihood(seen: np.ndarray, deviation: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """(P, K) of noisy linear pixels (P, 3) if they were candidates (K, 3), by their log chroma.

    `deviation` (P, 3) is that of the noise. No candidate is ruled out altogether.
    """
    share = np.square(deviation / np.maximum(seen, _DARKEST))
    red, green, blue = share[:, 0], share[:, 1], share[:, 2]
    first, second = red + green, blue + green
    determinant = first * second - green * green
    off = log_chroma(seen, _DARKEST)[:, None] - log_chroma(shown, _DARKEST)
    squared = (
        second[:, None] * off[..., 0] ** 2
        + first[:, None] * off[..., 1] ** 2
        - 2 * green[:, None] * off[..., 0] * off[..., 1]
    ) / determinant[:, None]
    return np.exp(-0.5 * (squared - squared.min(1, keepdims=True)))
