import functools
import hashlib
import json

import numpy as np
import pytest
from ellipsoids import CHANNELS, SIZE, ellipsoid_sample

pytest.importorskip("torch")

from bioface.cli import main
from bioface.evaluate import accuracy, page
from bioface.evaluate.baselines import pixels
from bioface.evaluate.contents import contents, of_folder, samples_per_pixel
from bioface.evaluate.mean_colour import mean_colour_floor
from bioface.evaluate.within_face import within_face_floor
from bioface.learn import fit_image
from bioface.learn.decoder import Decoder
from bioface.learn.encoder import Encoder, EncoderConfig
from bioface.learn.weights import save_weights
from bioface.packed import write_packed

pytestmark = pytest.mark.torch

METHODS = ("network", "network, the same taken smaller")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, Encoder(EncoderConfig(widths=(16, 16, 16), size=48)), Decoder())
    return path


@pytest.fixture
def quick(monkeypatch):
    """Baselines that do not take their time."""
    monkeypatch.setattr(pixels, "fit_pixels", functools.partial(pixels.fit_pixels, steps=30))
    monkeypatch.setattr(fit_image, "fit_images", functools.partial(fit_image.fit_images, steps=5))
    few = functools.partial(mean_colour_floor, faces=3000, asked=200)
    monkeypatch.setattr(accuracy, "mean_colour_floor", few)
    fewer = functools.partial(within_face_floor, faces=5, candidates=100)
    monkeypatch.setattr(accuracy, "within_face_floor", fewer)


@pytest.mark.slow
def test_the_command_writes_figures_page_plots_and_fairness(
    pack_path, weights, quick, tmp_path, capsys
):
    card = tmp_path / "card.md"
    card.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    arguments = ["--data", str(pack_path), "--weights", str(weights), "--identities", "4"]
    arguments += ["--compare", f"other={weights}", "--conditions", "clean", "full", "JPEG 70"]
    arguments += ["--draws", "2"]
    outputs = ["--json", str(tmp_path / "a.json"), "--out", str(tmp_path / "accuracy.md")]
    assert main(["evaluate", "accuracy", *arguments, *outputs, "--model-card", str(card)]) == 0
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "a.json").read_text())
    conditions = results["sets"][0]["conditions"]
    assert list(conditions) == ["clean", "full", "JPEG 70"]
    assert list(conditions["clean"]) == [
        "prior mean",
        "table inversion, D65 and mean camera",
        "per-pixel network",
        "ICA (Tsumura et al. 2003)",
        "per-image optimisation",
        "network",
        "network, told light and camera",
        "other",
    ]
    assert "prior mean" not in conditions["JPEG 70"]
    counts = {n: (f["photos"], f["identities"]) for n, f in conditions["clean"].items()}
    photos, people = counts["prior mean"]
    assert photos == people
    assert counts["network"] == counts["other"] == (2 * people, people)
    same = [conditions["full"][name]["quantities"] for name in ("network", "other")]
    assert same[0] == same[1]
    prior = conditions["clean"]["prior mean"]["quantities"]["melanin_u"]
    assert prior["rmse"][0] == pytest.approx(np.hypot(prior["prior"][0], prior["bias"][0]), 1e-2)
    assert prior["within_r2"][0] == 0
    text = (tmp_path / "accuracy.md").read_text()
    assert "**network**" in text
    told = f"{results['mean_colour_floor']['colour']['melanin_u']:.3f}"
    face_means = [line for line in text.splitlines() if "melanin, u, face mean" in line]
    assert [line.split("|")[-2].strip() for line in face_means[:2]] == [told, "-"]
    told = f"{results['within_face_floor']['clean']['melanin_u']:.3f}"
    within = [line for line in text.splitlines() if "melanin, u, within" in line]
    assert [line.split("|")[-2].strip() for line in within[:2]] == [told, "-"]
    digest = hashlib.sha256(pack_path.read_bytes()).hexdigest()
    assert results["sets"][0]["sha256"] == digest
    assert f"sha256 `{digest[:16]}`" in text
    assert "figures/accuracy-methods.png" in text
    assert "each in 2 photos a condition" in text
    assert "--draws 2" in text
    assert (tmp_path / "figures" / "accuracy-tones.png").stat().st_size > 1000
    assert str(tmp_path) not in text
    assert "prior mean" in printed
    rewritten = card.read_text()
    assert rewritten.startswith("before\n")
    assert rewritten.endswith("after\n")
    assert "old" not in rewritten
    assert results["network"]["sha256"][:16] in rewritten


