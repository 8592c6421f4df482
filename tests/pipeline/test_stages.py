"""The stages in this process, on a handful of pictures."""

import json
import os
import re
import shutil
import signal

import pandas as pd
import pytest

from camloc.core import params
from camloc.core.errors import Stopped, UserError
from camloc.core.paths import Study, repository_root
from camloc.data.manifest import Manifest, save_truth
from camloc.evaluation import choices
from camloc.evaluation.error_types import KINDS
from camloc.pipeline.stages import data, evaluate, maps, report, smoke, surgery, train
from camloc.report import results
from camloc.training import loop

SHAPES = {"source": "shapes", "train": 24, "val": 6, "test": 6}
ROOT = repository_root()
SMOKE = params.load(ROOT / "params" / "smoke.yaml")
LOADING = SMOKE.loading.model_dump()
ALONE = ("cpu", 1, 1)  # device, devices, nodes


def run_all(study: Study) -> None:
    """Every stage of the smoke study's whole network and of its GAP network."""
    data.run(study, SHAPES, seed=1)
    for name in ("googlenet", "googlenet-gap"):
        declaration = SMOKE.network(name).model_dump()
        if name in SMOKE.models:
            surgery.run(study, name, declaration, 1)
        loop = SMOKE.training_of(name).model_dump() | {"batch": 8}
        train.run(study, name, declaration, loop, LOADING, *ALONE, 1)
        maps.run(study, name, SMOKE.cams.model_dump(), LOADING, *ALONE)
        evaluate.run(study, name, {"threshold": 0.2}, {"split": "test", "iou": 0.5})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = Study(tmp_path_factory.mktemp("study"))
    run_all(study)
    return study


def test_same_seed_gives_the_same_weights_maps_and_errors(study, tmp_path):
    again = Study(tmp_path)
    run_all(again)
    for path in (
        "networks/googlenet-gap/weights.safetensors",
        "predictions/googlenet-gap/test/cam.npy",
        "predictions/googlenet/val/backprop.npy",
        "evaluation/googlenet-gap/errors.json",
    ):
        assert (study.folder / path).read_bytes() == (again.folder / path).read_bytes(), path


def test_training_stopped_in_an_epoch_goes_on_to_the_same_weights(study, tmp_path, monkeypatch):
    """With GoogLeNet's dropout and batch norms, three batches of eight an epoch, by SIGTERM."""
    other, step, calls = Study(tmp_path), loop.Step.__call__, []
    for part in ("manifest", "pictures"):
        shutil.copytree(study.folder / part, tmp_path / part)
    recipe = SMOKE.training_of("googlenet").model_dump() | {"batch": 8, "epochs": 2}
    task = ("googlenet", SMOKE.network("googlenet").model_dump(), recipe, LOADING, *ALONE, 1)

    def stopping(self, parts):
        calls.append(1)
        if len(calls) in (2, 5):
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, parts)

    train.run(other, *task)
    expected = other.weights("googlenet").read_bytes()
    other.weights("googlenet").unlink()
    monkeypatch.setattr(loop.Step, "__call__", stopping)
    for place in ("epoch 1, step 2", "epoch 2, step 2"):
        with pytest.raises(Stopped, match=place):
            train.run(other, *task)
    train.run(other, *task)
    assert len(calls) == 6
    assert other.weights("googlenet").read_bytes() == expected
    assert not other.checkpoint("googlenet").exists()


def test_no_label_or_box_of_the_withheld_split_is_in_the_manifest(study):
    manifest = Manifest.load(study.manifest)
    test = manifest.split("test")
    assert test["wnid"].isna().all() and test["mask"].isna().all()
    assert not manifest.boxes["image"].isin(test["image"]).any()
    assert not list(study.pictures.rglob("masks/test*"))
    whole = manifest.with_truth(study.truth).split("test")
    assert whole["wnid"].notna().all()
    assert all((manifest.root / mask).is_file() for mask in whole["mask"])


def test_split_without_labels_gets_predictions_but_no_errors(study):
    manifest = Manifest.load(study.manifest)
    try:
        save_truth(study.truth, manifest.images.iloc[:0], manifest.boxes.iloc[:0])
        rows = evaluate.run(study, "googlenet-gap", {"threshold": 0.2}, {"split": "val"})
    finally:
        data.run(study, SHAPES, seed=1)
    assert set(rows) == {"val"}
    assert (study.predictions("googlenet-gap") / "test" / "cam.npy").is_file()


