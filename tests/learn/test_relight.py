import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ellipsoids import CHANNELS, ellipsoid_sample  # noqa: E402

from bioface.errors import InputError  # noqa: E402
from bioface.learn import relight  # noqa: E402
from bioface.learn.batches import MixedBatches, RelitBatches  # noqa: E402
from bioface.learn.conditions import WITHIN_SD, RelightConfig  # noqa: E402
from bioface.learn.departures import with_grain  # noqa: E402
from bioface.learn.fused import SWITCH, to_be_compiled  # noqa: E402
from bioface.learn.planes import CHANNELS as PLANES  # noqa: E402
from bioface.learn.planes import COVERAGE, MASK, NORMALS, move  # noqa: E402
from bioface.learn.relight import Relighter  # noqa: E402
from bioface.learn.splits import split  # noqa: E402
from bioface.packed import read_packed, write_packed  # noqa: E402
from bioface.spectral.camera import CameraModel  # noqa: E402
from bioface.spectral.colour import apply_tone, srgb_decode  # noqa: E402
from bioface.spectral.formation import Camera, decode  # noqa: E402
from bioface.spectral.skin import SkinModel  # noqa: E402
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def packed(pack_path):
    return read_packed(pack_path)


def batch(packed, config=None, seed=0, size=48, step=0):
    relighter = Relighter(packed, size, config=config)
    return RelitBatches(relighter, np.arange(len(packed)), 8, seed).at(step)


def test_batches_depend_on_seed_and_step_alone(packed):
    first, truth = batch(packed, step=3)
    batches = iter(RelitBatches(Relighter(packed, 48), np.arange(len(packed)), 8, 0, start=3))
    again, _ = next(batches)
    assert torch.equal(first, again)
    assert not torch.equal(first, next(batches)[0])
    assert not torch.equal(first, batch(packed, seed=1, step=3)[0])
    assert torch.equal(truth.b, batch(packed, step=3)[1].b)


