"""Samples without Blender: ellipsoid faces under three light groups."""

import numpy as np

SIZE = 48
CHANNELS = (
    *(f"diffuse_shading.{g}" for g in ("key", "fill", "environment")),
    *(f"specular_shading.{g}" for g in ("key", "fill", "environment")),
    "melanin",
    "haemoglobin",
    "mask",
    "coverage",
    *(f"reflectance.{k}" for k in range(4)),
    "normal.X",
    "normal.Y",
    "normal.Z",
    "region",
)

INDIRECT_CHANNELS = ("indirect.diffuse", "indirect.specular")


def indirect_shares(sample):
    """(2, size, size): more of the light has gone astray the lower a place is."""
    coverage = sample[CHANNELS.index("coverage")]
    ramp = np.linspace(0.05, 0.6, len(coverage))[:, None]
    return np.stack([ramp, 0.5 * ramp[::-1]]) * (coverage > 0)


def ellipsoid_sample(rng, size=SIZE):
    """(18, size, size) float32: an ellipsoid of skin wearing a cap of hair."""
    y, x = np.mgrid[1 : -1 : size * 1j, -1 : 1 : size * 1j]
    x, y = x / rng.uniform(0.55, 0.7), y / rng.uniform(0.75, 0.9)
    radius = x**2 + y**2
    coverage = np.clip((1 - radius) * size / 4, 0, 1)
    inside = coverage > 0
    z = np.sqrt(np.clip(1 - radius, 0, None))
    normal = np.stack([x, y, z]) / np.sqrt(radius + z**2 + 1e-9)
    hair = inside & (y > 0.6)
    mask = np.where(hair, 0, coverage)
    planes = []
    halves = []
    for _ in range(3):
        light = rng.normal((0, 0.5, 1.5), 1)
        light /= np.linalg.norm(light)
        half = light + np.array([0, 0, 1])
        halves.append(half / np.linalg.norm(half))
        planes.append(rng.uniform(0.2, 1) * np.clip(np.tensordot(light, normal, 1), 0, None))
    planes += [0.3 * np.clip(np.tensordot(h, normal, 1), 0, None) ** 30 for h in halves]
    cells = rng.normal(size=(2, 4, 4)).repeat(size // 4, 1).repeat(size // 4, 2)
    planes.append(rng.uniform(0.04, 0.4) * np.exp(0.15 * cells[0]))
    planes.append(rng.uniform(0.004, 0.05) * np.exp(0.2 * cells[1]))
    planes += [mask, coverage] + [np.where(hair, 0.1, 0.0)] * 4 + list(normal)
    planes.append(np.where(hair, 17, np.where(mask > 0, 1, 0)))
    stack = np.stack(planes) * inside
    stack[6:8] *= mask > 0
    return stack.astype(np.float32)
