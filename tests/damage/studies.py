"""Parameters of studies."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from ruamel.yaml import YAML

from battery import Format
from camloc.core import params
from camloc.pipeline import parameters
from damage.anyhow import ANY, changed
from damage.texts import TEXT

YAML_VALUES = [
    ".inf",
    ".nan",
    "1e999",
    "-1",
    "0",
    "1_000",
    "0o17",
    "1:30",
    "2001-01-01",
    "yes",
    "~",
]
YAML_VALUES += ["[]", "{}", "|", ">-", '"', "'", "@", "*a"]
YAML_VALUES += ["9" * 30, "9" * 1_000_000, "x" * 1_000_000, "[10" + "0" * 30 + "]", "&a [*a]", ""]
YAML_VALUES += ["[" * 900, "[" * 900 + "]" * 900, "{a: " * 900, "{<<: 1}", "- a", "? a", "a: b: c"]
YAML_VALUES += ["!!binary x", "!!python/object:os.system x", "!!timestamp x", "!!set {a}"]
YAML_STARTS = ["%YAML 9.9\n---\n", "%TAG ! x\n---\n", "a: 1\n---\n", "--- !!set\n", "\t"]


def yaml_value(rng: Random, content: bytes, other: bytes) -> bytes:
    """Another value of one key."""
    keys = [found.end() for found in re.finditer(rb"^ *[\w-]+:", content, re.MULTILINE)]
    place, new = rng.choice(keys), rng.choice(YAML_VALUES).encode()
    return content[:place] + b" " + new + b"\n" + content[place:].partition(b"\n")[2]


def yaml_start(rng: Random, content: bytes, other: bytes) -> bytes:
    """What stands before the first key: bombs of aliases, directives, other documents."""
    doubling = "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9))
    merging = doubling.replace("[", "{<<: [").replace("]", "]}")
    bombs = [f"a0: &a0 [lol]\n{doubling}", f"a0: &a0 {{b: 1}}\n{merging}"]
    text = rng.choice([*bombs, *bombs, *YAML_STARTS]).encode() + content
    return text if rng.random() < 0.5 else text.replace(b"study: ", b"study: *a9\nx: ", 1)


def studies() -> dict[str, bytes]:
    """Small ready-made studies, of shapes, of ILSVRC and of pretrained networks."""
    folder = Path(__file__).parents[2] / "params"
    names = ("smoke.yaml", "pretrained.yaml", "ilsvrc-val.yaml")
    return {name: (folder / name).read_bytes() for name in names}


def tree_changed(rng: Random, content: bytes, other: bytes) -> bytes:
    """The tree of a whole study in which a few places hold something else: any value, a part of
    another place or a key that is known somewhere."""
    tree = YAML(typ="safe", pure=True).load(content.decode())
    for _ in range(rng.choice((1, 1, 2, 5))):
        tree = rng.choice((changed, changed, with_key))(rng, tree)
    return json.dumps(tree, ensure_ascii=False).encode(errors="surrogatepass")


def with_key(rng: Random, tree: Any) -> Any:
    """The tree with a key of some section somewhere, and a value from elsewhere or of its own."""
    if not isinstance(tree, dict):
        return tree
    places = [part for part in parts(tree) if isinstance(part, dict)]
    value = rng.choice((*VALUES, *parts(tree)))
    rng.choice(places)[rng.choice(KEYS)] = json.loads(json.dumps(value))  # no tree within itself
    return tree


def parts(tree: Any) -> Iterator[Any]:
    yield tree
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from parts(part)


SECTIONS = [kind for kind in vars(params).values() if isinstance(kind, type)]
KEYS = sorted({key for kind in SECTIONS for key in getattr(kind, "model_fields", ())})
VALUES = (
    *(
        None,
        True,
        0,
        1,
        -1,
        2,
        0.5,
        1e308,
        1e-320,
        10**40,
        "",
        "auto",
        "all",
        "~",
        "/",
        "~nobody/x",
    ),
    *("body", "new", "path", "torchvision", "timm", "package", "scratch", "googlenet", "authors"),
    *({}, [], [[]], [None], {"a": {}}, {"source": "path"}, {"epochs": 1}, {"epochs": None}),
    *(
        [0.1] * 3,
        [0] * 3,
        "x" * 199,
        "é" * 99,
        "\ud800",
        "a b",
        "a.b",
        "a/b",
        "..",
        "con",
        "-x",
        "\n",
    ),
)


def read_study(path: Path) -> None:
    """Load it, and give every stage what it asks for."""
    study = params.load(path)
    again = params.Params.model_validate(study.model_dump(mode="json"))
    assert again == study, "what it says is another study"
    parameters.threads_of(study)
    for kind in (
        parameters.DataParameters,
        parameters.CopiesParameters,
        parameters.ReportParameters,
    ):
        kind.of(study).deciding()
    for name in study.networks:
        kinds = [
            parameters.TrainParameters,
            parameters.MapsParameters,
            parameters.EvaluateParameters,
        ]
        if name in study.models:
            kinds.append(parameters.SurgeryParameters)
        for kind in kinds:
            kind.of(study, name).of_run(2).deciding()


FORMATS = {
    "params": Format(studies, read_study, (*ANY, *TEXT, yaml_value, yaml_value, yaml_start)),
    "params tree": Format(studies, read_study, (tree_changed,)),
}
