"""Results of `bioface.evaluate.accuracy` as text for the terminal and as a page of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bioface.evaluate.aims import aims
from bioface.evaluate.methods import pairs, side_by_side
from bioface.evaluate.tables import (
    NETWORK,
    SMALLER,
    SPECTRAL,
    TOLD,
    TRANSPORT,
    floors,
    group_table,
    number,
    table,
    tone_floor,
    value,
    with_interval,
)
from bioface.scores.faces import MAIN_CONDITIONS

WRITTEN = "<!-- Written by `bioface evaluate accuracy`; do not edit. -->"
"""What tells a page of this command from other files."""

GROUP_TITLES = {"tone": "skin tone (ITA class)", "third": "third of melanin", "light": "light"}

_COLUMNS = (
    ("melanin", "melanin_u", "rmse"),
    ("R2", "melanin_u", "r2"),
    ("within", "melanin_u", "within_rmse"),
    ("R2", "melanin_u", "within_r2"),
    ("haemogl.", "haemoglobin_u", "rmse"),
    ("R2", "haemoglobin_u", "r2"),
    ("within", "haemoglobin_u", "within_rmse"),
    ("R2", "haemoglobin_u", "within_r2"),
    ("albedo", "albedo", "rmse"),
    ("log diffuse", "log_diffuse", "within_rmse"),
    ("specular R2", "specular", "r2"),
    ("reconstr.", "reconstruction", "rmse"),
)


def as_text(results: Mapping[str, Any]) -> str:
    """The main figures, a line a method, for the terminal."""
    lines = []
    larger = results.get("larger")
    for entry in (*results["sets"], *([larger] if larger else ())):
        lines.append(f"{_in_short(entry)}; cameras: {results['cameras']}")
        if "clean_set" in entry:
            where = "in clean" if entry["heads"] == SPECTRAL else "in all conditions but full"
            lines.append(f"  {where}: {_in_short(entry['clean_set'])}")
        for condition, methods in entry["conditions"].items():
            titles = "".join(f"{title:>12}" for title, *_ in _COLUMNS)
            lines.append(f"{condition:40}{titles}")
            for method, figures in methods.items():
                cells = (number(value(figures, q, s)) for _, q, s in _COLUMNS)
                lines.append(f"  {method:38}" + "".join(f"{cell:>12}" for cell in cells))
    found = results.get("portraits")
    if found:
        lines.append(
            f"photos: {found['photos']}; reconstruction RMSE "
            f"{found['reconstruction']['rmse']:.4f}, "
            f"{found['reconstruction']['percent']:.1f} % of skin intensity; between people sd "
            + ", ".join(f"{name} {sd:.3f} u" for name, sd in found["between_sd"].items())
        )
        lines += [
            f"  {change:32}" + "  ".join(f"{name} {move:.3f}" for name, move in shifts.items())
            for change, shifts in found["shift"].items()
        ]
    return "\n".join(lines) + "\n"


def _in_short(entry: Mapping[str, Any]) -> str:
    pixels = f", {entry['pixels']} pixels" if "pixels" in entry else ""
    return (
        f"{entry['name']} ({entry['heads']}{pixels}): {entry['identities']} people of "
        f"{entry['samples']} samples; {entry['contents']}"
    )


def as_page(results: Mapping[str, Any], command: str, figures: Mapping[str, str]) -> str:
    """The page docs/accuracy.md.

    Parameters
    ----------
    results
        Of `bioface.evaluate.accuracy.accuracy`.
    command
        What made them, to be repeated.
    figures
        Name of a plot (see `bioface.evaluate.figures`) to its path from the page.
    """
    main = results["sets"][0]
    parts = [_head(results, main, command)]
    shown = [condition for condition in MAIN_CONDITIONS if _has(main, condition)]
    parts += [side_by_side(main, condition, results) for condition in shown]
    if "methods" in figures:
        parts.append(f"![Error of every method]({figures['methods']})")
    parts += [_detail(main, condition, results) for condition in shown]
    parts += [
        aims(results),
        _degradations(main),
        _worn(results.get("worn")),
        _larger(results),
        _groups(main, results, figures),
        _scene(main),
    ]
    for entry in results["sets"][1:]:
        parts.append(_other(entry, main))
        for condition in MAIN_CONDITIONS:
            parts += _of_other(entry, condition) if _has(entry, condition) else []
        scene = _scene_table(entry)
        parts.append(scene and f"### Light, camera, mask and uncertainty\n\n{scene}")
    parts.append(_portraits(results.get("portraits")))
    parts.append(_multispectral(results.get("multispectral")))
    return "\n\n".join(part for part in parts if part) + "\n"


def _has(entry: Mapping[str, Any], condition: str) -> bool:
    return condition in entry["conditions"]


def _head(results: Mapping[str, Any], main: Mapping[str, Any], command: str) -> str:
    network = results["network"]
    return f"""# Accuracy

