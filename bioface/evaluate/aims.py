"""What was aimed at, beside what was reached: the last word of the accuracy page on itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bioface.evaluate.tables import NETWORK, SPECTRAL, TOLD, number, ratio, table, value
from bioface.scores.faces import MAIN_CONDITIONS

SCORES: Sequence[tuple[str, str, str, str, float, bool]] = (
    ("melanin, u", "clean", "melanin_u", "rmse", 0.080, True),
    ("melanin within the face, u", "clean", "melanin_u", "within_rmse", 0.040, True),
    ("haemoglobin, u", "clean", "haemoglobin_u", "rmse", 0.175, True),
    ("haemoglobin within the face, u", "clean", "haemoglobin_u", "within_rmse", 0.058, True),
    ("melanin, u", "full", "melanin_u", "rmse", 0.095, True),
    ("melanin within the face, u", "full", "melanin_u", "within_rmse", 0.046, True),
    ("haemoglobin, u", "full", "haemoglobin_u", "rmse", 0.205, True),
    ("haemoglobin within the face, u", "full", "haemoglobin_u", "within_rmse", 0.068, True),
    ("albedo, linear sRGB", "clean", "albedo", "rmse", 0.035, True),
    ("log diffuse shading, scale-free", "clean", "log_diffuse", "within_rmse", 0.13, True),
    ("specular shading, R2", "clean", "specular", "r2", 0.82, False),
)
"""What was aimed at: title, condition, quantity, score, bound, and whether less is better."""

HALF_OF_BASELINES = 0.5
"""Melanin and albedo: largest ratio to the best method that looks at single pixels."""

HAEMOGLOBIN_OF_BASELINES = 0.85
LARGEST_DROP = 0.06
LARGEST_GROUP = 1.5
SPECTRAL_RATIO = 1.25
CONTEXT_FREE = ("prior mean", "table inversion, D65 and mean camera", "per-pixel network")
PORTRAITS = {"melanin": 0.15, "haemoglobin": 0.3}
LEAST_SPREAD = 0.08


class Aim(NamedTuple):
    """One aim: `reached` at most `bound`, or at least where `less` is false."""

    title: str
    bound: float
    reached: float
    less: bool = True

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.reached <= self.bound if self.less else self.reached >= self.bound

    @property
    def shown(self) -> str:
        """What was reached, with as many digits as tell it from a bound that it misses."""
        digits = 3
        while (
            not self.met
            and digits < 6
            and number(self.reached, digits) == number(self.bound, digits)
        ):
            digits += 1
        return number(self.reached, digits)


def aims(results: Mapping[str, Any]) -> str:
    """The section of the page; empty where nothing was measured that was aimed at."""
    main = results["sets"][0]
    found = [
        *_scores(main),
        *_baselines(results),
        *_drops(main),
        *_worn(results.get("worn")),
        *_spreads(results),
        *_larger(results),
        *_portraits(results),
    ]
    rows = [
        [
            aim.title,
            f"at {'most' if aim.less else 'least'} {number(aim.bound)}",
            aim.shown,
            "met" if aim.met else "**missed**",
        ]
        for aim in found
    ]
    return "## Aimed at\n\n" + table(("what", "aim", "reached", ""), rows) if rows else ""


def _network(entry: Mapping[str, Any], condition: str) -> Mapping[str, Any] | None:
    figures: Mapping[str, Any] | None = entry["conditions"].get(condition, {}).get(NETWORK)
    return figures


def _scores(entry: Mapping[str, Any], photos: str = "") -> Iterator[Aim]:
    """The scores of one set; `photos` ends the titles."""
    for title, condition, quantity, score, bound, less in SCORES:
        figures = _network(entry, condition)
        reached = None if figures is None else value(figures, quantity, score)
        if reached is not None:
            yield Aim(f"{title}; {condition}{photos}", bound, reached, less)


def _drops(entry: Mapping[str, Any], photos: str = "") -> Iterator[Aim]:
    """What the worst single degradation costs; `photos` ends the titles."""
    clean = _network(entry, "clean")
    if clean is None:
        return
    for pigment in ("melanin", "haemoglobin"):
        whole = value(clean, f"{pigment}_u", "r2")
        drops = [
            whole - after
            for name, methods in entry["conditions"].items()
            if name not in MAIN_CONDITIONS
            and whole is not None
            and (after := value(methods[NETWORK], f"{pigment}_u", "r2")) is not None
        ]
        if drops:
            yield Aim(f"{pigment}, R2 lost to one degradation{photos}", LARGEST_DROP, max(drops))


def _worn(found: Mapping[str, Any] | None) -> Iterator[Aim]:
    """What the worst thing that people wear costs."""
    for pigment in ("melanin", "haemoglobin"):
        pairs = [
            [value(entry[name], f"{pigment}_u", "r2") for name in ("bare", "worn")]
            for entry in (found or {}).values()
        ]
        drops = [a - b for a, b in pairs if a is not None and b is not None]
        if drops:
            title = f"{pigment}, R2 lost with hair, make-up, glasses or clothes"
            yield Aim(title, LARGEST_DROP, max(drops))


def _larger(results: Mapping[str, Any]) -> Iterator[Aim]:
    """The same on photos that are averaged down before they are read."""
    entry = results.get("larger")
    if entry is not None:
        photos = f"; photos of {entry['pixels']} pixels"
        yield from _scores(entry, photos)
        yield from _drops(entry, photos)


def _baselines(results: Mapping[str, Any]) -> Iterator[Aim]:
    """Against the best of what reads single pixels, and for blood of all that is not our own."""
    for condition in MAIN_CONDITIONS:
        methods = results["sets"][0]["conditions"].get(condition, {})
        if NETWORK not in methods:
            continue
        own = (NETWORK, TOLD, *results.get("own", ()))
        others = [name for name in methods if name not in own]
        free = [name for name in others if name in CONTEXT_FREE]
        for title, quantity, names, bound in (
            ("melanin / best method of single pixels", "melanin_u", free, HALF_OF_BASELINES),
            ("albedo / best method of single pixels", "albedo", free, HALF_OF_BASELINES),
            ("haemoglobin / best baseline", "haemoglobin_u", others, HAEMOGLOBIN_OF_BASELINES),
        ):
            rivals = [value(methods[name], quantity, "rmse") for name in names]
            best = min((rmse for rmse in rivals if rmse is not None), default=None)
            reached = ratio(value(methods[NETWORK], quantity, "rmse"), best)
            if reached is not None:
                yield Aim(f"{title}; {condition}", bound, reached)


def _spreads(results: Mapping[str, Any]) -> Iterator[Aim]:
    """Over groups of skin tone and kinds of truth."""
    main = results["sets"][0]
    clean = _network(main, "clean")
    for condition in MAIN_CONDITIONS:
        figures = _network(main, condition)
        if figures is None:
            continue
        for pigment in ("melanin", "haemoglobin"):
            quantity = f"{pigment}_u"
            groups = [
                value(group, quantity, "rmse") for group in figures["groups"]["tone"].values()
            ]
            worst = max((rmse for rmse in groups if rmse is not None), default=None)
            reached = ratio(worst, value(figures, quantity, "rmse"))
            if reached is not None:
                title = f"{pigment}, worst skin tone / all; {condition}"
                yield Aim(title, LARGEST_GROUP, reached)
    for entry in results["sets"][1:]:
        beside = _network(entry, "clean")
        if entry["heads"] != SPECTRAL or clean is None or beside is None:
            continue
        for pigment in ("melanin", "haemoglobin"):
            for within, score in (("", "rmse"), (" within the face", "within_rmse")):
                pair = [value(figures, f"{pigment}_u", score) for figures in (beside, clean)]
                reached = ratio(*pair)
                if reached is not None:
                    title = f"{pigment}{within}, {entry['name']} / clean"
                    yield Aim(title, SPECTRAL_RATIO, reached)


def _portraits(results: Mapping[str, Any]) -> Iterator[Aim]:
    found = results.get("portraits")
    if not found:
        return
    yield Aim(
        "photos, reconstruction RMSE, white balance and exposure fitted",
        0.025,
        found["reconstruction"]["rmse"],
    )
    yield Aim("photos, the same / skin intensity", 0.08, found["reconstruction"]["percent"] / 100)
    for pigment, bound in PORTRAITS.items():
        worst = max(shift[pigment] for shift in found["shift"].values())
        yield Aim(f"photos, {pigment}, largest shift / sd between people", bound, worst)
        spread = found["between_sd"][pigment]
        yield Aim(f"photos, {pigment}, sd between people, u", LEAST_SPREAD, spread, less=False)
