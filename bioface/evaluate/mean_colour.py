"""What the mean colour of a whole face tells of its pigments, at best.

All pixels of a face share light, camera, white balance and exposure, so that reading many of them
does not average away what these leave open. The floor is the root mean square error of the
posterior mean of a face's pigments given its mean colour, exactly and without any gloss, under a
test's own distribution of pigments, lights, cameras, white balance and exposure. What reads better
uses more than a face's mean colour: differences within it, highlights, the whites of the eyes.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from bioface.learn.pigments import log_uniform
from bioface.learn.relight import Relighter
from bioface.spectral.colour import log_chroma
from bioface.spectral.formation import Camera
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

KNOWN = (
    "chroma",
    "colour",
    "colour, and exact white balance",
)
"""`chroma` is the mean colour but for its brightness."""

_NEIGHBOURS = 128
_BATCH = 10_000
_DARKEST = 1e-4
_OF_BRIGHTNESS = 0.3  # its scale against chroma where neighbours are looked for


def mean_colour_floor(
    relighter: Relighter, *, faces: int = 200_000, asked: int = 4_000, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Least errors of a face's mean pigments by what is known of it, beside the test's priors.

    By Monte Carlo: the posterior mean is the mean over the 128 most similar of `faces` drawn faces,
    its error that over `asked` others. Good to about 3 %, and erring on the high side.

    Parameters
    ----------
    relighter
        Its lights, cameras and configuration are those of the test, which must be *clean*: one
        light, no tone curve, exposure independent of the skin.

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
    drawn, balanced = _colours(relighter, columns[:, 2:], rng)
    level, spread = relighter.config.log_exposure
    exposure = level + spread * rng.standard_normal(count)
    looks = (log_chroma(drawn, _DARKEST), _with(drawn, exposure), _with(balanced, exposure))
    found = {}
    for name, look in zip(KNOWN, looks, strict=True):
        _, near = cKDTree(look[asked:]).query(look[:asked], _NEIGHBOURS)
        error = columns[asked:][near].mean(1) - columns[:asked]
        rmse = np.sqrt(np.square(error).mean(0))
        found[name] = dict(zip(truth, map(float, rmse), strict=True))
    return found


def _colours(
    relighter: Relighter, fractions: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Linear sRGB (N, 3) of faces at unit shading: as balanced by the camera, and exactly."""
    drawn: list[np.ndarray] = []
    exact: list[np.ndarray] = []
    for start in range(0, len(fractions), _BATCH):
        part = fractions[start : start + _BATCH]
        scene = relighter.draw_scenes(len(part), rng)
        spd, sensitivities, gains = (
            scene[name].cpu().double().numpy() for name in ("spd", "sensitivities", "gains")
        )
        reflectance = np.asarray(relighter.skin.reflectance(part[:, 0], part[:, 1]))
        for error, colours in ((gains, drawn), (np.ones_like(gains), exact)):
            camera = Camera(sensitivities, error, scene["method"])
            colours.append(np.einsum("nw,nwc->nc", reflectance, camera.projection(spd)))
    return np.concatenate(drawn), np.concatenate(exact)


def _with(colour: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """(N, 3) log chroma and, scaled, log brightness under a log exposure (N,)."""
    brightness = np.log(np.maximum(colour[:, 1], _DARKEST)) + exposure
    return np.column_stack([log_chroma(colour, _DARKEST), _OF_BRIGHTNESS * brightness])
