"""Two revisions side by side: by hand, and from a small repository."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvc.repo import Repo

from camloc import cli
from camloc.evaluation.store import IMAGES, Evaluation
from camloc.report.compare import (
    Revision,
    changed_conditions,
    changed_params,
    differences,
    moved_untouched,
    read_revision,
)

ERROR = "loc_err_top1"
DVC = (sys.executable, "-m", "dvc")


def revision(errors: dict[str, list[float]] | None, data: str = "same") -> Revision:
    """A revision whose one row errs so on each image."""
    images = {} if errors is None else {"row": {ERROR: pd.Series(errors, dtype=float).to_frame(1)}}
    mean = 100 * float(np.mean(list((errors or {"a": 0.5}).values())))
    return Revision("", {}, {"row": {ERROR: mean}}, images, data)


def test_same_images_are_paired():
    a, b = revision({"x": 1, "y": 1, "z": 0}), revision({"z": 1, "x": 0, "y": 0})
    table = differences(a, b, ERROR)
    assert table.loc["row", "difference"] == pytest.approx(-100 / 3)
    assert table.loc["row", "images"] == "3, paired"
    # Two images got better by 100 points and one worse: Student's t of 2 is 4.30.
    reach = 4.3027 * 200 / 3**0.5 / 3**0.5
    assert table.loc["row", "low"] == pytest.approx(-100 / 3 - reach, abs=0.1)


def test_errors_that_do_not_differ_have_a_paired_interval_of_no_width():
    alike = {str(i): i % 2 for i in range(50)}
    table = differences(revision(alike), revision(alike), ERROR)
    assert table.loc["row", ["low", "difference", "high"]].tolist() == [0, 0, 0]


@pytest.mark.parametrize("data", ["same", "other"])
def test_other_images_or_other_data_are_not_paired(data):
    errors = {str(i): i % 2 for i in range(50)}
    others = errors if data == "other" else {f"{i}!": i % 2 for i in range(50)}
    table = differences(revision(errors), revision(others, data), ERROR)
    assert table.loc["row", "images"] == "50 and 50, not paired"
    # The deviation of a difference of two means of 50 fair coins is ten points.
    assert table.loc["row", "low"] == pytest.approx(-19.6, abs=3)
    assert table.loc["row", "high"] == pytest.approx(19.6, abs=3)


def test_results_that_are_not_cached_have_no_interval():
    table = differences(revision(None), revision({"x": 1, "y": 0}), ERROR)
    assert table.loc["row", "difference"] == 0
    assert table.loc["row", "A interval"] == table.loc["row", "difference interval"] == "–"


def test_row_of_one_revision_alone_is_listed():
    other = Revision("", {}, {"new": {ERROR: 10.0}}, {}, None)
    table = differences(revision({"x": 1}), other, ERROR)
    assert list(table.index) == ["row", "new"]
    assert table["difference"].isna().all()


def test_parameters_that_differ_are_listed_by_key():
    a = {"boxes": {"threshold": 0.2, "rule": "authors"}, "models": {"x": {"convs": [1]}}}
    b = {"boxes": {"threshold": 0.3, "rule": "authors"}, "models": {}}
    table = changed_params(a, b)
    assert table.to_dict("index") == {
        "boxes.threshold": {"A": "0.2", "B": "0.3"},
        "models.x.convs": {"A": "[1]", "B": "–"},
    }


def made(params: dict, about: dict, error: float) -> Revision:
    rows = {"net": {"cls_err_top1": error, ERROR: 50.0}, "other": {"cls_err_top1": 20.0}}
    return Revision("", params, rows, {}, "data", about)


def test_what_else_made_the_results_is_told_where_it_differs():
    a = made({}, {"machines": ["x", "y"], "threads": ["2"], "torch": ["3"]}, 1.0)
    b = made({}, {"machines": ["z"], "threads": ["2"]}, 1.0)
    table = changed_conditions(a, b)
    assert table.to_dict("index") == {
        "machines": {"A": "x, y", "B": "z"},
        "torch": {"A": "3", "B": "–"},
    }


@pytest.mark.parametrize(
    ("changed", "moved"),
    [
        ({"boxes": {"threshold": 0.3}}, ["net"]),
        ({"machine": {"workers": 3}}, ["net"]),
        ({"seed": 2}, []),
        ({"boxes": {"threshold": 0.3}, "training": {"lr": 1}}, []),
    ],
)
def test_errors_that_moved_without_their_parameters_are_named(changed, moved):
    assert moved_untouched(made({}, {}, 10.0), made(changed, {}, 12.0)) == moved
    assert moved_untouched(made({}, {}, 10.0), made(changed, {}, 10.0)) == []


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """One commit of results, and others in the working tree."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    Repo.init(str(tmp_path)).close()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "reports").mkdir()
    results(tmp_path, 0.2, 50.0)
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run(["git", *author, "commit", "--quiet", "-m", "first"], check=True)
    results(tmp_path, 0.3, 40.0)
    return tmp_path


def results(root: Path, threshold: float, error: float) -> None:
    (root / "params.yaml").write_text(f"study: <b>small\nboxes: {{threshold: {threshold}}}\n")
    (root / "reports/metrics.json").write_text(json.dumps({"googlenet-gap": {ERROR: error}}))


