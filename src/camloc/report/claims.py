"""The paper's claims as data, and the one rule by which a study's results decide them.

Localization is compared by the top-5 error: by it the paper's own Table 2 bears out each of these
claims, which it does not by the top-1 error. What a claim calls alike, or little, is up to `MARGIN`
points. Networks made by surgery have trained longer than their originals; they are compared with
the controls, which went on for as long, where the study has them. A study of other networks may say
which of them stand for the paper's; its verdicts are then of the comparisons between these.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

import pandas as pd

from camloc.core.params import Control, Model, Original
from camloc.core.rows import BASELINES, HEURISTICS, METHODS, OWN, Row
from camloc.evaluation.errors import ERRORS, GT_KNOWN, HELD_OUT
from camloc.evaluation.estimates import NOTHING, Estimate, estimate, holm
from camloc.evaluation.thresholds import WHOLE_MAP
from camloc.report import paper

HOLDS, FAILS, CANNOT_TELL = "holds", "does not hold", "cannot tell"
DEPENDS, ONE_TRAINING = "depends on the threshold", "one training: no verdict"
NOT_MEASURED = "not measured"
MARGIN = 2.0  # points of error; the paper calls a cost of 1 to 2 points small
SMALLEST = 1.0  # points by which a comparison must miss what is claimed, to count against it
SURE = 0.025  # one-sided, as a two-sided 95 % interval is on either side
RULE = (
    "A claim holds if every comparison lies where the claim puts it, each by its 95 % confidence "
    f"interval. It does not hold if some comparison misses that by more than {SMALLEST:g} point, "
    "after Holm's correction for how many there are. Otherwise this study cannot tell; of a claim "
    "whose rows it lacks it says that it is not measured. "
    "Localization is compared by this study's own rule, by the paper's rule at the threshold that "
    "is best on the other split and, where there are masks, by PxAP: where these say different "
    "things, the verdict depends on the threshold. Networks that were trained once are compared, "
    "but give no verdict: another training may say otherwise."
)
CUT_FROM = {
    "alexnet-gap": "alexnet",
    "alexnet2-gap": "alexnet",
    "vgg16-gap": "vgg16",
    "googlenet-gap": "googlenet",
}
BEST, MAX_POOLED = "googlenet-gap", "googlenet-gmp"
CLASSIFICATION, LOCALIZATION = "cls_err_top1", "loc_err_top5"
MEASURES = (
    ERRORS
    | HELD_OUT
    | WHOLE_MAP
    | {
        "object_cover_equal": "coverage of the object at equal area",
        "part_cover_equal": "coverage of its parts at equal area",
        "top_part_energy": "share of the map on one part",
    }
)
# By what localization is compared: the measures of the top-5 error, and of the GT-known one, which
# is all that boxes of no class have.
OWN_RULE, BEST_THRESHOLD, PXAP = "this study's rule", "the held-out threshold", "PxAP"
TOP_5 = {OWN_RULE: LOCALIZATION, BEST_THRESHOLD: "held_out_top5", PXAP: "pxap_err"}
KNOWN = {OWN_RULE: GT_KNOWN, BEST_THRESHOLD: "held_out_gt_known"}

# A measure of a row on each image, or the difference of two figures on the same images.
Figure = tuple[str, str] | tuple["Figure", "Figure"]


@dataclass(frozen=True)
class Comparison:
    """A difference, and the bounds in points within which the claim puts its mean; `by` is one of
    the ways in which localization is compared, empty for anything else."""

    difference: Figure
    least: float = -inf
    most: float = inf
    by: str = ""
    what: str = ""

    @property
    def title(self) -> str:
        """What is compared, in words."""
        first, second = self.difference
        if self.what:
            rows = dict.fromkeys((next(rows_of(first)), next(rows_of(second))))
            return f"{self.what}: {' − '.join(rows)}"
        return f"{MEASURES[first[1]]}: {first[0]} − {second[0]}"


@dataclass(frozen=True)
class Claim:
    """A claim, and the figure of the report that shows it (its name, see `figures.show`)."""

    number: int
    figure: str
    text: str
    comparisons: list[Comparison]


def control(original: str) -> str:
    """The row of an original that went on training for as long as what was cut from it."""
    return f"{original}-control"


def _between(
    first: str, second: str, measure: str, least: float, most: float, by: str = ""
) -> Comparison:
    return Comparison(((first, measure), (second, measure)), least, most, by)


def _less(first: str, second: str, measure: str, by: str = "") -> Comparison:
    return _between(first, second, measure, -inf, 0, by)


def _localizes_better(first: str, second: str, ways: Mapping[str, str] = TOP_5) -> list[Comparison]:
    return [_less(first, second, measure, by) for by, measure in ways.items()]


def _surgery_costs_more(first: str, second: str) -> Comparison:
    cost, other = (
        ((row, CLASSIFICATION), (control(CUT_FROM[row]), CLASSIFICATION)) for row in (first, second)
    )
    return Comparison((cost, other), least=0, what="cost of the surgery")


CLAIMS = [
    Claim(
        1,
        "baselines",
        "A GAP network localizes: its boxes beat the centre box and the whole-image box.",
        [
            comparison
            for row in CUT_FROM
            for box in ("centre-box", "whole-image")
            for comparison in _localizes_better(row, box, KNOWN)
        ],
    ),
    Claim(
        2,
        "classification",
        "Replacing the fully connected layers of VGGnet and GoogLeNet costs little: 1 to 2 "
        "points of top-1 classification error.",
        [
            _between(row, control(CUT_FROM[row]), CLASSIFICATION, -inf, MARGIN)
            for row in ("vgg16-gap", BEST)
        ],
    ),
    Claim(
        3,
        "classification",
        "AlexNet suffers most from the surgery, and a second convolution (AlexNet*-GAP) wins "
        "some of it back.",
        [
            _surgery_costs_more("alexnet-gap", "vgg16-gap"),
            _surgery_costs_more("alexnet-gap", BEST),
            _less("alexnet2-gap", "alexnet-gap", CLASSIFICATION),
        ],
    ),
    Claim(
        4,
        "classification",
        "GAP and GMP classify alike.",
        [_between(BEST, MAX_POOLED, CLASSIFICATION, -MARGIN, MARGIN)],
    ),
    Claim(
        5,
        "gap-gmp",
        "GAP localizes better than GMP.",
        _localizes_better(BEST, MAX_POOLED),
    ),
    Claim(
        6,
        "coverage",
        "GAP covers the object's extent, GMP one discriminative part.",
        [
            _between(BEST, MAX_POOLED, "object_cover_equal", 0, inf),
            _between(BEST, MAX_POOLED, "part_cover_equal", 0, inf),
            _less(BEST, MAX_POOLED, "top_part_energy"),
        ],
    ),
    Claim(
        7,
        "localization",
        "GAP networks localize better than their originals' backprop saliency, NIN and the "
        "uncut GoogLeNet.",
        [
            comparison
            for first, second in (
                *((row, Row(control(cut), "backprop").name) for row, cut in CUT_FROM.items()),
                (BEST, control("nin")),
                (BEST, control("googlenet")),
            )
            for comparison in _localizes_better(first, second)
        ],
    ),
    Claim(
        8,
        "localization",
        "GoogLeNet-GAP localizes best of all.",
        [
            comparison
            for row in paper.TABLE_2
            if row != BEST
            for comparison in _localizes_better(BEST, row)
        ],
    ),
    Claim(
        9,
        "resolution",
        "A higher map resolution localizes better: GoogLeNet cut at 4e against uncut.",
        _localizes_better(BEST, control("googlenet")),
    ),
    Claim(
        10,
        "claims",
        "The two-box heuristic lowers top-5 localization error.",
        [_less(Row(BEST, "heuristics").name, BEST, LOCALIZATION)],
    ),
    Claim(
        11,
        "classes",
        "Maps of different classes on one image differ in place: each points at its object.",
        [
            Comparison(
                ((BEST, "peak_on_own"), (BEST, "peak_on_other")),
                least=0,
                what="pointing game, own object − the other class's",
            )
        ],
    ),
]


@dataclass(frozen=True)
class Effect:
    """What a study's results say of a comparison: the mean difference in points.

    `told` is False where the compared rows come from trainings of which there is one each, whose
    interval is of the images alone.
    """

    comparison: Comparison
    found: Estimate
    told: bool

    @property
    def verdict(self) -> str:
        if not self.found.images:
            return NOT_MEASURED
        if not self.told:
            return ONE_TRAINING
        if self.against <= SURE:
            return FAILS
        return HOLDS if self.support <= SURE else CANNOT_TELL

    @property
    def support(self) -> float:
        """The p-value of the difference not lying where the claim puts it."""
        found, comparison = self.found, self.comparison
        return max(
            found.below(comparison.most) if comparison.most < inf else 0,
            found.above(comparison.least) if comparison.least > -inf else 0,
        )

    @property
    def against(self) -> float:
        """The p-value of the difference not missing that by more than `SMALLEST`."""
        found, comparison = self.found, self.comparison
        sides = []
        if comparison.most < inf:
            sides.append(found.above(comparison.most + SMALLEST))
        if comparison.least > -inf:
            sides.append(found.below(comparison.least - SMALLEST))
        return min(1.0, len(sides) * min(sides))

    @property
    def to_settle(self) -> str:
        """How many runs or images would tell a difference as large as the one that was found; empty
        where that is known, or is told from the bound but misses it by too little to count."""
        if self.verdict != CANNOT_TELL:
            return ""
        bounds = [b for b in (self.comparison.least, self.comparison.most) if abs(b) < inf]
        distance = min(abs(self.found.mean - bound) for bound in bounds)
        low, high = self.found.interval
        if not distance or not any(low <= bound <= high for bound in bounds):
            return ""
        numbers = {
            "runs": self.found.runs_to_tell(distance),
            "images": self.found.images_to_tell(distance),
        }
        known = [f"{number:,} {name}" for name, number in numbers.items() if number is not None]
        return " or ".join(known) or "more runs and more images"


@dataclass(frozen=True)
class Verdict:
    """What a study says of a claim, by `RULE`."""

    claim: Claim
    effects: list[Effect]  # of rows that the study lacks, without a value

    @cached_property
    def by(self) -> dict[str, str]:
        """What each way of comparing localization says; one entry for claims of anything else."""
        groups: dict[str, list[Effect]] = {}
        for effect in self.effects:
            groups.setdefault(effect.comparison.by, []).append(effect)
        measured = {
            way: effects
            for way, effects in groups.items()
            if any(effect.found.images for effect in effects)
        }
        return {way: _word(effects) for way, effects in measured.items()}

    @property
    def word(self) -> str:
        words = set(self.by.values())
        if ONE_TRAINING in words:
            return ONE_TRAINING
        return next(iter(words), NOT_MEASURED) if len(words) < 2 else DEPENDS

    @property
    def more(self) -> str:
        """What the word leaves open, in a sentence or none."""
        if self.word == DEPENDS:
            told = "; ".join(f"by {way} it {_verb(word)}" for way, word in self.by.items())
            return f"{told[0].upper()}{told[1:]}."
        rivals = self.not_told_from
        if self.claim.figure == "localization" and self.word in (CANNOT_TELL, FAILS) and rivals:
            return f"Not told from, or behind: {', '.join(rivals)}."
        return ""

    @property
    def not_told_from(self) -> list[str]:
        """The second rows of comparisons by the study's own rule that do not lie where claimed."""
        found = (
            effect.comparison.difference[1][0]
            for effect in self.effects
            if effect.comparison.by == OWN_RULE and effect.found.images and effect.support > SURE
        )
        return list(dict.fromkeys(found))

    @property
    def support(self) -> float:
        """The p-value of the claim not holding: all of its comparisons must."""
        return max((effect.support for effect in self._measured), default=1.0)

    @property
    def against(self) -> float:
        """The p-value against the claim, by any of its comparisons."""
        return min(holm([effect.against for effect in self._measured]), default=1.0)

    @property
    def _measured(self) -> list[Effect]:
        return [effect for effect in self.effects if effect.found.images and effect.told]


