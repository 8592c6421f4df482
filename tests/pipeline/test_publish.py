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
from camloc.pipeline.notebooks import arguments
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
    reports, evaluation = tmp_path / "reports", tmp_path / "data" / "evaluation" / "googlenet"
    for folder in (reports / "figures", reports / "notebooks", evaluation):
        folder.mkdir(parents=True)
    (reports / "summary.md").write_text(
        "# Results\n\n## Table 2. Errors\n\nnew\n\n## Table 3\n\nx\n"
    )
    (reports / "metrics.json").write_text("{}")
    (tmp_path / "data" / "stage_seconds").mkdir()
    (tmp_path / "data" / "stage_seconds" / "smoke.json").write_text('{"data": 1.0}')
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(reports / "figures" / "maps.png")
    for _, _, stem in contents(SMOKE):
        about = ABOUT | {"commit": "def" if stem == "05_report" else "abc"}
        ran = arguments({"folder", "seed", "boxes"}, SMOKE, None)
        metadata = {"camloc": about, "papermill": {"parameters": ran | {"devices": 7}}}
        notebook = nbformat.v4.new_notebook(metadata=metadata)
        nbformat.write(notebook, reports / "notebooks" / f"{stem}.ipynb")
    for split, row in (("test", "googlenet"), ("test", "backprop-googlenet"), ("val", "googlenet")):
        table = pd.DataFrame({"image": ["a", "b"], "cls_err_top1": [0.0, 1.0]})
        table.to_parquet(evaluation / f"{split}-{row}.parquet")
    quote = "<!-- from reports/published/smoke/summary.md: Table 2 -->\nold\n<!-- end -->"
    (tmp_path / "README.md").write_text(f"# Here\n\n{quote}\n\nThere.\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_published_run_says_what_made_it(finished):
    assert cli.main(["publish"]) == 0
    folder = finished / "reports" / "published" / "smoke"
    about = json.loads((folder / "about.json").read_text())
    assert about["commits"] == ["abc", "def"] and about["machines"] == ["a machine"]
    assert about["seeds"] == dict.fromkeys(["googlenet", "googlenet-gap", "googlenet-gmp"], 1)
    assert about["threads"] == [1] and about["versions"] == {"torch": ["3"]}
    for name in ("summary.md", "metrics.json"):
        assert (folder / name).read_bytes() == (finished / "reports" / name).read_bytes()
    assert Image.open(folder / "maps.jpg").size == (9, 9)


def test_outcomes_are_those_of_every_row_on_every_image_of_the_reported_split(finished):
    assert cli.main(["publish"]) == 0
    table = pd.read_parquet(finished / "reports/published/smoke/outcomes.parquet")
    assert sorted(zip(table["row"], table["image"], table["cls_err_top1"], strict=True)) == [
        ("backprop-googlenet", "a", 0.0),
        ("backprop-googlenet", "b", 1.0),
        ("googlenet", "a", 0.0),
        ("googlenet", "b", 1.0),
    ]


def test_readme_quotes_the_published_table(finished):
    assert cli.main(["publish"]) == 0
    text = (finished / "README.md").read_text()
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


def test_quotation_of_a_section_that_is_not_there_is_refused(finished):
    text = "<!-- from reports/summary.md: Table 9 -->\nold\n<!-- end -->"
    with pytest.raises(UserError, match=r"summary\.md has no section 'Table 9'"):
        with_quotes(text, finished)
