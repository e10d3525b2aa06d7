from dataclasses import replace

import numpy as np
import pytest
from small_scenes import EYE, FACE, ball, lamp, plate, scene

from bioface import SkinModel
from bioface.spectral.colour import reflectance_to_linear_srgb
from synth.blender.passes import RECOMPOSITION_TOLERANCE, RenderCheckError
from synth.blender.render import render, render_sample
from synth.dataset.schema import CHANNELS, INDIRECT_CHANNELS, OPTIONAL_CHANNELS
from synth.scene import GROUPS, REGIONS

pytestmark = pytest.mark.bpy


def covered(channels):
    return channels["coverage"] > 0.99


def test_a_white_diffuser_facing_the_light_has_shading_one():
    lights = [lamp("key", irradiance=1.0), lamp("fill", (0.0, 0.0, 60.0), 80.0, 0.5)]
    view = scene(plate(1.0), lights=lights, radiance=0.25, distance=30.0)
    channels = render_sample(view, 32, 64)
    inside = covered(channels)
    expected = {"key": 1.0, "fill": 0.5, "environment": 0.25}
    for group in GROUPS:
        shading = channels[f"diffuse_shading.{group}"][inside]
        assert shading.mean() == pytest.approx(expected[group], rel=0.01)
        assert channels[f"specular_shading.{group}"].max() < 1e-5


def test_channels_passes_and_labels_of_one_image():
    tilt = 0.1 + 0.005 * ball().vertices[:, 1]
    view = scene(lights=[lamp(position=(0, 60.0, 80.0))], melanin=tilt, specular=0.5)
    rendering = render(view, 48, 16, seed=3)
    channels = rendering.channels

    assert set(channels) == set(CHANNELS)
    assert all(plane.dtype == np.float32 for plane in channels.values())
    assert all(np.isfinite(plane).all() for plane in channels.values())
    assert rendering.recomposition_error < RECOMPOSITION_TOLERANCE
    assert channels["diffuse_shading.fill"].max() == 0
    assert channels["specular_shading.key"].max() > 0.01

    inside = covered(channels)
    skin = channels["mask"] > 0.99
    # authored fields: melanin against the height of the surface, constants elsewhere
    height = channels["position.Y"][skin]
    np.testing.assert_allclose(channels["melanin"][skin], 0.1 + 0.005 * height, atol=2e-4)
    np.testing.assert_allclose(channels["haemoglobin"][skin], 0.02, rtol=1e-4)
    assert (channels["melanin"][channels["mask"] == 0] == 0).all()
    other = inside & (channels["mask"] < 0.01)
    for k in range(4):
        np.testing.assert_allclose(channels[f"reflectance.{k}"][other], 0.2 * (k + 1), rtol=1e-4)
        assert (channels[f"reflectance.{k}"][skin] == 0).all()
    assert (channels["region"][skin] == FACE).all()
    assert (channels["region"][other] == EYE).all()
    assert channels["region"][0, 0] == REGIONS.index("background")
    # geometry of a ball of 10 cm, 120 cm away: camera space, +Y up
    surface = np.stack([channels[f"position.{axis}"] for axis in "XYZ"], -1)[inside]
    radial = surface - np.array([0, 0, -120])
    normal = np.stack([channels[f"normal.{axis}"] for axis in "XYZ"], -1)[inside]
    np.testing.assert_allclose(np.linalg.norm(radial, axis=-1), 10, atol=0.2)
    np.testing.assert_allclose(normal, radial / 10, atol=0.06)
    np.testing.assert_allclose(channels["depth"][inside], -surface[:, 2], rtol=1e-6)
    assert channels["depth"][0, 0] == 0
    assert channels["position.Y"][10, 24] > 0 > channels["position.Y"][37, 24]
    assert channels["uv.V"][10, 24] > channels["uv.V"][37, 24]
    # albedo of the reference condition
    exact = reflectance_to_linear_srgb(
        SkinModel.load().reflectance(channels["melanin"][skin], channels["haemoglobin"][skin])
    )
    stored = np.stack([channels[f"albedo.{c}"] for c in "RGB"], -1)
    np.testing.assert_allclose(stored[skin], exact, atol=1e-5)
    assert (stored[~(channels["mask"] > 0)] == 0).all()


def test_hair_over_skin_shares_the_pixel():
    view = scene(skin=np.where(ball().vertices[:, 1] > 0, 0.25, 0.75))
    channels = render_sample(view, 32, 8)
    left = covered(channels) & (channels["position.X"] < -1)
    top = left & (channels["position.Y"] > 4)
    bottom = left & (channels["position.Y"] < -4)
    np.testing.assert_allclose(channels["mask"][top], 0.25, atol=1e-3)
    np.testing.assert_allclose(channels["mask"][bottom], 0.75, atol=1e-3)
    np.testing.assert_allclose(channels["melanin"][top], 0.1, rtol=1e-3)
    np.testing.assert_allclose(channels["reflectance.3"][top], 0.8, rtol=1e-3)
    assert (channels["region"][top] == REGIONS.index("hair")).all()
    assert (channels["region"][bottom] == FACE).all()


@pytest.mark.parametrize(("column", "axis", "sign"), [(24, "X", 1), (8, "X", -1)])
def test_surroundings_have_x_to_the_right_of_the_centre(column, axis, sign):
    radiance = np.zeros((16, 32))
    radiance[6:10, column - 1 : column + 1] = 20
    channels = render_sample(scene(radiance=radiance), 32, 16)
    shading = channels["diffuse_shading.environment"]
    bright = shading > 0.5 * shading.max()
    assert sign * channels[f"normal.{axis}"][bright].mean() > 0.5


