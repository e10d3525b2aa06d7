"""Light: lamps and procedural surroundings, from a hard flash to an overcast sky."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from synth.sample.config import SampleConfig
from synth.scene import AreaLight, Environment, View

HEIGHT = 64
"""Rows of an environment map; it is twice as wide."""


def directions(height: int = HEIGHT) -> np.ndarray:
    """Unit directions (height, 2 height, 3) of the pixels of an environment map."""
    elevation = np.pi / 2 - (np.arange(height) + 0.5) * np.pi / height
    azimuth = (np.arange(2 * height) + 0.5) * np.pi / height - np.pi
    elevation, azimuth = np.meshgrid(elevation, azimuth, indexing="ij")
    return _direction(azimuth, elevation)


def irradiance(
    lights: tuple[AreaLight, ...],
    environment: Environment,
    points: np.ndarray,
    normals: np.ndarray,
) -> np.ndarray:
    """Diffuse shading (N,) of a white surface at `points` with `normals` (N, 3), unoccluded.

    Lamps count as points at their centre that shine towards the origin. Used to set exposures;
    the renderer computes the real thing.
    """
    shading = np.zeros(len(points))
    for light in lights:
        offset = light.position - points
        squared = (offset**2).sum(1)
        cosine = (offset * normals).sum(1) / np.sqrt(squared)
        front = offset @ light.position / np.linalg.norm(light.position) / np.sqrt(squared)
        reference = (light.position**2).sum()
        falloff = reference / np.maximum(squared, light.size**2 / 4)
        shading += light.irradiance * np.maximum(cosine, 0) * np.maximum(front, 0) * falloff
    height = HEIGHT // 4
    radiance = environment.radiance.reshape(height, 4, 2 * height, 4).mean((1, 3))
    direction = directions(height)
    solid = np.sqrt(1 - direction[..., 1] ** 2) * (np.pi / height) ** 2
    cosine = np.maximum(normals @ direction.reshape(-1, 3).T, 0)
    return shading + cosine @ (radiance * solid).ravel() / np.pi


def sample_light(
    rng: np.random.Generator, config: SampleConfig, view: View
) -> tuple[tuple[AreaLight, ...], Environment, dict[str, Any]]:
    """One to four lamps and surroundings in relative intensity, and their record."""
    names = [name for name, _ in config.setups]
    weights = np.array([weight for _, weight in config.setups])
    setup = names[rng.choice(len(names), p=weights / weights.sum())]
    lights, environment = _SETUPS[setup](rng, view)
    return lights, environment, {"setup": setup}


def expose(
    rng: np.random.Generator,
    config: SampleConfig,
    lights: tuple[AreaLight, ...],
    environment: Environment,
    points: np.ndarray,
    normals: np.ndarray,
) -> tuple[tuple[AreaLight, ...], Environment, float]:
    """The same light scaled so that the mean shading at the points is a drawn exposure."""
    exposure = float(np.exp(rng.uniform(*np.log(config.exposure))))
    scale = exposure / max(float(irradiance(lights, environment, points, normals).mean()), 1e-6)
    scaled = tuple(replace(light, irradiance=light.irradiance * scale) for light in lights)
    radiance = (environment.radiance * scale).astype(np.float32)
    return scaled, replace(environment, radiance=radiance), exposure


def _direction(azimuth: Any, elevation: Any) -> np.ndarray:
    """Unit vectors (..., 3): azimuth from +Z towards +X, elevation towards +Y, radians."""
    cosine = np.cos(elevation)
    return np.stack([np.sin(azimuth) * cosine, np.sin(elevation), np.cos(azimuth) * cosine], -1)


def _lamp(
    rng: np.random.Generator,
    group: str,
    strength: float,
    *,
    azimuth: tuple[float, float],
    elevation: tuple[float, float],
    distance: tuple[float, float],
    size: tuple[float, float],
) -> AreaLight:
    """A lamp drawn from ranges of degrees, cm, and size over distance (log-uniform)."""
    around = rng.uniform(min(azimuth), max(azimuth))
    direction = _direction(*np.radians([around, rng.uniform(*elevation)]))
    far = float(np.exp(rng.uniform(*np.log(distance))))
    ratio = float(np.exp(rng.uniform(*np.log(size))))
    return AreaLight(group, far * direction, far * ratio, strength)


def _gradient(levels: np.ndarray, sharpness: float) -> np.ndarray:
    """Radiance (64, 128) from the levels of zenith, horizon and ground."""
    zenith, horizon, ground = levels
    up = directions()[..., 1]
    sky = horizon + (zenith - horizon) * np.sqrt(np.maximum(up, 0))
    return ground + (sky - ground) / (1 + np.exp(-np.clip(sharpness * up, -60, 60)))


def _panel(
    rng: np.random.Generator,
    azimuth: tuple[float, float],
    elevation: tuple[float, float],
    half: tuple[float, float],
) -> np.ndarray:
    """A soft-edged rectangle of radiance 1 (64, 128): a window or softbox far away."""
    centre = np.radians([rng.uniform(*azimuth), rng.uniform(*elevation)])
    width, height = np.radians(rng.uniform(*half, 2))
    edge = np.radians(rng.uniform(1.5, 8.0))
    across = _direction(centre[0] + np.pi / 2, 0.0)
    out = _direction(*centre)
    up = np.cross(out, across)
    unit = directions()
    x = np.abs(np.arctan2(unit @ across, np.maximum(unit @ out, 1e-6)))
    y = np.abs(np.arctan2(unit @ up, np.maximum(unit @ out, 1e-6)))
    inside = [
        1 / (1 + np.exp(np.clip((a - b) / edge * 4, -60, 60))) for a, b in ((x, width), (y, height))
    ]
    return inside[0] * inside[1] * (unit @ out > 0)


def _glow(direction: np.ndarray, width: float) -> np.ndarray:
    cosine = directions() @ direction
    return np.exp((cosine - 1) / np.radians(width) ** 2)


def _surroundings(radiance: np.ndarray) -> Environment:
    return Environment("environment", np.maximum(radiance, 0).astype(np.float32))


Setup = tuple[tuple[AreaLight, ...], Environment]


def _flash(rng: np.random.Generator, view: View) -> Setup:
    """A small lamp beside the lens in a dim room."""
    offset = view.rotation[:2].T @ (rng.uniform(-0.12, 0.12, 2) + np.array([0.0, 0.08]))
    position = view.position * rng.uniform(0.85, 1.1) + offset * np.linalg.norm(view.position)
    size = float(np.exp(rng.uniform(np.log(3.0), np.log(25.0))))
    room = _gradient(rng.uniform(0.02, 0.35, 3), 3.0)
    return (AreaLight("key", position, size, 1.0),), _surroundings(room)


def _studio(rng: np.random.Generator, view: View) -> Setup:
    """A softbox, usually a fill on the other side, sometimes a rim light from behind."""
    side = rng.choice([-1.0, 1.0])
    key = _lamp(
        rng,
        "key",
        1.0,
        azimuth=(side * 5, side * 75),
        elevation=(-5, 60),
        distance=(80, 250),
        size=(0.15, 1.0),
    )
    lights = [key]
    if rng.random() < 0.75:
        strength = float(rng.uniform(0.08, 0.7))
        lights.append(
            _lamp(
                rng,
                "fill",
                strength,
                azimuth=(-side * 80, -side * 10),
                elevation=(-30, 40),
                distance=(90, 250),
                size=(0.2, 1.0),
            )
        )
    if rng.random() < 0.35:
        lights.append(_rim(rng))
    level = rng.uniform(0.01, 0.25)
    return tuple(lights), _surroundings(_gradient(level * rng.uniform(0.3, 1.0, 3), 2.0))


def _rim(rng: np.random.Generator) -> AreaLight:
    side = rng.choice([-1.0, 1.0])
    return _lamp(
        rng,
        "fill",
        float(rng.uniform(0.5, 2.5)),
        azimuth=(side * 110, side * 160),
        elevation=(0, 60),
        distance=(80, 200),
        size=(0.1, 0.5),
    )


def _window(rng: np.random.Generator, view: View) -> Setup:
    """A room with one to three windows and a weak lamp."""
    room = _gradient(rng.uniform(0.05, 0.4, 3), 3.0)
    for _ in range(rng.integers(1, 4)):
        room = room + rng.uniform(2, 12) * _panel(rng, (-110, 110), (-10, 35), (8, 35))
    lamp = _lamp(
        rng,
        "key",
        float(rng.uniform(0.02, 0.5)),
        azimuth=(-90, 90),
        elevation=(10, 80),
        distance=(80, 250),
        size=(0.05, 0.4),
    )
    return (lamp,), _surroundings(room)


def _sun(rng: np.random.Generator, view: View) -> Setup:
    """A sun, a sky with a glow around it, and light from the ground."""
    azimuth, elevation = rng.uniform(-130, 130), rng.uniform(10, 70)
    sun = _lamp(
        rng,
        "key",
        1.0,
        azimuth=(azimuth, azimuth),
        elevation=(elevation, elevation),
        distance=(900, 1100),
        size=(0.012, 0.2),
    )
    sky = _gradient(rng.uniform([0.1, 0.15, 0.05], [0.35, 0.5, 0.3]), 12.0)
    glow = _glow(_direction(*np.radians([azimuth, elevation])), rng.uniform(10, 35))
    return (sun,), _surroundings(sky + rng.uniform(0.2, 1.5) * glow)


def _overcast(rng: np.random.Generator, view: View) -> Setup:
    """A bright even sky, darker ground, and hardly any direction."""
    sky = _gradient(rng.uniform([0.8, 0.4, 0.1], [1.3, 1.0, 0.5]), 8.0)
    lamp = _lamp(
        rng,
        "key",
        float(rng.uniform(0.01, 0.15)),
        azimuth=(-90, 90),
        elevation=(-20, 70),
        distance=(80, 300),
        size=(0.3, 1.0),
    )
    return (lamp,), _surroundings(sky * (1 + 0.3 * _panel(rng, (-180, 180), (0, 60), (20, 60))))


def _back(rng: np.random.Generator, view: View) -> Setup:
    """A low sun, a window or lamps behind the head; the face is lit by what is in front of it."""
    side = rng.choice([-1.0, 1.0])
    lights = [
        _lamp(
            rng,
            "key",
            float(rng.uniform(0.8, 3.0)),
            azimuth=(side * 115, side * 170),
            elevation=(5, 55),
            distance=(120, 800),
            size=(0.03, 0.5),
        )
    ]
    if rng.random() < 0.5:
        lights.append(_rim(rng))
    room = _gradient(rng.uniform(0.15, 0.6, 3), 4.0)
    bright = rng.uniform(0.5, 3.0) * _panel(rng, (-180, 180), (-5, 40), (10, 40))
    front = rng.uniform(0.2, 1.0) * _panel(rng, (-60, 60), (-20, 40), (20, 45))
    return tuple(lights), _surroundings(room + bright + front)


def _top(rng: np.random.Generator, view: View) -> Setup:
    """One to three ceiling lamps or a high sun, and light that floor and walls send back."""
    lights = tuple(
        _lamp(
            rng,
            ("key", "fill", "fill")[k],
            float(rng.uniform(0.3, 1.0)),
            azimuth=(-120, 120),
            elevation=(60, 88),
            distance=(70, 300),
            size=(0.05, 0.8),
        )
        for k in range(rng.integers(1, 4))
    )
    levels = rng.uniform([0.1, 0.05, 0.05], [0.5, 0.35, 0.4])
    return lights, _surroundings(_gradient(levels, 3.0))


def _mixed(rng: np.random.Generator, view: View) -> Setup:
    """One to four lamps from anywhere in front, above, below or behind, and panels."""
    lights = tuple(
        _lamp(
            rng,
            ("key", "fill", "fill", "environment")[k],
            float(np.exp(rng.uniform(np.log(0.1), 0.0))),
            azimuth=(-75, 75) if k == 0 else (-150, 150),
            elevation=(-35, 80),
            distance=(50, 350),
            size=(0.03, 1.0),
        )
        for k in range(rng.integers(1, 5))
    )
    room = _gradient(rng.uniform(0.01, 0.4, 3), 3.0)
    for _ in range(rng.integers(0, 3)):
        room = room + rng.uniform(0.5, 6) * _panel(rng, (-180, 180), (-20, 70), (5, 40))
    return lights, _surroundings(room)


_SETUPS = {
    "flash": _flash,
    "studio": _studio,
    "window": _window,
    "sun": _sun,
    "overcast": _overcast,
    "back": _back,
    "top": _top,
    "mixed": _mixed,
}
