"""What runs a stage again, and what does not: twenty kinds of edits, and the digest behind them."""

import ast
import json
import re
import shutil

import pytest
from ruamel.yaml import YAML

from camloc.core import params
from camloc.core.errors import UserError
from camloc.core.paths import FINGERPRINTS
from camloc.pipeline import fingerprints
from clone import ROOT

NETWORKS = ("googlenet", "googlenet-gap", "googlenet-gmp", "googlenet-control")
MODELS = NETWORKS[1:3]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A copy of the code, the notebooks and the smoke study."""
    root = tmp_path_factory.mktemp("original")
    for part in ("src", "notebooks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, root / part, ignore=ignored)
    shutil.copy(ROOT / "params" / "smoke.yaml", root / "params.yaml")
    fingerprints.write(root, params.load(root / "params.yaml"))
    return root


@pytest.fixture
def repository(original, tmp_path):
    """A copy of one's own to edit."""
    return shutil.copytree(original, tmp_path / "repository")


def changed(repository) -> set[str]:
    """The stages whose fingerprints an edit has changed."""
    return set(fingerprints.changed(repository, params.load(repository / "params.yaml")))


def of(stage: str, networks=NETWORKS) -> set[str]:
    return {f"{stage}/{network}" for network in networks}


def source(file: str, old: str, new: str):
    """An edit of a file of the package, by a regular expression."""

    def edit(root):
        path = root / "src" / "camloc" / file
        text, count = re.subn(old, new, path.read_text(), count=1, flags=re.MULTILINE)
        assert count == 1
        path.write_text(text)

    return edit


def cell(notebook: str, kind: str, add: str, tag: str | None = None):
    """An edit of a notebook's first cell of a kind and tag: a line more."""

    def edit(root):
        path = root / "notebooks" / f"{notebook}.ipynb"
        tree = json.loads(path.read_text())
        cells = [c for c in tree["cells"] if c["cell_type"] == kind]
        tags = [c["metadata"].get("tags", [None])[0] for c in cells]
        cells[tags.index(tag)]["source"].append(f"\n{add}")
        path.write_text(json.dumps(tree))

    return edit


def value(*path: str, to: object):
    """An edit of params.yaml."""

    def edit(root):
        yaml = YAML()
        tree = section = yaml.load(root / "params.yaml")
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = to
        yaml.dump(tree, root / "params.yaml")

    return edit


def reverse_keys(root):
    tree = YAML(typ="safe").load(root / "params.yaml")
    YAML().dump(dict(reversed(tree.items())), root / "params.yaml")


TRAINED = of("train")
MAPPED = of("maps")
EVALUATED = of("evaluate")

