"""What the pages are made of, without a browser: see `test_pages` for the pages themselves."""

import base64
import re
import shutil
from html import unescape
from math import nan

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from camloc.boxes.predictions import Split
from camloc.boxes.rule import Rule
from camloc.core import params
from camloc.core.paths import EXECUTED, Study, repository_root
from camloc.core.rows import Row
from camloc.data.manifest import Manifest
from camloc.maps import store
from camloc.pipeline.parameters import DataParameters
from camloc.pipeline.stages import data
from camloc.report import claims, figures, leaderboard, tables
from camloc.report.pages import Chapter, contents, made_by, read_chapters, render
from made import store_random_maps

ROOT = repository_root()
SMOKE = params.load(ROOT / "params" / "smoke.yaml")


def test_verdicts_of_a_study_without_rows_say_the_rule_and_what_was_not_measured():
    html = tables.verdicts(claims.verdicts({}, {})).data
    assert html.count("<strong>Not measured</strong>") == 11
    comparisons = sum(len(claim.comparisons) for claim in claims.CLAIMS)
    assert html.count("not measured in this study") == comparisons
    assert unescape(html).count(claims.RULE) == 1


def test_charts_follow_the_pages_dark_mode_and_pictures_do_not():
    figure, panel = plt.subplots()
    panel.set_xlabel("error", color=figures.INK)
    html = figures.show(figure, "a chart", "caption", name="x").data
    data = re.search(r"data:image/svg\+xml;base64,([^\"]+)", html).group(1)
    svg = base64.b64decode(data).decode()
    assert "prefers-color-scheme: dark" in svg and "var(--ink)" in svg
    assert '<figure id="fig-x" tabindex="0">' in html and 'alt="a chart"' in html
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


def code(*outputs, tag="any", source=""):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": [tag]})


def test_index_lifts_the_tagged_cells_of_a_notebook():
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
    shapes = {"source": "shapes", "train": 24, "val": 6, "test": 6}
    data.run(Study(tmp_path / "data"), DataParameters(seed=1, data=shapes))
    return tmp_path


def test_study_that_has_not_run_renders_and_says_what_is_missing(bare_study):
    render(SMOKE)
    index = (bare_study / "reports" / "index.html").read_text()
    assert "The report has not run yet." in index
    assert all(title in index for _, title, _ in contents(SMOKE))
    explorer = (bare_study / "reports" / "html" / "explorer.html").read_text()
    assert "Nothing to explore" in explorer
    board = (bare_study / "reports" / "html" / "leaderboard.html").read_text()
    assert "Nothing to compare" in board and "GenPromp" in board


def test_costs_in_a_notebooks_metadata_stand_on_the_leaderboard(bare_study):
    cost = {"seconds": 0.25, "batches": 1, "mib": 3.0}
    about = {"machine": "some", "versions": {}, "commit": "c0ffee", "threads": 2}
    metadata = {
        "papermill": {"parameters": {"network": "googlenet"}},
        "camloc": about | {"methods": {"backprop": cost}},
    }
    target = bare_study / EXECUTED / "03_cams-googlenet.ipynb"
    target.parent.mkdir(parents=True)
    nbformat.write(new_notebook(cells=[code()], metadata=metadata), target)
    row = Row("googlenet", "backprop")
    table = pd.DataFrame([{"row": row.name, "network": "googlenet", "method": "backprop"}])
    table.assign(**{"map side": 8}).to_csv(bare_study / "reports" / leaderboard.FILE, index=False)
    render(SMOKE)
    board = (bare_study / "reports" / "html" / "leaderboard.html").read_text()
    assert leaderboard.SECONDS in board and 'data-number="0.25"' in board


@pytest.mark.parametrize(
    ("edited", "shown"),
    [
        (["new words", code(), "more", code()], ["new words", "p", "q", "more", "ran"]),
        (["new words", code(), code(), code()], ["old words", "p", "q", "old", "ran"]),
        (None, ["old words", "p", "q", "old", "ran"]),
    ],
    ids=["other prose", "other code", "no notebook"],
)
def test_chapters_have_the_prose_of_the_notebooks_as_they_are_now(
    tmp_path, monkeypatch, edited, shown
):
    def write(path, cells):
        path.parent.mkdir(parents=True)
        cells = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        nbformat.write(new_notebook(cells=cells), path)

    ran = ["old words", code(source="p", tag="parameters")]
    ran += [code(source="q", tag="injected-parameters"), "old", code(source="ran")]
    write(tmp_path / EXECUTED / "02_finetune-googlenet.ipynb", ran)
    if edited:
        write(tmp_path / "notebooks" / "02_finetune.ipynb", edited)
    (chapter,) = read_chapters(SMOKE, tmp_path)
    assert [cell.source for cell in chapter.notebook.cells] == shown


