"""Two revisions of a study side by side: what was changed, and what it did to the errors."""

import hashlib
import json
import math
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.scm import RevError
from dvc_data.index import DataIndexError

from camloc.core.errors import UserError, refusing
from camloc.core.files import write_text
from camloc.core.paths import ABOUT, FOLDER, Study
from camloc.core.surroundings import check_remote, told
from camloc.core.trees import flat, read_tree, shown
from camloc.evaluation import store
from camloc.evaluation.errors import ERRORS
from camloc.evaluation.estimates import estimate
from camloc.report import formatting
from camloc.report.formatting import NONE
from camloc.report.results import Measures, tables_of

WORKSPACE = "workspace"
MISSING = (FileNotFoundError, DvcException, DataIndexError)  # what is not in the cache raises
METRICS = "reports/metrics.json"


@dataclass(frozen=True)
class Revision:
    """A study as some commit, branch, experiment or the working tree holds it.

    `rows` are the errors in percent; `images` the errors image by image, of the rows whose
    evaluation is in DVC's cache; `data` is the split and the data set's fingerprint, or None;
    `about` what made it (see `camloc.report.pages.made_by`), empty where it does not say.
    """

    name: str
    params: dict
    rows: dict[str, dict[str, float]]
    images: dict[str, Measures]
    data: str | None
    about: dict[str, list[str]] = field(default_factory=dict)


def read_revision(root: Path, name: str) -> Revision:
    """The results that a revision holds.

    Args:
        name: anything that Git resolves, a DVC experiment's name, or `workspace`.

    Raises:
        UserError: there is no such revision, or it holds no results.
    """
    which = f"a commit, a branch, an experiment (`dvc exp show` lists them) or `{WORKSPACE}`"
    with refusing(f"revision {shown(name)} cannot be read", f"give {which}"), told(root):
        check_remote(root)
        if not name:  # DVC would take the working tree
            raise UserError(f"no revision {name!r}; give {which}")
        try:
            files = DVCFileSystem(str(root), rev=None if name == WORKSPACE else name)
            metrics, declared = (files.read_text(file) for file in (METRICS, "params.yaml"))
        except RevError:
            raise UserError(f"no revision {shown(name)}; give {which}") from None
        except FileNotFoundError:
            raise UserError(
                f"revision {shown(name)} holds no {METRICS}; run `make repro` there and commit, "
                "or use `dvc exp run`"
            ) from None
    with refusing(f"{METRICS} of revision {shown(name)} is damaged", "run it again"):
        rows = {row: dict(errors) for row, errors in json.loads(metrics).items()}
    params = read_tree(declared, f"params.yaml of revision {shown(name)}")
    about = {}
    with suppress(*MISSING):
        told_by = files.read_text(f"reports/{ABOUT}")
        with refusing(f"{ABOUT} of revision {shown(name)} is damaged", "run it again"):
            about = dict(json.loads(told_by))
    return Revision(name, params, rows, *_cached(files, params), about)


def _cached(files: DVCFileSystem, params: dict) -> tuple[dict, str | None]:
    """Errors image by image and the data set's fingerprint, as far as DVC has them."""
    evaluate, originals, models = (_section(params, n) for n in ("evaluate", "originals", "models"))
    split = evaluate.get("split")
    fingerprint, images = None, {}
    with suppress(*MISSING):
        fingerprint = f"{split} of {files.read_text('data/manifest/dataset.json')}"
    for name in {**originals, **models, **_section(params, "controls")}:
        of_runs: dict[int, store.Evaluation] = {}
        for run in range(1, _runs(params) + 1):
            folder = Study(Path(FOLDER)).of_run(run).evaluation(str(name))
            path = (folder / store.IMAGES).as_posix()
            damaged = refusing(f"{path} is damaged, here or in DVC's cache", "delete it, run again")
            with suppress(*MISSING), files.open(path) as file, damaged:
                of_runs[run] = store.Evaluation.of([pd.read_parquet(file)], wsol={})
        for row, table in tables_of(of_runs).get(split, {}).items():
            images[row.name] = table
    return images, fingerprint


def _runs(params: dict) -> int:
    """How many training runs a params.yaml asks for; one where it says nothing that could be."""
    seeds = params.get("seeds", 1)
    return seeds if type(seeds) is int and 0 < seeds <= 1_000 else 1


def _section(params: dict, name: str) -> dict:
    """A section of another revision's params.yaml; empty where it is none."""
    section = params.get(name)
    return section if isinstance(section, dict) else {}


def changed_params(a: dict, b: dict) -> pd.DataFrame:
    """Keys of params.yaml that differ, with their values in either."""
    values = {"A": flat(a), "B": flat(b)}
    lines = {
        key: {name: str(own.get(key, NONE)) for name, own in values.items()}
        for key in sorted(values["A"].keys() | values["B"].keys())
        if values["A"].get(key) != values["B"].get(key)
    }
    return pd.DataFrame.from_dict(lines, orient="index", columns=["A", "B"]).rename_axis("key")


