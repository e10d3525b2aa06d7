"""Photos and their mirror images are read alike."""

import numpy as np
import pytest

from bioface.photo.mirror import merge


def test_maps_are_mirrored_back_and_values_averaged():
    right = np.arange(6.0).reshape(1, 2, 3)
    readings = {
        "melanin_u": np.concatenate([right, 2 + right[..., ::-1]]),
        "gains": np.array([[1.0, 0.9], [1.1, 1.0]]),
        "daylight_kelvin": np.array([4000.0, 8000.0]),
    }
    merged = merge(readings)
    assert np.allclose(merged["melanin_u"], right + 1)
    assert np.allclose(merged["gains"], [[1.05, 0.95]])
    assert np.allclose(1e6 / merged["daylight_kelvin"], [0.5 * (250 + 125)])


@pytest.mark.torch
def test_an_encoder_reads_a_mirrored_crop_as_the_mirror_image(encoder):
    import torch

    from bioface.learn.crop_reading import read_crops

    photo = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = (read_crops(encoder, image) for image in (photo, photo.flip(-1)))
        alone = encoder(photo)
    assert not torch.allclose(alone.melanin_u, one.melanin_u, atol=1e-5)
    assert torch.allclose(one.melanin_u, other.melanin_u.flip(-1), atol=1e-5)
    assert torch.allclose(one.b, other.b, atol=1e-5)
