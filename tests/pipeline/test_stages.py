"""The stages in this process, on a handful of pictures."""

import json
import os
import re
import shutil
import signal

import pandas as pd
import pytest
import torch

from camloc.core import params, processes
from camloc.core.errors import Stopped, UserError
from camloc.core.params import Boxes, Evaluate, Model
from camloc.core.paths import Study
from camloc.data import alterations
from camloc.data.manifest import Manifest, save_truth
from camloc.evaluation.choices import DEVIATIONS, IN_BF16
from camloc.evaluation.error_types import ERROR_TYPES
from camloc.evaluation.store import Evaluation
from camloc.maps import methods, store
from camloc.networks import backbones, files, published
from camloc.pipeline.parameters import (
    DataParameters,
    EvaluateParameters,
    MapsParameters,
    ReportParameters,
    SurgeryParameters,
    TrainParameters,
)
from camloc.pipeline.stages import data, evaluate, maps, report, smoke, surgery, train
from camloc.report import tables
from camloc.report.results import collect
from camloc.training import loop
from clone import ROOT
from made import jpeg

DECLARED = params.load(ROOT / "params" / "smoke.yaml")
SHAPES = params.Shapes(source="shapes", train=24, val=6, test=6)
SMALL = {"batch": 8, "epochs": 1}
SMOKE = DECLARED.model_copy(
    update={
        "data": SHAPES,
        "training": DECLARED.training.model_copy(update=SMALL),
        "finetune": DECLARED.finetune.model_copy(update=SMALL),
    }
)
DATA = DataParameters.of(SMOKE)
GAP = EvaluateParameters.of(SMOKE, "googlenet-gap")


def run_all(study: Study) -> None:
    """Every stage of the smoke study's whole network and of its GAP network."""
    data.run(study, DATA)
    for name in ("googlenet", "googlenet-gap"):
        if name in SMOKE.models:
            surgery.run(study, SurgeryParameters.of(SMOKE, name))
        train.run(study, TrainParameters.of(SMOKE, name))
        maps.run(study, MapsParameters.of(SMOKE, name))
        evaluate.run(study, EvaluateParameters.of(SMOKE, name))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = Study(tmp_path_factory.mktemp("study"))
    run_all(study)
    return study


def test_same_seed_gives_the_same_weights_maps_and_errors(study, tmp_path):
    again = Study(tmp_path)
    run_all(again)
    for path in (
        "networks/googlenet-gap/run-1/weights.safetensors",
        "predictions/googlenet-gap/run-1/test/cam.npy",
        "predictions/googlenet/run-1/val/backprop.npy",
        "evaluation/googlenet-gap/run-1/images.parquet",
    ):
        assert (study.folder / path).read_bytes() == (again.folder / path).read_bytes(), path


def frozen(name: str) -> TrainParameters:
    given = TrainParameters.of(SMOKE, name)
    frozen = given.training.model_copy(update={"freeze": "body"})
    return given.model_copy(update={"training": frozen})


def state_of(path) -> dict:
    network, _ = files.load(path)
    return network.state_dict()


def test_heads_on_one_frozen_cut_cost_one_pass_of_its_body(study, tmp_path, monkeypatch):
    shutil.copytree(study.folder, tmp_path / "study")
    own, passes = Study(tmp_path / "study"), []
    keep_maps = train.keep_maps
    monkeypatch.setattr(train, "keep_maps", lambda *a, **b: passes.append(1) or keep_maps(*a, **b))
    for name in ("googlenet-gap", "googlenet-gmp"):
        surgery.run(own, SurgeryParameters.of(SMOKE, name))
        train.run(own, frozen(name))
        cut, trained = (state_of(path) for path in (own.surgery(name), own.weights(name)))
        changed = {key for key in cut if not cut[key].equal(trained[key])}
        assert changed == {"convs.0.weight", "convs.0.bias", "classifier.weight", "classifier.bias"}
    assert len(passes) == 1