def changed_conditions(a: Revision, b: Revision) -> pd.DataFrame:
    """What else made the results and differs: machine, threads, instructions, precision, versions,
    commits and data."""
    conditions = [
        {name: ", ".join(map(str, values)) for name, values in each.about.items()}
        | {
            "data": "–"
            if each.data is None
            else hashlib.sha256(each.data.encode()).hexdigest()[:10]
        }
        for each in (a, b)
    ]
    names = dict.fromkeys([*conditions[0], *conditions[1]])
    lines = {
        name: {title: own.get(name, NONE) for title, own in zip("AB", conditions, strict=True)}
        for name in names
        if conditions[0].get(name) != conditions[1].get(name)
    }
    return pd.DataFrame.from_dict(lines, orient="index", columns=["A", "B"]).rename_axis("made by")


def moved_untouched(a: Revision, b: Revision) -> list[str]:
    """Rows whose errors moved although no parameter that differs decides them: something else that
    made the results did."""
    sections = {key.partition(".")[0] for key in changed_params(a.params, b.params).index}
    if sections - {"machine", "study", "boxes", "evaluate"}:
        return []
    decided = ("loc_err",) if sections & {"boxes", "evaluate"} else ()
    return [
        row
        for row in a.rows.keys() & b.rows.keys()
        if any(
            value != b.rows[row].get(error)
            for error, value in sorted(a.rows[row].items())
            if not error.startswith(decided)
        )
    ]


def differences(a: Revision, b: Revision, error: str) -> pd.DataFrame:
    """One error of every row that either revision has, in percent, and B − A in points.

    Where both revisions scored the same images of the same data, the difference is paired;
    elsewhere its interval is of two independent samples, and `images` says so. A dash where the
    results image by image are not in the cache.
    """
    lines = {}
    for row in dict.fromkeys([*a.rows, *b.rows]):
        values = [r.rows.get(row, {}).get(error) for r in (a, b)]
        if values == [None, None]:
            continue
        samples = [r.images.get(row, {}).get(error) for r in (a, b)]
        line: dict[str, object] = {}
        for title, value, sample in zip("AB", values, samples, strict=True):
            span = NONE
            if sample is not None:
                low, high = estimate(sample).share_interval
                span = formatting.interval(100 * low, 100 * high)
            line |= {title: float("nan") if value is None else value, f"{title} interval": span}
        line["difference"] = line["B"] - line["A"]
        low, high, paired = _spread(*samples, same=a.data == b.data is not None)
        line |= {"difference interval": formatting.signed(low, high), "images": paired}
        lines[row] = line | {"low": low, "high": high}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


def _spread(a: pd.DataFrame | None, b: pd.DataFrame | None, same: bool) -> tuple[float, float, str]:
    """The interval of the mean of B − A in points, and how it was taken."""
    if a is None or b is None:
        return float("nan"), float("nan"), NONE
    if same and set(a.index) == set(b.index) and len(a.columns) == len(b.columns):
        moved = estimate(b - a).scaled(100)
        return *moved.interval, f"{moved.images:,}, paired"
    both = estimate(a).scaled(100), estimate(b).scaled(100)
    moved = both[1].mean - both[0].mean
    reach = 1.96 * math.hypot(*(each.error for each in both))
    counts = " and ".join(f"{each.images:,}" for each in both)
    return moved - reach, moved + reach, f"{counts}, not paired"


def compare(root: Path, first: str, second: str) -> Path:
    """Write `reports/compare.html` of two revisions.

    Raises:
        UserError: a revision that is unknown or holds no results.
    """
    a, b = read_revision(root, first), read_revision(root, second)
    page = _page(a, b)
    target = root / "reports" / "compare.html"
    write_text(target, page)
    return target


def _page(a: Revision, b: Revision) -> str:
    from camloc.report import charts, figures  # plotting takes seconds to import

    every = {title: differences(a, b, error) for error, title in ERRORS.items()}
    found = {title: table for title, table in every.items() if len(table)}
    tables = [
        formatting.show(table.drop(columns=["low", "high"]), f"{title[0].upper()}{title[1:]} (%)")
        for title, table in found.items()
    ]
    changed, conditions = changed_params(a.params, b.params), changed_conditions(a, b)
    chart = figures.show(
        charts.differences(found),
        alt=f"How each row's errors differ between {a.name} and {b.name}, with intervals.",
        caption=f"Errors of B ({b.name}) − those of A ({a.name}): to the left B errs less.",
    )
    return formatting.filled(
        "compare.html.j2",
        study=b.params.get("study", ""),
        title=f"{a.name} against {b.name}",
        first=a.name,
        second=b.name,
        changed=formatting.show(changed, "Parameters that differ") if len(changed) else None,
        conditions=formatting.show(conditions, "What else differs") if len(conditions) else None,
        moved=sorted(moved_untouched(a, b)),
        chart=chart,
        tables=tables,
    )
