"""What a study lacks here is told with its cure, and how long it takes with what tells so."""

import hashlib
import io
import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from dvc.repo import Repo
from ruamel.yaml import YAML

from camloc import cli
from camloc.core import params
from camloc.pipeline import checks, cost, doctor, fingerprints, schedule
from camloc.pipeline.cost import Line, Pace
from camloc.pipeline.parameters import PORTABLE
from clone import ROOT

SMOKE = params.load(ROOT / "params" / "smoke.yaml")
PACE = Pace(Line(0, 0.1), Line(0, 0.01), Line(0, 0.02), parameters=1000, body=50, maps=8, cells=16)
LOOK = checks.networks
TINY = {"source": "tiny-imagenet", "folder": None, "classes": None, "val_per_class": 50}


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A clone that has not run: the smoke study, whose networks have given paces, and no server
    that answers."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    Repo.init(str(tmp_path)).close()
    for name in ("dvc.yaml", "params", "notebooks"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "src").symlink_to(ROOT / "src")
    shutil.copy(ROOT / "params" / "smoke.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    for variable, value in PORTABLE.items():  # which the command sets, and nothing takes back
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(checks, "networks", lambda study: (dict.fromkeys(study.networks), []))
    monkeypatch.setattr(cost, "probe", lambda _, networks: dict.fromkeys(networks, PACE))
    monkeypatch.setattr(doctor, "urlopen", refused)
    return tmp_path


@pytest.fixture
def checked(repository, monkeypatch) -> Path:
    """The same, whose networks and files are looked at, which takes a second."""
    monkeypatch.setattr(checks, "networks", LOOK)
    return repository


def refused(url, timeout):
    raise OSError("no network connection")


def answered(url, timeout):
    answer = io.BytesIO()
    answer.headers = {"Content-Length": "5000000"}
    return answer


def edit(repository: Path, **sections) -> None:
    """Set sections of params.yaml, or some keys of them."""
    yaml = YAML()
    tree = yaml.load(repository / "params.yaml")
    for name, value in sections.items():
        tree[name] = value
    yaml.dump(tree, repository / "params.yaml")


def told(capsys, *arguments: str) -> tuple[int, dict[str, str], str]:
    """The exit code, what is printed under each label, and the problems."""
    code = cli.main(["doctor", *arguments])
    printed = capsys.readouterr()
    lines, label = {}, ""
    for text in printed.out.splitlines():
        label = text[:11].strip() or label
        lines[label] = f"{lines[label]}\n{text[11:]}" if not text[:11].strip() else text[11:]
    assert printed.out.count("\n") <= 40
    return code, lines, printed.err


def test_study_that_can_run_has_no_problem(repository, capsys):
    code, lines, problems = told(capsys)
    assert (code, problems) == (0, "")
    assert lines["study"] == "smoke: 4 networks, 1 × each, threads: 1"
    assert all(f"{name} " in lines["versions"] for name in ("python", "torch", "timm", "camloc"))
    assert lines["devices"].endswith("; cpu is taken")
    assert lines["git, DVC"].startswith("can run, at ")
    assert (lines["weights"], lines["data"]) == ("none needed", "drawn on the spot")
    assert lines["done"] == "0 of 18 stages"
    assert lines["time"].endswith(": 18 stages, from a probe of the networks")
    assert lines["time"].startswith("about 2 minutes")  # 18 · 4.5 s, 4 · 10 s and some maps
    assert not (repository / "data").exists()


def test_ready_made_study_is_looked_at_without_being_taken(repository, capsys):
    before = (repository / "params.yaml").read_bytes()
    code, lines, _ = told(capsys, "tiny-imagenet-20")
    assert code == 2 and lines["study"].startswith("tiny-imagenet-20: 4 networks, 8 × each")
    assert (repository / "params.yaml").read_bytes() == before
    assert cli.main(["doctor", "smok"]) == 2
    assert "no study 'smok' in params/; did you mean smoke?" in capsys.readouterr().err


def test_folder_of_pictures_that_is_missing_is_a_problem(checked, capsys):
    edit(checked, data=TINY | {"folder": "photos"}, cams=dict(SMOKE.cams) | {"top": 5})
    code, lines, problems = told(capsys)
    assert code == 2 and lines["data"] == f"no folder {checked}/photos"
    assert "data.folder: there is no folder photos; give the path of one that exists" in problems
    assert "about" in lines["time"]


def test_folder_that_lacks_the_layout_is_a_problem(repository, capsys):
    (repository / "photos").mkdir()
    edit(repository, data=TINY | {"folder": "photos"}, cams=dict(SMOKE.cams) | {"top": 5})
    code, _, problems = told(capsys)
    assert code == 2 and f"{repository}/photos lacks wnids.txt; docs/data.md says" in problems
    (repository / "photos" / "wnids.txt").touch()
    assert told(capsys)[0] == 0


def test_official_files_that_are_missing_are_named(repository, capsys):
    (repository / "official").mkdir()
    (repository / "official" / "ILSVRC2012_img_val.tar").touch()
    data = {"source": "ilsvrc", "folder": "official"}
    evaluate = {"split": "val", "iou": 0.5}
    edit(repository, data=data, evaluate=evaluate, cams=dict(SMOKE.cams) | {"top": 5})
    code, lines, problems = told(capsys)
    assert code == 2 and "to be unpacked into" in lines["data"]
    assert "official lacks ILSVRC2012_img_train.tar and ILSVRC2012_bbox_val_v3.tgz" in problems


def test_archive_that_is_to_be_downloaded_is_told_with_its_size(repository, capsys, monkeypatch):
    edit(repository, data=TINY, cams=dict(SMOKE.cams) | {"top": 5})
    url = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    code, lines, problems = told(capsys)
    assert code == 2 and lines["downloads"] == f"{url}, no answer"
    assert f"(`curl -fLO {url}`) and put it into {repository}/data/downloads" in problems
    monkeypatch.setattr(doctor, "urlopen", answered)
    code, lines, _ = told(capsys)
    assert code == 0 and lines["downloads"] == f"{url}, 5 MB"
    (repository / "data" / "downloads").mkdir(parents=True)
    (repository / "data" / "downloads" / "tiny-imagenet-200.zip").touch()
    _, lines, _ = told(capsys)
    assert lines["downloads"] == "none" and lines["data"].startswith("archives in")
    (repository / "data" / "downloads" / "tiny-imagenet").mkdir()
    assert told(capsys)[1]["data"] == f"in {repository}/data/downloads/tiny-imagenet"


def test_weights_that_are_not_there_are_told_and_a_problem_without_a_network(
    repository, capsys, monkeypatch
):
    originals = {"googlenet": {"weights": {"source": "torchvision", "head": "new"}}}
    edit(repository, originals=originals)
    code, lines, problems = told(capsys)
    assert code == 2 and lines["weights"] == "googlenet: to be downloaded"
    url = "https://download.pytorch.org/models/googlenet-1378be20.pth"
    assert f"{url} does not answer" in problems
    assert f"put it into {repository}/torch/hub/checkpoints" in problems
    monkeypatch.setattr(doctor, "urlopen", answered)
    code, lines, _ = told(capsys)
    assert code == 0 and lines["downloads"] == f"{url}, 5 MB"


def test_weights_file_of_ones_own_that_is_missing_is_a_problem(checked, capsys):
    weights = {"source": "path", "path": "mine.pth"}
    edit(checked, originals={"googlenet": {"weights": weights, "width": 0.125}})
    code, lines, problems = told(capsys)
    assert code == 2 and lines["weights"] == "googlenet: mine.pth"
    assert "weights.path: there is no file mine.pth" in problems


def test_full_disk_is_a_problem(repository, capsys, monkeypatch):
    few = shutil._ntuple_diskusage(2**40, 2**40, 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: few)
    code, lines, problems = told(capsys)
    assert code == 2 and "0.0 GiB free, about 0.3 needed" in lines["disk"]
    assert f"{repository}/data has 0.0 GiB free, about 0.3 needed; make room or" in problems


def test_what_dvc_needs_is_a_problem_where_it_is_missing(repository, capsys):
    shutil.rmtree(repository / ".git")
    code, lines, problems = told(capsys)
    assert code == 2 and "run `git init` there" in problems and "git, DVC" not in lines


def test_network_that_cannot_be_built_is_a_problem_and_leaves_the_time_open(checked, capsys):
    models = {"cut": {"backbone": "googlenet", "cut": "inception9"}}
    edit(checked, models=models, controls={}, cams=dict(SMOKE.cams) | {"ten_crop": [], "bf16": []})
    code, lines, problems = told(capsys)
    assert code == 2 and "models.cut.cut: googlenet has no node 'inception9'" in problems
    assert lines["time"].startswith("not known (") and "done" not in lines


def test_device_that_is_not_there_is_a_problem(repository, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    edit(repository, machine=dict(SMOKE.machine) | {"device": "cuda"})
    code, _, problems = told(capsys)
    assert code == 2 and "params.yaml: device: no cuda on this machine" in problems


def test_gpus_are_told_with_their_memory_and_bf16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "A GPU")
    memory = SimpleNamespace(total_memory=2**37)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: memory)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert doctor.devices().split("; ")[-1] == "cuda:0 A GPU, 128 GiB with bf16"