{WRITTEN}

How well the network reads skin, on rendered faces whose truth is known, and how it behaves
on photos. Written by

```
{command}
```

- Network: {network["parameters"] / 1e6:.2f} million parameters, weights sha256
  `{network["sha256"][:16]}`.
- Test: people that training never saw, {_draws(results["draws"])}, {results["size"]} pixels a side.
  {_sets(main)}
- Cameras: {results["cameras"]}; lights: A, daylight, and the fluorescent and LED spectra held out;
  both frozen in `bioface/data/splits.json`, sha256 `{results["splits_sha256"][:16]}`.
- Unit u is the cube root of the volume fraction scaled to 0-1 (melanin 0.03-0.45, haemoglobin
  0.002-0.06). Scores pool all pixels of sure skin (mask over 0.95, lips left out). *Within the
  face* subtracts each face's mean from both sides; *face mean* compares these means. In brackets:
  95 % intervals, by bootstrap over people. R2 depends on how far the truth spreads: *prior sd*,
  which is what always predicting the mean would score.
- *Clean*: one light, white balance to 2 %, 0.5 % noise, 8 bits. *Full*: tone curves, saturation,
  a tint of single lights, second lights and mixtures, blur, noise to 3 %, JPEG down to 70.
- Nothing is told about light, camera or shading; but *{TOLD}* knows illuminant,
  white balance and the nearest camera of the camera model.{_caution(network)}"""


def _draws(count: int) -> str:
    if count == 1:
        return "each in one photo a condition"
    return f"each in {count} photos a condition (baselines: in the first)"


def _sets(main: Mapping[str, Any]) -> str:
    """Which faces the conditions are measured on, and what covers their skin."""
    clean = main.get("clean_set")
    if clean is None:
        return (
            f"All conditions show the same: {_people(main)}. No set of bare skin was\n"
            "  given for *clean* (`--clean-data`)."
        )
    return f"*Full*: {_people(main)}.\n  *Clean* and the single degradations: {_people(clean)}."


def _people(entry: Mapping[str, Any]) -> str:
    shown = f"{entry['heads']} heads; {entry['contents']}{_rendered(entry)}"
    return f"{entry['identities']} people ({shown})"


def _rendered(entry: Mapping[str, Any]) -> str:
    """How a set was rendered, and what tells it from another one."""
    count, digest = entry.get("samples_per_pixel"), entry.get("sha256")
    sampling = f"; rendered with {count} samples a pixel" if count else ""
    return sampling + (f"; sha256 `{digest[:16]}`" if digest else "")


def _caution(network: Mapping[str, Any]) -> str:
    """A line about weights from before the splits were frozen: their camera model tells."""
    if network["cameras"] == "training":
        return ""
    return """
