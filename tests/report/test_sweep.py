"""The page of a sweep, from what `dvc exp show --json` lists of made-up experiments."""

import subprocess

import pytest
from dvc.repo import Repo

from camloc import cli
from camloc.core.errors import UserError
from camloc.report import charts, sweep
from camloc.report.figures import show
from camloc.report.sweep import FINISHED, NO_RESULTS, differing, errors, experiments, page

GT_KNOWN = "loc_err_gt_known"


def listed(name: str, state: str | None, threshold: object, error: float | None, **more) -> dict:
    """An experiment as DVC lists it; without an error it left no metrics."""
    params = {"study": "<b>small", "boxes": {"threshold": threshold}} | more
    metrics = {"net": {GT_KNOWN: error}, "<i>": {GT_KNOWN: 50.0}}
    data = {
        "params": {"params.yaml": {"data": params}},
        "metrics": {} if error is None else {"reports/metrics.json": {"data": metrics}},
    }
    revision = {"rev": "0123456789", "name": name, "data": data, "experiments": None}
    executor = state and {"state": state, "name": "dvc-task", "local": None}
    return {"name": name, "revs": [revision], "executor": executor}


def commit(*own: dict) -> list[dict]:
    """The commit that is checked out, of threshold 0.2 and error 40, and these experiments."""
    [base] = listed("main", None, 0.2, 40.0)["revs"]
    return [base | {"experiments": list(own) or None}]


def test_experiments_are_those_of_the_commit_with_their_states():
    own = [
        listed("done", "success", 0.1, 30.0),
        listed("by-hand", None, 0.3, 60.0),
        listed("waiting", "queued", 0.4, None),
        listed("working", "running", 0.5, 40.0),
        listed("broken", "failed", 0.6, 40.0),
        listed("empty", "success", 0.7, None),
    ]
    found = {one.name: one for one in experiments(commit(*own))}
    assert {name: one.state for name, one in found.items()} == {
        "main": FINISHED,
        "done": FINISHED,
        "by-hand": FINISHED,
        "waiting": "queued",
        "working": "running",
        "broken": "failed",
        "empty": NO_RESULTS,
    }
    # What is not finished has the metrics of the commit, which are not its own.
    assert {name for name, one in found.items() if one.rows} == {"main", "done", "by-hand"}


def test_values_that_differ_are_in_the_order_of_their_numbers():
    own = [
        listed("a", None, 0.05, 1.0, models={"net": {"convs": [1024]}}, seed=1),
        listed("b", None, 1e-5, 1.0, models={"net": {"convs": [512]}}, seed=1),
    ]
    assert differing(experiments(commit(*own))[1:]) == {
        "boxes.threshold": ["1e-05", "0.05"],
        "models.net.convs": ["[512]", "[1024]"],
    }
    assert differing(experiments(commit(*own)))["seed"] == ["–", "1"]


def test_errors_are_by_experiment_and_row_and_rows_without_them_left_out():
    found = experiments(commit(listed("a", None, 0.1, 30.0)))
    assert errors(found, GT_KNOWN).to_dict("index") == {
        "main": {"net": 40.0, "<i>": 50.0},
        "a": {"net": 30.0, "<i>": 50.0},
    }
    assert errors(found, "cls_err_top1").empty