def test_network_of_others_is_taken_whole_and_stays_where_nothing_is_trained(study, tmp_path):
    shutil.copytree(study.folder, tmp_path / "study")
    own = Study(tmp_path / "study")
    torch.save(state_of(study.weights("googlenet-gap")), tmp_path / "theirs.pth")
    theirs = {"weights": tmp_path / "theirs.pth"}
    surgery.run(own, SurgeryParameters.of(SMOKE, "googlenet-gap").model_copy(update=theirs))
    given = TrainParameters.of(SMOKE, "googlenet-gap")
    untrained = given.training.model_copy(update={"epochs": 0})
    train.run(own, given.model_copy(update={"training": untrained}))
    wanted, found = (state_of(one.weights("googlenet-gap")) for one in (study, own))
    assert all(found[key].equal(wanted[key]) for key in wanted)


def test_surgery_is_shown_on_pictures_of_the_size_that_the_network_is_for():
    """Of fewer pixels its maps could lack the positions that `top_k` asks for."""
    googlenet = SMOKE.originals["googlenet"].model_copy(update={"size": 96})
    larger = SMOKE.model_copy(update={"originals": SMOKE.originals | {"googlenet": googlenet}})
    sizes = [SurgeryParameters.of(each, "googlenet-gap").size for each in (SMOKE, larger)]
    assert sizes == [SMOKE.loading.size, 96]


def test_training_goes_on_from_the_end_of_the_one_that_it_comes_after(study, tmp_path):
    shutil.copytree(study.folder, tmp_path / "study")
    own, given = Study(tmp_path / "study"), TrainParameters.of(SMOKE, "googlenet-control")
    untrained = given.training.model_copy(update={"epochs": 0})
    train.run(own, given.model_copy(update={"training": untrained}))
    control, original = (own.weights(name) for name in ("googlenet-control", "googlenet"))
    assert control.read_bytes() == original.read_bytes()


def test_pictures_that_no_process_could_read_are_listed_once(capsys):
    train._list_unreadable([["b.jpg"], ["a.jpg", "b.jpg"]])
    assert capsys.readouterr().out.splitlines() == [
        "2 training images cannot be read and were skipped:",
        "  a.jpg",
        "  b.jpg",
    ]
    train._list_unreadable([[], []])
    assert capsys.readouterr().out == ""


def test_maps_of_machines_that_share_no_folder_are_not_put_together(study, tmp_path, monkeypatch):
    """The other process wrote its part elsewhere; the earlier predictions stay."""
    monkeypatch.setattr(processes, "share", lambda: processes.Share(0, 2))
    monkeypatch.setattr(processes, "gather", lambda value: [value, value])
    monkeypatch.setattr(maps, "_write", lambda folder, study, given: (folder / "part").touch())
    with pytest.raises(
        UserError, match=r"parts/1 is not there; .* a folder that all machines share"
    ):
        maps.work(Study(tmp_path), MapsParameters.of(SMOKE, "googlenet"))


def test_frozen_whole_network_trains_its_last_layer_alone(study, tmp_path):
    shutil.copytree(study.folder, tmp_path / "study")
    own = Study(tmp_path / "study")
    given = frozen("googlenet")
    train.run(own, given)
    untrained = given.training.model_copy(update={"epochs": 0})
    trained = state_of(own.weights("googlenet"))
    train.run(own, given.model_copy(update={"training": untrained}))
    before = state_of(own.weights("googlenet"))
    assert {key for key in before if not before[key].equal(trained[key])} == {
        "fc.weight",
        "fc.bias",
    }


def test_frozen_network_that_pools_its_classes_own_maps_is_refused(study, tmp_path):
    shutil.copytree(study.folder, tmp_path / "study")
    squeezenet = params.Original(backbone="squeezenet1_0", gap="classifier.2")
    given = frozen("googlenet").model_copy(update={"original": squeezenet})
    with pytest.raises(UserError, match=r"no linear layer after its pooling"):
        train.run(Study(tmp_path / "study"), given)


