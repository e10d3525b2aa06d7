"""What a trained network has to beat: methods that need no encoder.

Each is a `bioface.scores.faces.Reader` that may first look at labelled training photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bioface.scores.faces import Photos, Readings


class Baseline(Protocol):
    """A method that `fit` prepares and `read` applies."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    @property
    def limit(self) -> int | None:
        """Photos that it reads at most, because it is slow; None for all."""

    def fit(self, training: Sequence[Photos]) -> None:
        """Learn what the method needs from photos with their truth, none of them tested on."""

    def read(self, photos: Photos) -> Readings:
        """Read a batch from `photos.srgb` and `photos.counted` alone."""


def baselines() -> list[Baseline]:
    """All of them, the simplest first. Imports torch."""
    from bioface.evaluate.baselines.ica import IndependentComponents
    from bioface.evaluate.baselines.optimise import ImageOptimisation
    from bioface.evaluate.baselines.pixels import PixelNetwork
    from bioface.evaluate.baselines.prior import PriorMean
    from bioface.evaluate.baselines.table import TableInversion

    return [
        PriorMean(),
        TableInversion(),
        PixelNetwork(),
        IndependentComponents(),
        ImageOptimisation(),
    ]