@pytest.mark.parametrize("factor", [2, 3])
def test_larger_photos_are_averaged_down(packed, factor):
    """As one draw of their own size, averaged in linear light; truth over the skin of a square."""
    indices, config = np.arange(6), RelightConfig(clean_share=0, single_share=0)
    of_size = Relighter(packed, 24 * factor, config=config)
    relighter = Relighter(packed, 24, factor=factor, config=config)
    photo, truth = relighter.draw(indices, np.random.default_rng(4))
    large, whole = of_size.draw(indices, np.random.default_rng(4))
    assert photo.shape == (6, 3, 24, 24)

    def squares(values):
        return values.reshape(*values.shape[:-2], 24, factor, 24, factor).mean((-3, -1))

    ungrained = truth.departing == 0  # grain is scaled to the size that is read
    torch.testing.assert_close(
        srgb_decode(photo[ungrained]), squares(srgb_decode(large[ungrained])), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(truth.mask, squares(whole.mask))
    torch.testing.assert_close(
        truth.melanin_u * truth.mask.clamp_min(1e-3), squares(whole.melanin_u * whole.mask)
    )
    linear = squares(whole.linear.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(truth.linear, linear)
    length = truth.normals.square().sum(1)
    assert ((length - 1).abs() < 1e-4)[truth.mask > 0.5].all()
    assert (length[truth.mask <= 0.5] == 0).all()
    assert torch.equal(truth.b, whole.b)


def test_larger_photos_have_less_noise(packed):
    noisy = RelightConfig.full().singles()["noise"]
    noisy = dataclasses.replace(
        noisy, degrade=dataclasses.replace(noisy.degrade, noise_percent=(3.0, 3.0))
    )

    def noise(factor):
        relighter = Relighter(packed, 24, factor=factor, config=noisy)
        photo, truth = relighter.draw(np.arange(12), np.random.default_rng(0))
        error = srgb_decode(photo).permute(0, 2, 3, 1) - truth.linear
        return float(error[(truth.mask > 0.95) & (truth.linear.amax(-1) < 0.8)].std())

    assert noise(2) == pytest.approx(noise(1) / 2, rel=0.15)


def test_grain_is_that_of_the_size_that_is_read():
    clean = torch.full((4, 3, 64, 64), 0.3)
    deviation, squares = torch.full((4,), 0.05), torch.nn.functional.avg_pool2d
    as_read = with_grain(clean, deviation, np.random.default_rng(0))
    larger = squares(with_grain(clean, 2 * deviation, np.random.default_rng(0)), 2)
    assert float(larger.std()) == pytest.approx(float(as_read.std()), rel=0.05)


def test_mixed_batches_are_of_either_source(packed):
    first, second = (
        RelitBatches(Relighter(packed, 24, factor=factor), np.arange(len(packed)), 2, 7)
        for factor in (1, 2)
    )
    mixed = MixedBatches(first, second, 0.4)
    of_second = 0
    for step in range(40):
        photo, alone = mixed.at(step)[0], [source.at(step)[0] for source in (first, second)]
        assert [torch.equal(photo, other) for other in alone].count(True) == 1
        of_second += torch.equal(photo, alone[1])
    assert 8 <= of_second <= 24
    assert torch.equal(MixedBatches(first, second, 0.0).at(3)[0], first.at(3)[0])
    assert torch.equal(MixedBatches(first, second, 1.0).at(3)[0], second.at(3)[0])


@pytest.mark.parametrize("size", [24, 64])  # few pixels, and enough for compiled loops
def test_workers_of_a_loader_do_not_change_the_batches(packed, size):
    """Nor does what processes forked from this one already hold."""
    batches = RelitBatches(Relighter(packed, size), np.arange(len(packed)), 6, 0, start=2)
    loader = torch.utils.data.DataLoader(batches, batch_size=None, num_workers=2)
    for step, (photo, truth) in zip(range(2, 7), loader, strict=False):
        alone, expected = batches.at(step)
        assert torch.equal(photo, alone)
        assert torch.equal(truth.linear, expected.linear)
        assert truth.method == expected.method


class InSharedMemory(torch.utils.data.Dataset):
    """Which tensors of a batch are where a loader need not copy them to."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return 1

    def __getitem__(self, step):
        photo, truth = self.batches.at(step)
        large = [photo, truth.linear, truth.melanin_u, truth.specular_shading, truth.mask]
        return [tensor.is_shared() for tensor in large]


def test_workers_draw_to_where_the_loader_reads(packed):
    drawn = InSharedMemory(RelitBatches(Relighter(packed, 24), np.arange(len(packed)), 4, 0))
    loader = torch.utils.data.DataLoader(drawn, batch_size=None, num_workers=1)
    assert list(loader) == [[True] * 5]
    assert not any(drawn[0])


@pytest.mark.parametrize("size", [32, 48, 56])  # samples are 48: averaged, as stored, enlarged
@pytest.mark.parametrize(("seed", "indirect"), [(0, False), (3, False), (0, True)])
def test_compiled_loops_draw_what_torch_operations_do(
    packed, indirect_pack_path, size, seed, indirect, monkeypatch
):
    packed = read_packed(indirect_pack_path) if indirect else packed
    config = dataclasses.replace(RelightConfig(), clean_share=0.0, single_share=0.0)
    batches = RelitBatches(Relighter(packed, size, config=config), np.arange(len(packed)), 17, seed)
    assert to_be_compiled(torch.empty(17, size, size))
    photo, truth = batches.at(0)
    monkeypatch.setenv(SWITCH, "0")
    expected_photo, expected = batches.at(0)
    surely = expected.mask > 0.1  # what little skin there is elsewhere is read from rounded halves
    for name in ("melanin_u", "haemoglobin_u", "diffuse_shading", "specular_shading", "linear"):
        ours, theirs = getattr(truth, name)[surely], getattr(expected, name)[surely]
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3, msg=name)
    whole = expected.mask > 0.6
    ours, theirs = (t.normals.permute(0, 2, 3, 1)[whole] for t in (truth, expected))
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)
    for name in ("mask", "lips"):
        ours, theirs = getattr(truth, name), getattr(expected, name)
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0, msg=name)
    for name in ("b", "spd", "tone", "gains"):
        torch.testing.assert_close(getattr(truth, name), getattr(expected, name), msg=name)
    difference = (255 * (photo - expected_photo)).abs()
    assert difference.mean() < 0.01
    assert difference.max() <= 8  # a coefficient of a JPEG rounded the other way


@pytest.mark.parametrize("condition", ["clean", "full"])
def test_photos_of_another_size_go_through_the_same_where_as_many_are_painted_at_once(
    packed, condition, monkeypatch
):
    monkeypatch.setattr(relight, "CHUNK", 2 * 48**2)
    indices = np.arange(6)
    drawn = {
        size: Relighter.for_test(packed, size, condition, at_once=2).draw(
            indices, np.random.default_rng(3)
        )[1]
        for size in (24, 48)
    }
    small, large = drawn.values()
    for name in ("tone", "gains", "spd", "b"):
        pair = getattr(small, name), getattr(large, name)
        torch.testing.assert_close(*pair, rtol=0.02, atol=2e-3, msg=name)
    for name in ("melanin_u", "diffuse_shading", "specular_shading"):
        means = [
            (getattr(t, name) * t.mask).sum((1, 2)) / t.mask.sum((1, 2)) for t in drawn.values()
        ]
        torch.testing.assert_close(*means, rtol=0.05, atol=2e-3)


@pytest.mark.parametrize("size", [32, 48, 64])
def test_photos_are_bytes_and_targets_physical(packed, size):
    photo, truth = batch(packed, size=size)
    assert photo.shape == (8, 3, size, size)
    torch.testing.assert_close(photo * 255, (photo * 255).round(), atol=1e-3, rtol=0)
    assert photo.min() >= 0
    assert photo.max() <= 1
    for name in ("melanin_u", "haemoglobin_u", "diffuse_shading", "specular_shading", "mask"):
        values = getattr(truth, name)
        assert values.shape == (8, size, size)
        assert torch.isfinite(values).all()
    assert (truth.diffuse_shading >= 0).all()
    torch.testing.assert_close(truth.illuminant_weights.sum(1), torch.ones(8))
    torch.testing.assert_close(truth.spd.sum(1), torch.ones(8))
    assert truth.b.abs().max() <= 3


def test_the_truth_explains_the_photo(packed):
    """With one light and no cast, decoding the targets gives the clean image on skin."""
    config = dataclasses.replace(RelightConfig.clean(), two_lights=0.0)
    photo, truth = batch(packed, config)
    cameras = Relighter(packed).cameras
    maps = {
        "melanin": from_unit(truth.melanin_u, MELANIN_RANGE),
        "haemoglobin": from_unit(truth.haemoglobin_u, HAEMOGLOBIN_RANGE),
        "diffuse_shading": truth.diffuse_shading,
        "specular_shading": truth.specular_shading,
    }
    camera = Camera(cameras.sensitivities(truth.b), truth.gains, truth.method)
    skin = truth.mask > 0.999
    decoded = decode(maps, truth.spd, camera)
    torch.testing.assert_close(decoded[skin], truth.linear[skin], atol=2e-3, rtol=2e-3)
    shown = apply_tone(truth.linear, truth.tone).permute(0, 3, 1, 2)
    difference = (shown - photo).abs().permute(0, 2, 3, 1)[skin]
    assert difference.median() < 0.01


@pytest.mark.parametrize("mirror", [1.0, -1.0])
@pytest.mark.parametrize("degrees", [0.0, 25.0, -140.0])
def test_normals_turn_with_the_photo(mirror, degrees):
    """On a sphere they point away from its middle, however the photo is rolled and mirrored."""
    size, radius, zoom = 48, 0.8, 1.2
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32) / radius
    inside = (x**2 + y**2 < 1).astype(np.float32)
    planes = torch.zeros(1, len(PLANES), size, size)
    planes[0, MASK] = planes[0, COVERAGE] = torch.from_numpy(inside)
    z = np.sqrt(np.clip(1 - x**2 - y**2, 0, None))
    planes[0, NORMALS] = torch.from_numpy(np.stack([x, -y, z]) * inside)
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    affine = torch.tensor([[[mirror * cosine, -sine, 0], [mirror * sine, cosine, 0]]])
    moved = move(planes, affine.float(), size)
    normals = moved[:, NORMALS]
    sure = moved[0, MASK] > 0.99
    expected = np.stack([x, -y]) / zoom
    found = normals[0][:, sure].numpy()
    assert np.abs(found[:2] - expected[:, sure]).max() < 0.06
    np.testing.assert_allclose(np.square(found).sum(0), 1, atol=1e-4)
    assert (normals[0][:, moved[0, MASK] < 0.4] == 0).all()


def test_redrawn_pigments_fill_the_range(packed):
    config = dataclasses.replace(RelightConfig(), redraw=1.0)
    means = []
    for step in range(12):
        _, truth = batch(packed, config, step=step, size=24)
        skin = (truth.mask > 0.9).float()
        means.append((truth.melanin_u * skin).sum((1, 2)) / skin.sum((1, 2)))
    means = torch.cat(means)
    assert means.min() < 0.15
    assert means.max() > 0.85
    assert 0.2 < means.std() < 0.36


def test_own_pigments_are_kept(packed):
    config = dataclasses.replace(
        RelightConfig(), redraw=0.0, zoom=(1.0, 1.0), shift=0.0, rotation_degrees=0.0
    )
    relighter = Relighter(packed, 48, config=config)
    _, truth = relighter.draw(np.array([4]), np.random.default_rng(0))
    stored = torch.tensor(np.asarray(packed.images[4], np.float32))
    skin = stored[8] > 0.999
    values = from_unit(truth.melanin_u[0], MELANIN_RANGE)
    candidates = (values, values.flip(1))
    errors = [float((c - stored[6])[skin].abs().median()) for c in candidates]
    assert min(errors) < 2e-3


def test_two_lights_mix_in_proportion_to_their_irradiance(packed):
    config = dataclasses.replace(RelightConfig.clean(), two_lights=1.0)
    _, truth = batch(packed, config)
    assert (truth.illuminant_weights > 1e-3).sum(1).max() >= 2
    assert torch.isfinite(truth.linear).all()


def test_a_pack_without_a_channel_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    image = ellipsoid_sample(rng, 16)[:-5]
    write_packed(tmp_path / "old.pack", CHANNELS[:9], [image[:9]], [{}], (16, 16))
    with pytest.raises(InputError, match=r"old\.pack: no channel coverage"):
        Relighter(read_packed(tmp_path / "old.pack"))


def test_no_samples_left(packed):
    with pytest.raises(InputError, match="no samples left"):
        RelitBatches(Relighter(packed), np.zeros(0, int), 4, 0)


def test_splits_are_stable():
    names = [f"{i:06d}" for i in range(1000)]
    train, held_out = split(names)
    assert set(train) | set(held_out) == set(range(1000))
    assert not set(train) & set(held_out)
    assert 70 < len(held_out) < 130
    _, fewer = split(names[:500])
    assert set(fewer) == {i for i in held_out if i < 500}
    for count in (2, 3, 24):
        train, held_out = split(names[:count])
        assert len(train) > 0
        assert len(held_out) > 0
    assert [part.tolist() for part in split(["one"])] == [[0], [0]]


def test_draws_for_tests_follow_the_stated_law(packed):
    """Held-out lights, no daylight error of weights, pigments within a face as spread as stated."""
    relighter = Relighter.for_test(packed, 48, "clean")
    batches = RelitBatches(relighter, np.arange(len(packed)), 32, 0)
    spread, means = [], []
    for step in range(4):
        _, truth = batches.at(step)
        assert truth.method == "fitted"
        assert not truth.tone.any()
        for name in ("melanin_u", "haemoglobin_u"):
            sure = truth.mask > 0.95
            faces = [
                values[inside] for values, inside in zip(getattr(truth, name), sure, strict=True)
            ]
            spread += [float(face.std()) for face in faces]
            means += [float(face.mean()) for face in faces]
    spread = np.array(spread).reshape(4, 2, 32).mean((0, 2))
    np.testing.assert_allclose(spread, WITHIN_SD, rtol=0.1)
    means = np.array(means)
    assert 0.23 < means.std() < 0.34
    assert np.median(means) < 0.47  # log-uniform fractions: more light skin than dark


def test_measured_cameras_are_drawn_and_coded(packed):
    model = CameraModel.load(name="training")
    measured = np.stack([model.sensitivities(np.eye(6)[k]) for k in range(3)])
    config = dataclasses.replace(RelightConfig(), measured=1.0)
    relighter = Relighter(packed, 24, config=config, measured=measured)
    _, truth = relighter.draw(np.arange(12), np.random.default_rng(0))
    which = truth.b.argmax(1)
    assert set(which.tolist()) == {0, 1, 2}
    torch.testing.assert_close(
        truth.sensitivities, torch.tensor(measured, dtype=torch.float32)[which]
    )
    torch.testing.assert_close(truth.b, torch.eye(6)[which], atol=0.05, rtol=0)


def test_a_decoder_s_learned_skin_and_cameras_draw_too(packed):
    skin = SkinModel.load()
    known = skin.constants["oxygenation"]
    skin = skin.with_constants(oxygenation=torch.tensor(known, requires_grad=True))
    model = CameraModel.load(name="training")
    learned = model.with_mean(torch.tensor(model.mean, dtype=torch.float32, requires_grad=True))
    indices, config = np.arange(4), RelightConfig.clean()
    relighter = Relighter(packed, 24, config=config, skin=skin, cameras=learned)
    _, truth = relighter.draw(indices, np.random.default_rng(0))
    _, expected = Relighter(packed, 24, config=config).draw(indices, np.random.default_rng(0))
    assert not truth.linear.requires_grad
    torch.testing.assert_close(truth.linear, expected.linear, atol=2e-3, rtol=2e-3)


def test_a_share_of_the_batches_is_clean(packed):
    batches = RelitBatches(Relighter(packed, 24), np.arange(len(packed)), 8, 0)
    toned = [bool(batches.at(step)[1].tone.any()) for step in range(40)]
    assert 8 <= toned.count(False) <= 32  # clean, or with another single degradation


def test_clean_with_one_degradation_has_no_other():
    training = RelightConfig()
    clean, singles = training.cleaned(), training.singles()
    changed = {
        name: [
            field.name
            for field in dataclasses.fields(config)
            if getattr(config, field.name) != getattr(clean, field.name)
        ]
        for name, config in singles.items()
    }
    assert changed.pop("two lights") == ["two_lights"]
    assert changed.pop("white balance") == ["gain_sd"]
    assert changed.pop("tint of single lights") == ["tint_sd"]
    assert set(changed) == {"tone curve", "saturation", "blur", "noise", "JPEG"}
    assert all(names == ["degrade"] for names in changed.values())
    assert singles["noise"].degrade.noise_percent == training.degrade.noise_percent
    assert singles["noise"].degrade.tone_share == 0


def test_patches_change_the_differences_within_a_face_alone(packed):
    plain = dataclasses.replace(
        RelightConfig.clean(), redraw=0.0, within_sd=None, group_log_sd=0.0, drop_group=0.0
    )
    patchy = dataclasses.replace(plain, patchy_share=1.0, patchy=(0.5, 0.5))
    indices = np.arange(8)
    without, with_patches = (
        Relighter(packed, 48, config=config).draw(indices, np.random.default_rng(0))[1]
        for config in (plain, patchy)
    )
    skin = without.mask > 0.95
    assert torch.equal(without.mask, with_patches.mask)
    for name in ("melanin_u", "haemoglobin_u"):
        before, after = getattr(without, name), getattr(with_patches, name)
        for i in range(len(indices)):
            spread, added = before[i][skin[i]].std(), (after - before)[i][skin[i]].std()
            assert 0.2 * spread < added < 0.9 * spread
