"""Heads that are a mean plus weighted identity and expression modes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioface.errors import InputError
from synth.scene import HeadMesh

_IDENTITY_LIMIT = 2.0


@dataclass(frozen=True, eq=False)
class LinearHeads:
    """The common part of `HeadProvider` for a linear model over V vertices.

    Attributes
    ----------
    mean_vertices
        (V, 3) float32 cm.
    identity_modes, expression_modes
        (K, 3 V) float32 cm per standard deviation, and per unit of expression.
    faces, uv, region, landmarks
        As in `HeadMesh`.
    """

    name: str
    asset_hash: str
    mean_vertices: np.ndarray
    identity_modes: np.ndarray
    expression_modes: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    region: np.ndarray
    landmarks: np.ndarray

    def mean(self) -> HeadMesh:
        """The neutral mean head."""
        return self.deform(np.zeros(0), np.zeros(0))

    def deform(self, identity: np.ndarray, expression: np.ndarray) -> HeadMesh:
        """The head with these coefficients: identity in deviations, expression in 0-1.

        Shorter vectors are padded with zeros.

        Raises
        ------
        InputError
            More coefficients than there are modes, or values that are not finite.
        """
        identity = _padded(identity, len(self.identity_modes), "identity")
        expression = _padded(expression, len(self.expression_modes), "expression")
        offset = identity @ self.identity_modes + expression @ self.expression_modes
        return HeadMesh(
            vertices=self.mean_vertices + offset.reshape(self.mean_vertices.shape),
            canonical=self.mean_vertices,
            faces=self.faces,
            uv=self.uv,
            region=self.region,
            landmarks=self.landmarks,
            identity=identity,
            expression=expression,
        )

    def draw_identity(self, rng: np.random.Generator) -> np.ndarray:
        """Standard normal coefficients, cut at two deviations."""
        draw = rng.standard_normal(len(self.identity_modes))
        return np.clip(draw, -_IDENTITY_LIMIT, _IDENTITY_LIMIT)


Family = tuple[float, float, tuple[str, ...]]
"""Share of samples, largest weight, and the modes that move together."""


def draw_expression(
    rng: np.random.Generator,
    names: tuple[str, ...],
    families: tuple[Family, ...],
    neutral_share: float,
) -> np.ndarray:
    """A sparse expression (len(names),): each family is on in its share of the samples.

    Modes of one family get nearly the same weight, so that faces are nearly symmetrical; a
    `neutral_share` of the samples has none at all.
    """
    weights = np.zeros(len(names), np.float32)
    neutral = rng.random() < neutral_share
    for share, largest, members in families:
        on, strength = rng.random() < share, largest * rng.random()
        uneven = rng.uniform(0.8, 1.0, len(members))
        if on and not neutral:
            for name, factor in zip(members, uneven, strict=True):
                weights[names.index(name)] = strength * factor
    return weights


def _padded(values: np.ndarray, count: int, what: str) -> np.ndarray:
    values = np.asarray(values, np.float32).ravel()
    if len(values) > count:
        raise InputError(f"{len(values)} {what} coefficients given; this head has {count}")
    if not np.isfinite(values).all():
        raise InputError(f"{what} coefficients must be finite numbers")
    return np.concatenate([values, np.zeros(count - len(values), np.float32)])