def test_page_shows_errors_differences_and_changed_parameters(repository, capsys):
    assert cli.main(["compare", "HEAD", "workspace"]) == 0
    target = repository / "reports" / "compare.html"
    assert capsys.readouterr().out.strip() == str(target)
    page = target.read_text()
    for text in ("50.0", "40.0", "-10.0", "boxes.threshold", "0.2", "0.3", "&lt;b&gt;small"):
        assert text in page
    assert "<b>small" not in page


@pytest.mark.parametrize(
    ("revisions", "message"),
    [
        (("HEAD", "nowhere"), "no revision 'nowhere'; give a commit"),
        (("HEAD~0", "workspace"), "holds no reports/metrics.json; run `make repro`"),
    ],
)
def test_revision_that_is_unknown_or_empty_is_refused(repository, capsys, revisions, message):
    if revisions[1] == "workspace":
        (repository / "reports" / "metrics.json").unlink()
    assert cli.main(["compare", *revisions]) == 2
    assert message in capsys.readouterr().err
    assert not (repository / "reports" / "compare.html").exists()


def refusal(capsys, *revisions: str) -> str:
    """What `camloc compare` prints: one line, of which the caller looks at the end."""
    assert cli.main(["compare", *revisions]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return printed


@pytest.mark.parametrize("revision", ["", "\n", "--help", "HEAD:params.yaml", "\udcff"])
def test_what_names_no_revision_is_refused_in_one_line(repository, capsys, revision):
    printed = refusal(capsys, "--", revision, "workspace")
    assert f"revision {revision!r}" in printed
    assert "give a commit, a branch, an experiment" in printed


def test_folder_without_git_has_nothing_to_compare(repository, capsys):
    shutil.rmtree(repository / ".git")
    printed = refusal(capsys, "HEAD", "workspace")
    assert f"({repository} is not a git repository); run `git init` there; " in printed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to somebody else")
def test_somebody_elses_repository_is_told_how_to_trust_it(repository, capsys):
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 12345, 12345)
    printed = refusal(capsys, "HEAD", "workspace")
    assert "is not owned by current user); if you trust its owner, run `git config" in printed
    assert printed.endswith(f"--add safe.directory {repository}`\n")


def test_remote_of_the_users_own_configuration_that_is_not_there(
    repository, capsys, tmp_path_factory, monkeypatch
):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(home))
    (home / "config").write_text("[core]\nremote = nowhere\n")
    assert refusal(capsys, "HEAD", "workspace") == (
        "camloc: DVC's configuration names the remote 'nowhere', which is not there; run `dvc "
        "remote add --local nowhere URL`, or `dvc config --global --unset core.remote`\n"
    )
    subprocess.run([*DVC, "config", "--local", "core.remote", "elsewhere"], check=True)
    assert "`dvc config --local --unset core.remote`" in refusal(capsys, "HEAD", "workspace")
    for name in ("nowhere", "elsewhere"):
        subprocess.run([*DVC, "remote", "add", "--quiet", "--local", name, str(home)], check=True)
    assert cli.main(["compare", "HEAD", "workspace"]) == 0


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("reports/metrics.json", "{", "reports/metrics.json of revision 'workspace' is damaged ("),
        (
            "reports/metrics.json",
            "[1]",
            "reports/metrics.json of revision 'workspace' is damaged (",
        ),
        ("params.yaml", "a: [", "params.yaml of revision 'workspace' is not valid YAML (line 1: "),
        (
            "params.yaml",
            "a: &a [*a]",
            "params.yaml of revision 'workspace': line 1, 'a: &a [*a]', is",
        ),
    ],
)
def test_damaged_file_of_a_revision_is_named(repository, capsys, file, text, message):
    (repository / file).write_text(text)
    assert message in refusal(capsys, "HEAD", "workspace")


@pytest.fixture
def evaluation(repository) -> Path:
    """The folder of a network's evaluation in the working tree."""
    (repository / "params.yaml").write_text("models: {net: {}}\nevaluate: {split: test}\n")
    folder = repository / "data" / "evaluation" / "net" / "run-1"
    folder.mkdir(parents=True)
    return folder


def test_results_image_by_image_are_those_of_every_row_on_the_reported_split(evaluation):
    table = pd.DataFrame({"image": ["a", "b"], ERROR: [0.0, 1.0], "method": "cam"})
    tables = [
        table.assign(network="net", split="test"),
        table.assign(network="net", split="test", method="backprop"),
        table.assign(network="net", split="val"),
    ]
    Evaluation.of(tables, wsol={}).save(evaluation)
    found = read_revision(evaluation.parents[3], "workspace").images
    assert list(found) == ["net", "backprop-net"]
    assert found["net"][ERROR].to_dict() == {1: {"a": 0, "b": 1}}


def test_results_image_by_image_of_earlier_versions_are_left_out(evaluation):
    pd.DataFrame({"image": ["a"], ERROR: [0.0]}).to_parquet(evaluation / "test-net.parquet")
    assert read_revision(evaluation.parents[3], "workspace").images == {}


def test_damaged_results_in_the_cache_are_named(evaluation, capsys):
    (evaluation / IMAGES).write_bytes(b"PAR1 and no more")
    message = f"data/evaluation/net/run-1/{IMAGES} is damaged"
    assert message in refusal(capsys, "HEAD", "workspace")


def test_sections_of_another_kind_are_compared_as_values(repository, capsys):
    (repository / "params.yaml").write_text("models: none\nevaluate: [1]\n")
    assert cli.main(["compare", "HEAD", "workspace"]) == 0
