"""The paper's claims as data, and the one rule by which a study's results decide them.

Localization is compared by the top-5 error: by it the paper's own Table 2 bears out each of these
claims, which it does not by the top-1 error. What a claim calls alike, or little, is up to `MARGIN`
points.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan

import pandas as pd

from camloc.core.rows import Row
from camloc.evaluation.errors import ERRORS, GT_KNOWN
from camloc.evaluation.intervals import bootstrap
from camloc.report import paper

HOLDS, FAILS, CANNOT_TELL = "holds", "does not hold", "cannot tell"
RULE = (
    "A claim holds if the 95 % confidence interval of every comparison lies where the claim puts "
    "it. It does not hold if some interval lies wholly elsewhere. Otherwise this study cannot tell."
)
MARGIN = 2.0  # points of error; the paper calls a cost of 1 to 2 points small
CUT_FROM = {
    "alexnet-gap": "alexnet",
    "alexnet2-gap": "alexnet",
    "vgg16-gap": "vgg16",
    "googlenet-gap": "googlenet",
}
BEST, MAX_POOLED = "googlenet-gap", "googlenet-gmp"
CLASSIFICATION, LOCALIZATION = "cls_err_top1", "loc_err_top5"
MEASURES = ERRORS | {
    "object_cover": "coverage of the object",
    "part_cover": "coverage of the object's parts",
}


# A measure of a row on each image, or the difference of two figures on the same images.
Figure = tuple[str, str] | tuple["Figure", "Figure"]


@dataclass(frozen=True)
class Comparison:
    """A difference, and the bounds in points within which the claim puts its mean."""

    what: str
    difference: Figure
    least: float = -inf
    most: float = inf


@dataclass(frozen=True)
class Claim:
    """A claim, and the figure of the report that shows it (its name, see `figures.show`)."""

    number: int
    figure: str
    text: str
    comparisons: list[Comparison]


def _between(first: str, second: str, measure: str, least: float, most: float) -> Comparison:
    what = f"{MEASURES[measure]}: {first} − {second}"
    return Comparison(what, ((first, measure), (second, measure)), least, most)


def _less(first: str, second: str, measure: str) -> Comparison:
    return _between(first, second, measure, -inf, 0)


def _surgery_costs_more(first: str, second: str) -> Comparison:
    cost, other = (
        ((row, CLASSIFICATION), (CUT_FROM[row], CLASSIFICATION)) for row in (first, second)
    )
    return Comparison(f"cost of the surgery: {first} − {second}", (cost, other), least=0)


CLAIMS = [
    Claim(
        1,
        "baselines",
        "A GAP network localizes: its boxes beat the centre box and the whole-image box.",
        [_less(row, box, GT_KNOWN) for row in CUT_FROM for box in ("centre-box", "whole-image")],
    ),
    Claim(
        2,
        "classification",
        "Replacing the fully connected layers of VGGnet and GoogLeNet costs little: 1 to 2 "
        "points of top-1 classification error.",
        [_between(row, CUT_FROM[row], CLASSIFICATION, -inf, MARGIN) for row in ("vgg16-gap", BEST)],
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
        [_less(BEST, MAX_POOLED, LOCALIZATION)],
    ),
    Claim(
        6,
        "coverage",
        "GAP covers the object's extent, GMP one discriminative part.",
        [_between(BEST, MAX_POOLED, m, 0, inf) for m in ("object_cover", "part_cover")],
    ),
    Claim(
        7,
        "localization",
        "GAP networks localize better than their originals' backprop saliency, NIN and the "
        "uncut GoogLeNet.",
        [
            *(_less(row, Row(cut, "backprop").name, LOCALIZATION) for row, cut in CUT_FROM.items()),
            *(_less(BEST, other, LOCALIZATION) for other in ("nin", "googlenet")),
        ],
    ),
    Claim(
        8,
        "localization",
        "GoogLeNet-GAP localizes best of all.",
        [_less(BEST, row, LOCALIZATION) for row in paper.TABLE_2 if row != BEST],
    ),
    Claim(
        9,
        "resolution",
        "A higher map resolution localizes better: GoogLeNet cut at 4e against uncut.",
        [_less(BEST, "googlenet", LOCALIZATION)],
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
                f"pointing game, own object − the other class's: {BEST}",
                ((BEST, "peak_on_own"), (BEST, "peak_on_other")),
                least=0,
            )
        ],
    ),
]


@dataclass(frozen=True)
class Effect:
    """The mean of a comparison's difference in points and its 95 % confidence interval.

    NaN, of no image, where the study lacks what is compared. `seeds` are the training runs over
    which each image's figures are means, those of the row that has fewest.
    """

    comparison: Comparison
    mean: float
    low: float
    high: float
    images: int
    seeds: int

    @property
    def verdict(self) -> str:
        least, most = self.comparison.least, self.comparison.most
        if self.low > most or self.high < least:
            return FAILS
        return HOLDS if self.low > least and self.high < most else CANNOT_TELL


@dataclass(frozen=True)
class Verdict:
    """What a study says of a claim, by `RULE`."""

    claim: Claim
    effects: list[Effect]

    @property
    def word(self) -> str:
        found = {effect.verdict for effect in self.effects}
        return FAILS if FAILS in found else HOLDS if found == {HOLDS} else CANNOT_TELL


def verdicts(
    measures: Mapping[str, pd.DataFrame], seeds: Mapping[str, int] | None = None
) -> list[Verdict]:
    """A verdict on each of `CLAIMS`.

    Args:
        measures: of each row one row per image, its index, and a column per measure, all shares
            from 0 to 1.
        seeds: of the rows whose figures are means over several training runs, how many.
    """
    return [
        Verdict(claim, [effect(each, measures, seeds or {}) for each in claim.comparisons])
        for claim in CLAIMS
    ]


def effect(
    comparison: Comparison, measures: Mapping[str, pd.DataFrame], seeds: Mapping[str, int]
) -> Effect:
    """What a study's measures say of a comparison; arguments as for `verdicts`."""
    points = 100 * _by_image(comparison.difference, measures).dropna().to_numpy()
    mean = float(points.mean()) if len(points) else nan
    fewest = min(seeds.get(row, 1) for row in _rows(comparison.difference))
    return Effect(comparison, mean, *bootstrap(points), len(points), fewest)


def _by_image(figure: Figure, measures: Mapping[str, pd.DataFrame]) -> pd.Series:
    """Empty where the study lacks a row or its measure."""
    first, second = figure
    if isinstance(first, str):
        return measures.get(first, pd.DataFrame()).get(second, pd.Series(dtype=float))
    return _by_image(first, measures) - _by_image(second, measures)


def _rows(figure: Figure) -> list[str]:
    first, second = figure
    return [first] if isinstance(first, str) else _rows(first) + _rows(second)
