"""From photo to texture, on an egg-shaped head whose maps are known everywhere."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.exr import write_exr
from bioface.spectral.skin import SkinModel
from synth.project import Shot, fit_box, fit_head, project_maps, project_photos, read_estimate
from synth.project.raster import rasterise, triangulate
from synth.scene import REGIONS, HeadMesh

SHAPE = (300, 280)
ROWS, COLUMNS = 80, 120


def ibug_template():
    """(68, 2) a schematic face, cm, x to the subject's left, y up."""
    turn = np.radians(np.linspace(180, 360, 17))
    jaw = np.stack([6.6 * np.cos(turn), 1 + 8 * np.sin(turn)], 1)
    brow = np.stack([np.linspace(1.5, 5.5, 5), 4 + np.array([0.2, 0.6, 0.8, 0.6, 0])], 1)
    nose = np.stack([np.zeros(4), [2.5, 1.2, 0, -1.2]], 1)
    base = np.stack([np.linspace(-1.4, 1.4, 5), [-1.6, -1.9, -2.1, -1.9, -1.6]], 1)
    ring = np.radians([180, 120, 60, 0, -60, -120])
    eye = np.stack([3.2 + 1.3 * np.cos(ring), 2.5 + 0.5 * np.sin(ring)], 1)
    lips = [
        np.stack([rx * np.cos(a), -4.5 + ry * np.sin(a)], 1)
        for rx, ry, a in (
            (2.4, 1.0, np.radians(180 - np.arange(12) * 30)),
            (1.8, 0.4, np.radians(180 - np.arange(8) * 45)),
        )
    ]
    mirror = np.array([-1, 1])
    right_eye = (eye * mirror)[[3, 2, 1, 0, 5, 4]]
    return np.concatenate([jaw, (brow * mirror)[::-1], brow, nose, base, right_eye, eye, *lips])


def egg(nose=1.5, width=7.0):
    """An ellipsoid with a nose; UVs by longitude, the left half of the head on tile 1002."""
    latitude = np.radians(np.linspace(-75, 75, ROWS))
    longitude = np.radians(np.linspace(-150, 150, COLUMNS))
    lat, lon = np.meshgrid(latitude, longitude, indexing="ij")
    x = width * np.cos(lat) * np.sin(lon)
    y = 9.5 * np.sin(lat)
    z = 9.0 * np.cos(lat) * np.cos(lon)
    z = z + nose * np.exp(-((x / 1.2) ** 2) - ((y + 0.8) / 2) ** 2) * (z > 0)
    vertices = np.stack([x, y, z], 2).reshape(-1, 3).astype(np.float32)
    corner = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    faces = np.stack([corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]], 2)
    faces = faces.reshape(-1, 4).astype(np.int32)
    u = 2 * (np.arange(COLUMNS) / (COLUMNS - 1))
    uv = np.stack(np.broadcast_arrays(u[None, :], np.linspace(0.05, 0.95, ROWS)[:, None]), 2)
    front = np.where(vertices[:, 2] > 0, 1.0, 1e3)
    template = ibug_template()
    distance = np.linalg.norm(vertices[None, :, :2] - template[:, None], axis=2) * front
    centre = vertices[faces].mean(1)
    region = np.where(centre[:, 1] < -7.5, REGIONS.index("neck"), REGIONS.index("face"))
    return HeadMesh(
        vertices=vertices,
        canonical=vertices,
        faces=faces,
        uv=uv.reshape(-1, 2)[faces].astype(np.float32),
        region=region.astype(np.uint8),
        landmarks=distance.argmin(1).astype(np.int32),
    )


