"""params.yaml: what is wrong in it is named; `camloc check` and `camloc use`."""

import re
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from camloc import cli, params
from camloc.errors import UserError, near_matches

READY = Path(__file__).parents[1] / "params"


def smoke():
    """The smoke study as a plain tree."""
    return YAML(typ="safe").load(READY / "smoke.yaml")


def put(tree, path, value):
    """Set the key at a dotted path; None takes it out."""
    *parents, key = path.split(".")
    for parent in parents:
        tree = tree[parent]
    if value is None:
        del tree[key]
    else:
        tree[key] = value


def refusal(tmp_path, **changes):
    """The message that params.yaml gets with these keys (`__` for a dot) of smoke changed."""
    tree = smoke()
    for path, value in changes.items():
        put(tree, path.replace("__", ".").replace("_gap", "-gap"), value)
    path = tmp_path / "params.yaml"
    YAML().dump(tree, path)
    with pytest.raises(UserError) as error:
        params.load(path)
    return str(error.value)


@pytest.mark.parametrize("study", sorted(path.stem for path in READY.glob("*.yaml")))
def test_ready_made_studies_name_themselves(study):
    assert params.load(READY / f"{study}.yaml").study == study


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxs": {}}, "params.yaml: boxs: unknown key; did you mean boxes?"),
        (
            {"training__weight_decai": 1},
            "params.yaml: training.weight_decai: unknown key; did you mean weight_decay?",
        ),
        ({"data__trian": 9}, "params.yaml: data.trian: unknown key; did you mean train?"),
        (
            {"data": {"source": "ilsvrc", "folder": "tars", "unpack": "there"}},
            "params.yaml: data.unpack: unknown key; did you mean unpack_to?",
        ),
        (
            {"models__googlenet_gap__covns": [8]},
            "params.yaml: models.googlenet-gap.covns: unknown key; did you mean convs?",
        ),
        (
            {"originals__googlenet__widht": 1.0},
            "params.yaml: originals.googlenet.widht: unknown key; did you mean width or weights?",
        ),
    ],
)
def test_misspelt_key_is_named_with_its_near_match(tmp_path, changes, message):
    assert refusal(tmp_path, **changes) == message


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("seed", "seed"),
        ("data__train", "data.train"),
        ("finetune__epochs", "finetune.epochs"),
        ("models__googlenet_gap__cut", "models.googlenet-gap.cut"),
    ],
)
def test_missing_key_is_named(tmp_path, path, key):
    assert refusal(tmp_path, **{path: None}) == f"params.yaml: {key}: this key is missing"


@pytest.mark.parametrize(
    ("path", "value", "start"),
    [
        ("seed", "one", "seed: Input should be a valid integer"),
        ("data__train", 0, "data.train: Input should be greater than 0"),
        ("training__epochs", -1, "training.epochs: Input should be greater than or equal to 0"),
        ("training__optimizer", "adam", "training.optimizer: Input should be 'sgd' or 'adamw'"),
        ("boxes__threshold", 20, "boxes.threshold: Input should be less than or equal to 1"),
        ("device", "gpu", "device: Input should be 'auto', 'cpu', 'cuda' or 'mps'"),
        ("models__googlenet_gap__pool", "max", "models.googlenet-gap.pool: Input should be 'gap'"),
        ("models__googlenet_gap__convs", [1, "x"], "models.googlenet-gap.convs.1: Input should"),
    ],
)
def test_value_of_the_wrong_type_is_named_and_shown(tmp_path, path, value, start):
    message = refusal(tmp_path, **{path: value})
    assert message.startswith(f"params.yaml: {start}")
    shown = value[1] if isinstance(value, list) else value
    assert message.endswith(f", not {shown!r}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"models__googlenet_gap__backbone": "googelnet"},
            "models.googlenet-gap.backbone: no original named 'googelnet'; did you mean googlenet?",
        ),
        (
            {"models__googlenet": {"backbone": "googlenet", "cut": "inception4d"}},
            "models.googlenet: an original has this name already",
        ),
        ({"loading__resize": 63}, "loading.resize: must be at least loading.size"),
        (
            {"cams__saliency": ["googlenett"]},
            "cams.saliency: no network named 'googlenett'; did you mean googlenet",
        ),
        (
            {
                "cams__ten_crop": ["googlenet-gap"],
                "originals__googlenet__gap": None,
                "boxes__crops": 10,
            },
            "boxes.crops: 10 needs the ten crops of googlenet-gmp; add it to cams.ten_crop",
        ),
        (
            {"cams__ten_crop": ["googlenet"], "originals__googlenet__gap": None},
            "cams.ten_crop: googlenet has no CAM; name networks that end in global pooling",
        ),
        (
            {"originals__googlenet__training": {"learning_rate": 1}},
            "originals.googlenet.training.learning_rate: unknown key; known: accumulate, batch",
        ),
        (
            {"models__googlenet_gap__training": {"epochs": "many"}},
            "models.googlenet-gap.training.epochs: Input should be a valid integer",
        ),
        (
            {"originals__googlenet__weights": {"source": "path"}},
            "originals.googlenet.weights.path: source path needs the path of a weights file",
        ),
        (
            {"originals__googlenet__weights": {"source": "scratch", "path": "a.pth"}},
            "originals.googlenet.weights.path: belongs to source path, not scratch; leave it out",
        ),
        (
            {
                "originals__googlenet__weights": {
                    "source": "path",
                    "path": "a.pth",
                    "folder": "data/weights",
                }
            },
            "originals.googlenet.weights.folder: belongs to source torchvision, not path; leave",
        ),
        (
            {"originals__googlenet__weights": {"source": "torchvison"}},
            "originals.googlenet.weights.source: Input should be 'torchvision', 'scratch'",
        ),
        (
            {"originals__googlenet__weights": {"path": "a.pth"}},
            "originals.googlenet.weights.source: this key is missing",
        ),
        (
            {"originals__googlenet__weights": {"source": "torchvision", "foldr": "data"}},
            "originals.googlenet.weights.foldr: unknown key; did you mean folder?",
        ),
        ({"models": {}, "cams__ten_crop": []}, "models: declare at least one"),
        ({"data__source": "imagenet"}, "data: Input tag 'imagenet' found using 'source'"),
    ],
)
def test_contradiction_is_named(tmp_path, changes, message):
    refused = refusal(tmp_path, **changes)
    assert refused.startswith(f"params.yaml: {message}")
    assert "\n" not in refused