def test_training_stopped_in_an_epoch_goes_on_to_the_same_weights(study, tmp_path, monkeypatch):
    """With GoogLeNet's dropout and batch norms, three batches of eight an epoch, by SIGTERM."""
    other, step, calls = Study(tmp_path), loop.Step.__call__, []
    for part in ("manifest", "pictures"):
        shutil.copytree(study.folder / part, tmp_path / part)
    given = TrainParameters.of(SMOKE, "googlenet")
    given = given.model_copy(update={"training": given.training.model_copy(update={"epochs": 2})})

    def stopping(self, parts):
        calls.append(1)
        if len(calls) in (2, 5):
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, parts)

    train.run(other, given)
    expected = other.weights("googlenet").read_bytes()
    other.weights("googlenet").unlink()
    monkeypatch.setattr(loop.Step, "__call__", stopping)
    for place in ("epoch 1, step 2", "epoch 2, step 2"):
        with pytest.raises(Stopped, match=place):
            train.run(other, given)
    train.run(other, given)
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
        found = evaluate.run(study, GAP)
    finally:
        data.run(study, DATA)
    assert set(found.percentages()) == {"val"}
    assert (study.predictions("googlenet-gap") / "test" / "cam.npy").is_file()


def test_report_writes_the_rows_of_the_reported_split(study, tmp_path):
    evaluate.run(study, GAP)
    given = ReportParameters.of(SMOKE)
    results = report.run(study, given, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics) == ["googlenet", "backprop-googlenet", "googlenet-gap"]
    assert metrics == results.metrics
    summary = (tmp_path / "summary.md").read_text()
    assert "\n5. **not measured**: GAP localizes better than GMP." in summary  # GMP was not run
    # The paper's top-1 error stands beside the row's name.
    assert re.search(r"\| GoogLeNet-GAP \(`googlenet-gap`\) +\| +35\.0 ", summary)
    assert str(tmp_path) not in summary


def test_failing_data_stage_leaves_the_earlier_manifest(study):
    before = (study.manifest / "dataset.json").read_bytes()
    with pytest.raises(UserError, match="give at least 12"):
        few = SHAPES.model_copy(update={"train": 3})
        data.run(study, DATA.model_copy(update={"data": few}))
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
            maps.run(study, MapsParameters.of(SMOKE, "googlenet-gap"))
    finally:
        picture.write_bytes(whole)
    assert earlier.read_bytes() == before
    assert not list(study.predictions("googlenet-gap").parent.glob("*-new"))


def test_maps_of_a_method_are_kept_where_another_is_added_and_made_again_where_damaged(
    study, tmp_path, monkeypatch
):
    copy = Study(shutil.copytree(study.folder, tmp_path / "study"))
    asked, made = [], methods.method_maps

    def counted(method, *arguments):
        asked.append(method)
        return made(method, *arguments)

    monkeypatch.setattr("camloc.maps.predict.method_maps", counted)

    def costs():
        return {*json.loads(copy.costs("googlenet-gap").read_text())}

    def run(*names, **changes):
        asked.clear()
        given = MapsParameters.of(SMOKE, "googlenet-gap")
        maps.run(copy, given.model_copy(update={"methods": [*names], "cell": 4} | changes))
        return {*asked}

    def stored():
        folder = copy.predictions("googlenet-gap") / "val"
        return {path.stem: path.read_bytes() for path in folder.glob("*.npy")}

    assert run("backprop") == {"backprop"}
    first = stored()
    assert run("backprop", "layer-cam") == {"layer-cam"}
    assert costs() == {"cam", "backprop", "layer-cam"}
    both = stored()
    assert first.keys() < both.keys() and first.items() <= both.items()
    assert run("layer-cam", "backprop", cell=8) == {"backprop"}
    assert stored()["backprop"] != both["backprop"]
    damaged = copy.predictions("googlenet-gap") / "test" / "layer-cam.npy"
    damaged.write_bytes(damaged.read_bytes()[:-2] + b"12")
    assert run("backprop", "layer-cam") == {"backprop", "layer-cam"}
    assert stored() == both
    assert run("backprop") == set() and costs() == {"cam", "backprop"}
    assert run() == set() and stored().keys() == {"cam"}
    assert not copy.costs("googlenet-gap").exists()