def test_the_same_seed_gives_the_same_figures(pack_path, weights, tmp_path):
    files = [tmp_path / "1.json", tmp_path / "2.json"]
    for file in files:
        command = ["evaluate", "accuracy", "--data", str(pack_path), "--weights", str(weights)]
        command += ["--identities", "2", "--conditions", "full", "--no-baselines"]
        main([*command, "--json", str(file)])
    assert files[0].read_bytes() == files[1].read_bytes()


def test_clean_is_measured_on_bare_skin_where_a_set_of_it_is_given(
    pack_path, weights, tmp_path, capsys
):
    bare = tmp_path / "bare.pack"
    rng = np.random.default_rng(1)
    samples = [{"id": f"{i:06d}"} for i in range(12)]
    images = (ellipsoid_sample(rng) for _ in samples)
    dataset = {"config": {"sampling": {"hair_share": 0.0}}, "heads": {"name": "ellipsoids"}}
    write_packed(bare, CHANNELS, images, samples, (SIZE, SIZE), dataset=dataset)

    def measured(*arguments):
        command = ["evaluate", "accuracy", "--weights", str(weights), "--identities", "2"]
        command += ["--conditions", "clean", "full", "--no-baselines"]
        outputs = ["--json", str(tmp_path / "a.json"), "--out", str(tmp_path / "a.md")]
        command.append("--overwrite")
        assert main([*command, *map(str, arguments), *outputs]) == 0
        return json.loads((tmp_path / "a.json").read_text())["sets"][0]

    worn = measured("--data", pack_path)
    assert "No set of bare skin" in (tmp_path / "a.md").read_text()
    alone = measured("--data", bare)
    capsys.readouterr()
    both = measured("--data", pack_path, "--clean-data", bare)
    assert both["conditions"]["full"] == worn["conditions"]["full"]
    assert both["conditions"]["clean"] == alone["conditions"]["clean"]
    assert both["clean_set"] == {name: alone[name] for name in both["clean_set"]}
    assert both["clean_set"]["contents"] == "skin only"
    assert "in all conditions but full: bare (ellipsoids)" in capsys.readouterr().out
    page_text = (tmp_path / "a.md").read_text()
    assert "*Clean* and the single degradations: " in page_text
    assert "(ellipsoids heads; skin only; sha256 `" in page_text
    assert "--clean-data bare.pack" in page_text


def sample(glasses, identity):
    """As much of a sample's JSON as tells what is worn."""
    return {
        "identity": [identity],
        "hair": {"strands": {"scalp": 0, "brows": 300, "beard": 0}},
        "make_up": {"reflectance": {}},
        "glasses": {"shown": glasses},
        "headwear": {"kind": "none"},
        "clothes": {"kind": "none"},
    }


def test_what_people_wear_is_held_against_the_same_people_without(weights, tmp_path):
    rng = np.random.default_rng(2)
    images = [ellipsoid_sample(rng) for _ in range(4)]
    packs = {name: tmp_path / f"{name}.pack" for name in ("worn", "bare")}
    for name, path in packs.items():
        samples = [sample(name == "worn" and i in (1, 2), i) for i in range(4)]
        about = {"seed": 1_000_000}
        write_packed(path, CHANNELS, iter(images), samples, (SIZE, SIZE), dataset=about)
    command = ["evaluate", "accuracy", "--weights", str(weights), "--conditions", "clean"]
    command += ["--data", str(packs["worn"]), "--clean-data", str(packs["bare"]), "--draws", "2"]
    outputs = [
        "--no-baselines",
        "--json",
        str(tmp_path / "a.json"),
        "--out",
        str(tmp_path / "a.md"),
    ]
    assert main([*command, *outputs]) == 0
    results = json.loads((tmp_path / "a.json").read_text())
    assert list(results["worn"]) == ["brows", "glasses"]
    glasses, brows = (results["worn"][item] for item in ("glasses", "brows"))
    assert (glasses["worn"]["identities"], brows["worn"]["identities"]) == (2, 4)
    assert (glasses["bare"]["photos"], brows["bare"]["photos"]) == (4, 8)
    assert glasses["worn"] == glasses["bare"]  # the pictures are the same here
    everybody = results["sets"][0]["conditions"]["clean"]["network"]
    assert brows["bare"]["quantities"] == everybody["quantities"]
    text = (tmp_path / "a.md").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| glasses |")]
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    r2 = glasses["bare"]["quantities"]["haemoglobin_u"]["r2"][0]
    assert (cells[0], cells[3]) == ("2", f"{r2:.2f} (+0.00)")


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """The same kind of people with four times the pixels."""
    path = tmp_path_factory.mktemp("larger") / "larger.pack"
    rng = np.random.default_rng(0)
    samples = [{"id": f"{i:06d}"} for i in range(12)]
    images = (ellipsoid_sample(rng, 2 * SIZE) for _ in samples)
    write_packed(path, CHANNELS, images, samples, (2 * SIZE, 2 * SIZE))
    return path


