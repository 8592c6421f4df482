"""05_report: the rows of all networks into metrics.json, the tables and summary.md."""

from pathlib import Path

from camloc.core.paths import Study
from camloc.pipeline.parameters import ReportParameters
from camloc.report import summary
from camloc.report.results import Results, collect


def run(study: Study, given: ReportParameters, reports: Path) -> Results:
    """Write `metrics.json`, `summary.md` and the curves over thresholds to the folder `reports`."""
    networks = given.originals | given.models | given.controls
    results = collect(study, networks, given.evaluate, given.seeds)
    (reports / "figures").mkdir(parents=True, exist_ok=True)
    summary.write(results, given.study, reports)
    return results
