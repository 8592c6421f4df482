"""What texts quote: written from a finished run by one command, and by nothing else."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camloc import cli
from camloc.core import params
from camloc.core.errors import UserError
from camloc.core.paths import Study
from camloc.evaluation.store import Evaluation
from camloc.pipeline.fingerprints import of_notebook
from camloc.pipeline.publish import with_quotes
from camloc.report.pages import contents
from clone import ROOT

SMOKE = params.load(ROOT / "params" / "smoke.yaml")
ABOUT = {"machine": "a machine", "commit": "abc", "threads": 1, "versions": {"torch": "3"}}


@pytest.fixture
def finished(tmp_path, monkeypatch) -> Path:
    """What a smoke study leaves that is published, and a README that quotes it."""
    (tmp_path / "params.yaml").write_text((ROOT / "params" / "smoke.yaml").read_text())
    (tmp_path / "dvc.yaml").touch()
    reports = tmp_path / "reports"
    for folder in (reports / "figures", reports / "notebooks", tmp_path / "docs"):
        folder.mkdir(parents=True)
    (reports / "summary.md").write_text(
        "# Results\n\n## Table 2. Errors\n\nnew\n\n## Table 3\n\nx\n"
    )
    (reports / "metrics.json").write_text("{}")
    (reports / "leaderboard.csv").write_text("row\ngooglenet\n")
    (reports / "about.json").write_text(json.dumps({"machines": ["a machine"]}))
    (tmp_path / "data" / "stage_seconds").mkdir(parents=True)
    (tmp_path / "data" / "stage_seconds" / "smoke.json").write_text('{"data": 1.0}')
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(reports / "figures" / "maps.png")
    for _, _, stem in contents(SMOKE):
        about = ABOUT | {"commit": "def" if stem == "05_report" else "abc"}
        notebook, _, network = stem.partition("-")
        given = of_notebook(notebook).given.of(SMOKE, network or None).model_dump(mode="json")
        if "machine" in given:
            given["machine"]["devices"] = 7  # an edit of which runs nothing again
        ran = {"parameters": {"folder": "data", "given": given}}
        made = nbformat.v4.new_notebook(metadata={"camloc": about, "papermill": ran})
        nbformat.write(made, reports / "notebooks" / f"{stem}.ipynb")
    table = pd.DataFrame({"image": ["a", "b"], "cls_err_top1": [0.0, 1.0]})
    for name in (*SMOKE.originals, *SMOKE.models):
        rows = [("cam", "test"), ("cam", "val")] + [("backprop", "test")] * (name == "googlenet")
        tables = [table.assign(network=name, method=m, split=split) for m, split in rows]
        folder = Study(tmp_path / "data").evaluation(name)
        folder.mkdir(parents=True)
        Evaluation.of(tables, wsol={}).save(folder)
    quote = "<!-- from reports/published/smoke/summary.md: Table 2 -->\nold\n<!-- end -->"
    for page in ("README.md", "docs/page.md"):
        (tmp_path / page).write_text(f"# Here\n\n{quote}\n\nThere.\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_published_run_says_what_made_it(finished):
    assert cli.main(["publish"]) == 0
    folder = finished / "reports" / "published" / "smoke"
    about = json.loads((folder / "about.json").read_text())
    assert about["study"] == "smoke" and about["machines"] == ["a machine"]
    assert about["seeds"] == {name: [1] for name in SMOKE.networks}
    for name in ("summary.md", "metrics.json", "leaderboard.csv"):
        assert (folder / name).read_bytes() == (finished / "reports" / name).read_bytes()
    page = (folder / "leaderboard.html").read_text()
    assert "googlenet" in page and "index.html" not in page  # which is not published
    assert Image.open(folder / "maps.jpg").size == (9, 9)


def test_outcomes_are_those_of_every_row_on_every_image_of_the_reported_split(finished):
    assert cli.main(["publish"]) == 0
    table = pd.read_parquet(finished / "reports/published/smoke/outcomes.parquet")
    found = table[table["row"].str.contains("googlenet$")]
    assert found[["row", "image", "cls_err_top1"]].to_numpy().tolist() == [
        ["googlenet", "a", 0.0],
        ["googlenet", "b", 1.0],
        ["backprop-googlenet", "a", 0.0],
        ["backprop-googlenet", "b", 1.0],
    ]
    assert set(table["row"]) == {"googlenet", "backprop-googlenet", *SMOKE.models}


@pytest.mark.parametrize("page", ["README.md", "docs/page.md"])
def test_pages_quote_the_published_table(finished, page):
    assert cli.main(["publish"]) == 0
    text = (finished / page).read_text()
    assert "summary.md: Table 2 -->\nnew\n<!-- end -->\n\nThere." in text
    assert with_quotes(text, finished) == text


def test_unfinished_study_is_refused_and_keeps_what_was_published(finished, capsys):
    assert cli.main(["publish"]) == 0
    (finished / "reports" / "summary.md").unlink()
    assert cli.main(["publish"]) == 2
    assert "summary.md is missing; `make repro`" in capsys.readouterr().err
    assert (finished / "reports" / "published" / "smoke" / "summary.md").is_file()


def test_results_of_other_parameters_are_not_published_under_this_studys_name(finished, capsys):
    text = (finished / "params.yaml").read_text()
    (finished / "params.yaml").write_text(text.replace("threshold: 0.2", "threshold: 0.3"))
    assert cli.main(["publish"]) == 2
    assert "(05_report) has not run with params.yaml as it is" in capsys.readouterr().err
    assert not (finished / "reports" / "published").exists()


def test_notebook_that_has_not_run_is_named(finished, capsys):
    (finished / "reports" / "notebooks" / "03_cams-googlenet.ipynb").unlink()
    assert cli.main(["publish"]) == 2
    assert "(03_cams-googlenet) has not run" in capsys.readouterr().err


SUMMARY = """# Results