- **Caution**: these weights were trained before the splits were frozen, with a camera model that
  holds the held-out cameras too, and possibly on some of these people: the figures flatter them."""


def _detail(entry: Mapping[str, Any], condition: str, results: Mapping[str, Any] | None) -> str:
    """Every quantity that the network tells; beside the floors of `results`, unless it is None."""
    figures = entry["conditions"][condition].get(NETWORK)
    if figures is None:
        return ""
    rows = []
    below = _floors_of(results, condition)
    for pigment in ("melanin", "haemoglobin"):
        for unit, quantity, digits in (
            ("u", f"{pigment}_u", 3),
            ("fraction", pigment, 3 if pigment == "melanin" else 4),
        ):
            scores = figures["quantities"][quantity]
            for kind, prefix in (("absolute", ""), ("within", "within_"), ("face mean", "face_")):
                rows.append(
                    [
                        f"{pigment}, {unit}, {kind}",
                        with_interval(scores[f"{prefix}rmse"], digits),
                        with_interval(scores[f"{prefix}r2"], 2),
                        number(scores[f"{prefix}correlation"][0], 2),
                        number(scores[f"{prefix}prior"][0], digits),
                        number(below[kind].get(quantity), digits),
                    ]
                )
    for title, quantity, score, relative in (
        ("albedo", "albedo", "rmse", "r2"),
        ("log diffuse, scale-free", "log_diffuse", "within_rmse", "within_r2"),
        ("specular", "specular", "rmse", "r2"),
        ("root specular", "sqrt_specular", "rmse", "r2"),
        ("reconstruction", "reconstruction", "rmse", "r2"),
    ):
        scores = figures["quantities"].get(quantity)
        if scores:
            prefix = "within_" if score.startswith("within") else ""
            prior = scores[f"{prefix}prior"][0]
            rows.append(
                [
                    title,
                    with_interval(scores[score]),
                    with_interval(scores[relative], 2),
                    number(scores[f"{prefix}correlation"][0], 2),
                    number(prior),
                    "-",
                ]
            )
    header = ("network", "RMSE", "R2", "correlation", "prior sd", "floor")
    if results is None:
        found = table(header[:-1], (row[:-1] for row in rows))
        return f"### In detail, {condition}\n\n{found}"
    found = table(header, rows)
    scale_free = value(figures, "reconstruction", "scale_free_rmse")
    note = (
        ""
        if scale_free is None
        else "\n\nReconstruction is held against the image before tone curve, saturation, noise and"
        f" JPEG; with the factor on each photo that suits it best its RMSE is {scale_free:.3f}."
    )
    floors_are = "*Floor*: what one pixel tells at best, nothing known"
    if below["face mean"]:
        floors_are += (
            "; of face means, what the exact mean colour of a\nface without gloss tells at best "
            "under this test's lights, cameras, white balance and exposure\n"
            "(`bioface.evaluate.mean_colour`)"
        )
    if below["within"]:
        floors_are += (
            "; within a face, what one pixel tells at best where light, camera,\nwhite balance and "
            "the face's mean pigments are known exactly, its shading and gloss are not\n"
            "(`bioface.evaluate.within_face`)"
        )
    return f"## The network in detail, {condition}\n\n{found}\n\n{floors_are}.{note}"


def _floors_of(results: Mapping[str, Any] | None, condition: str) -> dict[str, Mapping[str, float]]:
    """What stands below absolute errors, those of face means and those within a face."""
    if results is None:
        return {"absolute": {}, "face mean": {}, "within": {}}
    of_faces = results.get("mean_colour_floor") if condition == "clean" else None
    return {
        "absolute": dict(floors(results)).get("nothing known", {}),
        "face mean": of_faces["colour"] if of_faces else {},
        "within": (results.get("within_face_floor") or {}).get(condition, {}),
    }


def _degradations(entry: Mapping[str, Any]) -> str:
    clean = entry["conditions"].get("clean", {}).get(NETWORK)
    single = [name for name in entry["conditions"] if name not in MAIN_CONDITIONS]
    if clean is None or not single:
        return ""
    rows = [["*clean*", *_losses(clean)]]
    rows += [[name, *_losses(entry["conditions"][name][NETWORK], clean)] for name in single]
    header = ("R2", "melanin", "melanin within", "haemoglobin", "haemoglobin within")
    return f"""## One degradation at a time

Clean, with a single thing wrong in every photo: R2 and its change.

