"""All bands of a scene, held against the skin model and against the transport render."""

from dataclasses import replace

import numpy as np
import pytest
from small_scenes import ball, lamp, plate, scene

from bioface import SkinModel
from bioface.spectral.grid import bernstein_basis
from synth.blender.render import render, render_bands
from synth.dataset.schema import RADIANCE_CHANNELS
from synth.sample.skin import Skin

pytestmark = pytest.mark.bpy


def test_a_flat_patch_has_the_reflectance_of_the_model_in_every_band():
    skin = Skin(SkinModel.load(), 0.7, 1.2, np.linspace(0.9, 1.1, 33))
    view = scene(plate(10.0), lights=[lamp()], radiance=0.25, distance=30.0)
    bands = render_bands(view, 16, 128, skin=skin)
    seen = bands.diffuse[3:13, 3:13].mean((0, 1))
    np.testing.assert_allclose(seen, 1.25 * skin.reflectance(0.1, 0.02), rtol=0.015)
    assert bands.glossy.max() < 1e-5
    channels = bands.channels()
    assert tuple(channels) == RADIANCE_CHANNELS
    np.testing.assert_allclose(channels["radiance.410"], bands.diffuse[..., 1], atol=1e-6)


def test_what_is_not_skin_reflects_as_stored_and_lambert_skin_as_the_transport_render():
    view = scene(lights=[lamp(position=(30.0, 40.0, 80.0))], specular=0.5)
    bands = render_bands(view, 32, 16, subsurface=False)
    channels = render(view, 32, 16).channels
    shading = channels["diffuse_shading.key"] + channels["diffuse_shading.environment"]
    sure = channels["coverage"] > 0.99
    other = np.array([0.2, 0.4, 0.6, 0.8]) @ bernstein_basis(4)
    for where, reflectance in (
        (sure & (channels["mask"] < 0.01), other),
        (sure & (channels["mask"] > 0.99), Skin().reflectance(0.1, 0.02)),
    ):
        expected = shading[where].mean() * reflectance
        np.testing.assert_allclose(bands.diffuse[where].mean(0), expected, rtol=0.01)
    gloss = channels["specular_shading.key"] + channels["specular_shading.environment"]
    expected = (gloss * channels["coverage"]).mean()
    np.testing.assert_allclose(bands.glossy.mean((0, 1)), expected, rtol=0.01)


def test_red_light_crosses_a_shadow_edge_further_than_blue():
    """Behind the edge of a distant screen the light falls off as the profile says."""
    head = plate(3.0)
    screen = np.array([[-20, -20, 50], [0, -20, 50], [0, 20, 50], [-20, 20, 50]], np.float32)
    vertices = np.concatenate([head.vertices, screen])
    shaded = replace(
        head,
        vertices=vertices,
        canonical=vertices,
        faces=np.concatenate([head.faces, [[4, 5, 6, 7]]]).astype(np.int32),
        uv=np.zeros((3, 4, 2), np.float32),
        region=np.concatenate([head.region, head.region[:1]]),
    )
    light = lamp(position=(0.0, 0.0, 200.0), size=0.02)
    view = scene(shaded, lights=[light], radiance=0.0, distance=4.0)
    bands = render_bands(view, 32, 64)
    x = ((np.arange(32) + 0.5) / 32 - 0.5) * 4 * 36 / 150
    profile = bands.diffuse[4:28].mean(0) / Skin().reflectance(0.1, 0.02)
    red = Skin().blur(np.array(0.02))[26]
    r = np.linspace(1e-4, 30 * red, 2000)
    share = np.exp(-r / red) + np.exp(-r / (3 * red))
    angle = np.cos(np.linspace(0, 2 * np.pi, 101)[:-1])
    lit = (x[:, None, None] + r[:, None] * angle > 0).mean(-1) @ share / share.sum()
    np.testing.assert_allclose(profile[:, 26], lit, atol=0.06)
    shadow = (x < -0.02) & (x > -0.2)
    assert profile[shadow, 26].mean() > 1.5 * profile[shadow, 15].mean()  # 660 and 550 nm


def test_painted_pigments_have_the_reflectance_of_the_texture():
    painted = np.full((8, 8, 2), (0.3, 0.05), np.float32)
    view = scene(replace(plate(10.0), pigment=painted), radiance=1.0, distance=30.0)
    bands = render_bands(view, 16, 8, subsurface=False)
    expected = Skin().reflectance(0.3, 0.05)
    np.testing.assert_allclose(bands.diffuse[4:12, 4:12].mean((0, 1)), expected, rtol=0.01)


def test_the_same_arguments_give_the_same_bands():
    view = scene(ball(), lights=[lamp()])
    first, second = (render_bands(view, 16, 2, seed=5, threads=n).diffuse for n in (1, 2))
    np.testing.assert_array_equal(first, second)
