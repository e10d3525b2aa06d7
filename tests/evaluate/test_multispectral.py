import dataclasses

import numpy as np
import pytest

from bioface.errors import InputError
from bioface.evaluate.dichromatic import fit_dichromatic
from bioface.evaluate.multispectral import (
    MAPS,
    Scene,
    as_table,
    benchmark,
    compare,
    mean_camera_under_d65,
)
from bioface.photo.cubes import read_cube, resized
from bioface.photo.network import Reading
from bioface.spectral.camera import CameraModel
from bioface.spectral.grid import WAVELENGTHS
from bioface.spectral.illuminant import NAMES
from bioface.spectral.skin import SkinModel
from bioface.spectral.units import HAEMOGLOBIN_RANGE, MELANIN_RANGE, from_unit

SIDE = 24


@pytest.fixture(scope="module")
def face():
    """Maps of a face without detail, and its cube (SIDE, SIDE, 33)."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    maps = {
        "melanin": 0.4 + 0.2 * x,
        "haemoglobin": 0.5 + 0.2 * y,
        "diffuse_shading": 0.7 + 0.2 * x * y,
        "specular_shading": 0.1 * np.exp(-8 * (x**2 + y**2)),
    }
    fractions = (
        from_unit(maps["melanin"], MELANIN_RANGE),
        from_unit(maps["haemoglobin"], HAEMOGLOBIN_RANGE),
    )
    reflectance = SkinModel.load().reflectance(*fractions)
    cube = maps["diffuse_shading"][..., None] * reflectance + maps["specular_shading"][..., None]
    mask = np.where(x**2 + y**2 < 0.9, 1.0, 0.0).astype(np.float32)
    return maps, cube.astype(np.float32), mask


def write_npz(path, cube, mask):
    np.savez(path / "face.npz", wavelength=WAVELENGTHS, reflectance=cube, mask=mask)
    return path / "face.npz"


def write_exr(path, cube, mask):
    openexr = pytest.importorskip("OpenEXR")
    channels = {f"S0.{w:.0f},000000nm": cube[..., k] for k, w in enumerate(WAVELENGTHS)}
    channels = {name: np.ascontiguousarray(plane) for name, plane in channels.items()}
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    openexr.File(header, channels | {"mask": mask}).write(str(path / "face.exr"))
    return path / "face.exr"


def write_envi(path, cube, mask, interleave="bil"):
    order = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[interleave]
    whole = np.round(10000 * cube).astype(">i2")
    (path / "face.img").write_bytes(b"\0" * 16 + whole.transpose(order).tobytes())
    wavelengths = ",\n ".join(f"{w / 1000:.3f}" for w in WAVELENGTHS)
    (path / "face.hdr").write_text(
        f"ENVI\nsamples = {SIDE}\nlines = {SIDE}\nbands = 33\nheader offset = 16\n"
        f"data type = 2\nbyte order = 1\ninterleave = {interleave}\n"
        f"reflectance scale factor = 10000\nwavelength units = Micrometers\n"
        f"wavelength = {{\n {wavelengths}}}\n"
    )
    return path / "face.hdr"


def write_mat(path, cube, mask):
    """As ISET does: photons under a tungsten-like light, in a basis about their mean."""
    savemat = pytest.importorskip("scipy.io").savemat
    energy = np.linspace(0.2, 1.0, 33)
    photons = cube.astype(np.float64) * energy * WAVELENGTHS
    mean = photons.reshape(-1, 33).mean(0)
    _, _, rows = np.linalg.svd(photons.reshape(-1, 33) - mean, full_matrices=False)
    basis = rows[:10].T
    savemat(
        path / "face.mat",
        {
            "mcCOEF": (photons - mean) @ basis,
            "basis": {"basis": basis, "wave": WAVELENGTHS},
            "imgMean": mean,
            "illuminant": {"data": energy, "wavelength": WAVELENGTHS},
            "comment": "synthetic",
        },
    )
    return path / "face.mat"


@pytest.mark.parametrize("write", [write_npz, write_exr, write_envi, write_mat])
def test_every_format_gives_the_same_cube(tmp_path, face, write):
    _, cube, mask = face
    found = read_cube(write(tmp_path, cube, mask))
    np.testing.assert_allclose(found.wavelength, WAVELENGTHS)
    scale = (found.values * cube).sum() / (cube**2).sum()
    np.testing.assert_allclose(found.values / scale, cube, atol=2e-3)
    if write in (write_npz, write_exr):
        np.testing.assert_array_equal(found.mask, mask)


@pytest.mark.parametrize("interleave", ["bsq", "bip"])
def test_envi_in_its_other_orders(tmp_path, face, interleave):
    _, cube, mask = face
    found = read_cube(write_envi(tmp_path, cube, mask, interleave).with_suffix(".img"))
    np.testing.assert_allclose(found.values, cube, atol=1e-4)


def test_the_fit_finds_pigments_and_both_shadings_on_any_bands(face):
    maps, cube, _ = face
    kept = slice(1, 31, 2)
    fit = fit_dichromatic(cube.reshape(-1, 33)[:, kept], WAVELENGTHS[kept])
    for name, tolerance in (
        ("melanin", 0.01),
        ("haemoglobin", 0.02),
        ("diffuse_shading", 0.01),
        ("specular_shading", 2e-3),
    ):
        field = f"{name}_u" if name in ("melanin", "haemoglobin") else name
        np.testing.assert_allclose(
            getattr(fit, field), maps[name].reshape(-1), atol=tolerance, err_msg=name
        )
    assert fit.residual.max() < 1e-3


def test_no_shading_is_negative_and_the_residual_is_that_of_the_spectra(face):
    maps, cube, _ = face
    skin, rng, seen = SkinModel.load(), np.random.default_rng(0), []
    plain = cube.reshape(-1, 33)[::7].astype(np.float64)
    plain -= maps["specular_shading"].reshape(-1, 1)[::7]
    for spectra in (
        plain - 0.03,
        plain * rng.normal(1, 0.05, plain.shape),
        0.5 * plain.max(1, keepdims=True) - 0.1 * plain,
        np.full((1, 33), 0.3),
    ):
        fit = fit_dichromatic(spectra, WAVELENGTHS)
        assert fit.diffuse_shading.min() >= 0
        assert fit.specular_shading.min() >= 0
        reflectance = skin.reflectance(
            from_unit(fit.melanin_u, MELANIN_RANGE), from_unit(fit.haemoglobin_u, HAEMOGLOBIN_RANGE)
        )
        found = fit.diffuse_shading[:, None] * reflectance + fit.specular_shading[:, None]
        expected = np.sqrt(np.mean((spectra - found) ** 2, axis=1))
        np.testing.assert_allclose(fit.residual, expected, atol=1e-6)
        # Where one shading is 0 the other is the least-squares one of what it has alone.
        dull, flat = fit.specular_shading == 0, fit.diffuse_shading == 0
        alone = (spectra * reflectance).sum(1) / (reflectance**2).sum(1)
        np.testing.assert_allclose(fit.diffuse_shading[dull], alone[dull], rtol=1e-6)
        np.testing.assert_allclose(fit.specular_shading[flat], spectra[flat].mean(1), rtol=1e-6)
        seen.append((dull.any(), flat.any()))
    assert np.any(seen, axis=0).all()


@dataclasses.dataclass
class Knowing:
    """A network that says what it is told to say."""

    reading: Reading
    size = SIDE
    skin = SkinModel.load()

    def read(self, srgb):
        self.seen = srgb
        return self.reading


@pytest.fixture
def network(face):
    maps, cube, mask = face
    linear = cube @ mean_camera_under_d65()
    scale = 0.8 / np.quantile(linear[mask > 0.95].max(-1), 0.99)
    model = CameraModel.load()
    weights = np.zeros(len(NAMES))
    weights[NAMES.index("D")] = 1
    return Knowing(
        Reading(
            melanin_u=maps["melanin"],
            haemoglobin_u=maps["haemoglobin"],
            diffuse_shading=scale * maps["diffuse_shading"],
            specular_shading=scale * maps["specular_shading"],
            mask=mask,
            illuminant_weights=weights,
            daylight_kelvin=6504.0,
            b=np.zeros(6),
            sensitivities=model.sensitivities(np.zeros(6)),
            gains=np.ones(2),
            tone=np.zeros(2),
            method="fitted",
        )
    )


def test_a_network_that_knows_the_truth_makes_no_error(tmp_path, face, network):
    results = benchmark([write_npz(tmp_path, *face[1:])], network)
    assert all(results["mean"][name] < 0.02 for name in MAPS), results["mean"]
    assert network.seen.shape == (SIDE, SIDE, 3)
    steps = 255 * network.seen.astype(np.float64)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    text = as_table(results)
    assert "0.172" in text
    assert "paper's units" in text


def test_the_paper_counts_pigments_twice():
    errors = dict(zip(MAPS, (0.1, 0.11, 0.12, 0.13, 0.14, 0.15), strict=True))
    errors["diffuse_scale_free"] = 0.09
    images = [
        {"name": name, "rmse": errors, "fit_residual": residual}
        for name, residual in (("a", 0.02), ("b", 0.04))
    ]
    lines = as_table({"images": images, "mean": errors}).splitlines()
    assert lines[2:7] == [
        "| a | 0.100 | 0.110 | 0.120 | 0.130 | 0.140 | 0.150 | 0.090 | 0.020 |",
        "| b | 0.100 | 0.110 | 0.120 | 0.130 | 0.140 | 0.150 | 0.090 | 0.040 |",
        "| **mean, u** | 0.100 | 0.110 | 0.120 | 0.130 | 0.140 | 0.150 | 0.090 | 0.030 |",
        "| **mean, the paper's units** "
        "| 0.100 | 0.110 | 0.120 | 0.260 | 0.280 | 0.150 | 0.090 | 0.030 |",
        "| BioFaceNet (published) | 0.172 | 0.087 | 0.115 | 0.597 | 0.291 | 0.071 | - | - |",
    ]


def test_every_image_counts_the_same_whatever_its_scale(tmp_path, face, network):
    _, cube, mask = face
    noisy = cube * np.random.default_rng(0).normal(1, 0.02, cube.shape).astype(np.float32)
    paths = []
    for name, values in (("plain", cube), ("noisy", noisy), ("brighter", 7 * noisy)):
        (tmp_path / name).mkdir()
        paths.append(write_npz(tmp_path / name, values, mask))
    results = benchmark(paths, network)
    plain, noisy, brighter = results["images"]
    assert noisy["fit_residual"] == pytest.approx(0.02, rel=0.3)
    assert brighter["fit_residual"] == pytest.approx(noisy["fit_residual"], rel=1e-3)
    assert plain["fit_residual"] < 1e-3
    for name in MAPS:
        mean = np.mean([image["rmse"][name] for image in results["images"]])
        assert results["mean"][name] == pytest.approx(mean)
    assert results["mean"]["melanin"] != plain["rmse"]["melanin"]


def test_shading_is_held_against_the_truth_with_and_without_its_scale(network):
    on = np.ones((SIDE, SIDE), bool)
    read = network.reading
    said = read.diffuse_shading[on]
    true = 3 * said + np.random.default_rng(0).normal(0, 0.1, said.shape)
    scene = Scene(
        srgb=np.zeros((SIDE, SIDE, 3), np.float32),
        linear=np.zeros((SIDE, SIDE, 3), np.float32),
        skin=on,
        maps={
            "diffuse_shading": true,
            "specular_shading": read.specular_shading[on],
            "melanin": read.melanin_u[on],
            "haemoglobin": read.haemoglobin_u[on],
            "albedo": np.zeros((on.sum(), 3)),
        },
        residual=0.0,
    )
    errors = compare(scene, network)
    assert errors["diffuse_shading"] == pytest.approx(np.sqrt(np.mean((said - true) ** 2)))
    factor = np.linalg.lstsq(said[:, None], true, rcond=None)[0]
    expected = np.sqrt(np.mean((factor * said - true) ** 2))
    assert errors["diffuse_scale_free"] == pytest.approx(expected)


def test_images_without_skin_or_light_are_refused(tmp_path, face, network):
    _, cube, mask = face
    with pytest.raises(InputError, match="its skin is black"):
        benchmark([write_npz(tmp_path, 0 * cube, mask)], network)
    few = np.zeros_like(mask)
    few[:4, :4] = 1
    with pytest.raises(InputError, match="shows 16 pixels of skin"):
        benchmark([write_npz(tmp_path, cube, few)], network)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npz", None, "no such file"),
        ("a.txt", b"x", "not a multispectral image"),
        ("a.mat", b"x" * 300, "cannot be read as .mat"),
        ("a.mat", b"", "cannot be read as .mat"),
        ("a.npz", b"PK", "not a readable npz file; wavelength"),
        ("a.exr", b"v/1\x01", "not a readable EXR"),
        ("a.hdr", b"ENVI\nlines = 3\n", "has no field 'samples'"),
        (
            "a.hdr",
            b"ENVI\nlines = 3\nsamples = 3\nbands = 9\ndata type = 6\nwavelength = {400}\n",
            r"a\.hdr: data type 6 is not read; save real numbers",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_cube(tmp_path / name)


@pytest.mark.parametrize("name", ["faces", "faces.npz"])
def test_a_folder_is_no_image(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"{name}: a folder; name the images in it"):
        read_cube(tmp_path / name)


@pytest.mark.parametrize("write", [write_npz, write_exr, write_mat])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6, 0.99])
def test_truncated_files_are_one_line(tmp_path, face, write, kept):
    path = write(tmp_path, *face[1:])
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=path.name) as raised:
        read_cube(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"basis": np.ones((33, 1))}, "basis has no fields basis and wave"),
        ({"basis": {"basis": np.ones((33, 1))}}, "basis has no fields basis and wave"),
        ({"illuminant": "tungsten"}, "cannot be read as .mat"),
        ({"mcCOEF": np.ones((0, 0, 1))}, "face.mat"),
    ],
)
def test_mat_files_of_another_layout(tmp_path, content, message):
    savemat = pytest.importorskip("scipy.io").savemat
    basis = {"basis": np.ones((33, 1)), "wave": WAVELENGTHS}
    whole = {"mcCOEF": np.ones((4, 4, 1)), "basis": basis} | content
    savemat(tmp_path / "face.mat", whole)
    with pytest.raises(InputError, match=message):
        read_cube(tmp_path / "face.mat")


@pytest.mark.parametrize(
    ("wavelength", "reflectance"),
    [(np.zeros(0), np.ones((2, 2, 0))), (WAVELENGTHS, np.ones((0, 0, 33))), (["red"], [[["a"]]])],
)
def test_arrays_that_are_no_bands(tmp_path, wavelength, reflectance):
    np.savez(tmp_path / "a.npz", wavelength=wavelength, reflectance=reflectance)
    with pytest.raises(InputError, match=r"a\.npz"):
        read_cube(tmp_path / "a.npz")


def test_smaller_planes_are_means_over_area_larger_ones_linear():
    plane = np.arange(16.0).reshape(4, 4)
    np.testing.assert_allclose(resized(plane, 2), [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_allclose(resized(plane, 3).mean(), plane.mean(), rtol=1e-6)
    np.testing.assert_array_equal(resized(np.pad(plane, ((0, 0), (1, 1))), 4), plane)
    np.testing.assert_allclose(resized(plane, 8)[0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    deep = np.stack([plane, -plane], -1)
    np.testing.assert_allclose(resized(deep, 2)[..., 1], -resized(plane, 2))


def test_too_few_bands_are_refused(tmp_path):
    bands = np.arange(500, 600, 20.0)
    np.savez(tmp_path / "a.npz", wavelength=bands, reflectance=np.ones((3, 3, len(bands))))
    with pytest.raises(InputError, match="span 500-580 nm"):
        read_cube(tmp_path / "a.npz")
