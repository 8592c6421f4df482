"""params.yaml as a typed tree: unknown keys and wrong types are refused by name."""

import io
import itertools
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from camloc.errors import UserError, near_matches

NETWORK_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"  # it goes into file names, commands and DVC's keys
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shapes(Section):
    """The offline data set, drawn from the study's seed."""

    source: Literal["shapes"]
    train: PositiveInt
    val: PositiveInt
    test: PositiveInt


class TinyImageNet(Section):
    """Tiny ImageNet in its original layout, all classes or those named by wnid.

    Downloaded where no folder is given.
    """

    source: Literal["tiny-imagenet"]
    folder: Path | None = None
    classes: list[str] | None = None
    val_per_class: PositiveInt = 50


class CUB(Section):
    """CUB-200-2011 in its original layout, all classes or those named by folder.

    Downloaded where no folder is given.
    """

    source: Literal["cub"]
    folder: Path | None = None
    classes: list[str] | None = None
    val_per_class: PositiveInt = 5


class ILSVRC(Section):
    """ILSVRC CLS-LOC in Kaggle's layout, or as the official files.

    The latter are unpacked into `unpack_to`, else into a folder `unpacked` beside them.
    """

    source: Literal["ilsvrc"]
    folder: Path
    unpack_to: Path | None = None


class Loading(Section):
    """How pictures become batches; sides in pixels.

    JPEG files are decoded by `workers`, or on the device that trains. With `copies` each picture
    is warped to `resize` once, and its copy is read from then on. A training picture that is
    `unreadable` stops the training, or the next one takes its place.
    """

    size: PositiveInt
    resize: PositiveInt
    workers: Annotated[int, Field(ge=0)] = 0
    memory_gb: NonNegativeFloat = 1.0
    decode: Literal["workers", "device"] = "workers"
    unreadable: Literal["stop", "skip"] = "stop"
    copies: bool = False


class Training(Section):
    """Optimization of one network.

    `batch` is of all devices together; each takes its share in `accumulate` parts, whose gradients
    are added.
    """

    epochs: Annotated[int, Field(ge=0)]
    batch: PositiveInt
    optimizer: Literal["sgd", "adamw"]
    schedule: Literal["step", "one-cycle"]
    lr: PositiveFloat
    weight_decay: NonNegativeFloat
    momentum: Fraction = 0.9
    step_epochs: PositiveInt = 30
    label_smoothing: Fraction = 0.0
    precision: Literal["auto", "bf16", "fp16", "float32"] = "auto"
    accumulate: PositiveInt = 1
    compile: bool = False
    checkpoint_minutes: PositiveFloat = 10.0


class Weights(Section):
    """What a whole network starts from: random values, torchvision's weights or a file.

    `path` is that file; `folder` is looked into for torchvision's file before torch's cache.
    """

    source: Literal["torchvision", "scratch", "path"]
    path: Path | None = None
    folder: Path | None = None


def _from_word(weights: Any) -> Any:
    """`scratch` and `torchvision` stand for the section that says no more than the source."""
    if not isinstance(weights, str):
        return weights
    if weights not in ("scratch", "torchvision"):
        raise ValueError("must be scratch, torchvision or, for a file, {source: path, path: …}")
    return {"source": weights}


class Original(Section):
    """A whole network; `gap` names the node it averages, where it ends in GAP by itself."""

    weights: Annotated[Weights, BeforeValidator(_from_word)] = Weights(source="scratch")
    seed: Annotated[int, Field(ge=0)] | None = None
    width: PositiveFloat = 1.0
    dropout: Fraction | None = None
    gap: str | None = None
    training: dict = {}


class Surgery(Section):
    """What is cut and what is put in its place (see camloc.surgery.build)."""

    backbone: str
    cut: str
    convs: list[PositiveInt] = [1024]
    pool: Literal["gap", "gmp"] = "gap"
    groups: PositiveInt = 1
    dropout: Fraction = 0.0


class Model(Surgery):
    """A network made by surgery; `training` overrides keys of the section `finetune`, `seed` the
    study's."""

    seed: Annotated[int, Field(ge=0)] | None = None
    training: dict = {}