def test_photos_larger_than_the_network_reads_stand_beside_the_same_taken_smaller(
    pack_path, larger, weights, tmp_path, capsys
):
    command = ["evaluate", "accuracy", "--data", str(pack_path), "--weights", str(weights)]
    command += ["--larger-data", str(larger), "--identities", "4", "--no-baselines"]
    outputs = ["--json", str(tmp_path / "a.json"), "--out", str(tmp_path / "a.md")]
    assert main([*command, "--conditions", "clean", "noise 3 %", *outputs]) == 0
    found = json.loads((tmp_path / "a.json").read_text())["larger"]
    assert found["pixels"] == 2 * SIZE
    figures = [found["conditions"]["clean"][method] for method in METHODS]
    assert figures[0]["photos"] == figures[1]["photos"]
    scores = [of_method["quantities"]["melanin_u"] for of_method in figures]
    # The same people, pigments and places: what there is to know hardly differs.
    assert scores[0]["prior"][0] == pytest.approx(scores[1]["prior"][0], rel=0.1)
    assert scores[0]["rmse"] != scores[1]["rmse"]
    text = (tmp_path / "a.md").read_text()
    assert f"| clean, {2 * SIZE} pixels |" in text
    assert f"| noise 3 %, {SIZE} pixels |" in text
    assert f"melanin, u; clean; photos of {2 * SIZE} pixels" in text
    assert "--larger-data larger.pack" in text
    assert f"larger (unknown, {2 * SIZE} pixels)" in capsys.readouterr().out


def test_what_covers_skin_is_told_in_words(tmp_path):
    sampling = {"hair_share": 0.82, "glasses_share": 0.22, "beard_share": 0.0, "yaw": 60.0}
    assert contents({"config": {"sampling": sampling}}) == "scalp hair 82 %, glasses 22 %"
    assert of_folder(tmp_path) == {}
    assert contents({}) == "what covers skin is not recorded"
    assert samples_per_pixel({}) is None
    dataset = {"config": {"sampling": {}, "samples": 256}}
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))
    assert contents(of_folder(tmp_path)) == "skin only"
    assert samples_per_pixel(of_folder(tmp_path)) == 256
    (tmp_path / "dataset.json").write_text("[]")
    assert of_folder(tmp_path) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clean-data", "nowhere.pack"], "nowhere.pack"),
        (["--larger-clean-data", "bare.pack"], "--larger-data"),
        (
            ["--spectral", "a", "b", "--clean-spectral", "c"],
            "1 folders of bare spectral truth for 2",
        ),
        (["--identities", "1"], "--identities 1"),
        (["--draws", "0"], "--draws 0"),
        (["--conditions", "fog"], "no condition 'fog'"),
        (["--compare", "alone"], "NAME=FILE"),
        (["--cameras", "nowhere.npz"], "nowhere.npz"),
        (["--model-card", "nowhere.md", "--conditions", "full"], "nowhere.md"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(pack_path, weights, arguments, message, capsys):
    command = ["evaluate", "accuracy", "--data", str(pack_path), "--weights", str(weights)]
    command += ["--no-baselines", "--identities", "2", *arguments]
    assert main(command) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_larger_photos_have_a_whole_number_of_pixels_for_each_that_is_read(
    pack_path, weights, capsys
):
    command = ["evaluate", "accuracy", "--data", str(pack_path), "--weights", str(weights)]
    command += ["--no-baselines", "--identities", "2", "--conditions", "clean"]
    assert main([*command, "--larger-data", str(pack_path)]) == 1
    error = capsys.readouterr().err.strip()
    assert f"{pack_path}: samples of {SIZE} pixels" in error
    assert "\n" not in error


def test_evaluate_alone_lists_what_there_is(capsys):
    assert main(["evaluate"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("accuracy", "floor", "multispectral", "edits"))


def test_edits_are_drawn_from_a_packed_set(pack_path, weights, tmp_path):
    out = tmp_path / "edits.png"
    command = ["evaluate", "edits", "--data", str(pack_path), "--weights", str(weights)]
    assert main([*command, "--rows", "1", "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