{table(header, rows)}"""


def _losses(figures: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> list[str]:
    """R2 of both pigments, absolute and within, with its change from `before`."""
    cells = []
    for quantity in ("melanin_u", "haemoglobin_u"):
        for score in ("r2", "within_r2"):
            now, then = (value(f, quantity, score) if f else None for f in (figures, before))
            change = "" if now is None or then is None else f" ({now - then:+.2f})"
            cells.append(number(now, 2) + change)
    return cells


def _worn(found: Mapping[str, Any] | None) -> str:
    """What people wear, have grown and have on, one thing at a time."""
    if not found:
        return ""
    rows = [
        [item, str(pair["worn"]["identities"]), *_losses(pair["worn"], pair["bare"])]
        for item, pair in found.items()
    ]
    header = ("R2", "people", "melanin", "within", "haemoglobin", "within")
    return f"""### What people wear

*Clean* photos of the main set's people who wear, have grown or have on one thing, among whatever
else they do: R2, and in brackets its change from photos of the same people with bare skin, under
the same lights, by the same cameras.

{table(header, rows)}"""


def _larger(results: Mapping[str, Any]) -> str:
    """Photos larger than what the network reads, beside the same taken as small as that."""
    entry = results.get("larger")
    if entry is None:
        return ""
    pixels, size = entry["pixels"], results["size"]
    rows = []
    for condition, methods in entry["conditions"].items():
        larger, smaller = methods[NETWORK], methods[SMALLER]
        rows.append([f"{condition}, {pixels} pixels", *pairs(larger, smaller)])
        rows.append([f"{condition}, {size} pixels", *pairs(smaller)])
    header = ("", "melanin", "within", "haemoglobin", "within")
    groups = [
        f"### By {GROUP_TITLES['tone']}, {condition}, {pixels} pixels\n\n"
        + group_table(entry["conditions"][condition][NETWORK], "tone", tone_floor(results))
        for condition in MAIN_CONDITIONS
        if condition in entry["conditions"]
    ]
    text = f"""## Larger photos

The photos above are as small as what the network reads, {size} pixels a side, and noise, blur and
JPEG spoil them at that size. A face in most photos has more, which `bioface estimate` averages in
linear light. So are these, of {pixels} pixels, degraded as the others are, at their own size.
{_sets(entry)}
RMSE in u / R2 of what is read, {size} pixels a side, and in brackets the ratio to the RMSE on
photos of the same people, lights and cameras that have {size} pixels themselves.

{table(header, rows)}"""
    return "\n\n".join([text, *groups])


def _groups(entry: Mapping[str, Any], results: Mapping[str, Any], plots: Mapping[str, str]) -> str:
    parts = []
    for grouping, title in GROUP_TITLES.items():
        for condition in MAIN_CONDITIONS:
            figures = entry["conditions"].get(condition, {}).get(NETWORK)
            if figures:
                floor = tone_floor(results) if grouping == "tone" else None
                found = group_table(figures, grouping, floor)
                parts.append(f"### By {title}, {condition}\n\n{found}")
        if grouping == "tone" and "tones" in plots:
            parts.append(f"![Error by skin tone]({plots['tones']})")
    if not parts:
        return ""
    return """## Groups

*Mean* is the mean error, read less true: where a photo leaves doubt, readings lean to the middle of
the range. */ all* is the ratio to the error over everybody, */ floor* that to the floor of one
pixel of such skin when nothing is known (`bioface evaluate floor`): under 1 is what a whole face
tells more than a pixel does.

""" + "\n\n".join(parts)


def _scene(entry: Mapping[str, Any]) -> str:
    found = _scene_table(entry)
    if not found:
        return ""
    return f"""## Light, camera, mask and uncertainty

Median absolute error of the correlated colour temperature; median error of the sensitivities over
the spread of cameras (always saying the mean camera scores about 1); mean absolute error of the
skin mask; share of pixels whose error is at most the standard deviation that the network gives
(0.68 of a normal error).