def test_effects_of_parts_and_the_check_of_sanity_go_into_the_rows_of_the_report(study, tmp_path):
    copy = Study(shutil.copytree(study.folder, tmp_path / "study"))
    manifest = Manifest.load(copy.manifest).with_truth(copy.truth)
    made = []
    for image in manifest.split("test")["image"]:
        for part in (1, 2, 3):
            path = f"altered/{image}-{part}.jpg"
            jpeg(manifest.root / path, (160, 120))
            made += [(image, part, change, path) for change in alterations.CHANGES]
    alterations.save(manifest.root, made)
    given = MapsParameters.of(SMOKE, "googlenet-gap")
    asked = {"methods": ["grad-cam"], "effects": True, "sanity": True}
    maps.run(copy, given.model_copy(update=asked))
    effects = store.read_effects(copy.predictions("googlenet-gap") / "test")
    assert len(effects) == len(made) and effects["effect"].abs().max() > 0
    assert (
        store.read_effects(copy.predictions("googlenet-gap") / "val") is None
    )  # nothing was altered
    evaluate.run(copy, GAP)
    found = collect(copy, {"googlenet-gap": SMOKE.models["googlenet-gap"]}, SMOKE.evaluate)
    assert set(tables.causes(found).index) == {"googlenet-gap", "grad-cam-googlenet-gap"}
    assert set(tables.sanity(found)["row"]) == {"googlenet-gap", "grad-cam-googlenet-gap"}


def test_smoke_study_forgets_files_that_another_declaration_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params").mkdir()
    declared = tmp_path / "params" / "smoke.yaml"
    text = (ROOT / "params" / "smoke.yaml").read_text()
    declared.write_text(text)
    study = Study(tmp_path / smoke.FOLDER)
    smoke.parameters("data", None, study)
    (study.folder / "made").touch()
    smoke.parameters("data", None, study)
    assert (study.folder / "made").exists()
    declared.write_text(text.replace("seed: 1", "seed: 2"))
    smoke.parameters("data", None, study)
    assert not (study.folder / "made").exists()


