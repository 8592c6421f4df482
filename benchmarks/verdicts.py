"""How often intervals hold what is true, and how often a true claim is called false.

Run with `make bench`. Draws trainings and images as often as wanted from effects as large as those
that a published study measured (`reports/published/demo-8`), and decides on them as a report does:

- the share of 95 % intervals of a paired difference and of a rate that hold the true value
- of each of the paper's claims, true but only just (all rows alike), how often it "does not hold"
- seconds and memory for 8 runs of 50,000 images
"""

import resource
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.special import ndtr

from camloc.core.rows import BASELINES, Row
from camloc.evaluation.estimates import estimate
from camloc.evaluation.store import MEASURES
from camloc.report import claims
from camloc.report.results import figure_of

OUTCOMES = Path("reports/published/demo-8/outcomes.parquet")
DRAWS, RUNS, IMAGES = 2_000, (1, 3, 5, 8), (200, 720, 1_440, 5_000)


class Effects(NamedTuple):
    """Standard deviations in points of a paired difference of errors."""

    runs: float
    images: float
    rest: float  # of one image in one run


def measured(outcomes: pd.DataFrame, measure: str, pairs: list[tuple[str, str]]) -> Effects:
    """The mean effects behind the differences of pairs of rows."""
    wide = outcomes.pivot_table(index="image", columns=["row", "run"], values=measure)
    parts = []
    for first, second in pairs:
        table = 100 * (wide[first] - wide[second]).dropna().to_numpy()
        n, s = table.shape
        residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
        rest = (residual**2).sum() / ((n - 1) * (s - 1))
        runs = max(table.mean(0).var(ddof=1) - rest / n, 0)
        parts.append((runs, max(table.mean(1).var(ddof=1) - rest / s, 0), rest))
    return Effects(*np.sqrt(np.mean(parts, axis=0)))


def coverage(rng: Generator, effects: Effects, runs: int, images: int) -> dict[str, float]:
    """Percent of intervals that hold the true difference, which is 0, and the true rate, 40 %."""
    held = {"difference": 0, "rate": 0}
    for _ in range(DRAWS):
        run, image = rng.normal(0, effects.runs, runs), rng.normal(0, effects.images, (images, 1))
        table = run + image + rng.normal(0, effects.rest, (images, runs))
        low, high = estimate(table).interval
        held["difference"] += low <= 0 <= high
        wrong = rows_alike(rng, effects, [True], runs, images)[0]
        low, high = estimate(wrong).share_interval
        held["rate"] += low <= 0.4 <= high
    return {name: 100 * count / DRAWS for name, count in held.items()}


def rows_alike(
    rng: Generator, effects: Effects, trained: list[bool], runs: int, images: int
) -> np.ndarray:
    """Errors (rows, images, runs) of 0 and 1 whose expectation is 40 % in every row; a row that is
    not trained is the same in each run.

    Of what makes an image hard 70 % is its own, shared by all rows and runs.
    """
    spread = effects.runs / 100 / np.sqrt(2)  # of one row, where effects are of a difference
    rate = 0.4 + rng.normal(0, spread, (len(trained), 1, runs)) * np.reshape(trained, (-1, 1, 1))
    own = rng.normal(size=(len(trained), images, runs))
    hard = np.sqrt(0.7) * rng.normal(size=(images, 1)) + np.sqrt(0.3) * own
    return (ndtr(hard) < rate).astype(np.float32)


def called_false(rng: Generator, effects: Effects, runs: int, images: int, draws: int) -> pd.Series:
    """Percent of draws in which each claim, and any of them, does not hold where all rows are
    alike."""
    names = sorted(
        {
            row
            for claim in claims.CLAIMS
            for comparison in claim.comparisons
            for row in claims.rows_of(comparison.difference)
        }
    )
    rows = {name: Row(None, name) if name in BASELINES else Row(name) for name in names}
    words = []
    for _ in range(draws):
        drawn = rows_alike(rng, effects, [name not in BASELINES for name in names], runs, images)
        measures = {}
        for name, table in zip(names, drawn, strict=True):
            own = pd.DataFrame(table[:, :1] if name in BASELINES else table)
            measures[name] = dict.fromkeys(claims.MEASURES, own) | {"peak_on_own": own}
        measures[claims.BEST]["peak_on_other"] = measures[names[0]]["cls_err_top1"]
        found = claims.verdicts(measures, rows)
        words.append([verdict.word == claims.FAILS for verdict in found])
    table = pd.DataFrame(words, columns=[str(claim.number) for claim in claims.CLAIMS])
    return 100 * table.assign(any=table.any(axis=1)).mean()


def speed(rng: Generator, runs: int = 8, images: int = 50_000, rows: int = 25) -> str:
    """What all intervals of the rows, and the verdicts, take."""
    names = [*dict.fromkeys([*claims.CUT_FROM, claims.MAX_POOLED, *claims.CUT_FROM.values()])]
    names += [f"{name}-control" for name in claims.CUT_FROM.values()]
    names += [f"row-{i}" for i in range(rows - len(names))]
    measures = {
        name: {
            measure: pd.DataFrame(rng.integers(0, 2, (images, runs)).astype(np.float32))
            for measure in MEASURES
        }
        for name in names
    }
    start = time.perf_counter()
    for own in measures.values():
        for table in own.values():
            figure_of(table)
    claims.verdicts(measures, {name: Row(name) for name in names})
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{len(names)} rows of {runs} runs × {images:,} images: {seconds:.1f} s, {peak:.2f} GiB"


def main() -> None:
    rng = np.random.default_rng(0)
    outcomes = pd.read_parquet(OUTCOMES)
    pairs = [("googlenet-gap", "googlenet-gmp"), ("vgg16-gap", "vgg16-control")]
    pairs += [("alexnet-gap", "alexnet-control"), ("googlenet-gap", "googlenet-control")]
    effects = measured(outcomes, "cls_err_top1", pairs)
    print(
        "effects in points:",
        {name: round(float(part), 1) for name, part in effects._asdict().items()},
    )
    lines = {
        (runs, images): coverage(rng, effects, runs, images) for runs in RUNS for images in IMAGES
    }
    table = pd.DataFrame(lines).T.rename_axis(["runs", "images"])
    print(f"\n95 % intervals that hold what is true, percent of {DRAWS:,} draws")
    print(table.round(1).to_string())
    print("\nTrue claims that are called false, percent of draws")
    false = {runs: called_false(rng, effects, runs, 1_440, DRAWS) for runs in (3, 8)}
    print(pd.DataFrame(false).T.rename_axis("runs").round(1).to_string())
    print("\nAll intervals and verdicts of", speed(rng))


if __name__ == "__main__":
    main()
