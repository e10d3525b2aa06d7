"""Random fields over points in space: smooth noise and spots. Lengths in cm."""

from __future__ import annotations

import numpy as np

_WAVES = 28


def smooth_noise(rng: np.random.Generator, points: np.ndarray, scale: float) -> np.ndarray:
    """Gaussian-like noise (N,) of mean 0 and deviation 1 at `points` (N, 3).

    A sum of plane waves (random Fourier features): isotropic, correlated over about `scale`.
    """
    wave = (rng.standard_normal((3, _WAVES)) / scale).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, _WAVES).astype(np.float32)
    waves = wave.T @ points.astype(np.float32).T + phase[:, None]  # in rows, which sum fast
    return np.cos(waves, out=waves).sum(0).astype(np.float64) * np.sqrt(2 / _WAVES)


def layered_noise(
    rng: np.random.Generator, points: np.ndarray, scales: tuple[float, ...], decay: float = 0.7
) -> np.ndarray:
    """Sum of `smooth_noise` at `scales`, each `decay` times the one before; deviation 1."""
    weights = decay ** np.arange(len(scales))
    layers = [w * smooth_noise(rng, points, s) for w, s in zip(weights, scales, strict=True)]
    return np.sum(layers, 0) / np.sqrt((weights**2).sum())


def spots(
    points: np.ndarray, centres: np.ndarray, radii: np.ndarray, heights: np.ndarray
) -> np.ndarray:
    """Sum (N,) of bells exp(-(d / radius)^2) of `heights` around `centres` (K, 3)."""
    out = np.zeros(len(points))
    order = np.argsort(points[:, 1])
    rising = points[order]
    reach = np.stack([centres[:, 1] - 3 * radii, centres[:, 1] + 3 * radii])
    starts, ends = np.searchsorted(rising[:, 1], reach)
    spans = map(slice, starts, ends)
    for centre, radius, height, span in zip(centres, radii, heights, spans, strict=True):
        squared = ((rising[span] - centre) ** 2).sum(1)
        out[order[span]] += height * np.exp(-squared / radius**2)
    return out


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, a smooth cubic between (also when high < low)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)
