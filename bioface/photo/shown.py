"""How crops are shown to a network, whatever runs it: relit, and beside their mirror images."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from array_api_compat import array_namespace

from bioface.photo.exposure import factor_to_usual, relit
from bioface.photo.mirror import merge
from bioface.spectral.backend import Array

SHADINGS = ("diffuse_shading", "specular_shading")


def read_shown(srgb: Array, read: Callable[[Array], Mapping[str, Array]]) -> dict[str, Array]:
    """What `read` says of crops (B, 3, H, W) of sRGB in 0-1, by name, values (B, ...).

    It is shown them nearer the usual brightness (`bioface.photo.exposure`) and then, in the same
    batch, their mirror images: (2 B, 3, H, W). Both are merged (`bioface.photo.mirror`), and the
    shadings are those of the crops as given.
    """
    xp = array_namespace(srgb)
    factor = factor_to_usual(srgb)
    seen = relit(srgb, factor)
    found = merge(read(xp.concat([seen, xp.flip(seen, axis=-1)])))
    return found | {name: found[name] / factor[:, None, None] for name in SHADINGS}
