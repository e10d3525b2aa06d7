import numpy as np
import pytest

from synth.compare import Picture, compare, summary, transport_picture
from synth.sample.skin import Skin

PIXELS = 4000


def pictures(rng, shading, reflectance, noise):
    return [
        Picture(
            (shading * (1 + noise * rng.standard_normal(PIXELS)))[:, None] * reflectance,
            np.broadcast_to(reflectance, (PIXELS, 33)),
        )
        for _ in range(2)
    ]


def test_noise_drops_out_and_a_dimmer_truth_is_an_error_of_shading_alone():
    rng = np.random.default_rng(0)
    reflectance = Skin().reflectance(0.1, 0.02)
    light = rng.uniform(0.5, 1.0, PIXELS)
    transport, lambert, truth = (
        pictures(rng, factor * light, reflectance, 0.2) for factor in (1.0, 1.0, 0.9)
    )
    found = compare(transport, lambert, truth)
    assert np.sqrt(found["shading"] / found["shading_level"]) == pytest.approx(0.1, abs=0.02)
    assert found["albedo"] < 1e-6 * found["albedo_level"]
    assert found["linear"] == pytest.approx(0.01 * found["level"], rel=0.4)
    assert abs(found["interreflection"]) < 0.2 * found["linear"]
    assert found["subsurface"] == pytest.approx(found["linear"], rel=0.5)
    assert found["transport_noise"] == pytest.approx(0.04 * found["level"], rel=0.15)
    assert found["truth_noise"] == pytest.approx(0.04 * 0.81 * found["level"], rel=0.15)


def test_transport_is_shading_times_reflectance_and_tones_are_listed():
    channels = {f"diffuse_shading.{g}": np.full((2, 2), 0.5) for g in ("key", "fill")}
    channels |= {"diffuse_shading.environment": np.zeros((2, 2))}
    channels |= {"melanin": np.full((2, 2), 0.1), "haemoglobin": np.full((2, 2), 0.02)}
    picture = transport_picture(channels, Skin(), np.ones((2, 2), bool))
    np.testing.assert_allclose(picture.bands, np.tile(Skin().reflectance(0.1, 0.02), (4, 1)))
    np.testing.assert_allclose(picture.shading(), 1)
    scene = compare([picture] * 2, [picture] * 2, [picture] * 2)
    table = summary([{"tone": "dark", **scene}, {"tone": "light", **scene}])
    assert {name: row["scenes"] for name, row in table.items()} == {"all": 2, "light": 1, "dark": 1}
    assert table["all"]["linear"] == 0