@pytest.mark.parametrize(
    ("stage", "made"),
    [
        ("data", []),
        ("surgery", ["data", "train googlenet"]),
        (
            "maps",
            [
                *("data", "train googlenet", "surgery googlenet-gap", "train googlenet-gap"),
                *("surgery googlenet-gmp", "train googlenet-gmp", "train googlenet-control"),
            ],
        ),
    ],
)
def test_notebook_opened_alone_makes_what_the_stages_before_it_leave(
    tmp_path, monkeypatch, stage, made
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    shutil.copytree(ROOT / "params", tmp_path / "params")
    done = []
    for module in (data, surgery, train):
        name = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(
            module,
            "run",
            lambda study, given, name=name: done.append(
                " ".join([name, *filter(None, [getattr(given, "network", None)])])
            ),
        )
    own = Study(tmp_path / smoke.FOLDER)
    given = smoke.parameters(stage, None, own, None if stage == "data" else "googlenet-gap")
    assert done == made
    assert getattr(given, "network", "googlenet-gap") == "googlenet-gap"


def test_parameters_are_those_that_were_given_or_of_the_study_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    shutil.copytree(ROOT / "params", tmp_path / "params")
    shutil.copy(ROOT / "params" / "demo.yaml", tmp_path / "params.yaml")
    demo = params.load(tmp_path / "params.yaml")
    given = TrainParameters.of(demo, "vgg16")
    pipelines = Study(tmp_path / "data")
    assert smoke.parameters("train", None, pipelines, "vgg16") == given
    injected = json.loads(given.model_dump_json())
    assert smoke.parameters("train", injected, pipelines) == given


def test_evaluation_leaves_its_results_and_the_submission(study):
    found = evaluate.run(study, GAP)
    folder = study.evaluation("googlenet-gap")
    kept = Evaluation.load(folder)
    assert kept.percentages() == found.percentages() and kept.wsol.keys() == {"val", "test"}
    rows = ["googlenet-gap", "heuristics-googlenet-gap", "heuristics-text-googlenet-gap"]
    assert list(kept.percentages()["test"]) == rows
    assert 0 < kept.wsol["test"]["googlenet-gap"]["pxap"] < 100  # by the withheld split's masks
    assert list(kept.choices["choice"].unique()) == [*DEVIATIONS, IN_BF16]
    assert set(kept.images["error_type"].dropna()) <= set(ERROR_TYPES)
    lines = (folder / "test-submission.txt").read_text().splitlines()
    assert len(lines) == 6 and all(len(line.split()) == 25 for line in lines)


def with_boxes(**options) -> EvaluateParameters:
    return GAP.model_copy(update={"boxes": Boxes(**{"threshold": 0.2} | options)})


def test_curves_over_thresholds_are_kept_where_only_the_threshold_changed(study, monkeypatch):
    first = evaluate.run(study, GAP)
    monkeypatch.setattr("camloc.evaluation.thresholds.curves", None)  # calling it would fail
    monkeypatch.setattr("camloc.evaluation.thresholds.by_threshold", None)
    other = evaluate.run(study, with_boxes(threshold=0.6))
    assert other.wsol == json.loads(json.dumps(first.wsol))
    assert not other.images.equals(first.images)
    with pytest.raises(TypeError, match="not callable"):
        evaluate.run(study, with_boxes(normalise="min-max"))
    monkeypatch.undo()
    evaluate.run(study, GAP)


@pytest.mark.parametrize("rule", ["heuristic", "heuristic-text"])
def test_rule_heuristic_sends_five_predictions_of_three_classes(study, rule):
    try:
        found = evaluate.run(study, with_boxes(rule=rule)).percentages()["test"]
        submitted = study.evaluation("googlenet-gap") / "test-submission.txt"
        lines = [line.split() for line in submitted.read_text().splitlines()]
    finally:
        evaluate.run(study, GAP)
    name = rule.replace("heuristic", "heuristics")
    five, own = found[f"{name}-googlenet-gap"], found["googlenet-gap"]
    assert own["loc_err_top5"] == five["loc_err_top5"]
    assert set(own) >= {"cls_err_top1", "cls_err_top5", "loc_err_gt_known"}
    for line in lines:
        first, _, second, _, third = line[::5]
        assert line[::5] == [first, first, second, second, third]
        assert len({first, second, third}) == 3


def test_weights_files_and_folders_are_found_from_the_repositorys_root(
    study, tmp_path, monkeypatch
):
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    asked = []

    def whole(*names, weights, **keys):
        asked.append(weights)
        raise UserError("enough")

    def file(*asked):
        return asked

    monkeypatch.setattr(backbones, "whole", whole)
    monkeypatch.setattr(published, "file", file)
    for weights in (
        "scratch",
        {"source": "torchvision", "folder": "offline"},
        {"source": "path", "path": "a.pth"},
    ):
        original = params.Original(backbone="googlenet", weights=weights)
        given = TrainParameters.of(SMOKE, "googlenet").model_copy(update={"original": original})
        with pytest.raises(UserError, match="enough"):
            train.work(study, given)
    published_file = ("googlenet", "torchvision", tmp_path / "offline")
    assert asked == [None, published_file, tmp_path / "a.pth"]


def test_study_of_one_split_runs_without_training_and_without_surgery(tmp_path):
    """Images of one's own, a network as it is."""
    for name in ("n1/a", "n1/b", "n2/c"):
        jpeg(tmp_path / "own" / "val" / f"{name}.jpg")
    (tmp_path / "own" / "val" / "localization.txt").write_text("n1/a.jpg,2,3,40,30\n")
    declared = SMOKE.model_copy(
        update={
            "data": params.Folder(source="folder", folder=tmp_path / "own"),
            "models": {},
            "controls": {},
            "training": SMOKE.training.model_copy(update={"epochs": 0}),
            "evaluate": Evaluate(split="val"),
            "cams": SMOKE.cams.model_copy(update={"ten_crop": [], "bf16": []}),
        }
    )
    study = Study(tmp_path / "data")
    data.run(study, DataParameters.of(declared))
    assert train.run(study, TrainParameters.of(declared, "googlenet")).empty
    maps.run(study, MapsParameters.of(declared, "googlenet"))
    found = evaluate.run(study, EvaluateParameters.of(declared, "googlenet"))
    assert list(found.percentages()) == ["val"]
    results = collect(study, declared.networks, declared.evaluate)
    assert results.metrics.keys() == {"googlenet", "backprop-googlenet"}
    assert "3 val images of folder (2 classes)" in results.headline
    assert {verdict.word for verdict in results.verdicts} == {"not measured"}
    other = declared.model_copy(update={"evaluate": Evaluate(split="test")})
    with pytest.raises(UserError, match="the data has no images of test, but of val"):
        evaluate.run(study, EvaluateParameters.of(other, "googlenet"))
    trained = declared.model_copy(update={"training": SMOKE.training})
    with pytest.raises(UserError, match="googlenet has 1 epochs of training, and the data no tr"):
        train.run(study, TrainParameters.of(trained, "googlenet"))


def test_what_a_network_wants_of_pictures_goes_on_to_what_is_cut_from_it(study, tmp_path):
    other = Study(tmp_path)
    for name in ("manifest", "pictures", "truth"):
        (tmp_path / name).symlink_to(study.folder / name)
    wanted = {"mean": [104, 117, 123], "std": [1, 1, 1], "channels": "bgr", "scale": 255}
    weights = {"source": "path", "path": study.of_run(1).weights("googlenet")}
    original = SMOKE.originals["googlenet"].model_copy(
        update={"weights": params.Weights(**weights, preprocessing=wanted)}
    )
    declared = SMOKE.model_copy(
        update={
            "originals": {"googlenet": original},
            "training": SMOKE.training.model_copy(update={"epochs": 0}),
        }
    )
    train.run(other, TrainParameters.of(declared, "googlenet"))
    surgery.run(other, SurgeryParameters.of(declared, "googlenet-gap"))
    run = other.of_run(1)
    for path in (run.weights("googlenet"), run.surgery("googlenet-gap")):
        assert files.preprocessing(files.load(path)[1]) == params.Preprocessing(**wanted)
    maps.run(other, MapsParameters.of(declared, "googlenet"))
    scores = [
        pd.read_parquet(one.predictions("googlenet") / "test" / "predictions.parquet")["score"]
        for one in (study.of_run(1), run)
    ]
    assert not scores[0].equals(scores[1])  # the same weights, other pixels


def test_networks_that_differ_in_one_key_alone_are_told_together(study):
    """A second network, evaluated alike, declared with two groups: nothing changes."""
    evaluate.run(study, GAP)
    shutil.copytree(study.predictions("googlenet-gap"), study.predictions("two"))
    try:
        evaluate.run(study, GAP.model_copy(update={"network": "two"}))
        line = SMOKE.models["googlenet-gap"]
        two = line.model_copy(update={"groups": 2})
        networks: dict[str, Model] = {"googlenet-gap": line, "two": two}
        results = collect(study, networks, Evaluate(split="test"))
    finally:
        shutil.rmtree(study.predictions("two"))
        shutil.rmtree(study.evaluation("two"))
    assert results.alike("groups") == [["googlenet-gap", "two"]]
    assert results.alike("seed") == []
    own, other = (results.errors().loc[name] for name in networks)
    assert own.equals(other)


def test_seed_of_a_line_overrules_the_studys(study, tmp_path):
    other = Study(tmp_path)
    shutil.copytree(study.folder / "networks" / "googlenet", tmp_path / "networks" / "googlenet")

    def weights(seed: int, own: int | None):
        line = SMOKE.models["googlenet-gap"].model_copy(update={"seed": own})
        declared = SMOKE.model_copy(update={"seed": seed, "models": {"googlenet-gap": line}})
        return surgery.run(other, SurgeryParameters.of(declared, "googlenet-gap")).classifier.weight

    assert weights(1, None).equal(weights(5, own=1))
    assert not weights(1, None).equal(weights(1, own=2))
