"""summary.md."""

from camloc.data.manifest import SPLITS
from camloc.report import formatting, tables
from camloc.report.results import Report


def summary(report: Report, title: str) -> str:
    """The tables as Markdown: what was run on what, paper beside measured."""
    manifest = report.manifest
    counts = manifest.images["split"].value_counts()
    pictures = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if split in counts)
    return f"""# Results of the study `{title}`

Data: {manifest.source}, {len(manifest.classes)} classes; {pictures} images. Measured on the
{report.split} split. {_comparable(manifest.source)}

Difference is measured less paper, in points; intervals are 95 %, from a bootstrap over the images
of the split: they do not hold how much another training run would differ. A dash is a figure that
the paper does not give or that this study did not measure. Lower is better but where it says
accuracy (Acc, PxAP).

## Table 1. Classification error (%)

{formatting.markdown(report.table_1)}

## Table 2. Localization error (%)

{formatting.markdown(report.table_2)}

## Table 3. Localization error on the test set, top-5 (%)

{formatting.markdown(report.table_3)}

## The paper's claims

A claim holds if the 95 % interval of every comparison lies where the claim puts it, it does not
hold if some interval lies wholly elsewhere, and otherwise this study cannot tell; where a row was
not run there is no image to tell by. Seeds are training runs: the intervals do not hold how much
another one would differ. Shares of objects and parts are of what is above the paper's threshold.

{_verdicts(report)}

{formatting.markdown(tables.claims(report.claims))}

## Beside boxes that look at nothing

GT-known localization error (%) of every row that has a map, of the whole image's box, of a
centred box of half its area, and of a Gaussian about the centre as a map.

{formatting.markdown(report.baselines)}

## Paired differences

Localization error of the first row less that of the second on the same images, in points.

{formatting.markdown(report.differences)}

## Over all thresholds

MaxBoxAcc and MaxBoxAccV2 (%) of the map of the true class, at the threshold that is best on the
other split. *Tuned here*: at the one that is best on this very split, as many papers report it.
PxAP (%) is measured against object masks, where there are some.

{formatting.markdown(report.over_thresholds)}

## What kind of miss

Percent of the images by what becomes of the first guess (rules of TS-CAM, Gao et al. 2021).

{formatting.markdown(report.anatomy)}

The same by the share of the image that the object takes: small up to 20 %, large over 50 %.

{formatting.markdown(report.anatomy_by_size)}

{_choices(report)}{_seeds(report)}## Every error on every split (%)

{formatting.markdown(report.both_splits)}
"""


def _verdicts(report: Report) -> str:
    claims = report.claims
    return "\n".join(f"{claim.number}. **{claim.verdict}**: {claim.text}" for claim in claims)


def _choices(report: Report) -> str:
    parts = [
        f"## What each choice of the evaluation moves: {name}\n\nLocalization error (%) with one "
        "choice changed, and the paired difference in points against this study's own.\n\n"
        f"{formatting.markdown(tables.moved_by_choices(moved))}\n\n"
        for name, moved in report.choices.items()
    ]
    return "".join(parts)


def _seeds(report: Report) -> str:
    if not report.seeds:
        return ""
    return f"## Over training seeds\n\n{formatting.markdown(report.over_seeds)}\n\n"


def _comparable(source: str) -> str:
    if source == "ilsvrc":
        return "The paper's figures are of the same data."
    return (
        "The paper's figures are of ILSVRC 2012, another and much larger data set: they stand "
        "beside these for the order of the rows, not for their height."
    )