EDITS = {
    # What decides no result
    "a comment": (source("training/loop.py", r"^def fit", "# why\ndef fit"), set()),
    "a docstring": (source("training/loop.py", r"Train a network in place", "Fit one"), set()),
    "a line break": (source("training/loop.py", r"^import math", "\n\n\nimport math"), set()),
    "prose in a notebook": (cell("02_finetune", "markdown", "More, or less."), {"render"}),
    "a figure in a notebook": (cell("02_finetune", "code", "1 + 1"), set()),
    "a caption of a figure": (source("report/figures.py", r'figsize=\(8, 2.8\)', "figsize=(8, 3)"),
                              {"report", "render"}),
    "a line of the log": (source("training/loop.py", r"train loss", "loss"), set()),
    "an error's text": (source("training/loop.py", r"usually helps", "helps"), set()),
    "the order of keys": (reverse_keys, set()),
    "workers that decode": (value("machine", "workers", to=2), set()),
    "the device": (value("machine", "device", to="auto"), set()),
    "minutes of a checkpoint": (value("machine", "checkpoint_minutes", to=1.0), set()),
    # What decides one
    "code that trains": (source("training/loop.py", r"100 \* state.wrong", "99 * state.wrong"),
                         TRAINED),
    "a compute cell": (cell("02_finetune", "code", "histories = None", "compute"), TRAINED),
    "OpenCV's rounding": (source("__init__.py", '"disabled"', '"enabled"'),
                          {"data", "copies", "report", "render"} | of("surgery", MODELS)
                          | TRAINED | MAPPED | EVALUATED),
    "a box rule's code": (source("boxes/paper.py", r"y, x\] <= 0", "y, x] < 0"),
                          {"report", "render"} | EVALUATED),
    "the box threshold": (value("boxes", "threshold", to=0.3), {"report"} | EVALUATED),
    "one network's cut": (value("models", "googlenet-gap", "cut", to="inception4d"),
                          {"surgery/googlenet-gap", "report"}),
    "one network's rate": (value("models", "googlenet-gap", "training", to={"lr": 0.5}),
                           {"train/googlenet-gap", "report"}),
    "one network's saliency": (value("cams", "saliency", to=["googlenet", "googlenet-gap"]),
                               {"maps/googlenet-gap"}),
    "threads": (value("threads", to=2), TRAINED | MAPPED),
    "how many runs": (value("seeds", to=2),
                      {"report"} | of("surgery", MODELS) | TRAINED | MAPPED | EVALUATED),
    "the seed": (value("seed", to=2),
                 {"data", "report"} | of("surgery", MODELS) | TRAINED | EVALUATED),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_edit_changes_the_fingerprints_of_what_it_decides(repository, name):
    edit, expected = EDITS[name]
    edit(repository)
    fingerprints._code_of.cache_clear()
    assert changed(repository) == expected


def test_another_version_of_a_library_runs_what_uses_it_again(repository, monkeypatch):
    real = fingerprints.version
    monkeypatch.setattr(
        fingerprints, "version", lambda name: "0" if name == "torch" else real(name)
    )
    assert changed(repository) == {"copies"} | of("surgery", MODELS) | TRAINED | MAPPED


@pytest.mark.parametrize(
    ("network", "weights", "stage"),
    [
        (("originals", "googlenet"), {"source": "path", "path": "theirs.pth"}, "train/googlenet"),
        (("models", "googlenet-gap"), "theirs.pth", "surgery/googlenet-gap"),
    ],
)
def test_replaced_weights_file_runs_the_stage_again_that_reads_it(
    repository, network, weights, stage
):
    file = repository / "theirs.pth"
    value(*network, "weights", to=weights)(repository)
    study = params.load(repository / "params.yaml")
    fingerprints.write(repository, study)  # of a file that is not there yet
    for content in ("one", "another"):
        file.write_text(content)
        assert changed(repository) == {stage}
        fingerprints.write(repository, study)
    assert changed(repository) == set()


def test_new_network_has_fingerprints_and_one_that_is_gone_has_none(repository):
    value("models", "new", to={"backbone": "googlenet", "cut": "inception4d"})(repository)
    study = params.load(repository / "params.yaml")
    new = {f"{stage}/new" for stage in ("surgery", "train", "maps", "evaluate")}
    assert changed(repository) == new | {"report"}
    fingerprints.write(repository, study)
    assert changed(repository) == set()
    shutil.copy(ROOT / "params" / "smoke.yaml", repository / "params.yaml")
    assert changed(repository) == new | {"report"}


def test_fingerprint_of_a_newer_version_is_refused(repository):
    (repository / FINGERPRINTS / "data.json").write_text('{"format": 99}')
    said = "by a newer version of camloc (format 99, this one knows 1); take that"
    with pytest.raises(UserError, match=re.escape(said)):
        changed(repository)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": null}', "\0"])
def test_damaged_fingerprint_counts_as_changed(repository, content):
    (repository / FINGERPRINTS / "data.json").write_text(content)
    assert changed(repository) == {"data"}


def test_digest_is_the_same_under_every_version_of_python():
    """Worked out under 3.11: later versions add fields to syntax, and tell f-strings otherwise."""
    code = 'def f(x: int = 1) -> str:\n    return f"{x!r:>{x}}" + "a" "b"\n'
    assert fingerprints.digest(ast.parse(code)) == "10d1b48face7ecb4"