@pytest.fixture
def mapped_study(bare_study):
    """The study with random predictions and maps of a network, and its manifest."""
    study = Study(bare_study / "data")
    store_random_maps(study, "googlenet", 3)
    return study, Manifest.load(study.manifest).with_truth(study.truth)


def shown(panel):
    """The picture in a panel; what lies over it comes later."""
    return np.asarray(panel.images[0].get_array()).tolist()


def test_leading_classes_are_shown_by_rank_with_their_probability(mapped_study):
    study, manifest = mapped_study
    folder, image = study.predictions("googlenet") / "test", manifest.split("test").iloc[1]
    figure = figures.leading_classes(manifest, image, folder, "cam", count=2)
    stored = store.read(folder).set_index(["image", "rank"])
    first, second = (stored.loc[(image["image"], rank)] for rank in (1, 2))
    assert [panel.get_title() for panel in figure.axes] == [
        f"true: {manifest.short_name(image['wnid'])}",
        f"1. {manifest.short_name(first['wnid'])} {first['score']:.2f}",
        f"2. {manifest.short_name(second['wnid'])} {second['score']:.2f}",
    ]
    picture = manifest.picture(image["path"]).tolist()
    assert all(shown(panel) == picture for panel in figure.axes)


def test_best_and_worst_pictures_are_those_of_the_ious_that_are_known(mapped_study):
    study, manifest = mapped_study
    split, rule = Split(study.predictions("googlenet"), manifest, "test"), Rule.of(SMOKE.boxes)
    ious = pd.Series([0.3, nan, 0.9, 0.1, 0.5, 0.7], index=manifest.split("test")["image"])
    figure = figures.best_worst_and_drawn(split, "cam", rule, ious, seed=1, count=2)
    best, worst, drawn = np.array(figure.axes).reshape(3, 2)
    assert [row[0].get_ylabel() for row in (best, worst, drawn)] == [
        "best",
        "worst",
        "drawn, seed 1",
    ]
    pictures = [manifest.picture(path).tolist() for path in manifest.split("test")["path"]]
    assert [pictures.index(shown(panel)) for panel in (*best, *worst)] == [2, 5, 3, 0]
    assert 1 not in [pictures.index(shown(panel)) for panel in drawn]
    assert figures.best_worst_and_drawn(split, "cam", rule, ious * nan, seed=1) is None


def test_study_of_pictures_of_one_class_has_no_figure_of_several(bare_study):
    """Where every picture holds one class, there is nothing to show, and that is said."""
    manifest = Manifest.load(bare_study / "data" / "manifest")
    boxes = manifest.boxes.drop_duplicates("image")
    lone = Manifest(manifest.source, manifest.root, manifest.classes, manifest.images, boxes)
    rule = Rule.of(SMOKE.boxes)
    assert figures.several_classes(Split(bare_study, lone, "val"), "cam", rule, 3) is None
    assert 'id="fig-classes"' in figures.missing("none", "classes").data


def test_what_made_the_chapters_is_listed_once():
    about = {"machine": "x", "threads": 2, "portable": True, "versions": {"torch": "3"}}
    made = [{"camloc": about | {"commit": commit}} for commit in ("def", "abc", "abc")]
    notebooks = [new_notebook(metadata=each) for each in [*made, {}]]
    for notebook, used in zip(notebooks, ("float32", "bfloat16", "float32"), strict=False):
        notebook.cells.append(code(new_output("stream", text=f"{used}\n"), tag="precision"))
    chapters = [Chapter("", "", str(i), notebook) for i, notebook in enumerate(notebooks)]
    assert made_by(chapters) == {
        "machines": ["x"],
        "threads": ["2"],
        "portable": ["true"],
        "precision": ["bfloat16", "float32"],
        "commits": ["abc", "def"],
        "torch": ["3"],
    }
