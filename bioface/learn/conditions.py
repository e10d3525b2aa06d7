"""Under which conditions photos are drawn: for training, and for the two kinds of test."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bioface.learn.degrade import DegradeConfig
from bioface.spectral.camera import METHODS, Method

WITHIN_SD = (0.063, 0.091)
"""Standard deviation, in u, of melanin and haemoglobin within a face of a test draw."""


@dataclass(frozen=True)
class RelightConfig:
    """How much of everything is drawn; pairs are (low, high) of a uniform draw.

    The defaults are those of training; `clean` and `full` are those of the tests.

    Attributes
    ----------
    zoom, shift, rotation_degrees
        Scale of the crop against the render, shift in crop widths, roll. Half are mirrored.
    redraw
        Share of faces whose pigments get a new mean and contrast.
    log_uniform
        Share of the new means drawn log-uniform in volume fraction over the ranges of u; the rest
        are uniform in u.
    contrast
        Factors on the differences within the face.
    patchy_share, patchy
        Share of faces that get patches beside the differences they came with, so that a face does
        not give its pigments away; their standard deviation over that of the face.
    within_sd
        Instead of `contrast`: the standard deviation of melanin and haemoglobin within the face,
        lips left out, in u.
    within_tolerance
        By how much single faces may differ from it, as a share.
    group_log_sd, drop_group
        Brightness of the light groups; probability that one is switched off.
    lights
        Shares of A, daylight, fluorescent lamps and LEDs.
    mixtures
        Share of illuminants that are mixtures of all of them instead.
    two_lights
        Probability of a second illuminant on one of the groups.
    tint_sd
        Log sd of a colour cast of single groups.
    specular_log_sd
        Of a gain on gloss.
    log_exposure
        Mean and sd of the log of mean diffuse shading on a face of middle tone.
    compensation
        How far exposure follows the skin: 0 for an incident meter or a studio's fixed lights, 1
        for a face that always comes out equally bright.
    gain_sd
        Log sd of the white-balance error.
    departing
        Share of photos with what transport and the skin model leave out: see
        `bioface.learn.departures`.
    measured
        Share of cameras taken from measured ones instead of the model, where there are any.
    methods, fitted
        Ways from raw to XYZ, drawn once a batch; share of `fitted` where both are allowed.
    degrade
        What happens to the linear image afterwards.
    clean_share
        Share of batches drawn without tone, tint, saturation, blur, JPEG, second lights and
        mixtures, with little noise, small white-balance errors and an exposure that does not
        follow the skin: see `cleaned`.
    single_share
        Share of batches drawn like that but for one thing: see `singles`.
    """

    zoom: tuple[float, float] = (0.85, 1.2)
    shift: float = 0.06
    rotation_degrees: float = 10.0
    redraw: float = 0.9
    log_uniform: float = 0.75
    contrast: tuple[float, float] = (0.5, 1.8)
    patchy_share: float = 0.5
    patchy: tuple[float, float] = (0.1, 0.8)
    within_sd: tuple[float, float] | None = None
    within_tolerance: float = 0.1
    group_log_sd: float = 0.5
    drop_group: float = 0.15
    lights: tuple[float, float, float, float] = (0.15, 0.4, 0.2, 0.25)
    mixtures: float = 0.15
    two_lights: float = 0.35
    tint_sd: float = 0.04
    specular_log_sd: float = 0.4
    log_exposure: tuple[float, float] = (-0.35, 0.35)
    compensation: tuple[float, float] = (0.0, 0.35)
    gain_sd: float = 0.035
    departing: float = 0.75
    measured: float = 0.5
    methods: tuple[Method, ...] = METHODS
    fitted: float = 0.7
    degrade: DegradeConfig = dataclasses.field(default_factory=DegradeConfig)
    clean_share: float = 0.3
    single_share: float = 0.2

    @classmethod
    def clean(cls) -> RelightConfig:
        """The test under clean conditions.

        One illuminant, white balance to 2 %, fitted raw to XYZ, 0.5 % noise and 8 bits; no tone,
        tint, saturation, blur or JPEG.
        """
        return cls.full().cleaned()

    @classmethod
    def full(cls) -> RelightConfig:
        """The test with everything a photo goes through: noise to 3 %, JPEG down to 70."""
        return cls(
            redraw=1.0,
            log_uniform=1.0,
            within_sd=WITHIN_SD,
            patchy_share=0.0,
            specular_log_sd=0.3,
            compensation=(0.0, 0.0),
            departing=0.0,
            measured=1.0,
            methods=("fitted",),
            degrade=DegradeConfig(
                noise_percent=(0.2, 3.0),
                jpeg_quality=(70, 98),
                grey_noise_share=0.0,
                black_share=0.0,
            ),
            clean_share=0.0,
            single_share=0.0,
        )

    def cleaned(self) -> RelightConfig:
        """The same faces, pigments and cameras under clean conditions."""
        return dataclasses.replace(
            self,
            mixtures=0.0,
            two_lights=0.0,
            tint_sd=0.0,
            compensation=(0.0, 0.0),
            gain_sd=0.02,
            methods=("fitted",),
            degrade=DegradeConfig.clean(),
            clean_share=0.0,
            single_share=0.0,
        )

    def singles(self) -> dict[str, RelightConfig]:
        """`cleaned` with one of this one's degradations on every photo, by what it is."""
        clean, all_of_it = self.cleaned(), self.degrade
        images: dict[str, dict[str, Any]] = {
            "tone curve": {
                "tone_share": 1.0,
                "log_gamma_sd": all_of_it.log_gamma_sd,
                "contrast": all_of_it.contrast,
            },
            "saturation": {"saturation_share": 1.0, "saturation": all_of_it.saturation},
            "blur": {"blur_share": 1.0, "blur_pixels": all_of_it.blur_pixels},
            "noise": {"noise_percent": all_of_it.noise_percent},
            "JPEG": {"jpeg_share": 1.0, "jpeg_quality": all_of_it.jpeg_quality},
        }
        scenes: dict[str, dict[str, Any]] = {
            "tint of single lights": {"tint_sd": self.tint_sd},
            "two lights": {"two_lights": 1.0},
            "white balance": {"gain_sd": self.gain_sd},
        }
        return {
            name: dataclasses.replace(clean, degrade=dataclasses.replace(clean.degrade, **changes))
            for name, changes in images.items()
        } | {name: dataclasses.replace(clean, **changes) for name, changes in scenes.items()}
