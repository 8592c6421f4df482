"""The paper's claims, each with the comparisons that decide it and its verdict on this study.

A comparison is a paired difference on the same images, with its 95 % bootstrap interval. A claim
holds if every interval lies where the claim puts it, it does not hold if some interval lies wholly
elsewhere, and otherwise the study cannot tell. Localization is compared by the top-5 error: by it
the paper's own Table 2 bears out each of these claims, which it does not by the top-1 error. What
a claim calls alike, or little, is up to `MARGIN` points.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from camloc.evaluation.errors import ERRORS, GT_KNOWN
from camloc.evaluation.intervals import bootstrap
from camloc.report import paper

HOLDS, FAILS, CANNOT_TELL = "holds", "does not hold", "cannot tell"
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
    "object_cover": "share of the object that the map covers",
    "part_cover": "share of the object's parts that the map covers",
}


@dataclass(frozen=True)
class Images:
    """Each row's figures image by image, and over how many training seeds they are means."""

    rows: dict[str, pd.DataFrame]
    seeds: dict[str, int]

    def column(self, row: str, measure: str) -> pd.Series:
        """A measure of a row, by image; empty where the study lacks it."""
        return self.rows.get(row, pd.DataFrame()).get(measure, pd.Series(dtype=float))

    def fewest_seeds(self, *rows: str) -> int:
        return min(self.seeds.get(row, 1) for row in rows)


@dataclass(frozen=True)
class Comparison:
    """A mean difference in points, its interval, and the bounds within which the claim puts it.

    NaN, of no image, where the study lacks what is compared. `seeds` are the training runs over
    which each image's figures are means, those of the row that has fewest.
    """

    what: str
    effect: float
    low: float
    high: float
    images: int
    seeds: int
    least: float
    most: float

    @property
    def verdict(self) -> str:
        if self.low > self.most or self.high < self.least:
            return FAILS
        return HOLDS if self.low > self.least and self.high < self.most else CANNOT_TELL


@dataclass(frozen=True)
class Claim:
    """A claim, and the figure of the report that shows it (its name, see `figures.show`)."""

    number: int
    figure: str
    text: str
    comparisons: list[Comparison]

    @property
    def verdict(self) -> str:
        verdicts = {comparison.verdict for comparison in self.comparisons}
        if FAILS in verdicts:
            return FAILS
        return HOLDS if verdicts == {HOLDS} else CANNOT_TELL


def ledger(rows: dict[str, pd.DataFrame], seeds: dict[str, int] | None = None) -> list[Claim]:
    """The eleven claims of Zhou et al. (2016), in the order of the paper.

    Args:
        rows: of each row of the tables a line an image, `image` its index: the row's errors and,
            where they could be measured, `object_cover`, `part_cover`, `peak_on_own` and
            `peak_on_other` (see `camloc.evaluation.coverage`), all shares from 0 to 1.
        seeds: of the rows whose figures are means over several training runs, how many.
    """
    images = Images(rows, seeds or {})
    gap, beside_gmp = list(CUT_FROM), (BEST, MAX_POOLED)
    return [
        Claim(
            1,
            "baselines",
            "A GAP network localizes: its boxes beat the centre box and the whole-image box.",
            [
                _less(images, network, box, GT_KNOWN)
                for network in gap
                for box in ("centre-box", "whole-image")
            ],
        ),
        Claim(
            2,
            "classification",
            "Replacing the fully connected layers of VGGnet and GoogLeNet costs little: 1 to 2 "
            "points of top-1 classification error.",
            [
                _difference(images, row, CUT_FROM[row], CLASSIFICATION, -np.inf, MARGIN)
                for row in ("vgg16-gap", BEST)
            ],
        ),
        Claim(
            3,
            "classification",
            "AlexNet suffers most from the surgery, and a second convolution (AlexNet*-GAP) wins "
            "some of it back.",
            [
                _costs_more(images, "alexnet-gap", "vgg16-gap"),
                _costs_more(images, "alexnet-gap", BEST),
                _less(images, "alexnet2-gap", "alexnet-gap", CLASSIFICATION),
            ],
        ),
        Claim(
            4,
            "classification",
            "GAP and GMP classify alike.",
            [_difference(images, *beside_gmp, CLASSIFICATION, -MARGIN, MARGIN)],
        ),
        Claim(
            5,
            "gap-gmp",
            "GAP localizes better than GMP.",
            [_less(images, *beside_gmp, LOCALIZATION)],
        ),
        Claim(
            6,
            "extent",
            "GAP covers the object's extent, GMP one discriminative part.",
            [
                _difference(images, *beside_gmp, measure, 0, np.inf)
                for measure in ("object_cover", "part_cover")
            ],
        ),
        Claim(
            7,
            "localization",
            "GAP networks localize better than their originals' backprop saliency, NIN and the "
            "uncut GoogLeNet.",
            [
                *(_less(images, r, f"backprop-{CUT_FROM[r]}", LOCALIZATION) for r in gap),
                *(_less(images, BEST, other, LOCALIZATION) for other in ("nin", "googlenet")),
            ],
        ),
        Claim(
            8,
            "localization",
            "GoogLeNet-GAP localizes best of all.",
            [_less(images, BEST, row, LOCALIZATION) for row in paper.TABLE_2 if row != BEST],
        ),
        Claim(
            9,
            "resolution",
            "A higher map resolution localizes better: GoogLeNet cut at 4e against uncut.",
            [_less(images, BEST, "googlenet", LOCALIZATION)],
        ),
        Claim(
            10,
            "claims",
            "The two-box heuristic lowers top-5 localization error.",
            [_less(images, f"heuristics-{BEST}", BEST, LOCALIZATION)],
        ),
        Claim(
            11,
            "classes",
            "Maps of different classes on one image differ in place: each points at its object.",
            [_own_object(images, BEST)],
        ),
    ]


def _less(images: Images, first: str, second: str, measure: str) -> Comparison:
    """The first row less the second, which the claim puts below zero."""
    return _difference(images, first, second, measure, -np.inf, 0)


def _difference(
    images: Images, first: str, second: str, measure: str, least: float, most: float
) -> Comparison:
    each = images.column(first, measure) - images.column(second, measure)
    seeds = images.fewest_seeds(first, second)
    return _compare(f"{MEASURES[measure]}: {first} − {second}", each, seeds, least, most)


def _costs_more(images: Images, first: str, second: str) -> Comparison:
    """What surgery costs the first network less what it costs the second."""
    cost, other = (
        images.column(row, CLASSIFICATION) - images.column(CUT_FROM[row], CLASSIFICATION)
        for row in (first, second)
    )
    seeds = images.fewest_seeds(first, second, CUT_FROM[first], CUT_FROM[second])
    return _compare(f"cost of the surgery: {first} − {second}", cost - other, seeds, 0, np.inf)


def _own_object(images: Images, row: str) -> Comparison:
    """How much more often a class's map peaks on its own object than on the other class's."""
    each = images.column(row, "peak_on_own") - images.column(row, "peak_on_other")
    seeds = images.fewest_seeds(row)
    what = f"peaks on the own object − on the other's: {row}"
    return _compare(what, each, seeds, 0, np.inf)


def _compare(what: str, each: Iterable[float], seeds: int, least: float, most: float) -> Comparison:
    """Of each image's difference as a share, those of unknown ones left out."""
    known = 100 * pd.Series(each, dtype=float).dropna().to_numpy()
    effect = float(known.mean()) if len(known) else np.nan
    return Comparison(what, effect, *bootstrap(known), len(known), seeds, least, most)
