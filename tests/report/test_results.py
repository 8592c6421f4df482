"""What the pages are made of, without a browser: see `test_pages` for the pages themselves."""

import base64
import re
import shutil

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from camloc.boxes.predictions import Split
from camloc.core import params
from camloc.core.paths import Study, repository_root
from camloc.data.manifest import Manifest
from camloc.pipeline.provenance import provenance
from camloc.pipeline.stages import data
from camloc.report import figures, formatting, tables
from camloc.report.claims import ledger
from camloc.report.pages import Chapter, contents, render

ROOT = repository_root()


def test_table_escapes_what_it_shows():
    table = pd.DataFrame({"<b>": [1.25]}, index=pd.Index(["<script>"], name="a & b"))
    html = formatting.show(table, "<i>").data
    assert "<script>" not in html and "<b>" not in html and "<i>" not in html
    assert "&lt;script&gt;" in html and "a &amp; b" in html and ">1.2<" in html


def test_interval_of_a_table_is_not_broken_and_a_rows_name_stands_apart():
    table = pd.DataFrame({"x": [5.0], "x interval": ["4.0 to 6.0"]}, index=["nin"])
    html = formatting.show(table, "").data
    assert '5.0 <span class="interval">(4.0 to 6.0)</span>' in html
    assert "NIN <code>nin</code>" in html


def test_table_without_rows_says_so_by_its_caption():
    assert "Errors: this study has no such rows" in formatting.show(pd.DataFrame(), "Errors").data


def test_verdicts_of_a_study_without_rows_say_what_was_not_measured():
    html = tables.verdicts(ledger({})).data
    assert html.count("<strong>Cannot tell</strong>") == 11
    assert html.count("not measured in this study") == sum(len(c.comparisons) for c in ledger({}))


def test_charts_follow_the_page_into_the_dark_and_pictures_do_not():
    figure, panel = plt.subplots()
    panel.set_xlabel("error", color=figures.INK)
    html = figures.show(figure, "a chart", "caption", name="x").data
    data = re.search(r"data:image/svg\+xml;base64,([^\"]+)", html).group(1)
    svg = base64.b64decode(data).decode()
    assert "prefers-color-scheme: dark" in svg and "var(--ink)" in svg
    assert '<figure id="fig-x">' in html and 'alt="a chart"' in html
    figure, panel = plt.subplots()
    panel.imshow(np.zeros((2, 2)))
    assert "data:image/png" in figures.show(figure, "a picture", "caption").data


def test_equal_charts_are_equal_files():
    def drawn() -> str:
        figure, panel = plt.subplots()
        panel.plot([1, 2], label="a")
        panel.legend()
        return figures.show(figure, "", "").data

    assert drawn() == drawn()


def test_index_lifts_the_tagged_cells_of_a_notebook():
    def code(*outputs, tag):
        return new_code_cell("", outputs=list(outputs), metadata={"tags": [tag]})

    html = new_output("execute_result", {"text/html": '<a href="#fig-x">figure</a>'})
    notebook = new_notebook(
        cells=[
            new_markdown_cell("## What is it?\n\nText."),
            code(html, tag="index"),
            code(new_output("stream", name="stdout", text="one\ntwo\n"), tag="finding"),
        ]
    )
    chapter = Chapter("group", "Title", "05_report", notebook)
    assert list(chapter.sections()) == [
        {"heading": "What is it?", "html": '<a href="html/05_report.html#fig-x">figure</a>'}
    ]
    assert chapter.text("finding") == "one; two"
    assert chapter.text("headline") == ""


@pytest.fixture
def bare_study(tmp_path, monkeypatch):
    """A study of which nothing but the data stage has run."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    shutil.copy(ROOT / "params" / "smoke.yaml", tmp_path / "params.yaml")
    data.run(Study(tmp_path / "data"), {"source": "shapes", "train": 24, "val": 6, "test": 6}, 1)
    (tmp_path / "reports").mkdir()
    return tmp_path


def test_study_that_has_not_run_renders_and_says_what_is_missing(bare_study):
    smoke = params.load(bare_study / "params.yaml")
    render(smoke)
    index = (bare_study / "reports" / "index.html").read_text()
    assert "The report has not run yet." in index
    assert all(title in index for _, title, _ in contents(smoke))
    explorer = (bare_study / "reports" / "html" / "explorer.html").read_text()
    assert "Nothing to explore" in explorer


def test_result_says_on_which_machine_and_from_what_it_was_made():
    found = provenance(ROOT)
    assert "cores" in found["machine"] and "GiB" in found["machine"]
    assert set(found["versions"]) >= {"python", "torch", "torchvision", "numpy"}
    assert re.fullmatch(r"[0-9a-f]{10}[+?]?|(no|unknown) commit .*", found["commit"])


def test_study_of_pictures_of_one_class_has_no_figure_of_several(bare_study):
    """Where every picture holds one class, there is nothing to show, and that is said."""
    manifest = Manifest.load(bare_study / "data" / "manifest")
    boxes = manifest.boxes.drop_duplicates("image")
    lone = Manifest(manifest.source, manifest.root, manifest.classes, manifest.images, boxes)
    assert figures.several_classes(Split(bare_study, lone, "val"), "cam", {}, 3) is None
    assert 'id="fig-classes"' in figures.missing("none", "classes").data