## Table 2. Errors (%)

| row | a    |  b c |
|:----|-----:|-----:|
| x   | 1.0  |    2 |

## The paper's claims

A rule.

1. **holds**: one
2. **cannot tell**: two

## Next
"""


@pytest.mark.parametrize(
    ("quotation", "quoted"),
    [
        ("summary.md: Table 2; b c, row", "|  b c | row |\n|-----:|:----|\n|    2 | x   |"),
        ("summary.md: The paper's claims; list", "1. **holds**: one\n2. **cannot tell**: two"),
        ("about.json: machines, commits", "one, another; abc"),
    ],
)
@pytest.mark.parametrize("before", ["", "old\nlines\n"])
def test_part_of_a_published_file_is_quoted(tmp_path, quotation, quoted, before):
    (tmp_path / "summary.md").write_text(SUMMARY)
    about = {"machines": ["one", "another"], "commits": ["abc"]}
    (tmp_path / "about.json").write_text(json.dumps(about))
    mark = f"<!-- from {quotation} -->\n"
    text = with_quotes(f"Here\n{mark}{before}<!-- end -->\n", tmp_path)
    assert text == f"Here\n{mark}{quoted}\n<!-- end -->\n"


@pytest.mark.parametrize(
    ("quotation", "message"),
    [
        ("summary.md: Table 9", r"summary\.md has no section 'Table 9'"),
        ("summary.md: Table 2; row, d", r"summary\.md has no column 'd' .*; it has row, a, b c"),
        ("about.json: commits", r"about\.json has no values 'commits'"),
    ],
)
def test_quotation_of_what_is_not_there_is_refused(tmp_path, quotation, message):
    (tmp_path / "summary.md").write_text(SUMMARY)
    (tmp_path / "about.json").write_text("{}")
    with pytest.raises(UserError, match=message):
        with_quotes(f"<!-- from {quotation} -->\n<!-- end -->", tmp_path)


def test_committed_texts_quote_what_is_published():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        assert with_quotes(page.read_text(), ROOT) == page.read_text(), page
