"""The experiments of a sweep beside each other: what differs in params.yaml, and every error."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from dvc.repo import Repo

from camloc.core.errors import UserError, refusing
from camloc.core.files import write_text
from camloc.core.surroundings import check_remote, told
from camloc.core.trees import flat
from camloc.evaluation.errors import ERRORS
from camloc.report import formatting
from camloc.report.compare import METRICS
from camloc.report.formatting import NONE

FINISHED, NO_RESULTS = "finished", "no results"
QUEUE = "dvc exp run --queue --set-param boxes.threshold=0.1,0.2,0.3"


@dataclass(frozen=True)
class Experiment:
    """An experiment, or the commit from which some began.

    `state` is `FINISHED`, `NO_RESULTS`, or DVC's word for one that is not over or failed; `params`
    are the values of params.yaml by their keys, joined by dots; `rows` the errors in percent, none
    unless it is finished.
    """

    name: str
    state: str
    params: dict[str, Any]
    rows: dict[str, dict[str, float]]


def experiments(listed: Iterable[Mapping[str, Any]]) -> list[Experiment]:
    """A commit, and after it the experiments that began from it.

    Args:
        listed: the commit as `dvc exp show --json` lists it.

    Raises:
        UserError: there is no experiment; says how to queue some.
    """
    for commit in listed:
        if began := commit["experiments"]:
            own = [_experiment(one["revs"][0], one["executor"]) for one in began]
            return [_experiment(commit), *sorted(own, key=lambda one: one.name)]
    raise UserError(
        f"no experiment began from the commit that is checked out; queue some with `{QUEUE}` and "
        "run them with `dvc queue start`"
    )


def _experiment(state: Mapping[str, Any], executor: Mapping[str, Any] | None = None) -> Experiment:
    data = state["data"] or {}
    params, metrics = (
        (data.get(kind) or {}).get(file, {}).get("data") or {}
        for kind, file in (("params", "params.yaml"), ("metrics", METRICS))
    )
    word = (executor or {}).get("state", "success")
    if word == "success":
        word = FINISHED if params and metrics else NO_RESULTS
    # Until one is finished, its metrics are those of the commit from which it began.
    rows = {
        row: {error: float(percent) for error, percent in own.items()}
        for row, own in metrics.items()
        if word == FINISHED
    }
    return Experiment(state["name"] or state["rev"][:7], word, flat(params), rows)


def differing(found: Sequence[Experiment]) -> dict[str, list[str]]:
    """The keys of params.yaml in which experiments differ, each with its values as text, ordered by
    the numbers in them; a dash stands where an experiment lacks the key."""
    known = [one for one in found if one.params]  # a file that cannot be read gives none
    keys = dict.fromkeys(key for one in known for key in one.params)
    values = {key: {_value(one, key) for one in known} for key in keys}
    return {key: sorted(own, key=_order) for key, own in values.items() if len(own) > 1}


def _value(one: Experiment, key: str) -> str:
    return str(one.params[key]) if key in one.params else NONE


def _order(text: str) -> tuple[list[float], str]:
    numbers = re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", text)
    return [float(number) for number in numbers], text


def parameters(found: Sequence[Experiment], keys: Iterable[str]) -> pd.DataFrame:
    """The values of these keys as text, a row per experiment."""
    return _table(found, ({key: _value(one, key) for key in keys} for one in found))


def errors(found: Sequence[Experiment], error: str) -> pd.DataFrame:
    """One error in percent of all rows that have it, a row per experiment."""
    values = ({row: own.get(error) for row, own in one.rows.items()} for one in found)
    return _table(found, values).astype(float).dropna(axis="columns", how="all")


def _table(found: Sequence[Experiment], values: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Names may come twice: one that failed may have been queued again."""
    names = pd.Index([one.name for one in found], name="experiment")
    return pd.DataFrame(list(values), index=names)


def sweep(root: Path) -> Path:
    """Write `reports/sweep.html` of the experiments from the commit that is checked out.

    Raises:
        UserError: there are none, or DVC cannot list them.
    """
    advice = "experiments need a git repository with a commit; see `dvc exp show`"
    with refusing(f"experiments in {root} cannot be listed", advice), told(root):
        check_remote(root)
        with Repo(str(root)) as repo:
            listed = [commit.dumpd() for commit in repo.experiments.show(hide_workspace=True)]
        found = experiments(listed)
    target = root / "reports" / "sweep.html"
    write_text(target, page(found))
    return target


def page(found: Sequence[Experiment]) -> str:
    """The page of a commit and the experiments that began from it."""
    commit, *own = found
    finished = [one for one in found if one.state == FINISHED]
    axes = differing(finished)
    finished.sort(key=lambda one: [values.index(_value(one, key)) for key, values in axes.items()])
    unfinished = [one for one in own if one.state != FINISHED]
    states = parameters(unfinished, differing(found))
    states.insert(0, "state", [one.state for one in unfinished])
    return formatting.filled(
        "sweep.html.j2",
        study=commit.params.get("study", ""),
        title="The experiments of a sweep",
        commit=commit.name,
        finished=len(own) - len(unfinished),
        experiments=len(own),
        parts=[part for error in ERRORS for part in _parts(finished, axes, error)],
        unfinished=formatting.show(states, "Not finished") if unfinished else None,
    )


def _parts(
    finished: Sequence[Experiment], axes: Mapping[str, Sequence[str]], error: str
) -> Iterator[object]:
    """The figure and the table of one error, where some experiment has it."""
    title, params, percent = ERRORS[error], parameters(finished, axes), errors(finished, error)
    title = title[0].upper() + title[1:]
    if percent.empty:
        return
    moved = percent.loc[:, percent.nunique(dropna=False) > 1]
    if len(moved.columns):
        from camloc.report import charts, figures  # plotting takes seconds to import

        yield figures.show(
            charts.parallel(params, axes, moved),
            alt=f"{title} of {', '.join(moved)}, by {', '.join(axes)}: a line per experiment.",
            caption=f"{title} by experiment, of the rows in which it differs.",
        )
    yield formatting.show(pd.concat([params, percent], axis="columns"), f"{title} (%)")
