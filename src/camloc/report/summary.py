"""metrics.json, summary.md and leaderboard.csv."""

import json
from pathlib import Path

from camloc.core.files import replacing, write_text
from camloc.data.manifest import SPLITS
from camloc.report import leaderboard, tables
from camloc.report.claims import RULE, headline
from camloc.report.formatting import filled, markdown
from camloc.report.results import Results


def write(results: Results, title: str, reports: Path) -> None:
    """Write `metrics.json`, `summary.md`, `leaderboard.csv` and, for DVC's plots, the curves over
    thresholds.

    Args:
        title: of the study.
        reports: the folder that gets them.
    """
    texts = {
        "metrics.json": json.dumps(results.metrics, indent=2) + "\n",
        "summary.md": summary(results, title),
    }
    for name, text in texts.items():
        write_text(reports / name, text)
    leaderboard.table(results).to_csv(reports / leaderboard.FILE, index=False)
    with replacing(reports / "plots" / "thresholds") as folder:
        for row, curve in results.curves.items():
            curve.to_csv(folder / f"{row}.csv", index=False)


def summary(results: Results, title: str) -> str:
    """The tables as Markdown: what was run on what, paper beside measured."""
    counts = results.manifest.images["split"].value_counts()
    pictures = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if split in counts)
    values = {"title": title, "pictures": pictures, "tables": tables, "markdown": markdown}
    values |= {
        "rule": RULE,
        "headline": headline(results.verdicts),
        "trainings": trainings(results),
    }
    return filled("summary.md.j2", results=results, **values)


def trainings(results: Results) -> str:
    """How many training runs the figures are means over, and what their intervals cover."""
    counts = {results.runs(row) for row in results.rows} - {0}
    if counts <= {1}:
        text = (
            "Each network is of one training. In brackets: the 95 % confidence interval over the "
        )
        text += "images of the split, which does not cover how another training would differ."
    else:
        told = " to ".join(str(n) for n in sorted({min(counts), max(counts)}))
        text = (
            f"Figures are means over {told} training runs of each network. In brackets: the 95 % "
        )
        text += "confidence interval over images and training runs; *between runs*: the standard "
        text += "deviation of one run's figure."
    missing = results.seeds - min(counts, default=results.seeds)
    if missing > 0:
        text += f" {results.seeds} runs were asked for; of some networks {missing} failed."
    return text
