"""05_report: the rows of all networks into metrics.json, the tables and summary.md."""

import json
from pathlib import Path

from camloc.core.files import replacing
from camloc.core.params import Evaluate
from camloc.core.paths import Study
from camloc.evaluation.rows import HEURISTICS
from camloc.report.results import NO_NETWORK, Report, collect
from camloc.report.summary import summary


def run(study: Study, title: str, networks: dict, evaluate: dict, reports: Path) -> Report:
    """Write `metrics.json` and `summary.md` of the networks to the folder `reports`.

    Args:
        networks: the declarations by name, originals first.
    """
    options = Evaluate(**evaluate)
    report = collect(study, networks, options)
    (reports / "figures").mkdir(parents=True, exist_ok=True)
    rows = report.rows[options.split]
    measured = {
        row: errors
        for row, errors in rows.items()
        if row not in NO_NETWORK and not row.startswith(HEURISTICS)
    }
    (reports / "metrics.json").write_text(json.dumps(measured, indent=2) + "\n")
    (reports / "summary.md").write_text(summary(report, title), encoding="utf-8")
    with replacing(reports / "plots" / "thresholds") as folder:
        for row, curve in report.curves.items():
            curve.to_csv(folder / f"{row}.csv", index=False)
    return report
