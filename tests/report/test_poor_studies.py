"""Studies that lack something: the evaluation and the report say so instead of failing."""

import dataclasses
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from camloc.core.paths import Study, repository_root
from camloc.data.manifest import Manifest, save_truth
from camloc.pipeline.parameters import DataParameters, EvaluateParameters, ReportParameters
from camloc.pipeline.stages import data, evaluate
from made import store_random_maps

ROOT = repository_root()
SECTIONS = {"seed": 1, "boxes": {"threshold": 0.2}, "evaluate": {"split": "test"}}
CUT = {"backbone": "googlenet", "cut": "inception4e"}
NETWORKS = {
    "originals": {"googlenet": {}},
    "models": {"googlenet-gap": CUT | {"pool": "gap"}, "googlenet-gmp": CUT | {"pool": "gmp"}},
}
NAMES = ["googlenet", "googlenet-gap", "googlenet-gmp"]


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
    shapes = {"source": "shapes", "train": 24, "val": 12, "test": 20}
    data.run(study, DataParameters(seed=1, data=shapes))
    return Manifest.load(study.manifest).with_truth(study.truth)


def run_notebook(name: str, folder: Path, given: dict, capsys) -> str:
    """What a notebook shows and prints of the study in `folder`."""
    shell, shown = InteractiveShell(), []
    values = {"folder": str(folder), "reports": str(folder / "reports"), "given": given}
    capsys.readouterr()
    for cell in nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            result = shell.run_cell(cell.source)
            result.raise_error()
            shown.append(getattr(result.result, "data", ""))
            if "parameters" in cell.metadata.get("tags", []):
                shell.push(values)
    return capsys.readouterr().out + "".join(shown)


def make(folder: Path, manifest: Manifest, networks: list[str]) -> None:
    """A study of the manifest, with random maps of the networks, evaluated."""
    study = Study(folder)
    manifest.save(study.manifest)
    save_truth(study.truth, manifest.images.iloc[:0], manifest.boxes.iloc[:0])
    for name in networks:
        store_random_maps(study, name, side=5)
        evaluate.run(study, EvaluateParameters(network=name, **SECTIONS))


@pytest.mark.parametrize(
    ("lacking", "evaluated", "said"),
    [
        (whole, ["googlenet-gap"], ["localizes best of 2 rows", "not measured in this study"]),
        (whole, [], ["no row localizes", "no picture holds several classes, or none has CAMs"]),
        (
            without_boxes_and_masks,
            NAMES,
            ["no row localizes", "WSOL metrics (%): this study has no such rows"],
        ),
        (of_one_class, NAMES, ["(1 class)", "no picture holds several classes"]),
        (
            without_labels,
            NAMES,
            ["On 0 test images", "No figure here: no network has maps of labelled pictures."],
        ),
    ],
)
def test_report_of_a_poor_study_says_what_is_missing(
    pictures, tmp_path, capsys, lacking, evaluated, said
):
    make(tmp_path, lacking(pictures), evaluated)
    given = ReportParameters(study="poor", **SECTIONS, **NETWORKS, controls={}).model_dump(
        mode="json"
    )
    shown = run_notebook("05_report", tmp_path, given, capsys)
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
    given = EvaluateParameters(network="googlenet-gap", **SECTIONS).model_dump(mode="json")
    shown = run_notebook("04_evaluate", tmp_path, given, capsys)
    assert said in shown
    assert shown.count("No figure here: googlenet-gap has no maps of test") == 3
