"""The brightness at which a network is shown a face."""

import numpy as np
import pytest

from bioface.photo.exposure import SHARE, USUAL, factor_to_usual, relit
from bioface.spectral.colour import srgb_decode, srgb_encode


def crops(*levels):
    """Crops of one colour whose middle has these levels of linear light, around it white."""
    image = np.ones((len(levels), 3, 32, 32))
    image[:, :, 8:24, 8:24] = np.asarray(srgb_encode(np.array(levels)))[:, None, None, None]
    return image


def test_a_crop_of_usual_brightness_stays_as_it_is():
    image = crops(USUAL)
    factor = factor_to_usual(image)
    assert np.allclose(factor, 1)
    assert np.allclose(relit(image, factor), image)


def test_brightness_is_drawn_part_of_the_way():
    image = crops(0.4, 0.1)
    seen = np.asarray(srgb_decode(relit(image, factor_to_usual(image))[:, 1, 16, 16]))
    assert np.allclose(seen[0] / seen[1], 4 ** (1 - SHARE))
    assert USUAL < seen[0] < 0.4
    assert 0.1 < seen[1] < USUAL


def test_black_crops_stay_finite_and_nothing_leaves_the_range():
    image = crops(0.0, 1e-5)
    seen = relit(image, factor_to_usual(image))
    assert np.isfinite(seen).all()
    assert seen.min() >= 0
    assert seen.max() <= 1


@pytest.mark.torch
def test_shading_is_that_of_the_crop_as_given(encoder):
    import torch

    from bioface.learn.crop_reading import read_crops
    from bioface.photo.mirror import merge

    image = torch.from_numpy(crops(0.5, 0.02)).float()
    factor = factor_to_usual(image)
    with torch.no_grad():
        found = read_crops(encoder, image)
        seen = relit(image, factor)
        plain = merge(vars(encoder(torch.cat([seen, seen.flip(-1)]))))
    assert torch.allclose(found.melanin_u, plain["melanin_u"], atol=1e-5)
    for name in ("diffuse_shading", "specular_shading"):
        expected = plain[name] / factor[:, None, None]
        assert torch.allclose(getattr(found, name), expected, rtol=1e-4)
    assert factor[1] > 1.2 > 1 > factor[0]