def look(head, yaw=0.0, distance=80.0, focal=900.0):
    """Pixels (V, 2) and depth (V,) of a head turned by `yaw` degrees before a camera."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    turned = head.vertices @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T
    depth = distance - turned[:, 2]
    centre = np.array([SHAPE[1], SHAPE[0]]) / 2
    return centre + focal * turned[:, :2] * [1, -1] / depth[:, None], depth


def known_maps(head):
    """Melanin and haemoglobin (V, 2), smooth and not symmetric."""
    x, y, _ = head.canonical.T
    return np.stack([0.12 + 0.04 * np.sin(x / 2 + 1), 0.02 + 0.008 * np.cos(y / 2 + x / 4)], 1)


def photograph(head, points, depth):
    """Estimate-like maps of the front of the face, as a perfect reader would return them."""
    corners, owner = triangulate(head.faces)
    triangles = np.take_along_axis(head.faces[owner], corners, 1)
    index, weights = rasterise(points[triangles], SHAPE, depth[triangles])
    height = (head.vertices[triangles[index]][..., 1] * weights).sum(2)
    skin = (index >= 0) & (np.abs(height) < 7)
    maps = {"mask": skin.astype(np.float32)}
    for i, name in enumerate(("melanin", "haemoglobin")):
        values = (known_maps(head)[triangles[index], i] * weights).sum(2)
        maps[name] = np.where(skin, values, 0).astype(np.float32)
    return maps


def texture_truth(head, size):
    """Tile number to ((S, S, 2) known maps, (S, S) covered)."""
    corners, owner = triangulate(head.faces)
    triangles = np.take_along_axis(head.faces[owner], corners, 1)
    uv = np.take_along_axis(head.uv[owner], corners[..., None], 1)
    out = {}
    for column in (0, 1):
        here = np.floor(uv.mean(1)[:, 0]) == column
        texel = (uv[here] - [column, 0]) * size * [1, -1] + [0, size]
        index, weights = rasterise(texel, (size, size))
        values = (known_maps(head)[triangles[here][index]] * weights[..., None]).sum(2)
        out[1001 + column] = values, index >= 0
    return out


def test_triangles_of_padded_quads():
    corners, owner = triangulate(np.array([[0, 1, 2, 3], [4, 5, 6, -1]]))
    assert corners.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3]]
    assert owner.tolist() == [0, 1, 0]


@pytest.mark.parametrize("flip", [False, True])
def test_rasterise_agrees_with_testing_every_pixel(flip, monkeypatch):
    monkeypatch.setattr("synth.project.raster._CANDIDATES", 100)
    triangles = np.random.default_rng(1).uniform(-5, 25, (40, 3, 2))
    depth = np.random.default_rng(2).uniform(1, 2, 40)[:, None].repeat(3, 1)
    if flip:
        triangles = triangles[:, ::-1]
    index, weights = rasterise(triangles, (20, 18), depth)
    x, y = np.meshgrid(np.arange(18) + 0.5, np.arange(20) + 0.5)
    best = np.full((20, 18), -1)
    for number in np.argsort(-depth[:, 0]):
        a, b, c = triangles[number]
        sides = [
            (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])
            for p, q in ((a, b), (b, c), (c, a))
        ]
        inside = np.all(np.array(sides) >= 0, 0) | np.all(np.array(sides) <= 0, 0)
        best[inside] = number
    np.testing.assert_array_equal(index, best)
    there = index >= 0
    np.testing.assert_allclose(weights[there].sum(1), 1, atol=1e-6)
    back = (triangles[index[there]] * weights[there][..., None]).sum(1)
    np.testing.assert_allclose(back, np.stack([x, y], 2)[there], atol=1e-4)


@pytest.mark.parametrize("yaw", [0, 25, -40])
def test_fit_finds_the_camera(yaw):
    head = egg()
    points, _ = look(head, yaw)
    fit = fit_head(head, points[head.landmarks], SHAPE)
    assert fit.residual < 0.5
    front = head.vertices[:, 2] > 0
    assert np.linalg.norm(fit.points - points, axis=1)[front].max() < 1.0
    np.testing.assert_allclose(fit.points[head.landmarks], points[head.landmarks], atol=1e-3)
    azimuth = np.degrees(np.arctan2(fit.position[0], fit.position[2]))
    assert azimuth == pytest.approx(-yaw, abs=3)


def test_the_warp_lays_another_persons_landmarks_exactly():
    points, _ = look(egg(nose=2.2, width=6.4), 10)
    head = egg()
    fit = fit_head(head, points[head.landmarks], SHAPE)
    assert 0.5 < fit.residual < 20
    np.testing.assert_allclose(fit.points[head.landmarks], points[head.landmarks], atol=1e-2)


def test_the_fit_does_not_depend_on_where_the_head_stands():
    head = egg()
    points, _ = look(head, 20)
    moved = replace(head, vertices=head.vertices + np.float32([3, -20, 7]))
    here, there = (fit_head(h, points[head.landmarks], SHAPE) for h in (head, moved))
    np.testing.assert_allclose(there.points, here.points, atol=0.05)
    np.testing.assert_allclose(there.position - here.position, [3, -20, 7], atol=0.05)


@pytest.mark.parametrize(
    "turn",
    [
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],  # +Z up and -Y the front
        [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
        [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
    ],
    ids=str,
)
def test_the_fit_does_not_depend_on_where_the_head_looks(turn):
    head, turn = egg(), np.array(turn, float)
    turned = replace(head, vertices=(head.vertices @ turn.T).astype(np.float32))
    points, _ = look(head, 20)
    landmarks = points[head.landmarks]
    box = (*landmarks.min(0), *landmarks.max(0))
    for fit, seen in ((fit_head, landmarks), (fit_box, box)):
        here, there = (fit(h, seen, SHAPE) for h in (head, turned))
        np.testing.assert_allclose(there.points, here.points, atol=0.01)
        np.testing.assert_allclose(there.position, turn @ here.position, atol=0.01)
        np.testing.assert_allclose(there.rotation @ turn, here.rotation, atol=1e-3)


@pytest.mark.parametrize("yaw", [0, 30])
def test_known_maps_come_back_where_seen(yaw):
    head = egg()
    points, depth = look(head, yaw)
    fit = fit_head(head, points[head.landmarks], SHAPE)
    tiles = project_maps(head, fit, photograph(head, points, depth), size=128)
    assert sorted(tiles) == [1001, 1002]
    truth = texture_truth(head, 128)
    shares = []
    for number, tile in tiles.items():
        values, covered = truth[number]
        seen = covered & (tile.seen > 0.9)
        shares.append(seen.sum() / covered.sum())
        for i, name in enumerate(("melanin", "haemoglobin")):
            error = np.abs(tile.maps[name][seen] / values[seen][:, i] - 1)
            assert np.percentile(error, 99) < 0.02
    assert 0.3 < sum(shares) < 1
    assert tile.maps["melanin"].dtype == np.float32


def test_photos_from_both_sides_are_levelled_and_blended():
    head = egg()
    shots = []
    for yaw, factor in ((40, 1.0), (-40, 1.4)):
        points, depth = look(head, yaw)
        maps = photograph(head, points, depth)
        maps["melanin"] *= np.float32(factor)
        shots.append(Shot(fit_head(head, points[head.landmarks], SHAPE), maps))
    both = project_photos(head, shots, size=128)
    single = project_maps(head, shots[0].fit, shots[0].maps, size=128)
    truth = texture_truth(head, 128)
    shares = []
    for number, tile in both.items():
        values, covered = truth[number]
        seen = covered & (tile.seen > 0.9)
        shares.append([tile.seen[covered].sum(), single[number].seen[covered].sum()])
        for i, name in enumerate(("melanin", "haemoglobin")):
            error = np.abs(tile.maps[name][seen] / values[seen][:, i] - 1)
            assert np.percentile(error, 99) < 0.03
    blended, alone = np.sum(shares, 0)
    assert blended > 1.3 * alone

    unlevelled = project_photos(head, shots, size=64, level=False)
    assert unlevelled[1002].maps["melanin"].max() > 1.2 * both[1002].maps["melanin"].max()
    ignored = project_photos(head, [shots[0], replace(shots[1], weight=0)], size=128)
    for number, tile in ignored.items():
        np.testing.assert_allclose(tile.maps["melanin"], single[number].maps["melanin"], rtol=1e-5)
    for none in ([], [replace(shots[0], weight=0)]):
        with pytest.raises(InputError, match="no photo"):
            project_photos(head, none, 32)


def test_the_unseen_side_mirrors_the_seen_one():
    head = egg()
    points, depth = look(head, 50)
    maps = photograph(head, points, depth)
    maps["melanin"] = maps["mask"] * np.where(maps["haemoglobin"] > 0, 0.2, 0).astype(np.float32)
    fit = fit_head(head, points[head.landmarks], SHAPE)
    tiles = project_maps(head, fit, maps, size=64)
    for tile in tiles.values():
        np.testing.assert_allclose(tile.maps["melanin"], 0.2, atol=1e-3)
        assert np.isfinite(tile.maps["haemoglobin"]).all()
        assert (tile.seen == 0).any()
        low, high = maps["haemoglobin"][maps["mask"] > 0].min(), maps["haemoglobin"].max()
        assert low <= tile.maps["haemoglobin"].min() <= tile.maps["haemoglobin"].max() <= high
    # Turned to its left, the head shows its right cheek (tile 1001) and hides the other.
    assert tiles[1001].seen.sum() > 3 * tiles[1002].seen.sum()
    mirrored = tiles[1002].maps["haemoglobin"][:, ::-1][20:44, 2:20]
    np.testing.assert_allclose(mirrored, tiles[1001].maps["haemoglobin"][20:44, 2:20], atol=0.004)


def test_hair_over_the_forehead_is_not_melanin():
    head = egg()
    points, depth = look(head)
    fit = fit_head(head, points[head.landmarks], SHAPE)
    maps = photograph(head, points, depth)
    hair = (np.arange(SHAPE[0]) < 85)[:, None] & (maps["mask"] > 0)
    assert hair.any()
    maps["melanin"] = np.where(hair, 0.6, maps["melanin"]).astype(np.float32)
    tiles = project_maps(head, fit, maps, size=64)
    assert max(tile.maps["melanin"].max() for tile in tiles.values()) < 0.3


def test_large_photos_are_averaged_not_sampled():
    head = egg()
    points, depth = look(head)
    fit = fit_head(head, points[head.landmarks], SHAPE)
    maps = photograph(head, points, depth)
    checker = 0.1 * (np.indices(SHAPE).sum(0) % 2) + 0.05
    maps["melanin"] = (maps["mask"] * checker).astype(np.float32)
    tiles = project_maps(head, fit, maps, size=32)
    values = np.concatenate([tile.maps["melanin"][tile.seen > 0.9] for tile in tiles.values()])
    np.testing.assert_allclose(values, 0.1, atol=0.01)


def test_what_cannot_be_projected_is_named():
    head = egg()
    points, depth = look(head)
    maps = photograph(head, points, depth)
    with pytest.raises(InputError, match="68"):
        fit_head(head, points[:5], SHAPE)
    with pytest.raises(InputError, match="4 pixels"):
        fit_head(head, np.zeros((68, 2)), SHAPE)
    fit = fit_head(head, points[head.landmarks], SHAPE)
    with pytest.raises(InputError, match="misses the head"):
        project_maps(head, fit, {**maps, "mask": np.zeros(SHAPE)}, 32)
    with pytest.raises(InputError, match="haemoglobin"):
        project_maps(head, fit, {name: maps[name] for name in ("melanin", "mask")}, 32)
    with pytest.raises(InputError, match="shape"):
        project_maps(head, fit, {**maps, "mask": np.ones((2, 2))}, 32)
    for shift in ([-1, 0], [10, 0], [0, 100]):
        with pytest.raises(InputError, match="move them to u 0-10 and v 0-100"):
            project_maps(replace(head, uv=head.uv + np.float32(shift)), fit, maps, 32)
    uv = head.uv.copy()
    uv[5] = np.nan
    with pytest.raises(InputError, match="move them to u 0-10 and v 0-100"):
        project_maps(replace(head, uv=uv), fit, maps, 32)
    for least in (0, 1e-6):
        with pytest.raises(InputError, match="cover no texel; unwrap the mesh"):
            project_maps(replace(head, uv=0.2 + np.float32(least) * head.uv), fit, maps, 32)
    bare = replace(head, region=np.full(len(head.region), REGIONS.index("hair"), np.uint8))
    with pytest.raises(InputError, match="no skin"):
        project_maps(bare, fit, maps, 32)


def written(folder, maps, **changes):
    skin = SkinModel.load()
    record = {
        "faces": [{"landmarks": [[float(i), float(i % 7)] for i in range(68)]}],
        "skin_model": skin.name,
        "skin_constants": {name: float(value) for name, value in skin.constants.items()},
    }
    write_exr(folder / "photo.exr", maps)
    (folder / "photo.json").write_text(json.dumps({**record, **changes}))
    return folder / "photo.exr"


def test_estimates_are_read_with_their_landmarks_and_skin_model(tmp_path):
    plane = np.full((4, 6), 0.5, np.float32)
    maps = {"melanin": plane, "haemoglobin": plane, "mask": plane}
    estimate = read_estimate(written(tmp_path, maps))
    assert estimate.shape == (4, 6)
    assert estimate.landmarks.shape == (68, 2)
    assert estimate.skin.name == SkinModel.load().name
    apart = tmp_path / "camera_only"
    apart.mkdir()
    assert read_estimate(written(apart, maps, faces=[{"landmarks": None}])).landmarks is None
    with pytest.raises(InputError, match="no channel mask"):
        read_estimate(written(tmp_path, {"melanin": plane, "haemoglobin": plane}))
    with pytest.raises(InputError, match="estimate the photo again"):
        read_estimate(written(tmp_path, maps, faces=[]))
    with pytest.raises(InputError, match="skin model"):
        read_estimate(written(tmp_path, maps, skin_model="wax"))
    wrong = {**maps, "melanin": plane * np.linspace(1, 6, 6)}
    with pytest.raises(InputError, match=r"photo\.exr: channel melanin holds values of 0\.5 to 3"):
        read_estimate(written(tmp_path, wrong))
    empty = {"landmarks": None, "face_box": [5, 1, 5, 4]}
    with pytest.raises(InputError, match=r"photo\.json: face_box is empty; estimate the photo"):
        read_estimate(written(tmp_path, maps, faces=[empty]))
    (tmp_path / "photo.json").write_text("{")
    with pytest.raises(InputError, match=r"photo\.json"):
        read_estimate(tmp_path / "photo.exr")
    (tmp_path / "photo.json").unlink()
    with pytest.raises(InputError, match="beside the EXR"):
        read_estimate(tmp_path / "photo.exr")