def _verb(word: str) -> str:
    return {CANNOT_TELL: "cannot be told", NOT_MEASURED: "is not measured"}.get(word, word)


def _word(effects: list[Effect]) -> str:
    """The verdict of comparisons that must all lie where a claim puts them."""
    found = [effect for effect in effects if effect.found.images]
    if any(not effect.told for effect in found):
        return ONE_TRAINING
    if min(holm([effect.against for effect in found])) <= SURE:
        return FAILS
    everything = len(found) == len(effects)
    return HOLDS if everything and all(e.support <= SURE for e in found) else CANNOT_TELL


def stand_ins(networks: Mapping[str, Original | Model | Control]) -> dict[str, str]:
    """The rows of a study that stand for rows of the paper, by these; empty where they are the
    paper's own."""
    places = {
        declared.stands_for: name
        for name, declared in networks.items()
        if not isinstance(declared, Control) and declared.stands_for
    }
    return {
        Row(change(place), method).name: Row(change(name), method).name
        for place, name in places.items()
        for change in (str, control)
        for method in (OWN, *METHODS, *HEURISTICS)
    }


def verdicts(
    measures: Mapping[str, Mapping[str, pd.DataFrame]],
    rows: Mapping[str, Row],
    placed: Mapping[str, str] | None = None,
) -> list[Verdict]:
    """A verdict on each of `CLAIMS`.

    Args:
        measures: of each row its measures, shares from 0 to 1: one row per image, its index, and a
            column per training run.
        rows: by name.
        placed: `stand_ins`; comparisons of rows that nothing stands for are left out then.
    """
    found = []
    for claim in CLAIMS:
        comparisons = claim.comparisons
        if placed:
            comparisons = [
                replace(each, difference=_renamed(each.difference, placed))
                for each in comparisons
                if all(row in placed or row in BASELINES for row in rows_of(each.difference))
            ]
        effects = [effect(_in_study(each, measures), measures, rows) for each in comparisons]
        found.append(Verdict(claim, effects))
    return found