def test_report_writes_the_rows_of_the_reported_split(study, tmp_path):
    evaluate.run(study, "googlenet-gap", {"threshold": 0.2}, {"split": "test"})
    networks = {name: SMOKE.network(name).model_dump() for name in ("googlenet", "googlenet-gap")}
    made = report.run(study, "smoke", networks, {"split": "test"}, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics) == ["googlenet", "backprop-googlenet", "googlenet-gap"]
    assert made.images == 6
    over = made.over_thresholds
    assert over.loc["centre-gaussian", "MaxBoxAcc, tuned here"] > 0
    # A box has no threshold to tune.
    assert over.loc["whole-image", "MaxBoxAcc"] == over.loc["whole-image", "MaxBoxAcc, tuned here"]
    assert set(made.differences.index) == {
        "googlenet-gap − googlenet",
        "googlenet-gap − backprop-googlenet",
        "googlenet-gap − centre-box",
    }
    assert (made.anatomy[KINDS].sum(axis=1).round(6) == 100).all()
    claims = {claim.number: claim for claim in made.claims}
    assert claims[9].comparisons[0].images == claims[1].comparisons[-1].images == 6
    assert claims[5].verdict == "cannot tell"  # googlenet-gmp was not run
    summary = (tmp_path / "summary.md").read_text()
    assert "\n5. **cannot tell**: GAP localizes better than GMP." in summary
    # The paper's top-1 error stands beside the row's name.
    assert re.search(r"\| GoogLeNet-GAP \(`googlenet-gap`\) +\| +35\.0 ", summary)
    assert str(tmp_path) not in summary


def test_failing_data_stage_leaves_the_earlier_manifest(study):
    before = (study.manifest / "dataset.json").read_bytes()
    with pytest.raises(UserError, match="too few"):
        data.run(study, SHAPES | {"train": 3}, seed=1)
    assert (study.manifest / "dataset.json").read_bytes() == before


def test_failing_maps_stage_leaves_the_earlier_predictions(study):
    earlier = study.predictions("googlenet-gap") / "test" / "cam.npy"
    before = earlier.read_bytes()
    manifest = Manifest.load(study.manifest)
    picture = manifest.root / manifest.split("test")["path"].iloc[-1]
    whole = picture.read_bytes()
    picture.write_bytes(whole[:100])
    try:
        with pytest.raises(UserError, match=picture.name):
            maps.run(study, "googlenet-gap", SMOKE.cams.model_dump(), LOADING, *ALONE)
    finally:
        picture.write_bytes(whole)
    assert earlier.read_bytes() == before
    assert not list(study.predictions("googlenet-gap").parent.glob("*.new"))


def test_smoke_study_forgets_files_that_another_declaration_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params").mkdir()
    declared = tmp_path / "params" / "smoke.yaml"
    text = (ROOT / "params" / "smoke.yaml").read_text()
    declared.write_text(text)
    study = Study(tmp_path / smoke.FOLDER)
    smoke.prepare(study, before="00_data")
    (study.folder / "made").touch()
    smoke.prepare(study, before="00_data")
    assert (study.folder / "made").exists()
    declared.write_text(text.replace("seed: 1", "seed: 2"))
    smoke.prepare(study, before="00_data")
    assert not (study.folder / "made").exists()


def test_evaluation_leaves_intervals_protocols_choices_and_the_submission(study):
    evaluate.run(study, "googlenet-gap", {"threshold": 0.2}, {"split": "test"})
    folder = study.evaluation("googlenet-gap")
    errors, spans, scores = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("errors", "intervals", "protocols")
    )
    lit = pd.read_parquet(folder / "test-googlenet-gap.parquet")
    assert lit["object_cover"].between(0, 1).all() and lit["object_cover"].max() > 0
    rows = ["googlenet-gap", "heuristics-googlenet-gap", "heuristics-text-googlenet-gap"]
    assert list(errors["test"]) == list(spans["test"]) == rows
    for name, error in errors["test"]["googlenet-gap"].items():
        low, high = spans["test"]["googlenet-gap"][name]
        assert low <= error <= high
    found = scores["test"]["googlenet-gap"]
    assert set(found["held_out"]) == set(found["best"])
    assert all(found["held_out"][name] <= found["best"][name] for name in found["best"])
    assert 0 < found["pxap"] < 100  # against the masks of the withheld split
    for name in ("best", "held_out"):
        for score, (low, high) in found["intervals"][name].items():
            assert low <= found[name][score] <= high
    low, high = found["intervals"]["pxap"]
    assert low < found["pxap"] < high
    moved = pd.read_parquet(folder / "test-deviations.parquet")
    assert list(moved.index) == ["this study", *choices.DEVIATIONS]
    assert moved.loc["this study", "loc_err_top1 change"] == 0
    lines = (folder / "test-submission.txt").read_text().splitlines()
    assert len(lines) == 6 and all(len(line.split()) == 25 for line in lines)


