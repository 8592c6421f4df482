"""params.yaml: what is wrong in it is named; `camloc check` and `camloc use`."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from camloc import cli
from camloc.core import params
from camloc.core.errors import UserError, near_matches
from camloc.networks import backbones
from camloc.pipeline import studies
from camloc.pipeline.parameters import MapsParameters, TrainParameters
from clone import ROOT

READY = ROOT / "params"


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
        (
            "machine__device",
            "gpu",
            "machine.device: Input should be 'auto', 'cpu', 'cuda' or 'mps'",
        ),
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
            "models.googlenet: another network has this name already",
        ),
        (
            {"controls__googlenet_gap": {"original": "googlenet"}},
            "controls.googlenet-gap: another network has this name already",
        ),
        (
            {"controls__control": {"original": "googelnet"}},
            "controls.control.original: no original named 'googelnet'; did you mean googlenet?",
        ),
        ({"loading__resize": 63}, "loading.resize: must be at least loading.size"),
        (
            {
                "originals__googlenet__weights": {
                    "source": "path",
                    "path": "a.pth",
                    "preprocessing": {"scale": 255, "mean": [104, 117, 123]},
                }
            },
            "originals.googlenet.weights.preprocessing: values from 0 to 255 want a mean and a std",
        ),
        (
            {"originals__googlenet__size": 73},
            "loading.resize: must be at least originals.googlenet.size",
        ),
        (
            {"cams__saliency": ["googlenett"]},
            "cams.saliency: no network named 'googlenett'; did you mean googlenet",
        ),
        (
            {"cams__faithfulness": ["googlenet-control"], "originals__googlenet__gap": None},
            "cams.faithfulness: googlenet-control has no maps; name methods for it in cams.methods",
        ),
        (
            {"cams__effects": ["googlenet-gap"], "data__altered": 0},
            "cams.effects: the data has no altered pictures; shapes has with data.altered",
        ),
        (
            {"cams__sanity": ["googlenet-gapp"]},
            "cams.sanity: no network named 'googlenet-gapp'; did you mean googlenet-gap",
        ),
        (
            {"cams__methods": {"googlenett": ["grad-cam"]}},
            "cams.methods.googlenett: no network named 'googlenett'; did you mean googlenet",
        ),
        (
            {"cams__methods": {"googlenet-gap": ["grad-camm"]}},
            "cams.methods.googlenet-gap: no method named 'grad-camm'; did you mean grad-cam",
        ),
        (
            {"cams__methods": {"googlenet-gap": ["smooth-grad@inception3a"]}},
            "cams.methods.googlenet-gap: smooth-grad is of no layer, so none belongs behind it",
        ),
        (
            {"cams__methods": {"googlenet-gap": ["layer-cam@"]}},
            "cams.methods.googlenet-gap: 'layer-cam@' names no layer behind its @",
        ),
        (
            {"cams__methods": {"googlenet": ["eigen-cam"]}, "originals__googlenet__gap": None},
            "cams.methods.googlenet: eigen-cam needs a layer, such as eigen-cam@features.11",
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
            "originals.googlenet.weights.folder: belongs to source torchvision or timm, not pat",
        ),
        (
            {"originals__googlenet__weights": {"source": "torchvison"}},
            "originals.googlenet.weights.source: Input should be 'scratch', 'torchvision', 't",
        ),
        (
            {"originals__googlenet__weights": {"path": "a.pth"}},
            "originals.googlenet.weights.source: this key is missing",
        ),
        (
            {"originals__googlenet__weights": {"source": "torchvision", "foldr": "data"}},
            "originals.googlenet.weights.foldr: unknown key; did you mean folder?",
        ),
        (
            {
                "data": {"source": "folder", "folder": "x", "splits": {"train": "a", "val": "b"}},
                "cams__top": 5,
            },
            "evaluate.split: data.splits has no test; name its folder",
        ),
        (
            {
                "data": {"source": "ilsvrc", "folder": "x", "train": False},
                "evaluate__split": "val",
            },
            "googlenet: data has no train split, and it has epochs of training; let it have 0",
        ),
        (
            {"data": {"source": "ilsvrc", "folder": "x"}, "evaluate__split": "test"},
            "evaluate.split: ILSVRC's test split has no labels; use val",
        ),
        (
            {"cams__top": 5},
            "cams.top: the labels of shapes' test split are withheld, so its maps must be of all",
        ),
        (
            {
                "originals__googlenet__stands_for": "vgg16",
                "models__googlenet_gap__stands_for": "vgg16",
            },
            "googlenet-gap.stands_for: googlenet stands for vgg16 already; leave one out",
        ),
        (
            {"originals__alexnet": {"training": {"freeze": "body"}}},
            "alexnet: freeze: body keeps what comes before a network's pooling, which it does not",
        ),
        ({"data__source": "imagenet"}, "data: Input tag 'imagenet' found using 'source'"),
    ],
)
def test_contradiction_is_named(tmp_path, changes, message):
    refused = refusal(tmp_path, **changes)
    assert refused.startswith(f"params.yaml: {message}")
    assert "\n" not in refused


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("device", "cpu"),
        ("nodes", 2),
        ("loading__workers", 4),
        ("loading__memory_gb", 1.0),
        ("training__compile", True),
        ("finetune__checkpoint_minutes", 5.0),
        ("models__googlenet_gap__training", {"compile": True}),
    ],
)
def test_key_that_moved_says_where_to(tmp_path, key, value):
    message = refusal(tmp_path, **{key: value})
    assert message.endswith(": this key is in the section machine now") and "\n" not in message


def test_key_that_is_gone_says_what_to_do(tmp_path):
    assert refusal(tmp_path, loading__decode="device") == (
        "params.yaml: loading.decode: this key is gone, pictures are decoded by processes "
        "(machine.workers); leave it out"
    )


@pytest.mark.parametrize(
    "name", ["centre-box", "whole-image", "centre-gaussian", "heuristics-x", "backprop-vgg16"]
)
def test_name_of_another_row_is_no_networks(tmp_path, name):
    line = {"backbone": "googlenet", "cut": "inception4d"}
    assert refusal(tmp_path, **{f"models__{name}": line}).startswith(
        f"params.yaml: {name!r} is a row of its own; whole-image, centre-box, centre-gaussian, "
    )


@pytest.mark.parametrize("word", ["a.pth", "path"])
def test_weights_that_are_a_word_of_another_kind_are_told_to_name_a_path(tmp_path, word):
    assert refusal(tmp_path, originals__googlenet__weights=word) == (
        "params.yaml: originals.googlenet.weights: Value error, must be scratch, torchvision, "
        f"timm, package or, for a file, {{source: path, path: …}}, not {word!r}"
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


GREATEST_SEED = 2**32 - 1


@pytest.mark.parametrize(
    "key", ["seed", "originals__googlenet__seed", "models__googlenet_gap__seed"]
)
def test_seed_is_one_that_everything_takes(tmp_path, key):
    """What draws pictures for figures is NumPy's RandomState, behind pandas' `sample`."""
    where = key.replace("__", ".").replace("_gap", "-gap")
    assert refusal(tmp_path, **{key: 2**32}) == (
        f"params.yaml: {where}: Input should be less than 4294967296, not 4294967296"
    )
    tree = smoke()
    put(tree, where, GREATEST_SEED)
    YAML().dump(tree, tmp_path / "params.yaml")
    params.load(tmp_path / "params.yaml")


def test_the_greatest_seed_seeds_all_generators():
    pd.Series([1, 2]).sample(frac=1, random_state=GREATEST_SEED)
    np.random.default_rng([GREATEST_SEED, 3])
    torch.Generator().manual_seed(GREATEST_SEED)
    with pytest.raises(ValueError, match="2\\*\\*32 - 1"):
        pd.Series([1, 2]).sample(frac=1, random_state=GREATEST_SEED + 1)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("originals.googlenet.width", float("inf"), "Input should be a finite number, not inf"),
        ("originals.googlenet.width", float("nan"), "Input should be a finite number, not nan"),
        (
            "originals.googlenet.width",
            1e9,
            "Input should be less than or equal to 16, not 10000000",
        ),
        (
            "models.googlenet-gap.convs",
            [10**30],
            "Input should be less than or equal to 65536, not",
        ),
        ("models.googlenet-gap.convs", [8] * 65, "List should have at most 64 items"),
        ("models.googlenet-gap.groups", 10**6, "Input should be less than or equal to 65536"),
        ("training.epochs", 10**12, "Input should be less than or equal to 1000000"),
        ("training.epochs", float("inf"), "Input should be a finite number, not inf"),
        ("training.batch", 10**9, "Input should be less than or equal to 1048576"),
        ("training.accumulate", 10**9, "Input should be less than or equal to 1048576"),
        ("training.step_epochs", 10**12, "Input should be less than or equal to 1000000"),
        ("training.lr", 1e300, "Input should be less than or equal to 1000, not 1e+300"),
        ("training.lr", float("nan"), "Input should be a finite number, not nan"),
        ("training.weight_decay", float("inf"), "Input should be a finite number, not inf"),
        ("training.label_smoothing", float("nan"), "Input should be a finite number, not nan"),
        ("machine.checkpoint_minutes", float("inf"), "Input should be a finite number, not inf"),
        ("loading.size", 10**6, "Input should be less than or equal to 4096, not 1000000"),
        ("loading.resize", 40_000, "Input should be less than or equal to 4096, not 40000"),
        ("machine.workers", 10**6, "Input should be less than or equal to 1024, not 1000000"),
        ("machine.memory_gb", float("inf"), "Input should be a finite number, not inf"),
        ("cams.saliency_cell", 10**6, "Input should be less than or equal to 4096, not 1000000"),
        ("cams.batch", 10**9, "Input should be less than or equal to 1048576"),
        (
            "cams.top",
            10**9,
            "Value error, must be a whole number from 1 to 65536, or all, not 1000",
        ),
        ("cams.top", float("nan"), "Value error, must be a whole number from 1 to 65536, or all,"),
        (
            "machine.devices",
            0,
            "Value error, must be a whole number from 1 to 1024, or auto, not 0",
        ),
        (
            "machine.devices",
            10**6,
            "Value error, must be a whole number from 1 to 1024, or auto, not 1",
        ),
        ("threads", "many", "Value error, must be a whole number from 1 to 1024, or auto, not 'm"),
        ("machine.nodes", 10**6, "Input should be less than or equal to 1024, not 1000000"),
        ("data.train", 10**12, "Input should be less than or equal to 100000000"),
        ("boxes.threshold", float("nan"), "Input should be a finite number, not nan"),
        ("evaluate.iou", float("inf"), "Input should be a finite number, not inf"),
        (
            "models.googlenet-gap.cut",
            "x" * 300,
            "String should have at most 200 characters, not 'x",
        ),
        ("study", "../../home", "'../../home' names no study: use letters and digits, behind the"),
    ],
)
def test_number_that_no_study_has_is_named_with_its_bound(tmp_path, path, value, message):
    tree = smoke()
    put(tree, path, value)
    YAML().dump(tree, tmp_path / "params.yaml")
    with pytest.raises(UserError) as error:
        params.load(tmp_path / "params.yaml")
    at = rf"params\.yaml: {re.escape(path)}(\.0)?: "
    assert re.match(at + re.escape(message), str(error.value)), error.value
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def test_network_whose_name_no_file_can_have_is_refused(tmp_path):
    message = refusal(tmp_path, originals={"n" * 101: {}, "googlenet": {}, "alexnet": {}})
    assert message.endswith(" names no network: use letters, digits, - and _, 100 at most")


NINE = ", ".join(["*{0}"] * 9)


def bomb(link: str) -> str:
    """Nine lines of aliases of aliases, that stand for 9^9 values."""
    lines = ["a: &a {x: 1}"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} " + link.format(NINE.format(before)))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            bomb("[{}]"),
            "line 5, 'e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]', and what is above it",
        ),
        (bomb("{{<<: [{}]}}"), "stand for more than 10,000 values"),
        ("a: &a [*a]\n", "line 1, 'a: &a [*a]', is nested more than 20 levels deep"),
        (
            "a: " + "[" * 900 + "]" * 900,
            "]]]]]]]]', is nested more than 20 levels deep",
        ),
        ("a: " + "{a: " * 900 + "}" * 900, "is nested more than 20 levels deep"),
        ("a: " + "[" * 40_000, "is nested more than 20 levels deep"),
        (
            "seed: " + "1" * 10**6,
            "1', has 1,000,006 of the file's 1,000,006 characters; a study has",
        ),
        ("x: 1\nseed: " + "1" * 5000, "1', holds a value of 5,000 characters; give at most 1,000"),
        ("a: [" + "1, " * 15_000 + "]", "stand for more than 10,000 values"),
        ("a: *b\n", "is not valid YAML (line 1: found undefined alias 'b')"),
        ("a: 1\n\tb: 2\n", "is not valid YAML (line 2: found character '\\t' that cannot start"),
        ("seed: 2001-99-99\n", "is not valid YAML (month must be in 1..12)"),
        ("a: !!python/object:os.system x\n", "could not determine a constructor for the tag"),
        ("a: \x00\n", "is not valid YAML (unacceptable character #x0000"),
        ("? {a: 1}\n: 2\n", "is not valid YAML (line 1: found unhashable key)"),
    ],
    ids=range(15),
)
def test_text_that_stands_for_more_than_a_study_is_refused_unread(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        params.load(tmp_path / "params.yaml")
    assert f"{tmp_path}/params.yaml" in str(error.value) and message in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_long_values_and_many_keys_do_not_fill_the_screen(tmp_path):
    tree = smoke() | {"k" * 900: 1, "seed": int("9" * 900)} | {f"x{i}": 1 for i in range(1000)}
    YAML().dump(tree, tmp_path / "params.yaml")
    with pytest.raises(UserError) as error:
        params.load(tmp_path / "params.yaml")
    lines = str(error.value).splitlines()
    assert len(lines) == 21 and lines[-1] == "params.yaml: and more"
    assert max(map(len, lines)) < 250


def test_anchors_and_merge_keys_are_read(tmp_path):
    text = (READY / "demo.yaml").read_text()
    text = text.replace("training:\n", "training: &recipe\n").replace(
        "finetune:\n", "finetune:\n  <<: *recipe\n"
    )
    (tmp_path / "params.yaml").write_text(text.replace("  epochs: 4\n", ""))
    study = params.load(tmp_path / "params.yaml")
    assert study.finetune.epochs == study.training.epochs == 5


def test_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    text = (READY / "demo.yaml").read_text().partition("\n\n")[2]  # without the comment at the top
    assert text.startswith("study: demo")
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "params.yaml").write_text(text, encoding=encoding)
        assert params.load(tmp_path / "params.yaml").study == "demo"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"study: caf\xe9\n", "params.yaml is not text in UTF-8"),
        (bytes(range(256)), "params.yaml is not text in UTF-8"),
        (None, "params.yaml cannot be read"),
    ],
)
def test_params_that_are_no_text_are_refused(tmp_path, content, message):
    """None: a folder."""
    path = tmp_path / "params.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        params.load(path)


def test_damaged_params_are_read_or_refused(tmp_path):
    """Bytes flipped, put in, taken out and repeated, and the file cut short."""
    rng = np.random.default_rng(0)
    whole, path = (READY / "demo.yaml").read_bytes(), tmp_path / "params.yaml"
    refused = 0
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(rng.integers(1, 8)):
            at, length = rng.integers(len(content)), rng.integers(1, 20)
            piece = rng.integers(256, size=length).astype(np.uint8).tobytes()
            change = [piece, b"", content[at : at + length] * 3, b"\t&*[{:-!|>%@`'\"\n"[:length]]
            content[at : at + length] = change[rng.integers(4)]
        path.write_bytes(
            content[: rng.integers(1, len(content))] if rng.random() < 0.1 else content
        )
        try:
            params.load(path)
        except UserError as error:
            assert "params.yaml" in str(error)
            refused += 1
    assert refused > 30


def test_a_tilde_is_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert params.TinyImageNet(source="tiny-imagenet", folder="~/a").folder == tmp_path / "a"
    assert params.CUB(source="cub", folder="~").folder == tmp_path
    given = params.ILSVRC(source="ilsvrc", folder="~/tars", unpack_to="~/un packed")
    assert (given.folder, given.unpack_to) == (tmp_path / "tars", tmp_path / "un packed")
    assert params.Weights(source="path", path="~/w.pth").path == tmp_path / "w.pth"
    assert params.Weights(source="torchvision", folder="~/w").folder == tmp_path / "w"
    assert given.model_dump(mode="json")["folder"] == str(tmp_path / "tars")  # as stages get it


@pytest.mark.parametrize("folder", ["", "  ", "a\0b", "~nobody-of-this-name/a"])
def test_folder_that_cannot_be_is_refused(tmp_path, folder):
    data = {"source": "ilsvrc", "folder": folder}
    message = refusal(tmp_path, data=data, evaluate__split="val")
    assert re.match(
        r"params.yaml: data.folder: Value error, (must be the path|names nothing)", message
    )


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


def test_size_of_a_network_is_its_originals_or_that_of_all(tmp_path):
    tree = smoke()
    names = ["googlenet", "googlenet-gap", "googlenet-control"]
    for own, size in ((None, 64), (48, 48)):
        tree["originals"]["googlenet"]["size"] = own
        YAML().dump(tree, tmp_path / "params.yaml")
        study = params.load(tmp_path / "params.yaml")
        assert [study.loading_of(name).size for name in names] == [size] * 3
        for stage in (TrainParameters, MapsParameters):
            given = stage.of(study, "googlenet-gap").loading
            assert (given.size, given.resize) == (size, 72)


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
            "originals.nin: torchvision has no weights of nin; take another network or, in "
            r"params\.yaml, `weights: scratch` or `\{source: path, path: …\}` for a file",
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
    thin = backbones.whole("googlenet", 2, width=0.125)
    torch.save(thin.state_dict(), repository / "weights.pth")
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
    studies.use("demo", repository)
    assert params.load(repository / "params.yaml").study == "demo"


def test_use_keeps_edited_params(repository):
    edited = (READY / "demo.yaml").read_text().replace("seed: 1", "seed: 99")
    (repository / "params.yaml").write_text(edited)
    done = studies.use("smoke", repository)
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
        studies.use("demo", repository, folder="/data")


@pytest.mark.parametrize("folder", ["", "~nobody-of-this-name/a"])
def test_use_refuses_a_folder_that_cannot_be(repository, folder):
    before = (repository / "params.yaml").read_bytes()
    with pytest.raises(UserError, match=f"folder '{folder}' (must be the path|names nothing)"):
        studies.use("tiny-imagenet", repository, folder=folder)
    assert (repository / "params.yaml").read_bytes() == before


def test_use_keeps_params_that_are_no_text(repository):
    (repository / "params.yaml").write_bytes(b"\xff\xfe\xfd")
    studies.use("demo", repository)
    assert (repository / "params.yaml.old").read_bytes() == b"\xff\xfe\xfd"
    assert params.load(repository / "params.yaml").study == "demo"


def test_use_leaves_a_folder_of_that_name_alone(repository):
    (repository / "params.yaml").unlink()
    (repository / "params.yaml").mkdir()
    with pytest.raises(UserError, match=r"params\.yaml cannot take the study demo \(.*directory"):
        studies.use("demo", repository)
    assert [path.name for path in repository.glob("params.yaml*")] == ["params.yaml"]


def test_network_that_is_not_declared_is_named_with_its_near_match():
    declared = params.load(READY / "smoke.yaml")
    assert declared.network("googlenet-gap") is declared.models["googlenet-gap"]
    with pytest.raises(UserError, match=r"no network 'googlenet-gpa'; did you mean googlenet-g"):
        declared.network("googlenet-gpa")
