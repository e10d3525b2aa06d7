"""Every head provider: topology, landmarks, UVs, regions, determinism."""

import random
from pathlib import Path

import numpy as np
import pytest

from bioface.errors import InputError
from synth.heads import load_provider
from synth.heads.anatomy import vertex_regions
from synth.heads.shapes import polar_angle
from synth.scene import REGIONS, SKIN_REGIONS

ICT_FILE = Path(__file__).parents[3] / "shared" / "heads" / "ict_facekit_f16.npz"
MIRROR_68 = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        *range(67, 64, -1),
    ]
)


@pytest.fixture(scope="module", params=["procedural", "ict-facekit"])
def provider(request):
    if request.param == "ict-facekit":
        if not ICT_FILE.exists():
            pytest.skip("the shared ICT-FaceKit file is absent")
        return load_provider(ICT_FILE)
    return load_provider(request.param)


def test_arrays_have_the_documented_shapes_and_types(provider):
    head = provider.mean()
    assert head.vertices.dtype == head.canonical.dtype == np.float32
    assert head.faces.dtype == head.landmarks.dtype == np.int32
    assert head.uv.dtype == np.float32
    assert head.region.dtype == np.uint8
    assert head.vertices.shape == head.canonical.shape
    assert head.uv.shape == (*head.faces.shape, 2)
    assert head.landmarks.shape == (68,)
    assert np.isfinite(head.vertices).all()
    assert np.isfinite(head.uv).all()


def test_faces_use_every_vertex_and_pad_only_the_last_corner(provider):
    head = provider.mean()
    assert set(np.unique(head.faces)) - {-1} == set(range(len(head.vertices)))
    assert (head.faces[:, :3] >= 0).all()
    corners = [set(face[face >= 0]) for face in head.faces[::97]]
    assert all(len(corner) >= 3 for corner in corners)


def test_size_and_position_of_an_adult_head_facing_the_viewer(provider):
    head = provider.mean()
    skin = head.vertices
    assert 19 < np.ptp(skin[:, 0]) < 30
    marks = skin[head.landmarks]
    eyes = marks[42:48].mean(0) - marks[36:42].mean(0)
    assert 5.5 < eyes[0] < 7.0
    assert 10 < marks[27, 1] - marks[8, 1] < 13
    assert marks[30, 2] == marks[:, 2].max()
    assert abs(marks[:, 0].mean()) < 0.1


def test_landmarks_are_mirrored_and_in_ibug_order(provider):
    head = provider.mean()
    marks = head.vertices[head.landmarks]
    assert len(set(head.landmarks.tolist())) == 68
    np.testing.assert_allclose(marks[MIRROR_68] * [-1, 1, 1], marks, atol=0.05)
    assert (np.diff(marks[:17, 0]) > 0).all()
    assert (np.diff(marks[:9, 1]) < 0).all()
    assert (np.diff(marks[27:31, 1]) < 0).all()
    assert marks[17:27, 1].min() > marks[36:48, 1].max()
    assert marks[51, 1] > marks[62, 1] >= marks[66, 1] > marks[57, 1]


def test_landmarks_are_in_sight_from_the_front(provider):
    """No skin face lies more than a little in front of an inner landmark."""
    head = provider.mean()
    marks = head.vertices[head.landmarks].astype(np.float64)
    skin = np.isin(head.region, [REGIONS.index(name) for name in SKIN_REGIONS])
    corners = head.vertices[np.where(head.faces < 0, head.faces[:, :1], head.faces)][skin]
    low, high = corners.min(1), corners.max(1)
    for mark in marks[17:]:
        over = (low[:, :2] < mark[:2]).all(1) & (high[:, :2] > mark[:2]).all(1)
        assert (low[over, 2] < mark[2] + 0.45).all()


def test_faces_point_outwards(provider):
    head = provider.mean()
    corner = head.vertices[head.faces[:, :3]].astype(np.float64)
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    nose = head.region == REGIONS.index("nose")
    forehead = head.region == REGIONS.index("forehead")
    left_cheek = head.region == REGIONS.index("cheek_left")
    right_cheek = head.region == REGIONS.index("cheek_right")
    assert normal[forehead, 2].mean() > 0
    assert normal[nose, 2].sum() > 0
    assert normal[left_cheek, 0].mean() > 0 > normal[right_cheek, 0].mean()


