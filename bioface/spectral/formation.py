"""Image formation: pigments, shading, light and camera to linear sRGB (the decoder).

For each pixel and raw channel c (Alotaibi & Smith 2019, sections 2.1-3 and 4.2; eq. 1-9)

    raw_c = sum_l E(l) S_c(l) [ i_d R(l; melanin, haemoglobin) + i_s ]
    rgb   = M T diag(g) raw / white,      white_c = sum_l E(l) S_c(l),

with R the skin model, E the illuminant, S the sensitivities, T raw to XYZ, M XYZ to linear sRGB, g
an error of white balance (green 1), i_d and i_s diffuse and specular shading. White balance
cancels the scale of the light, so exposure is inside the shading: a white diffuser with i_d = 1 is
rgb (1, 1, 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace

from bioface.errors import InputError
from bioface.spectral.backend import Array, as_array, common, like, table_like
from bioface.spectral.camera import CameraModel, Method, raw_to_xyz
from bioface.spectral.colour import XYZ_TO_SRGB
from bioface.spectral.fast import decode_maps
from bioface.spectral.grid import BANDS
from bioface.spectral.illuminant import Illuminant
from bioface.spectral.skin import SkinModel

MAPS = ("melanin", "haemoglobin", "diffuse_shading", "specular_shading")


@dataclass(frozen=True)
class Camera:
    """One camera, or a batch of them, with the colour processing of its photos.

    Attributes
    ----------
    sensitivities
        (*batch, 33, 3), channels summing to 1.
    gains
        (*batch, 2) factors by which white balance erred in red and blue (green 1); None: 1.
    method
        How raw becomes XYZ: see `raw_to_xyz`.
    matrix
        (*batch, 3, 3) a known raw-to-XYZ matrix that maps (1, 1, 1) to the white, instead of
        `method`: a camera profile.
    """

    sensitivities: Array
    gains: Array | None = None
    method: Method = "pseudo_inverse"
    matrix: Array | None = None

    @classmethod
    def from_coefficients(
        cls,
        b: Any,
        model: CameraModel | None = None,
        gains: Any = None,
        method: Method = "pseudo_inverse",
    ) -> Camera:
        """The camera with coefficients b (*batch, N) of `model` (the shipped one when None)."""
        b = as_array(b)
        model = CameraModel.load(b.shape[-1]) if model is None else model
        return cls(model.sensitivities(b), gains, method)

    def _curves(self, spd: Any) -> tuple[Array, Array]:
        """Sensitivities and light in one namespace; `InputError` where their shapes do not fit."""
        s, e = common(as_array(self.sensitivities), as_array(spd))
        if tuple(s.shape[-2:]) != (BANDS, 3):
            raise InputError(
                f"sensitivities of shape {tuple(s.shape)}: (..., 33, 3) on 400-720 nm every 10 nm "
                "are needed"
            )
        if tuple(e.shape[-1:]) != (BANDS,):
            raise InputError(
                f"an illuminant of shape {tuple(e.shape)}: (..., 33) on 400-720 nm every 10 nm is "
                "needed; bioface.spectral.grid.resample takes other grids"
            )
        try:
            np.broadcast_shapes(tuple(s.shape[:-2]), tuple(e.shape[:-1]))
        except ValueError as error:
            raise InputError(
                f"cameras in batches of {tuple(s.shape[:-2])} for lights in batches of "
                f"{tuple(e.shape[:-1])}"
            ) from error
        return s, e

    def response(self, spd: Any) -> Array:
        """(*batch, 33, 3): white-balanced raw responses E S_c / sum E S_c under `spd`; sum 1."""
        s, e = self._curves(spd)
        weighted = s * e[..., None]
        xp = array_namespace(weighted)
        return weighted / xp.sum(weighted, axis=-2, keepdims=True)

    def raw_to_srgb(self, spd: Any) -> Array:
        """(*batch, 3, 3) from white-balanced raw to linear sRGB: M T diag(g)."""
        s, e = self._curves(spd)
        xp = array_namespace(s)
        batch = np.broadcast_shapes(tuple(s.shape[:-2]), tuple(e.shape[:-1]))
        if self.matrix is None:
            xyz = raw_to_xyz(s, e, self.method)
        else:
            xyz = _fitting("a raw-to-XYZ matrix", like(s, as_array(self.matrix)), (3, 3), batch)
        matrix = table_like(s, XYZ_TO_SRGB) @ xyz
        if self.gains is None:
            return matrix
        gains = _fitting("white-balance gains", like(s, as_array(self.gains)), (2,), batch)
        one = xp.ones_like(gains[..., :1])
        return matrix * xp.concat([gains[..., :1], one, gains[..., 1:]], axis=-1)[..., None, :]

    def projection(self, spd: Any) -> Array:
        """Q (*batch, 33, 3): linear sRGB of a reflectance r is r Q; of a white one, sum Q."""
        xp = array_namespace(*self._curves(spd))
        return self.response(spd) @ xp.matrix_transpose(self.raw_to_srgb(spd))


def _fitting(name: str, values: Array, last: tuple[int, ...], batch: tuple[int, ...]) -> Array:
    """`values`, where their shape is (*batch, *last) or broadcasts with it; else `InputError`."""
    shape = tuple(values.shape)
    own = len(shape) - len(last)
    try:
        np.broadcast_shapes(shape[: max(own, 0)], batch)
        fits = own >= 0 and shape[own:] == last
    except ValueError:
        fits = False
    if not fits:
        raise InputError(
            f"{name} of shape {shape} for light and camera in batches of {batch}: "
            f"(*batch, {', '.join(map(str, last))}) is needed"
        )
    return values


def decode(
    maps: Mapping[str, Any] | Any,
    illuminant: Illuminant | Any,
    camera: Camera,
    *,
    skin: SkinModel | None = None,
    path: Literal["fast", "exact"] = "fast",
) -> Array:
    """Linear sRGB that light, skin and camera explain: before tone, unclipped.

    Parameters
    ----------
    maps
        Mapping, or object with attributes, `melanin` and `haemoglobin` (volume fractions, 0-1),
        `diffuse_shading` and `specular_shading` (>= 0), all of one shape (*batch, H, W) or
        (*batch,); any number of pixel dimensions works.
    illuminant
        Spectral power distribution (*batch, 33) of any scale, or an `Illuminant`.
    camera
        Its batch dimensions, like the illuminant's, may be missing or 1.
    skin
        Skin model; the default one when None. Its constants may be tensors: gradients flow.
    path
        `exact` sums 33 bands for each pixel; `fast` (see `bioface.spectral.fast`) differs by less
        than 1e-3 in linear sRGB for the default skin model and 2e-3 for others, clips fractions to
        0-1, and with torch keeps only the maps for the backward pass.

    Returns
    -------
    (*batch, H, W, 3) in the namespace, dtype and device of the maps.

    Raises
    ------
    InputError
        A map is missing, maps differ in shape or do not fit the batch of light and camera, or
        these are not on the wavelength grid or do not fit each other.
    """
    melanin, haemoglobin, diffuse, specular = _maps(maps)
    xp = array_namespace(melanin)
    spd = illuminant.spd if isinstance(illuminant, Illuminant) else illuminant
    projection = like(melanin, camera.projection(spd))
    pixel_axes = melanin.ndim - (projection.ndim - 2)
    if pixel_axes < 0 or any(
        own not in (1, count)
        for own, count in zip(projection.shape[:-2], melanin.shape, strict=False)
    ):
        raise InputError(
            f"maps of shape {tuple(melanin.shape)} for light and camera in batches of "
            f"{tuple(projection.shape[:-2])}"
        )
    skin = SkinModel.load() if skin is None else skin
    if path == "fast":
        return decode_maps(skin, projection, (melanin, haemoglobin, diffuse, specular))
    if path != "exact":
        raise InputError(f"decoder path {path!r} is not known; use fast or exact")
    reflectance = skin.reflectance(melanin, haemoglobin, validate=False)
    batch = projection.shape[:-2]
    white = xp.reshape(xp.sum(projection, axis=-2), (*batch, *(1,) * pixel_axes, 3))
    if pixel_axes:
        spread = xp.reshape(projection, (*batch, *(1,) * (pixel_axes - 1), *projection.shape[-2:]))
        colour = reflectance @ spread
    else:
        colour = (reflectance[..., None, :] @ projection)[..., 0, :]
    return diffuse[..., None] * colour + specular[..., None] * white


def composed(
    skin: Array, others: Array, *, mask: Array, coverage: Array, diffuse: Array, specular: Array
) -> Array:
    """Light (..., C) of pixels that show skin, other things and nothing, by the transport model.

    Parameters
    ----------
    skin, others
        (..., C) reflectance in bands, or its colours under one light, of each as if it filled the
        pixel; as samples store them.
    mask, coverage
        (...) share of the pixel that is skin, and that is anything.
    diffuse, specular
        (...) shading, summed over light groups; what both reflect alike.
    """
    own, other = mask[..., None], (coverage - mask)[..., None]
    reflected: Array = diffuse[..., None] * (own * skin + other * others)
    return reflected + (specular * coverage)[..., None]


def _maps(maps: Mapping[str, Any] | Any) -> tuple[Array, ...]:
    try:
        if isinstance(maps, Mapping):
            values = [maps[name] for name in MAPS]
        else:
            values = [getattr(maps, name) for name in MAPS]
    except (KeyError, AttributeError) as error:
        raise InputError(f"maps need {', '.join(MAPS)}: {error}") from error
    arrays = common(*(as_array(value) for value in values))
    shapes = {name: tuple(array.shape) for name, array in zip(MAPS, arrays, strict=True)}
    if len(set(shapes.values())) > 1:
        raise InputError(f"maps differ in shape: {shapes}")
    return arrays