@pytest.mark.parametrize("word", ["a.pth", "path"])
def test_weights_that_are_a_word_of_another_kind_are_told_to_name_a_path(tmp_path, word):
    assert refusal(tmp_path, originals__googlenet__weights=word) == (
        "params.yaml: originals.googlenet.weights: Value error, must be scratch, torchvision or, "
        f"for a file, {{source: path, path: …}}, not {word!r}"
    )


@pytest.mark.parametrize("source", ["scratch", "torchvision"])
def test_a_word_stands_for_weights_of_that_source(source):
    weights = params.Original(weights=source).weights
    assert weights == params.Weights(source=source, path=None, folder=None)
    assert params.Original().weights == params.Weights(source="scratch")


@pytest.mark.parametrize(
    "weights",
    ["scratch", {"source": "path", "path": "a.pth"}, {"source": "torchvision", "folder": "data"}],
)
@pytest.mark.parametrize("mode", ["json", "python"])
def test_weights_come_back_from_a_notebooks_parameters(weights, mode):
    original = params.Original(weights=weights)
    assert params.Original(**original.model_dump(mode=mode)) == original


def test_every_wrong_key_is_named_in_one_message(tmp_path):
    message = refusal(tmp_path, seed=-1, data__val="few", boxes__treshold=0.2)
    lines = message.splitlines()
    assert [re.match(r"params\.yaml: ([\w.]+):", line)[1] for line in lines] == [
        "seed",
        "data.val",
        "boxes.treshold",
    ]


def test_key_with_two_types_is_named_once(tmp_path):
    message = refusal(tmp_path, cams__top="most")
    assert message.startswith("params.yaml: cams.top: ") and "\n" not in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\n", "params.yaml is not valid YAML.*duplicate key"),
        ("seed: [1\n", "params.yaml is not valid YAML"),
        ("", "params.yaml holds no parameters"),
        ("- 1\n", "params.yaml holds no parameters"),
    ],
)
def test_file_that_is_no_tree_is_refused(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=re.compile(message, re.DOTALL)):
        params.load(tmp_path / "params.yaml")


def test_missing_params_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"params\.yaml is missing; `git checkout params\.yaml`"):
        params.load(tmp_path / "params.yaml")


def test_training_of_a_network_is_its_section_with_its_own_overrides(tmp_path):
    tree = smoke()
    tree["originals"]["googlenet"]["training"] = {"lr": 0.5}
    tree["models"]["googlenet-gmp"]["training"] = {"epochs": 7}
    YAML().dump(tree, tmp_path / "params.yaml")
    study = params.load(tmp_path / "params.yaml")
    assert study.training_of("googlenet") == study.training.model_copy(update={"lr": 0.5})
    assert study.training_of("googlenet-gmp") == study.finetune.model_copy(update={"epochs": 7})
    assert study.training_of("googlenet-gap") == study.finetune
    assert study.network("googlenet-gap").cut == "inception4e"
    assert study.network("googlenet").gap == "inception5b"


def test_near_matches_are_at_most_three_or_else_what_is_known():
    assert near_matches("trian", ["train", "val"]) == "; did you mean train?"
    assert near_matches("train", ["training", "val", "trains"]) == (
        "; did you mean trains or training?"
    )
    assert near_matches("zzz", ["b", "a"]) == "; known: a, b"
    assert near_matches("zzz", [f"a{i:02}" for i in range(13)]).endswith("a11, …")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with the smoke study; commands run in a folder below it."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    shutil.copytree(READY, tmp_path / "params")
    shutil.copy(READY / "smoke.yaml", tmp_path / "params.yaml")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