def test_wrong_key_is_refused_as_always(repository, capsys):
    edit(repository, sed=1)
    assert cli.main(["doctor"]) == 2
    assert "params.yaml: sed: unknown key; did you mean seed" in capsys.readouterr().err


AHEAD = ["data", "originals@a", "cams@a", "report"]
MODELLED = {"data": 1.0, "originals@a": 30.0, "cams@a": 10.0, "report": 5.0}


def test_own_times_tell_how_long_it_takes():
    seconds, basis = doctor.estimate(AHEAD, dict.fromkeys(AHEAD, 7.0), {"data": 99.0}, {})
    assert seconds == 28.0 and basis == "from their last run here"


def test_published_times_count_at_the_pace_of_the_networks():
    """Training and maps take 40 s here, 20 s there: twice as long, so 2 · (3 + 20 + 4) s."""
    published = {"data": 3.0, "originals@a": 15.0, "cams@a": 5.0, "report": 4.0}
    seconds, basis = doctor.estimate(AHEAD, {}, published, MODELLED)
    assert seconds == 54.0
    assert basis == "from the published run, 2.0 times as long here"


def test_what_no_run_tells_is_taken_from_the_probe():
    taken = {"data": 2.0, "report": 3.0}
    seconds, basis = doctor.estimate(AHEAD, taken, {}, MODELLED)
    assert seconds == 2 + 30 + 10 + 3
    assert basis == "from their last run here and a probe of the networks"