def _classes_kept(top: int | str) -> int | str:
    if top != "all" and (isinstance(top, str) or top < 1):
        raise ValueError("must be a whole number from 1, or all")
    return top


class Cams(Section):
    """Which maps are stored: of the `top` predicted classes, or of all; `saliency` and `ten_crop`
    name the networks that get their gradient saliency and the CAMs of ten crops, too."""

    top: Annotated[int | str, AfterValidator(_classes_kept)]
    batch: PositiveInt
    saliency: list[str]
    saliency_cell: PositiveInt
    ten_crop: list[str] = []


class Boxes(Section):
    """How a map becomes a box; `threshold` and `tight` are shares of the map's maximum.

    The rule `heuristic` is `authors` with five guesses from three classes, as the authors' code
    has it, and `heuristic-text` is `largest-component` with five, as their text does.
    """

    rule: Literal["largest-component", "authors", "heuristic", "heuristic-text"] = (
        "largest-component"
    )
    threshold: Fraction
    normalise: Literal["max", "min-max"] = "max"
    crops: Literal[1, 10] = 1
    merge: Literal["coverage-mean", "absolute-sum"] = "coverage-mean"
    tight: Fraction = 0.4


class Evaluate(Section):
    split: Literal["val", "test"]
    iou: Fraction = 0.5