def test_surroundings_have_y_at_row_0():
    radiance = np.zeros((16, 32))
    radiance[:4] = 1
    channels = render_sample(scene(radiance=radiance), 32, 16)
    shading = channels["diffuse_shading.environment"]
    assert channels["normal.Y"][shading > 0.5 * shading.max()].mean() > 0.3


def test_relief_tilts_normals():
    flat, rough = (
        render_sample(scene(bump=bump), 32, 4)["normal.Z"]
        for bump in (0.0, 0.3 * (np.arange(17 * 32) % 2))
    )
    assert np.abs(flat - rough).max() > 0.05


def test_the_same_seed_gives_the_same_numbers_on_any_number_of_threads():
    view = scene(lights=[lamp()], specular=0.5)
    first, second = (render(view, 24, 4, seed=1, threads=n).channels for n in (1, 2))
    for name, plane in first.items():
        np.testing.assert_array_equal(plane, second[name], err_msg=name)
    other = render(view, 24, 4, seed=2).channels
    assert not np.array_equal(first["diffuse_shading.key"], other["diffuse_shading.key"])


def test_a_head_out_of_view_is_refused():
    with pytest.raises(RenderCheckError, match="not in view"):
        render(scene(distance=-120.0), 16, 1)


def test_painted_pigments_come_out_as_painted_like_those_of_vertices():
    """The same field as a texture and as a vertex attribute; the AOV holds it either way."""
    texel = (np.arange(64) + 0.5) / 64
    along, up = np.meshgrid(texel, texel[::-1])
    painted = np.stack([0.05 + 0.3 * along, 0.01 + 0.04 * up], -1).astype(np.float32)
    head = plate(9.0)
    u, v = (head.vertices[:, :2] / 9.0 + 1).T / 2
    texture = scene(replace(head, pigment=painted), melanin=0.9, haemoglobin=0.9, distance=60.0)
    vertices = scene(head, melanin=0.05 + 0.3 * u, haemoglobin=0.01 + 0.04 * v, distance=60.0)
    for view, tolerance in ((texture, 1e-3), (vertices, 2e-4)):
        channels = render_sample(view, 32, 16)
        where = channels["mask"] > 0.99
        where &= (np.abs(channels["uv.U"] - 0.5) < 0.47) & (np.abs(channels["uv.V"] - 0.5) < 0.47)
        across, height = (channels[f"uv.{axis}"][where] for axis in "UV")
        assert where.sum() > 100
        np.testing.assert_allclose(
            channels["melanin"][where], 0.05 + 0.3 * across, atol=0.3 * tolerance
        )
        np.testing.assert_allclose(
            channels["haemoglobin"][where], 0.01 + 0.04 * height, atol=0.04 * tolerance
        )


def test_a_lens_blurs_what_is_out_of_focus_and_keeps_what_is_in_it():
    edges = {}
    for focus in (120.0, 100.0):
        view = scene(plate(6.0))
        lens = replace(view.view, aperture=20.0, focus=focus)
        channels = render_sample(replace(view, view=lens), 48, 64)
        partial = (channels["coverage"] > 0.02) & (channels["coverage"] < 0.98)
        edges[focus] = partial.sum()
        inside = channels["mask"] > 0.5
        np.testing.assert_allclose(channels["melanin"][inside], 0.1, rtol=1e-3)
    sharp = render_sample(scene(plate(6.0)), 48, 64)["coverage"]
    assert edges[120.0] == ((sharp > 0.02) & (sharp < 0.98)).sum()
    # circle of confusion: 20 cm x 20 / 100 = 4 cm, 6.7 pixels; the plate's outline is 80 long
    assert edges[100.0] == pytest.approx(6.7 * 80, rel=0.2)


def test_a_corner_hides_half_the_sky_and_lights_itself():
    """The floor of a right-angled corner is half hidden at the wall and open far from it.

    The wall sends it 0.4 of its own light, by half of the hemisphere at most; a plate alone gets
    none from elsewhere.
    """
    floor = np.array([[-30, 0, 0], [30, 0, 0], [30, 30, 0], [-30, 30, 0]])
    wall = np.array([[-30, 0, 30], [30, 0, 30], [30, 0, 0], [-30, 0, 0]])
    head = plate(1.0)
    corner = replace(
        head,
        vertices=np.concatenate([floor, wall]).astype(np.float32),
        canonical=np.zeros((8, 3), np.float32),
        faces=np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.int32),
        uv=np.full((2, 4, 2), 0.5, np.float32),
    )
    view = scene(corner)
    channels = render(view, 32, 64, occlusion=True, indirect=True).channels
    on_floor = (channels["normal.Z"] > 0.99) & (channels["coverage"] > 0.99)
    y = channels["position.Y"]
    near, far = (on_floor & (low < y) & (y < high) for low, high in ((0, 2), (11, 14)))
    assert channels["occlusion"][near].mean() == pytest.approx(0.47, abs=0.05)
    assert channels["occlusion"][far].mean() < 0.35
    indirect = channels["indirect.diffuse"]
    assert 0.05 < indirect[near].mean() < 0.3
    assert indirect[far].mean() < 0.7 * indirect[near].mean()
    assert set(channels) == {*CHANNELS, *OPTIONAL_CHANNELS}
    alone = render(scene(head), 32, 16, indirect=True).channels
    for name in INDIRECT_CHANNELS:
        assert not alone[name].any()
