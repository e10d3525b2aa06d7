"""Glasses, headwear and strands: fitted to any head, in their regions, reproducible."""

from dataclasses import replace

import numpy as np
import pytest

from synth.heads import clothes, load_provider
from synth.heads.glasses import SHAPES, GlassesShape, build_glasses
from synth.heads.headwear import KINDS, HeadwearShape, build_headwear
from synth.heads.shapes import ribbons, tube
from synth.heads.strands import Surface, grow
from synth.sample.config import SampleConfig
from synth.sample.face import vertex_normals
from synth.sample.hair import sample_hair
from synth.sample.headwear import sample_headwear
from synth.sample.layout import layout_of
from synth.sample.scene import sample_scene
from synth.sample.strands import STYLES, sample_strands
from synth.sample.view import project
from synth.scene import REGIONS

BARE = SampleConfig(
    hair_share=0, beard_share=0, brow_share=0, glasses_share=0, headwear_share=0, clothes_share=0
)


def generator(index):
    return np.random.default_rng(np.random.SeedSequence([13, index]))


@pytest.fixture(scope="module")
def provider():
    return load_provider("procedural")


@pytest.mark.parametrize("outline", SHAPES)
def test_glasses_stand_before_the_eyes_and_reach_the_ears(provider, outline):
    for head in (provider.mean(), provider.sample(generator(0))):
        frame, lenses = build_glasses(head, GlassesShape(outline, 2.4, 1.8, 0.15))
        marks = head.vertices[head.landmarks]
        eyes = np.stack([marks[36:42].mean(0), marks[42:48].mean(0)])
        panes = lenses.vertices.reshape(2, -1, 3)
        np.testing.assert_allclose(panes.mean(1)[:, :2], eyes[:, :2], atol=1.2)
        eyeballs = head.faces[head.region == REGIONS.index("eye")]
        front = head.vertices[eyeballs[eyeballs >= 0], 2].max()
        assert front < panes[..., 2].mean() < front + 4
        low, high = frame.vertices.min(0), frame.vertices.max(0)
        assert low[2] < marks[[0, 16], 2].max()  # behind the top of the jaw line
        assert high[0] - low[0] > np.ptp(marks[[0, 16], 0])


@pytest.mark.parametrize("kind", KINDS)
def test_headwear_encloses_the_crown_and_leaves_the_face(provider, kind):
    head = provider.sample(generator(1))
    cloth, pressed = build_headwear(head, HeadwearShape(kind, 3.0, 0.4, 0.6))
    marks = head.vertices[head.landmarks]
    assert pressed.shape == (len(head.vertices),)
    top = head.vertices[:, 1].argmax()
    assert pressed[top] == 1
    assert cloth.vertices[:, 1].max() > head.vertices[top, 1]
    assert cloth.vertices[:, 2].min() < head.vertices[pressed > 0.9, 2].min()
    inner = (np.abs(cloth.vertices[:, 0]) < 3) & (cloth.vertices[:, 2] > marks[36:48, 2].min())
    hidden = cloth.vertices[inner, 1]
    assert not ((hidden > marks[8, 1] + 1) & (hidden < marks[17:27, 1].max())).any()
    if kind == "cap":  # the brim stands out over the forehead
        assert cloth.vertices[:, 2].max() > head.vertices[:, 2].max()


@pytest.mark.parametrize("kind", clothes.KINDS)
def test_clothes_enclose_the_bust_and_leave_the_face(provider, kind):
    for head in (provider.mean(), provider.sample(generator(1))):
        cloth, below = clothes.build_clothes(head, clothes.ClothesShape(kind))
        marks = head.vertices[head.landmarks]
        assert len(cloth.vertices) == len(below)
        assert cloth.vertices[:, 1].max() < marks[8, 1]
        assert np.ptp(cloth.vertices[:, 0]) > 30
        # Seen from the front, the lower edge of the head's mesh is behind the cloth.
        edge = head.vertices[head.vertices[:, 1] < head.vertices[:, 1].min() + 0.3]
        for point in edge:
            beside = np.hypot(*(cloth.vertices[:, :2] - point[:2]).T) < 2
            assert cloth.vertices[beside, 2].max() > point[2]
        normals = vertex_normals(cloth.vertices, cloth.faces)
        body = (below > 0.5) & (below < 30)
        outwards = (normals * (cloth.vertices - cloth.vertices[body].mean(0))).sum(1)
        assert (outwards[body] > 0).mean() > 0.95


def test_clothes_reach_below_every_frame(provider):
    config = replace(BARE, clothes_share=1.0)
    for index in range(12):
        scene = sample_scene(generator(index), config, provider)
        head = scene.head
        cloth = np.unique(head.faces[head.region == REGIONS.index("accessory")])
        points = head.vertices[cloth]
        lowest = points[points[:, 1] <= points[:, 1].min() + 0.5]
        bottom = project(scene.view, lowest)
        assert bottom[:, 1].min() > 1  # image coordinates: below the picture


