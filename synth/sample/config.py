"""Every default of the samplers in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from bioface.errors import InputError

Range = tuple[float, float]


@dataclass(frozen=True)
class SampleConfig:
    """What `sample_scene` draws from. Pairs are (lowest, highest) unless said otherwise.

    Attributes
    ----------
    yaw, pitch, roll
        Largest angle of the camera to either side, degrees; most draws are near frontal.
    focal_mm
        Full-frame equivalent focal length of a head-and-shoulders portrait (36 mm wide frame
        twice as wide as the crop), log-uniform: it sets the distance and so the perspective.
    framing
        Side of the square image over the larger side of the box of the 68 landmarks.
    jitter
        Standard deviation of that box's centre, as a share of the image side.
    defocus_share, f_number, focus_error
        Share of pictures taken with a lens, its f-number at the equivalent focal length
        (log-uniform), and how far behind or in front of the eyes it is focused at most, cm; the
        other pictures are sharp everywhere.
    setups
        Weights of the light setups `flash`, `studio`, `window`, `sun`, `overcast`, `back`, `top`
        and `mixed`.
    exposure
        Mean diffuse shading over the visible skin, unoccluded, log-uniform.
    uniform_share
        Share of people whose median pigments are drawn from the three options below, evenly, so
        that no skin tone is rare; the others are drawn from `bioface.spectral.population`.
    melanin, haemoglobin
        Lowest and highest median volume fraction of these people. Their tone is even over the six
        classes of ITA, their blood log-uniform, and their melanin what gives that tone.
    pigment_correlation
        Correlation of their melanin and blood (of the normal scores of tone and blood): measured
        people have -0.2.
    melanin_spread, haemoglobin_spread
        Standard deviation of u within a face, lips and spots left out, log-uniform.
    roughness, specular
        A person's median roughness and Principled specular IOR level, uniform. A level l reflects
        8 % of l at normal incidence: 1.6-4.8 %, around the 2.8 % that Fresnel's equations give
        dry skin (refractive index 1.4; sebum, about 1.48: 3.7 %).
    bump
        Height of the pore-scale relief, cm, log-uniform.
    sweat_share
        Share of people who sweat.
    stubble_share, tan_share, vein_share, birthmark_share
        Share of people with the shadow of shaven stubble, a tan line, visible veins at the
        temples (and, drawn apart, fine ones on the nose), a birthmark.
    makeup_share
        Share of people with make-up: some of lipstick, eye shadow, blush and foundation.
    hair_share, brow_share, beard_share, freckle_share
        Share of people with scalp hair, visible brows, a beard, freckles.
    clothes_share
        Share of people in clothes; the others end where the mesh of the head ends.
    glasses_share, sunglasses_share
        Share of people who wear glasses, and share of glasses that are dark.
    headwear_share
        Share of people in a cap, a beanie or a headscarf.
    """

    yaw: float = 60.0
    pitch: float = 25.0
    roll: float = 10.0
    focal_mm: Range = (35.0, 135.0)
    framing: Range = (1.5, 2.3)
    jitter: float = 0.03
    defocus_share: float = 0.3
    f_number: Range = (1.6, 8.0)
    focus_error: float = 3.0
    setups: tuple[tuple[str, float], ...] = (
        ("flash", 0.14),
        ("studio", 0.26),
        ("window", 0.16),
        ("sun", 0.12),
        ("overcast", 0.10),
        ("back", 0.05),
        ("top", 0.05),
        ("mixed", 0.12),
    )
    exposure: Range = (0.5, 1.3)
    uniform_share: float = 0.7
    melanin: Range = (0.018, 0.5)
    haemoglobin: Range = (0.003, 0.042)
    pigment_correlation: float = -0.2
    melanin_spread: Range = (0.038, 0.091)
    haemoglobin_spread: Range = (0.053, 0.115)
    roughness: Range = (0.28, 0.75)
    specular: Range = (0.2, 0.6)
    bump: Range = (0.001, 0.01)
    sweat_share: float = 0.12
    hair_share: float = 0.82
    brow_share: float = 0.9
    beard_share: float = 0.2
    freckle_share: float = 0.3
    stubble_share: float = 0.25
    tan_share: float = 0.12
    vein_share: float = 0.35
    birthmark_share: float = 0.04
    makeup_share: float = 0.22
    clothes_share: float = 1.0
    glasses_share: float = 0.22
    sunglasses_share: float = 0.15
    headwear_share: float = 0.1

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: lists for tuples."""
        return {key: _lists(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SampleConfig:
        """The inverse of `to_dict`; missing keys take their defaults.

        Raises
        ------
        InputError
            Unknown key.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"unknown sampling option '{unknown[0]}': known are {sorted(known)}")
        made: dict[str, Any] = {key: _tuples(value) for key, value in values.items()}
        return cls(**made)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value