def check(repository, capsys, **changes):
    """Exit code and standard error of `camloc check` with keys of smoke changed."""
    tree = smoke()
    for path, value in changes.items():
        put(tree, path.replace("__", ".").replace("_gap", "-gap"), value)
    YAML().dump(tree, repository / "params.yaml")
    code = cli.main(["check"])
    return code, capsys.readouterr().err


def test_check_of_the_smoke_study_is_silent(repository, capsys):
    assert check(repository, capsys) == (0, "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"originals__googelnet": {}},
            "originals.googelnet: unknown backbone 'googelnet'; did you mean googlenet",
        ),
        (
            {"models__googlenet_gap__cut": "inception_4e"},
            "models.googlenet-gap.cut: googlenet has no node 'inception_4e'.*inception4e",
        ),
        (
            {"originals__googlenet__gap": "inception5c"},
            "originals.googlenet.gap: googlenet has no node 'inception5c'.*inception5b",
        ),
        (
            {"data": {"source": "tiny-imagenet", "folder": "data/none"}},
            "data.folder: there is no folder data/none",
        ),
        (
            {"originals__googlenet__weights": {"source": "path", "path": "none.pth"}},
            "originals.googlenet.weights.path: there is no file none.pth",
        ),
        (
            {"originals__alexnet": {"weights": {"source": "torchvision", "folder": "data/none"}}},
            "originals.alexnet.weights.folder: there is no folder data/none",
        ),
        (
            {"originals__nin": {"weights": "torchvision"}},
            "originals.nin: torchvision has no weights of nin; write `weights: scratch`, or "
            r"`\{source: path, path: …\}` for a file",
        ),
        ({"training__lr": -1}, "training.lr: Input should be greater than 0, not -1"),
    ],
)
def test_check_ends_with_code_2_and_one_message(repository, capsys, changes, message):
    code, printed = check(repository, capsys, **changes)
    assert code == 2
    assert re.match(f"camloc: params.yaml: {message}", printed)
    assert printed.count("\n") == 1 and "Traceback" not in printed


def test_check_finds_folders_and_files_from_the_repositorys_root(repository, capsys):
    (repository / "images").mkdir()
    (repository / "weights.pth").touch()
    changes = {
        "data": {"source": "tiny-imagenet", "folder": "images"},
        "originals__googlenet__weights": {"source": "path", "path": "weights.pth"},
    }
    assert check(repository, capsys, **changes) == (0, "")


def test_check_lets_weights_be_downloaded_later(repository, capsys, monkeypatch):
    """Neither the folder nor torch's cache has a file."""
    monkeypatch.setenv("TORCH_HOME", str(repository / "torch"))
    (repository / "weights").mkdir()
    weights = {"source": "torchvision", "folder": "weights"}
    assert check(repository, capsys, originals__alexnet={"weights": weights}) == (0, "")


def test_command_outside_a_repository_ends_with_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check"]) == 2
    assert "no dvc.yaml in" in capsys.readouterr().err


def test_use_copies_a_ready_made_study(repository, capsys):
    assert cli.main(["use", "demo"]) == 0
    assert (repository / "params.yaml").read_bytes() == (READY / "demo.yaml").read_bytes()
    assert not (repository / "params.yaml.old").exists()
    assert capsys.readouterr().out == "params.yaml is now the study demo (params/demo.yaml)\n"
    assert cli.main(["use", "demo"]) == 0
    assert capsys.readouterr().out == "params.yaml is the study demo already\n"


def test_use_takes_the_place_of_no_file(repository):
    (repository / "params.yaml").unlink()
    params.use("demo", repository)
    assert params.load(repository / "params.yaml").study == "demo"


def test_use_keeps_edited_params(repository):
    edited = (READY / "demo.yaml").read_text().replace("seed: 1", "seed: 99")
    (repository / "params.yaml").write_text(edited)
    done = params.use("smoke", repository)
    assert (repository / "params.yaml.old").read_text() == edited
    assert params.load(repository / "params.yaml").study == "smoke"
    assert done.endswith("; the one before is kept as params.yaml.old")


def test_use_refuses_an_unknown_study(repository, capsys):
    before = (repository / "params.yaml").read_bytes()
    assert cli.main(["use", "tiny-imagnet"]) == 2
    assert "no study 'tiny-imagnet' in params/; did you mean tiny-imagenet" in (
        capsys.readouterr().err
    )
    assert (repository / "params.yaml").read_bytes() == before


def test_use_sets_the_folder_and_keeps_the_comments(repository):
    """A folder with a space and a colon, and the file is otherwise what it was."""
    assert cli.main(["use", "tiny-imagenet", "--folder", "/data/tiny: 200"]) == 0
    study = params.load(repository / "params.yaml")
    assert study.data.folder == Path("/data/tiny: 200")
    before = (READY / "tiny-imagenet.yaml").read_text()
    after = (repository / "params.yaml").read_text()
    assert re.findall(r"#.*", after) == re.findall(r"#.*", before)
    assert [line for line in after.splitlines() if "folder:" not in line] == before.splitlines()


def test_use_refuses_a_folder_for_images_made_on_the_spot(repository):
    with pytest.raises(UserError, match="study demo makes its own images; leave out the folder"):
        params.use("demo", repository, folder="/data")
