"""From shading, pigments, light and camera to linear images: the dichromatic model in batches.

On a processor the loops of `bioface.learn.compiled_paint` do it, under the conditions of
`bioface.learn.fused`; elsewhere torch operations with the same result up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bioface.learn.departures import Departures
from bioface.learn.fused import to_be_compiled
from bioface.learn.planes import COVERAGE, DIFFUSE, INDIRECT, MASK, REFLECTANCE, SPECULAR
from bioface.spectral.colour import SRGB_TO_XYZ
from bioface.spectral.formation import Camera, decode
from bioface.spectral.grid import bernstein_basis
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit


@dataclass(frozen=True)
class Light:
    """Light and camera of a batch: what turns shading and pigments into raw and into sRGB.

    `group_gain` and `gloss_gain` (B, 3) scale the light groups' diffuse and specular shading,
    `second` (B, 3) marks the groups under the second of `spds` (B, 2, 33), `tints` (B, 3, 3) are
    colour casts (group, channel), `matrix` (B, 3, 3) takes white-balanced raw to linear sRGB.
    """

    group_gain: Tensor
    gloss_gain: Tensor
    second: Tensor
    spds: Tensor
    spd: Tensor
    tints: Tensor
    sensitivities: Tensor
    matrix: Tensor

    def of(self, images: slice) -> Light:
        return Light(*(getattr(self, name)[images] for name in self.__dataclass_fields__))


def white_balanced_raw(
    planes: Tensor,
    pigments: Tensor,
    light: Light,
    skin: SkinModel,
    departures: Departures | None = None,
) -> Tensor:
    """Raw (n, 3, H W) of planes (n, 20, H, W) and pigments (n, 2, H, W), summed over light groups.

    The pixels' reflectance is that of skin and of everything else, by their shares; `departures`
    colour skin, and the indirect share of the light.
    """
    compiled = to_be_compiled(planes[:, 0], planes, pigments)
    add_light = _add_light_compiled if compiled else _add_light
    basis = torch.as_tensor(bernstein_basis(4), dtype=planes.dtype, device=planes.device)
    white = torch.einsum("bw,bwc->bc", light.spd, light.sensitivities)
    raw = torch.zeros_like(planes[:, :3]).flatten(2)
    for k in range(2):
        belongs = light.second if k else 1 - light.second
        lit = belongs.sum(1).nonzero()[:, 0] if k else torch.arange(len(raw), device=raw.device)
        if len(lit) == 0:
            continue
        own: Any = lit if k else slice(None)
        spd, sensitivities = light.spds[own, k], light.sensitivities[own]
        # A camera whose matrix undoes XYZ to sRGB leaves the decoder's colours in raw.
        camera = Camera(sensitivities, matrix=SRGB_TO_XYZ)
        on_skin = spd if departures is None else spd * departures.skin[own]
        of_skin = _of_skin(planes[own, MASK], pigments[own], on_skin, camera, skin)
        of_others = (basis @ camera.response(spd)).mT
        seen = torch.einsum("bw,bwc->bc", spd, sensitivities)
        indirect = torch.zeros_like(light.tints[own])
        if departures is not None:
            of_skin *= (torch.einsum("bw,bwc->bc", on_skin, sensitivities) / seen)[:, :, None]
            indirect = _excess(departures.of(own), spd, sensitivities)
        cast = (light.tints[own] * belongs[own, :, None]).mT * (seen / white[own])[:, :, None]
        of_diffuse = cast * light.group_gain[own, None]
        of_specular = cast * light.gloss_gain[own, None]
        flat = planes.flatten(2)
        add_light(raw, lit, flat, of_skin, of_others, of_diffuse, of_specular, indirect)
    return raw


def _excess(departures: Departures, spd: Tensor, sensitivities: Tensor) -> Tensor:
    """(n, 3, 3) by how much indirect light exceeds transport's: channel; on skin, on others, gloss.

    For the camera's channels as they see skin of the face's mean reflectance, and grey.
    """
    own_skin = spd * departures.skin * departures.reflectance
    pairs = (
        (own_skin, departures.on_skin),
        (spd, departures.on_others),
        (spd, departures.mirrored),
    )
    return torch.stack(
        [
            torch.einsum("bw,bwc->bc", light * colour, sensitivities)
            / torch.einsum("bw,bwc->bc", light, sensitivities)
            - 1
            for light, colour in pairs
        ],
        2,
    )


def expose(raw: Tensor, planes: Tensor, light: Light, scale: Tensor, out: Sequence[Tensor]) -> None:
    """Linear images and shading of raw (n, 3, H W) under an exposure.

    Parameters
    ----------
    raw, planes, light
        As of `white_balanced_raw`.
    scale
        (n,) exposure.
    out
        Linear sRGB (n, 3, H, W), diffuse and specular shading (n, H, W), 0 where there is no skin;
        contiguous, written.
    """
    flat = [tensor.flatten(-2) for tensor in (planes, *out)]
    compiled = to_be_compiled(planes[:, 0], raw, *flat)
    (_expose_compiled if compiled else _expose)(
        raw,
        scale[:, None, None] * light.matrix,
        scale[:, None] * light.group_gain,
        scale[:, None] * light.gloss_gain,
        *flat,
    )


def _of_skin(
    mask: Tensor, pigments: Tensor, spd: Tensor, camera: Camera, skin: SkinModel
) -> Tensor:
    """(n, 3, H W) white-balanced raw of the reflectance of skin, by its share of the pixel."""
    maps = {
        "melanin": from_unit(pigments[:, 0], MELANIN_RANGE),
        "haemoglobin": from_unit(pigments[:, 1], HAEMOGLOBIN_RANGE),
        "diffuse_shading": mask,
        "specular_shading": torch.zeros_like(mask),
    }
    return decode(maps, spd, camera, skin=skin).permute(0, 3, 1, 2).flatten(2)


def _add_light(
    raw: Tensor,
    lit: Tensor,
    planes: Tensor,
    skin: Tensor,
    basis: Tensor,
    diffuse: Tensor,
    specular: Tensor,
    indirect: Tensor,
) -> None:
    """Add to raw (n, 3, P) of the images `lit` (m,) what comes back of one illuminant.

    Of all images `planes` (n, 20, P); of those lit raw of the reflectance of skin (m, 3, P) and of
    the basis of others (m, 3, 4), what `diffuse` and `specular` shading are multiplied with
    (m, 3, 3: channel, group), and `_excess`.
    """
    own: Any = lit if len(lit) < len(raw) else slice(None)
    planes = planes[own]
    scattered, mirrored = planes[:, INDIRECT, None].unbind(1)
    on_skin, on_others, on_gloss = indirect[..., None].unbind(2)
    part = skin * (1 + on_skin * scattered)
    part += torch.bmm(basis, planes[:, REFLECTANCE]) * (1 + on_others * scattered)
    part *= torch.bmm(diffuse, planes[:, DIFFUSE])
    gloss = torch.bmm(specular, planes[:, SPECULAR]) * (1 + on_gloss * mirrored)
    part.addcmul_(gloss, planes[:, COVERAGE, None])
    raw[own] += part


def _add_light_compiled(*tensors: Tensor) -> None:
    """`_add_light` in the loops of `bioface.learn.compiled_paint`."""
    from bioface.learn import compiled_paint

    compiled_paint.add_light(*(tensor.contiguous().numpy() for tensor in tensors))


def _expose(
    raw: Tensor,
    matrix: Tensor,
    diffuse: Tensor,
    specular: Tensor,
    planes: Tensor,
    linear: Tensor,
    diffuse_shading: Tensor,
    specular_shading: Tensor,
) -> None:
    """Write the last three: raw (n, 3, P) times `matrix`, shading times `diffuse`, `specular`."""
    on_skin = planes[:, MASK] > 0
    torch.bmm(matrix, raw, out=linear)
    for gains, groups, out in (
        (diffuse, DIFFUSE, diffuse_shading),
        (specular, SPECULAR, specular_shading),
    ):
        torch.mul(torch.bmm(gains[:, None], planes[:, groups])[:, 0], on_skin, out=out)


def _expose_compiled(*tensors: Tensor) -> None:
    """`_expose` in the loops of `bioface.learn.compiled_paint`."""
    from bioface.learn import compiled_paint

    compiled_paint.expose(*(tensor.numpy() for tensor in tensors))