class Params(Section):
    """The whole study."""

    study: str
    seed: Annotated[int, Field(ge=0)]
    device: Literal["auto", "cpu", "cuda", "mps"]
    devices: PositiveInt | Literal["auto"]
    nodes: PositiveInt
    data: Annotated[Shapes | TinyImageNet | CUB | ILSVRC, Field(discriminator="source")]
    loading: Loading
    training: Training
    finetune: Training
    originals: dict[str, Original]
    models: dict[str, Model]
    cams: Cams
    boxes: Boxes
    evaluate: Evaluate

    def network(self, name: str) -> Original | Model:
        """The declaration of a network by its name.

        Raises:
            UserError: there is none.
        """
        declared = self.originals | self.models
        if name not in declared:
            near = near_matches(name, declared)
            raise UserError(f"params.yaml declares no network {name!r}{near}")
        return declared[name]

    def training_of(self, name: str) -> Training:
        """How a network is trained: its section, with the declaration's own overrides."""
        section = self.finetune if name in self.models else self.training
        return Training.model_validate(section.model_dump() | self.network(name).training)


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: the file is missing or not YAML, a key is unknown, missing or of the wrong
            type, or one key contradicts another; the message names each such key.
    """
    try:
        tree = YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `git checkout {path.name}` brings it back") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path} holds no parameters; see params/ for whole studies")
    try:
        params = Params.model_validate(tree)
        problems = list(_contradictions(params))
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()]
    if problems:
        raise UserError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return params


def use(study: str, root: Path, folder: str | None = None) -> str:
    """Take `params/<study>.yaml` as params.yaml, with the images' folder where one is given.

    A params.yaml that is none of the ready-made studies is kept beside it as params.yaml.old.

    Returns:
        What was done, for people.

    Raises:
        UserError: no such study, or a folder for one whose images are made on the spot.
    """
    ready = {path.stem: path for path in (root / "params").glob("*.yaml")}
    if study not in ready:
        raise UserError(f"no study {study!r} in params/{near_matches(study, ready)}")
    text = ready[study].read_text(encoding="utf-8")
    if folder is not None:
        text = _with_folder(text, study, folder)
    target = root / "params.yaml"
    done = f"params.yaml is now the study {study} (params/{study}.yaml)"
    if target.is_file():
        current = target.read_text(encoding="utf-8")
        if current == text:
            return f"params.yaml is the study {study} already"
        if current not in (path.read_text(encoding="utf-8") for path in ready.values()):
            kept = _free_name(target.with_suffix(".yaml.old"))
            target.replace(kept)
            done += f"; the one before is kept as {kept.name}"
    target.write_text(text, encoding="utf-8")
    return done


def _free_name(path: Path) -> Path:
    """The path, or the first of path.1, path.2, … that does not exist."""
    numbered = (path.with_name(f"{path.name}.{i}") for i in itertools.count(1))
    return next(name for name in itertools.chain([path], numbered) if not name.exists())


def _with_folder(text: str, study: str, folder: str) -> str:
    yaml = YAML()
    yaml.width = 4096  # keeps the lines as they are
    tree = yaml.load(text)
    if tree["data"]["source"] == "shapes":
        raise UserError(f"study {study} makes its own images; leave out the folder")
    tree["data"]["folder"] = str(Path(folder).expanduser())
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def _contradictions(params: Params) -> Iterator[str]:
    networks = [*params.originals, *params.models]
    if not params.models:
        yield "models: declare at least one"
    if params.loading.resize < params.loading.size:
        yield "loading.resize: must be at least loading.size, which is cropped from it"
    if params.loading.decode == "device" and params.loading.unreadable == "skip":
        yield "loading.unreadable: a device stops at such a picture; skip needs decode: workers"
    for name, model in params.models.items():
        if name in params.originals:
            yield f"models.{name}: an original has this name already"
        if model.backbone not in params.originals:
            near = near_matches(model.backbone, params.originals)
            yield f"models.{name}.backbone: no original named {model.backbone!r}{near}"
    for name, original in params.originals.items():
        weights = original.weights
        if weights.source == "path" and weights.path is None:
            yield f"originals.{name}.weights.path: source path needs the path of a weights file"
        for key, source in (("path", "path"), ("folder", "torchvision")):
            if weights.source != source and getattr(weights, key) is not None:
                belongs = f"belongs to source {source}, not {weights.source}"
                yield f"originals.{name}.weights.{key}: {belongs}; leave it out"
    for name in networks:
        if not re.fullmatch(NETWORK_NAME, name) or name.startswith("backprop-"):
            yield f"{name!r} names no network: use letters, digits, - and _; backprop-… is taken"
    if params.data.source == "ilsvrc" and params.evaluate.split == "test":
        yield "evaluate.split: ILSVRC's test split has no labels; use val"
    if params.data.source == "shapes" and params.cams.top != "all":
        yield "cams.top: the labels of shapes' test split are withheld, so its maps must be of all"
    for key in ("saliency", "ten_crop"):
        for name in getattr(params.cams, key):
            if name not in networks:
                yield f"cams.{key}: no network named {name!r}{near_matches(name, networks)}"
    for name in params.cams.ten_crop:
        if name in params.originals and not params.originals[name].gap:
            yield f"cams.ten_crop: {name} has no CAM; name networks that end in global pooling"
    if params.boxes.crops == 10:
        for name in networks:
            has_cam = name in params.models or params.originals[name].gap
            if has_cam and name not in params.cams.ten_crop:
                yield f"boxes.crops: 10 needs the ten crops of {name}; add it to cams.ten_crop"
    for group, name in [("originals", n) for n in params.originals] + [
        ("models", n) for n in params.models
    ]:
        try:
            params.training_of(name)
        except ValidationError as error:
            for problem in error.errors():
                yield f"{group}.{name}.training.{_explain(problem, Training)}"


def _explain(problem: dict, top: type[Section] = Params) -> str:
    *parents, key = problem["loc"] or ("",)
    tags = parents[1:2] if parents[:1] == ["data"] else []  # pydantic names the source there
    where = ".".join(str(part) for part in problem["loc"] if part not in tags)
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key{near_matches(str(key), _fields_at(top, parents))}"
    if problem["type"] == "missing":
        return f"{where}: this key is missing"
    if problem["type"].startswith("union_tag"):
        return f"{where}: {problem['msg']}"
    return f"{where}: {problem['msg']}, not {problem['input']!r}"


def _fields_at(section: type[Section], path: list) -> list[str]:
    """Names of the keys that are known at a path of the tree, for near matches."""
    current: Any = section
    for part in path:
        if part in getattr(current, "model_fields", {}):
            current = current.model_fields[part].annotation
        elif typing.get_origin(current) is dict:
            current = typing.get_args(current)[1]
        else:  # the tag of a union: the data source
            current = next(
                kind
                for kind in typing.get_args(current)
                if typing.get_args(kind.model_fields["source"].annotation) == (part,)
            )
    return list(current.model_fields)