def write(root: Path, study: params.Params) -> None:
    """What a run of a study leaves that tells how long its stages took: 9 seconds each."""
    for name, given in fingerprints.given_of(study).items():
        file = root / "data" / "fingerprints" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"given": given}))
    taken = dict.fromkeys(schedule.stages(ROOT / "dvc.yaml", study), 9.0)
    own = schedule.times_of(root, study.study)
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(json.dumps(taken))


def longer(study: params.Params) -> params.Params:
    finetune = study.finetune.model_copy(update={"epochs": 9})
    return study.model_copy(update={"finetune": finetune})


def test_times_of_stages_that_are_given_something_else_now_do_not_count(repository):
    write(repository, SMOKE)
    order = schedule.stages(ROOT / "dvc.yaml", SMOKE)[1:]
    assert doctor.times(SMOKE, repository, order) == (dict.fromkeys(order, 9.0), {})
    trained = {"finetune@googlenet-gap", "finetune@googlenet-gmp", "controls@googlenet-control"}
    here, _ = doctor.times(longer(SMOKE), repository, order)
    assert here.keys() == set(order) - trained
    fewer = SMOKE.data.model_copy(update={"train": 48})
    assert doctor.times(SMOKE.model_copy(update={"data": fewer}), repository, order) == ({}, {})


def test_published_times_count_wherever_the_pictures_lie(repository):
    folder = repository / schedule.PUBLISHED / "tiny-imagenet-20"
    shutil.copytree(ROOT / schedule.PUBLISHED / "tiny-imagenet-20", folder)
    study = params.load(folder / "params.yaml")
    order = schedule.stages(ROOT / "dvc.yaml", study)[1:]
    elsewhere = study.data.model_copy(update={"folder": Path("/elsewhere")})
    here, there = doctor.times(study.model_copy(update={"data": elsewhere}), repository, order)
    assert here == {} and there["finetune@lite0-gap"] == 630.3


def lock(root: Path, study: params.Params) -> list[str]:
    """A dvc.lock in which all stages are done, whose networks' files depend on each other."""
    stages, order = {}, schedule.stages(ROOT / "dvc.yaml", study)[1:]
    contents = dict(fingerprints.fingerprints(root, study))
    folders = {"train": "networks", "maps": "predictions", "evaluate": "evaluation"}
    before = {"maps": "networks", "evaluate": "predictions"}
    for stage in order:
        kind, network = cost.kind_of(stage), stage.partition("@")[2]
        name = f"{kind}/{network}" if network else stage
        md5 = hashlib.md5(fingerprints.as_text(contents[name]).encode()).hexdigest()
        deps = [{"path": f"data/fingerprints/{name}.json", "md5": md5}]
        deps += [{"path": f"data/{before[kind]}/{network}", "md5": "x"}] if kind in before else []
        outs = [{"path": f"data/{folders.get(kind, kind)}/{network}".rstrip("/"), "md5": "x"}]
        (root / outs[0]["path"]).mkdir(parents=True, exist_ok=True)
        stages[stage] = {"cmd": "x", "deps": deps, "outs": outs}
    YAML().dump({"schema": "2.0", "stages": stages}, root / "dvc.lock")
    return order


def test_stages_that_dvc_has_done_are_not_ahead(repository, capsys):
    order = lock(repository, SMOKE)
    assert doctor.stages_ahead(order, SMOKE, repository) == []
    _, lines, _ = told(capsys)
    assert (lines["done"], lines["time"]) == ("18 of 18 stages", "nothing is left to do")


def test_edit_puts_its_stages_and_what_follows_ahead(repository):
    order = lock(repository, SMOKE)
    boxes = SMOKE.boxes.model_copy(update={"threshold": 0.3})
    evaluated = [stage for stage in order if cost.kind_of(stage) == "evaluate"]
    study = SMOKE.model_copy(update={"boxes": boxes})
    assert doctor.stages_ahead(order, study, repository) == [*evaluated, "report", "render"]


def test_files_that_are_gone_put_their_stage_and_what_reads_them_ahead(repository):
    order = lock(repository, SMOKE)
    shutil.rmtree(repository / "data" / "networks" / "googlenet-gap")
    assert doctor.stages_ahead(order, SMOKE, repository) == [
        "finetune@googlenet-gap",
        "cams@googlenet-gap",
        "evaluate@googlenet-gap",
        "report",
        "render",
    ]


def test_lock_that_cannot_be_read_is_told(repository, capsys):
    (repository / "dvc.lock").write_text("stages: [")
    _, lines, _ = told(capsys)
    assert lines["time"].startswith("not known (dvc.lock cannot be read (")