def _renamed(figure: Figure, placed: Mapping[str, str]) -> Figure:
    """A figure of other rows."""
    first, second = figure
    if isinstance(first, str):
        return placed.get(first, first), second
    return _renamed(first, placed), _renamed(second, placed)


def headline(found: list[Verdict]) -> str:
    """How many of the claims hold and do not, by tests corrected for how many claims there are."""
    words = [verdict.word for verdict in found]
    if set(words) == {NOT_MEASURED}:
        return f"None of the paper's {len(found)} claims is measured."
    p_values = {HOLDS: [v.support for v in found], FAILS: [v.against for v in found]}
    holds, fails = (
        sum((p <= SURE) & (word == wanted) for p, word in zip(holm(ps), words, strict=True))
        for wanted, ps in p_values.items()
    )
    told = (
        f"Of {len(found)} claims {holds} {'holds' if holds == 1 else 'hold'} and {fails} "
        f"{'does' if fails == 1 else 'do'} not, after Holm's correction."
    )
    undecided = words.count(ONE_TRAINING)
    if undecided:
        told += (
            f" One training of each network is no verdict on {undecided} of them; docs/protocols.md"
            " has those of the demo's eight."
        )
    return told


def effect(
    comparison: Comparison,
    measures: Mapping[str, Mapping[str, pd.DataFrame]],
    rows: Mapping[str, Row],
) -> Effect:
    """What a study's measures say of a comparison; arguments as for `verdicts`."""
    values = _by_image(comparison.difference, measures)
    found = NOTHING if values is None else estimate(values).scaled(100)
    if not found.error:  # where no image differs, as unsure as if one did
        found = replace(found, of_images=100 / found.images)
    networks = {rows[row].network for row in rows_of(comparison.difference) if row in rows}
    within_one = len(networks) == 1 and None not in networks
    return Effect(comparison, found, told=found.runs > 1 or within_one)


def _in_study(comparison: Comparison, measures: Mapping[str, object]) -> Comparison:
    """The comparison with the originals in the place of controls that the study lacks."""

    absent = {row for row in rows_of(comparison.difference) if row not in measures}
    originals = {row: row.removesuffix("-control") for row in absent}
    return replace(comparison, difference=_renamed(comparison.difference, originals))


def _by_image(
    figure: Figure, measures: Mapping[str, Mapping[str, pd.DataFrame]]
) -> pd.DataFrame | None:
    """A figure by image and run, None where the study lacks a row or its measure. Runs and images
    that only one of two rows has are left out; boxes of no network are the same in every run."""
    first, second = figure
    if isinstance(first, str):
        return measures.get(first, {}).get(second)
    a, b = _by_image(first, measures), _by_image(second, measures)
    if a is None or b is None:
        return None
    if second[0] in BASELINES:
        return a.sub(b.iloc[:, 0], axis=0)
    return (a - b).dropna(axis=1, how="all")


def rows_of(figure: Figure) -> Iterator[str]:
    """The rows that a figure is of."""
    first, second = figure
    yield from [first] if isinstance(first, str) else [*rows_of(first), *rows_of(second)]