{found}"""


def _scene_table(entry: Mapping[str, Any]) -> str:
    """Empty where no method tells of light, camera or mask."""
    rows = []
    means = (("mask_error", 3), ("melanin_covered", 2), ("haemoglobin_covered", 2))
    for condition in MAIN_CONDITIONS:
        for method, figures in entry["conditions"].get(condition, {}).items():
            scalars = figures["scalars"]
            if "cct_error_mired" in scalars:
                rows.append(
                    [
                        f"{method}, {condition}",
                        f"{scalars['cct_error_mired']['median']:.0f}",
                        f"{scalars['cct_error_kelvin']['median']:.0f}",
                        number(scalars.get("camera_error", {}).get("median"), 2),
                        *(number(scalars.get(n, {}).get("mean"), d) for n, d in means),
                    ]
                )
    header = ("method", "CCT, mired", "CCT, K", "camera", "mask", "melanin +-", "haemoglobin +-")
    return table(header, rows) if rows else ""


def _other(entry: Mapping[str, Any], main: Mapping[str, Any]) -> str:
    """A further set, its errors beside the main set's as ratios."""
    rows = []
    for condition, methods in entry["conditions"].items():
        for method, figures in methods.items():
            beside = (
                main["conditions"]
                .get(condition, {})
                .get(NETWORK if method == TRANSPORT else method)
            )
            alike = [methods[TRANSPORT]] if method == NETWORK and TRANSPORT in methods else []
            cells = pairs(figures, beside, *alike)
            rows.append(
                [f"{method}, {condition}", *cells, number(value(figures, "albedo", "rmse"))]
            )
    header = ("", "melanin", "within", "haemoglobin", "within", "albedo")
    told = ""
    if any(TRANSPORT in methods for methods in entry["conditions"].values()):
        told = """,
whose people have their pigments drawn anew, and to that on photos of the same people, pigments,
lights and cameras as the transport model makes them"""
    kind = entry["heads"] if entry["heads"] == SPECTRAL else f"{entry['heads']} heads"
    bare = entry.get("clean_set")
    clean = (
        f"In *clean* {bare['name']} stands in for it, {bare['identities']} people: "
        f"{bare['contents']}{_rendered(bare)}.\n"
        if bare
        else ""
    )
    return f"""## Another set: {entry["name"]} ({kind}, {entry["identities"]} people)

Skin is covered by: {entry["contents"]}{_rendered(entry)}.
{clean}RMSE in u / R2, and in brackets the ratio of the RMSE to that on the main set\
{" (*clean*: that on its own set)" if "clean_set" in main else ""}{told}.

{table(header, rows)}"""


def _of_other(entry: Mapping[str, Any], condition: str) -> list[str]:
    """The network's other figures on a further set."""
    figures = entry["conditions"][condition][NETWORK]
    tones = f"### By {GROUP_TITLES['tone']}, {condition}\n\n{group_table(figures, 'tone')}"
    return [_detail(entry, condition, None), tones]


def _portraits(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    rows = [
        [change, *(number(shifts[name]) for name in ("melanin", "haemoglobin"))]
        for change, shifts in found["shift"].items()
    ]
    spread = ", ".join(f"{name} {sd:.3f}" for name, sd in found["between_sd"].items())
    least, median, most = found["crop_pixels"]
    return f"""## Real photos

{found["photos"]} portraits, one a person, held out of training by name ({found["skipped"]} more
show no face), {least} to {most} pixels a side where the network looks (median {median}).
Reconstruction by the network, white balance and exposure fitted to the photo (three
factors a photo: `bioface.photo.balance`) and before pixels are refined, over unclipped skin in the
photo's linear light: RMSE {found["reconstruction"]["rmse"]:.4f}, on average
{found["reconstruction"]["percent"]:.1f} % of mean skin intensity. Without these factors:
{found["reconstruction"]["unbalanced_rmse"]:.4f}.

How far readings (face medians of `bioface estimate`) move when the photo is changed: median shift
over the standard deviation between people, which is, in u: {spread}
(a constant would not move either, so that matters too). The way back from one stop darker is one
stop brighter without new clipping.

{table(("change", "melanin", "haemoglobin"), rows)}"""


def _multispectral(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"""## Multispectral images

The benchmark of Alotaibi & Smith (2019, Table 1): RMSE against a fit of the dichromatic skin model
to the spectra, the photo rendered under D65 for the mean camera. The paper counts pigments from -1
to 1, twice u. **The images are not the paper's**, so its figures stand here for scale only.
*Diffuse, scale-free* has the factor on each image that suits it best: how bright a light is, one
photo does not tell. *Fit / spectrum* is what the fit leaves of the spectra, over their mean.

{found["table"]}"""