def test_page_lists_every_experiment_and_draws_those_that_are_finished(monkeypatch):
    drawn = []
    parallel = charts.parallel
    monkeypatch.setattr(charts, "parallel", lambda *own: drawn.append(own) or parallel(*own))
    own = [
        listed("high", "success", 0.3, 60.0),
        listed("again", "failed", 0.9, 40.0),
        listed("again", "success", 0.1, 30.0),
        listed("<u>", "queued", 0.5, None),
    ]
    text = page(experiments(commit(*own)))
    [(params, axes, moved)] = drawn
    # By the threshold; the row <i> does not differ. The failed and the queued one are not drawn.
    assert axes == {"boxes.threshold": ["0.1", "0.2", "0.3"]}
    assert params["boxes.threshold"].to_dict() == {"again": "0.1", "main": "0.2", "high": "0.3"}
    assert moved.to_dict("list") == {"net": [30.0, 40.0, 60.0]}
    assert "2 of 4 experiments" in text
    assert '<tr><th scope="row">again</th><td>failed</td><td>0.9</td></tr>' in text
    assert '<tr><th scope="row">&lt;u&gt;</th><td>queued</td><td>0.5</td></tr>' in text
    assert '<tr><th scope="row">high</th><td>0.3</td><td>60.0</td><td>50.0</td></tr>' in text
    assert 'alt="GT-known localization error of net, by boxes.threshold' in text
    assert not any(tag in text for tag in ("<u>", "<i>", "<b>"))


def test_errors_that_are_alike_are_in_the_table_only():
    text = page(experiments(commit(listed("same", None, 0.1, 40.0))))
    assert "<td>40.0</td>" in text and "<img" not in text


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (listed("main", None, 0.2, None)["revs"][0]["data"], "<td>queued</td><td>0.5</td></tr>"),
        (None, "<td>queued</td></tr>"),
    ],
    ids=["commit without results", "commit that cannot be read"],
)
def test_experiments_that_are_only_queued_are_listed(data, told):
    [base] = commit(listed("waiting", "queued", 0.5, None))
    text = page(experiments([base | {"data": data}]))
    assert "0 of 1 experiments" in text and told in text and "<img" not in text


def test_lines_go_through_values_evenly_spaced_and_errors_on_their_scale():
    own = [listed("$x$", None, 0.9, 80.0), listed("b", None, 0.1, 30.0)]
    found = experiments(commit(*own))
    params = sweep.parameters(found, differing(found))
    figure = charts.parallel(params, differing(found), errors(found, GT_KNOWN)[["net"]])
    lines = {line.get_label(): line.get_xdata().tolist() for line in figure.axes[0].get_lines()}
    # Of 0.1, 0.2 and 0.9 the second is half way between the errors' ends, 30 and 80 percent.
    assert lines == {"$x$": [80.0, 80.0], "b": [30.0, 30.0], "main": [55.0, 40.0]}
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert shown == ["main", "$x$", "b"]
    assert not any(text.get_parse_math() for text in figure.axes[0].get_legend().get_texts())
    assert show(figure, alt="lines", caption="").data


def test_many_and_long_values_are_named_as_far_as_there_is_room():
    own = [listed(f"e{i}", None, f"{i:040d}", float(i)) for i in range(60)]
    found = experiments(commit(*own))
    axes = differing(found)
    figure = charts.parallel(sweep.parameters(found, axes), axes, errors(found, GT_KNOWN)[["net"]])
    named = [text.get_text() for text in figure.axes[0].texts]
    assert 2 <= len(named) <= 4 and max(map(len, named)) == 24
    assert figure.axes[0].get_legend() is None
    show(figure, alt="many", caption="")


@pytest.mark.parametrize("nothing", [[], commit()])
def test_no_experiment_is_refused_with_how_to_queue_one(nothing):
    with pytest.raises(UserError, match=r"dvc exp run --queue --set-param .* `dvc queue start`"):
        experiments(nothing)


def test_command_ends_with_code_2_and_one_line_where_there_is_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    Repo.init(str(tmp_path)).close()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["status"], ["add", "."], [*author, "commit", "--quiet", "-m", "first"]):
        subprocess.run(["git", *command], check=True)
        assert cli.main(["sweep"]) == 2
        printed = capfd.readouterr().err
        assert printed.count("\n") == 1 and "no experiment began from the commit" in printed
    assert not (tmp_path / "reports").exists()


def test_folder_without_git_has_no_experiments(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    assert cli.main(["sweep"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "experiments need a git repository" in printed