def test_uvs_of_the_face_do_not_overlap(provider):
    """Centres of faces on the first tile fall into no other face of that tile."""
    head = provider.mean()
    tile = (np.floor(head.uv.mean(1)) == 0).all(1)
    uv = head.uv[tile].astype(np.float64)
    last = np.where(head.faces[tile, 3:] < 0, uv[:, 2], uv[:, 3])
    square = np.stack([uv[:, 0], uv[:, 1], uv[:, 2], last], 1)
    turn = np.roll(square, -1, 1) - square
    area = 0.5 * np.abs((square * np.roll(square[..., ::-1], -1, 1) * [1, -1]).sum((1, 2)))
    assert area.sum() < 1.0
    assert np.isfinite(turn).all()
    order = np.random.default_rng(0).choice(len(square), 300, replace=False)
    inside = 0
    for centre in square[order].mean(1):
        near = (square.min(1) < centre).all(1) & (square.max(1) > centre).all(1)
        offset = centre - square[near]
        edge = turn[near]
        side = edge[..., 0] * offset[..., 1] - edge[..., 1] * offset[..., 0]
        inside += int(((side > 0).all(1) | (side < 0).all(1)).sum())
    assert inside <= 1.02 * len(order)


def test_every_facial_region_is_present(provider):
    present = {REGIONS[index] for index in np.unique(provider.mean().region)}
    assert {*SKIN_REGIONS, "eye", "mouth", "lashes"} <= present
    vertices = vertex_regions(provider.mean())
    assert vertices.max() < len(REGIONS)


def test_same_generator_state_gives_the_same_head(provider):
    one = provider.sample(np.random.default_rng(5))
    two = provider.sample(np.random.default_rng(5))
    other = provider.sample(np.random.default_rng(6))
    np.testing.assert_array_equal(one.vertices, two.vertices)
    assert np.abs(one.vertices - other.vertices).max() > 0.1
    assert one.canonical is two.canonical


def test_sampling_leaves_the_global_generator_alone(provider):
    before = str(np.random.get_state(legacy=False)), random.getstate()  # noqa: NPY002
    provider.sample(np.random.default_rng(0))
    after = str(np.random.get_state(legacy=False)), random.getstate()  # noqa: NPY002
    assert after == before


def test_deform_reproduces_a_sample_from_its_coefficients(provider):
    head = provider.sample(np.random.default_rng(1))
    assert np.abs(head.identity).max() <= 2.0
    assert np.abs(head.expression).max() <= 1.0
    again = provider.deform(head.identity, head.expression)
    np.testing.assert_array_equal(again.vertices, head.vertices)


def test_samples_stay_plausible(provider):
    mean = provider.mean()
    for seed in range(8):
        head = provider.sample(np.random.default_rng(seed))
        marks = head.vertices[head.landmarks]
        assert 5.0 < np.linalg.norm(marks[42:48].mean(0) - marks[36:42].mean(0)) < 7.6
        assert 8.5 < np.linalg.norm(marks[27] - marks[8]) < 16
        assert np.abs(head.vertices - mean.vertices).max() < 8


@pytest.mark.parametrize(
    ("identity", "message"),
    [(np.zeros(500), "500 identity coefficients"), (np.array([np.nan]), "finite")],
)
def test_bad_coefficients_are_refused(provider, identity, message):
    with pytest.raises(InputError, match=message):
        provider.deform(identity, np.zeros(0))


def test_asset_hash_is_stable_between_loads(provider):
    again = load_provider("procedural" if provider.name == "procedural" else ICT_FILE)
    assert provider.asset_hash == again.asset_hash
    assert len(provider.asset_hash) == 64


def test_closed_lids_hide_the_eyes_and_open_lids_show_them():
    provider = load_provider("procedural")
    closed = np.zeros(len(provider.expression_names))
    closed[provider.expression_names.index("blink")] = 1.0
    for head, limit in ((provider.mean(), (0.7, 1.2)), (provider.deform([], closed), (-0.1, 0.12))):
        marks = head.vertices[head.landmarks]
        opening = marks[[37, 38, 43, 44], 1].mean() - marks[[40, 41, 46, 47], 1].mean()
        assert limit[0] < opening < limit[1]


def test_open_jaw_parts_the_lips():
    provider = load_provider("procedural")
    weights = np.zeros(len(provider.expression_names))
    weights[provider.expression_names.index("jaw_open")] = 1.0
    shut, opened = provider.mean(), provider.deform([], weights)
    for head, low, high in ((shut, -0.05, 0.1), (opened, 1.0, 3.0)):
        marks = head.vertices[head.landmarks]
        assert low < marks[62, 1] - marks[66, 1] < high


def test_angles_are_the_same_wherever_arrays_lie():
    points = np.random.default_rng(0).standard_normal((20000, 3))
    found, kept = set(), []
    for k in range(150):
        kept = [*kept[-20:], np.empty(1 + 97_711 * k % 400_000, np.uint8)]
        moved = points.copy()
        found.add(polar_angle(moved[:, 0], moved[:, 2]).tobytes())
    assert len(found) == 1