def test_strands_stay_outside_the_surface_and_keep_their_length():
    rng = generator(2)
    normals = rng.standard_normal((4000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    roots = 10 * normals[:200]
    length = np.linspace(1.0, 5.0, 200)
    paths = grow(
        roots,
        lambda points, share: np.broadcast_to([0.0, -1.0, 0.0], points.shape),
        length,
        5,
        Surface(10 * normals, normals),
        np.full(200, 0.2),
    )
    assert paths.shape == (200, 6, 3)
    assert np.linalg.norm(paths[:, 1:], axis=-1).min() > 9.8
    free = roots[:, 1] < -8  # falling away from the ball, nothing in the way
    np.testing.assert_allclose(
        np.linalg.norm(paths[free, -1] - roots[free], axis=-1), length[free], rtol=0.1
    )


def test_tubes_face_outwards_and_ribbons_have_their_width():
    path = np.stack([np.zeros(5), np.zeros(5), np.linspace(0, 4, 5)], -1)
    made = tube(path, np.array([1.0, 0.0, 0.0]), (0.2, 0.1))
    normal = vertex_normals(made.vertices, made.faces)
    radial = made.vertices * [1, 1, 0]
    assert ((normal * radial).sum(1) > 0).all() or ((normal * radial).sum(1) < 0).all()
    np.testing.assert_allclose(np.abs(made.vertices[:, 0]).max(), 0.1, atol=0.02)
    strip = ribbons(path[None], np.array([[1.0, 0.0, 0.0]]), np.full((1, 5), 0.3))
    assert np.ptp(strip.vertices[:, 0]) == pytest.approx(0.3)
    assert strip.faces.shape == (4, 4)


def test_every_style_grows_from_its_layer(provider):
    layout = layout_of(provider)
    head = provider.mean()
    normals = vertex_normals(head.vertices.astype(np.float64), head.faces)
    drawn = sample_hair(generator(3), replace(BARE, hair_share=1.0), layout, 0.5)
    for name, style in STYLES.items():
        parts, record = sample_strands(
            generator(4), layout, head, normals, replace(drawn, style=name)
        )
        assert record["strands"] == {"scalp": style.count, "beard": 0, "brows": 0}
        vertices = parts[0].patch.vertices
        assert {part.region for part in parts} == {"hair"}
        assert np.isfinite(vertices).all()
        assert np.abs(vertices).max() < 60
        marks = head.vertices[head.landmarks]
        face = (vertices[:, 1] > marks[8, 1]) & (vertices[:, 1] < marks[36:48, 1].mean())
        face &= (np.abs(vertices[:, 0]) < 3) & (vertices[:, 2] > marks[36:48, 2].min())
        assert face.mean() < 0.01  # no style hangs over eyes, nose and mouth
    bald = replace(drawn, style="none")
    assert sample_strands(generator(4), layout, head, normals, bald)[0] == []


def test_shares_are_as_configured(provider):
    head, layout = provider.mean(), layout_of(provider)
    worn = replace(BARE, headwear_share=0.3)
    kinds = [sample_headwear(generator(i), worn, head)[2]["kind"] for i in range(40)]
    assert 4 < sum(kind != "none" for kind in kinds) < 22
    config = SampleConfig()
    styles = [sample_hair(generator(i), config, layout, 0.5).style for i in range(100)]
    share = np.mean([style != "none" for style in styles])
    assert share == pytest.approx(config.hair_share, abs=0.12)
    assert set(STYLES) <= set(styles)


def test_what_is_worn_comes_after_the_head_and_is_not_skin(provider):
    config = replace(SampleConfig(), glasses_share=1.0, headwear_share=1.0, hair_share=1.0)
    count = len(provider.mean().vertices)
    scene = sample_scene(generator(5), config, provider)
    again = sample_scene(generator(5), config, provider)
    head = scene.head
    np.testing.assert_array_equal(head.vertices, again.head.vertices)
    own = len(provider.mean().faces)
    assert set(head.region[own:]) <= {REGIONS.index("hair"), REGIONS.index("accessory")}
    assert head.faces[:own].max() < count <= head.faces[own:, :3].min()
    assert head.landmarks.max() < count
    for name, values in scene.attributes.items():
        assert values.shape == (len(head.vertices),)
        assert values.dtype == np.float32
        if name in ("skin", "melanin", "haemoglobin", "bump"):
            assert not values[count:].any()
    assert scene.attributes["reflectance.0"][count:].min() > 0
    bare = sample_scene(generator(5), BARE, provider)
    assert len(bare.head.vertices) == count