@pytest.mark.parametrize("rule", ["heuristic", "heuristic-text"])
def test_rule_heuristic_sends_five_guesses_of_three_classes(study, rule):
    try:
        options = {"threshold": 0.2, "rule": rule}
        found = evaluate.run(study, "googlenet-gap", options, {"split": "test"})["test"]
        submitted = study.evaluation("googlenet-gap") / "test-submission.txt"
        lines = [line.split() for line in submitted.read_text().splitlines()]
    finally:
        evaluate.run(study, "googlenet-gap", {"threshold": 0.2}, {"split": "test"})
    name = rule.replace("heuristic", "heuristics")
    five, own = found[f"{name}-googlenet-gap"], found["googlenet-gap"]
    assert own["loc_err_top5"] == five["loc_err_top5"]
    assert set(own) >= {"cls_err_top1", "cls_err_top5", "loc_err_gt_known"}
    for line in lines:
        first, _, second, _, third = line[::5]
        assert line[::5] == [first, first, second, second, third]
        assert len({first, second, third}) == 3


def test_weights_files_and_folders_are_found_from_the_repositorys_root(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    asked = []
    monkeypatch.setattr(train.networks, "whole", lambda *names, **keys: asked.append(keys))
    for weights in (
        "scratch",
        {"source": "torchvision", "folder": "offline"},
        {"source": "path", "path": "a.pth"},
    ):
        declaration = params.Original(weights=weights).model_dump(mode="json")
        train._original("alexnet", declaration, ["n01440764"])
    assert [(keys["weights"], keys["folder"]) for keys in asked] == [
        ("scratch", None),
        ("torchvision", tmp_path / "offline"),
        (tmp_path / "a.pth", None),
    ]


def test_networks_that_differ_in_their_seed_alone_are_told_together():
    line = SMOKE.models["googlenet-gap"].model_dump()
    networks = {"a": line, "b": line | {"seed": 2}, "c": line | {"pool": "gmp"}, "d": {"gap": None}}
    assert results.alike(networks, but="seed") == [["a", "b"]]


def test_another_number_of_groups_is_a_line_among_the_choices(study, tmp_path):
    """A second network, evaluated alike, declared with two groups: nothing moves."""
    other = Study(tmp_path)
    for part in ("manifest", "truth", "pictures", "predictions", "evaluation"):
        shutil.copytree(study.folder / part, tmp_path / part)
    copy = other.evaluation("two")
    shutil.copytree(other.evaluation("googlenet-gap"), copy)
    (copy / "test-deviations.parquet").unlink()
    for split in ("val", "test"):
        (copy / f"{split}-googlenet-gap.parquet").rename(copy / f"{split}-two.parquet")
    errors = json.loads((copy / "errors.json").read_text())
    renamed = {split: {"two": rows["googlenet-gap"]} for split, rows in errors.items()}
    for file in ("errors", "intervals"):
        (copy / f"{file}.json").write_text(json.dumps(renamed))
    (copy / "protocols.json").write_text("{}")
    line = SMOKE.models["googlenet-gap"].model_dump()
    networks = {"googlenet-gap": line, "two": line | {"groups": 2}}
    made = results.collect(other, networks, params.Evaluate(split="test"))
    found = made.choices["googlenet-gap"]
    assert list(found.index) == ["this study", *choices.DEVIATIONS, "2 groups (`two`)"]
    assert found.loc["2 groups (`two`)", "loc_err_top1 change"] == 0


def test_seed_of_a_line_overrules_the_studys(study, tmp_path):
    other = Study(tmp_path)
    shutil.copytree(study.folder / "networks" / "googlenet", tmp_path / "networks" / "googlenet")
    line = SMOKE.network("googlenet-gap").model_dump()
    first = surgery.run(other, "googlenet-gap", line, 1).classifier.weight
    same = surgery.run(other, "googlenet-gap", line | {"seed": 1}, 5).classifier.weight
    new = surgery.run(other, "googlenet-gap", line | {"seed": 2}, 1).classifier.weight
    assert first.equal(same) and not first.equal(new)
