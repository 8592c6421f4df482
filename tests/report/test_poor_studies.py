"""Studies that lack something: the evaluation and the report say so instead of failing."""

import dataclasses
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from camloc.core.paths import Study, repository_root
from camloc.data.manifest import Manifest, save_truth
from camloc.evaluation.choices import DEVIATIONS
from camloc.pipeline.stages import data, evaluate, report
from camloc.report import results
from made import store_random_maps

ROOT = repository_root()
NETWORKS = {
    "googlenet": {},
    "googlenet-gap": {"backbone": "googlenet", "pool": "gap"},
    "googlenet-gmp": {"backbone": "googlenet", "pool": "gmp"},
}
BOXES = {"rule": "largest-component", "threshold": 0.2}
EVALUATE = {"split": "test", "iou": 0.5}


def whole(manifest: Manifest) -> Manifest:
    return manifest


def without_boxes_and_masks(manifest: Manifest) -> Manifest:
    images = manifest.images.assign(mask=None)
    return dataclasses.replace(manifest, images=images, boxes=manifest.boxes.iloc[:0])


def of_one_class(manifest: Manifest) -> Manifest:
    wnid = manifest.wnids[0]
    images = manifest.images[manifest.images["wnid"] == wnid]
    boxes = manifest.boxes[manifest.boxes["image"].isin(images["image"])]
    boxes = boxes[boxes["wnid"] == wnid]
    classes = {wnid: "the $only$ <class>"}
    return dataclasses.replace(manifest, classes=classes, images=images, boxes=boxes)


def without_labels(manifest: Manifest) -> Manifest:
    return manifest.withhold("test")[0]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Manifest:
    """Twenty test pictures."""
    study = Study(tmp_path_factory.mktemp("pictures"))
    data.run(study, {"source": "shapes", "train": 24, "val": 12, "test": 20}, seed=1)
    return Manifest.load(study.manifest).with_truth(study.truth)


def run_notebook(name: str, folder: Path, capsys) -> str:
    """What a notebook shows and prints of the study in `folder`."""
    shell, shown = InteractiveShell(), []
    values = {"folder": str(folder), "reports": str(folder / "reports"), "study": "poor"}
    capsys.readouterr()
    for cell in nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            result = shell.run_cell(cell.source)
            result.raise_error()
            shown.append(getattr(result.result, "data", ""))
            if "parameters" in cell.metadata.get("tags", []):
                shell.push(values)
    return capsys.readouterr().out + "".join(shown)


def make(folder: Path, manifest: Manifest, networks: list[str]) -> Study:
    """A study of the manifest, with random maps of the networks, evaluated."""
    study = Study(folder)
    manifest.save(study.manifest)
    save_truth(study.truth, manifest.images.iloc[:0], manifest.boxes.iloc[:0])
    for name in networks:
        store_random_maps(study, name, side=5)
        evaluate.run(study, name, BOXES, EVALUATE)
    return study


@pytest.mark.parametrize(
    ("lacking", "evaluated", "said"),
    [
        (whole, ["googlenet-gap"], ["localizes best of 2 rows", "not measured in this study"]),
        (whole, [], ["no row localizes", "no picture holds several classes, or none has CAMs"]),
        (
            without_boxes_and_masks,
            list(NETWORKS),
            ["no row localizes", "Accuracy over all thresholds (%): this study has no such rows"],
        ),
        (of_one_class, list(NETWORKS), ["(1 class)", "no picture holds several classes"]),
        (
            without_labels,
            list(NETWORKS),
            ["On 0 test images", "No figure here: no network has maps of labelled pictures."],
        ),
    ],
)
def test_report_of_a_poor_study_says_what_is_missing(
    pictures, tmp_path, capsys, lacking, evaluated, said
):
    make(tmp_path, lacking(pictures), evaluated)
    shown = run_notebook("05_report", tmp_path, capsys)
    for text in said:
        assert text in shown
    assert (tmp_path / "reports" / "summary.md").is_file()


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (without_boxes_and_masks, "backprop-googlenet-gap: not scored on test"),
        (without_labels, "test has no labels to be scored by"),
    ],
)
def test_evaluation_of_a_poor_study_says_what_is_missing(pictures, tmp_path, capsys, lacking, said):
    make(tmp_path, lacking(pictures), ["googlenet-gap"])
    shown = run_notebook("04_evaluate", tmp_path, capsys)
    assert said in shown
    assert shown.count("No figure here: googlenet-gap has no maps of test") == 2


def test_choice_of_groups_that_was_not_run_is_no_line(pictures, tmp_path):
    make(tmp_path, pictures, ["googlenet-gap"])
    line = {"backbone": "googlenet", "pool": "gap"}
    networks = {"googlenet-gap": line | {"groups": 1}, "two": line | {"groups": 2}}
    made = results.collect(Study(tmp_path), networks, report.Evaluate(**EVALUATE))
    assert list(made.choices["googlenet-gap"].index) == ["this study", *DEVIATIONS]
