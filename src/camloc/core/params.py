"""params.yaml as a typed tree: unknown keys, wrong types and absurd sizes are refused by name.

The bounds of numbers are far beyond what any study needs: they catch slips, and what would fill the
memory or run for years.
"""

import itertools
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    create_model,
    model_serializer,
)

from camloc.core.errors import UserError, near_matches, reason
from camloc.core.files import read_text
from camloc.core.rows import BASELINES, OF_LAYERS, is_reserved, refusal
from camloc.core.trees import read_tree, shown

NETWORK_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"  # in file names, commands and DVC's keys
STUDY_NAME = r"\w[\w .-]{0,99}"  # of a folder, too
PROBLEMS = 20  # that a message lists
# Keys of earlier versions, by their last part.
_MOVED = dict.fromkeys(
    ("device", "devices", "nodes", "workers", "memory_gb", "compile", "checkpoint_minutes"),
    "this key is in the section machine now",
) | {
    "decode": "this key is gone, pictures are decoded by processes (machine.workers); leave it out"
}
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # NumPy's RandomState, which pandas has, takes these
Fraction = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[PositiveInt, Field(le=4_096)]  # of a picture, in pixels
Units = Annotated[PositiveInt, Field(le=65_536)]  # of a layer
Images = Annotated[PositiveInt, Field(le=10**8)]
Batch = Annotated[PositiveInt, Field(le=2**20)]
Epochs = Annotated[int, Field(ge=0, le=10**6)]
Processes = Annotated[int, Field(ge=0, le=1_024)]  # or machines, devices, threads


def _number_or(word: str, most: int) -> BeforeValidator:
    """A whole number from 1 to `most`, or the word: one message, where a union has one for each."""

    def check(value: Any) -> Any:
        if value != word and not (type(value) is int and 1 <= value <= most):
            raise ValueError(f"must be a whole number from 1 to {most}, or {word}")
        return value

    return BeforeValidator(check)


def _in_full(path: Any) -> Any:
    """A path in which `~` is the user's home."""
    if not isinstance(path, str):
        return path
    if not path.strip() or "\0" in path:
        raise ValueError("must be the path of a file or folder; leave it out for none")
    try:
        path.encode()
        return Path(path).expanduser()
    except (RuntimeError, UnicodeEncodeError) as error:  # ~name of nobody here, half a character
        raise ValueError(f"names nothing that can be: {reason(error)}") from None


Place = Annotated[Path, BeforeValidator(_in_full)]


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=200, str_min_length=1
    )


class Shapes(Section):
    """The offline data set, drawn from the study's seed; with `seeds` each training run learns from
    training pictures of its own. Of the first `altered` images of val and of test, pictures that
    lack a part, or have it in another colour or place, are drawn, too."""

    source: Literal["shapes"]
    train: Images
    val: Images
    test: Images
    altered: Annotated[int, Field(ge=0, le=10**8)] = 0
    seeds: bool = False


class TinyImageNet(Section):
    """Tiny ImageNet in its original layout, all classes or those named by wnid.

    Downloaded where no folder is given.
    """

    source: Literal["tiny-imagenet"]
    folder: Place | None = None
    classes: list[str] | None = None
    val_per_class: Images = 50


class CUB(Section):
    """CUB-200-2011 in its original layout, all classes or those named by folder.

    Downloaded where no folder is given.
    """

    source: Literal["cub"]
    folder: Place | None = None
    classes: list[str] | None = None
    val_per_class: Images = 5


class ILSVRC(Section):
    """ILSVRC CLS-LOC in Kaggle's layout, or as the official files.

    The latter are unpacked into `unpack_to`, else into a folder `unpacked` beside them. Where
    nothing is trained, `train: false` leaves out the 138 GB of training images.
    """

    source: Literal["ilsvrc"]
    folder: Place
    unpack_to: Place | None = None
    train: bool = True


class Folder(Section):
    """Images of one's own (see `camloc.data.sources.folder`); `splits` has a folder of each split
    where they are not called so, `classes` is a file of the classes in order, both from `folder`.
    """

    source: Literal["folder"]
    folder: Place
    splits: dict[Literal["train", "val", "test"], Place] | None = None
    classes: Place | None = None


Data = Annotated[Shapes | TinyImageNet | CUB | ILSVRC | Folder, Field(discriminator="source")]


class Loading(Section):
    """What networks see of pictures; sides in pixels.

    With `copies` each picture is warped to `resize` once, and its copy is read from then on. A
    training picture that is `unreadable` stops the training, or the next one takes its place.
    """

    size: Side
    resize: Side
    unreadable: Literal["stop", "skip"] = "stop"
    copies: bool = False


class Machine(Section):
    """Where a study runs and at what pace: no result depends on it but for rounding, so an edit
    here computes nothing again.

    `device` is what computes, `devices` how many of each of the `nodes` (machines) do. Of several
    training runs so many go on `at_once`: one a CUDA device, or as many as processors allow.
    Pictures are decoded by so many `workers` (processes; 0 leaves it to the stage's own threads),
    and kept in memory up to `memory_gb`.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: Annotated[int | Literal["auto"], _number_or("auto", 1_024)] = "auto"
    nodes: Annotated[Processes, Field(gt=0)] = 1
    at_once: Annotated[int | Literal["auto"], _number_or("auto", 1_024)] = "auto"
    workers: Processes = 0
    memory_gb: Annotated[NonNegativeFloat, Field(le=10**6)] = 1.0
    compile: bool = False
    checkpoint_minutes: Annotated[PositiveFloat, Field(le=10_000)] = 10.0


class Training(Section):
    """Optimization of one network.

    `batch` is of all devices together; each takes its share in `accumulate` parts, whose gradients
    are added. With `freeze: body` only what surgery added is trained, of an original the last
    layer, on maps of whole pictures (see `camloc.training.frozen`).
    """

    epochs: Epochs
    freeze: Literal["body", "nothing"] = "nothing"
    batch: Batch
    optimizer: Literal["sgd", "adamw"]
    schedule: Literal["step", "one-cycle"]
    lr: Annotated[PositiveFloat, Field(le=1_000)]
    weight_decay: Annotated[NonNegativeFloat, Field(le=1_000)]
    momentum: Fraction = 0.9
    step_epochs: Annotated[Epochs, Field(gt=0)] = 30
    label_smoothing: Fraction = 0.0
    precision: Literal["auto", "bf16", "fp16", "float32"] = "auto"
    accumulate: Batch = 1


class Partial(Section):
    """Some keys of a section; the others stay unset."""

    @model_serializer
    def said(self) -> dict[str, Any]:
        """The keys that are set, in the order of the section."""
        own = type(self).model_fields
        return {key: getattr(self, key) for key in own if key in self.model_fields_set}


def _of_section(name: str, section: type[Section]) -> type[Partial]:
    fields = section.model_fields.items()
    keys = {key: (Annotated[field.annotation, field], None) for key, field in fields}
    return create_model(name, __base__=Partial, **keys)


class Overrides(_of_section("Overrides", Training)):
    """The keys of `Training` that a network's declaration has for itself."""


Colour = Annotated[list[float], Field(min_length=3, max_length=3)]


class Preprocessing(Section):
    """What a network wants of pictures: `channels` in this order, values from 0 to `scale`, less
    `mean` and divided by `std`, each channel by its own; by itself ImageNet's statistics."""

    mean: Colour = [0.485, 0.456, 0.406]
    std: Annotated[list[PositiveFloat], Field(min_length=3, max_length=3)] = [0.229, 0.224, 0.225]
    channels: Literal["rgb", "bgr"] = "rgb"
    scale: Literal[1, 255] = 1
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"


class OwnPreprocessing(_of_section("OwnPreprocessing", Preprocessing)):
    """The keys of `Preprocessing` in which weights want something else than is known of them."""


Source = Literal["scratch", "torchvision", "timm", "package", "path"]


class Weights(Section):
    """What a whole network starts from: random values, weights that torchvision, timm or a package
    publishes, or a file.

    `path` is that file; `folder` is looked into for torchvision's and timm's files before their
    caches. Weights of other classes than the data's need a new last layer: `head: new`. What the
    network wants of pictures is known of published weights, and ImageNet's of others, but for what
    `preprocessing` says.
    """

    source: Source
    path: Place | None = None
    folder: Place | None = None
    head: Literal["kept", "new"] = "kept"
    preprocessing: OwnPreprocessing = OwnPreprocessing()


def _from_word(weights: Any) -> Any:
    """A word stands for the section that says no more than the source."""
    if not isinstance(weights, str):
        return weights
    known = [source for source in typing.get_args(Source) if source != "path"]
    if weights not in known:
        words = ", ".join(known)
        raise ValueError(f"must be {words} or, for a file, {{source: path, path: …}}")
    return {"source": weights}


# The paper's networks, of which its claims are.
PaperNetwork = Literal[
    "alexnet",
    "vgg16",
    "googlenet",
    "nin",
    "alexnet-gap",
    "alexnet2-gap",
    "vgg16-gap",
    "googlenet-gap",
    "googlenet-gmp",
]


class Original(Section):
    """A whole network; `gap` names the node it averages, where it ends in GAP by itself.

    `backbone` is what it is, where its own name does not say that. `size` is its input's side, and
    that of the networks cut from it, where it is not `loading.size`. It `stands_for` a network of
    the paper in the paper's claims, where the study has others.
    """

    backbone: str | None = None
    weights: Annotated[Weights, BeforeValidator(_from_word)] = Weights(source="scratch")
    seed: Seed | None = None
    width: Annotated[PositiveFloat, Field(le=16)] = 1.0
    dropout: Fraction | None = None
    size: Side | None = None
    gap: str | None = None
    stands_for: PaperNetwork | None = None
    training: Overrides = Overrides()


class Surgery(Section):
    """What is cut and what is put in its place (see camloc.networks.surgery.build)."""

    backbone: str
    cut: str
    convs: Annotated[list[Units], Field(max_length=64)] = [1024]
    pool: Literal["gap", "gmp", "log-sum-exp", "top-k-mean"] = "gap"
    groups: Units = 1
    dropout: Fraction = 0.0
    kernel: Annotated[PositiveInt, Field(le=31)] = 3
    sharpness: Annotated[PositiveFloat, Field(le=10**6)] | None = None
    top_k: Annotated[PositiveInt, Field(le=10**6)] | None = None


class Model(Surgery):
    """A network made by surgery; `training` overrides keys of the section `finetune`, `seed` the
    study's, `stands_for` as for `Original`. `weights` is a file of the whole network, as others
    trained it."""

    weights: Place | None = None
    seed: Seed | None = None
    stands_for: PaperNetwork | None = None
    training: Overrides = Overrides()


class Control(Section):
    """A whole network that goes on training as those do that were cut from it, so that they can be
    compared with a training of the same length; `training` and `seed` as for `Model`."""

    original: str
    seed: Seed | None = None
    training: Overrides = Overrides()


class Cams(Section):
    """Which maps are stored: of the `top` predicted classes, or of all; `saliency`, `ten_crop` and
    `bf16` name the networks that get their gradient saliency, the CAMs of ten crops, and CAMs in
    bfloat16, too. `methods` has, by network, methods beside CAM, with a layer where it is not what
    the network pools: `[grad-cam, layer-cam@features.16]`. Maps of pixels are averaged over cells
    of `saliency_cell` pixels a side.

    Of networks in `faithfulness` insertion, deletion and the average drop of each map are measured,
    on `faithfulness_images` of each split; of those in `effects` what each part of an object does,
    where `data.altered` has pictures that lack it; of those in `sanity` how the maps change where
    layers lose their weights.
    """

    top: Annotated[int | Literal["all"], _number_or("all", 65_536)]
    batch: Batch
    saliency: list[str]
    saliency_cell: Side
    ten_crop: list[str] = []
    bf16: list[str] = []
    methods: dict[str, list[str]] = {}
    faithfulness: list[str] = []
    faithfulness_images: Annotated[int | Literal["all"], _number_or("all", 10**8)] = "all"
    effects: list[str] = []
    sanity: list[str] = []

    def methods_of(self, network: str) -> list[str]:
        """The methods beside CAM whose maps of a network are stored."""
        saliency = ["backprop"] if network in self.saliency else []
        return [*dict.fromkeys(saliency + self.methods.get(network, []))]


class Boxes(Section):
    """How a map becomes a box; `threshold` and `tight` are shares of the map's maximum.

    The rule `heuristic` is `authors` with five guesses from three classes, as the authors' code
    has it, and `heuristic-text` is `largest-component` with five, as their text does. The cells of
    a CAM are spread evenly over the picture, or lie at the centres of their receptive fields.
    """

    rule: Literal["largest-component", "authors", "heuristic", "heuristic-text"] = (
        "largest-component"
    )
    threshold: Fraction
    normalise: Literal["max", "min-max"] = "max"
    cells: Literal["even", "receptive-field"] = "even"
    crops: Literal[1, 10] = 1
    merge: Literal["coverage-mean", "absolute-sum"] = "coverage-mean"
    tight: Fraction = 0.4


class Evaluate(Section):
    split: Literal["val", "test"]
    iou: Fraction = 0.5


class Params(Section):
    """The whole study.

    Each network is trained `seeds` times. A stage, or each of the runs that go on at once, computes
    with so many `threads`; where it is to be `portable`, without instructions that some processors
    have and others do not.
    """

    study: str
    seed: Seed
    seeds: Annotated[PositiveInt, Field(le=1_000)] = 1
    machine: Machine
    threads: Annotated[int | Literal["auto"], _number_or("auto", 1_024)]
    portable: bool = False
    data: Data
    loading: Loading
    training: Training
    finetune: Training
    originals: dict[str, Original]
    models: dict[str, Model]
    controls: dict[str, Control]
    cams: Cams
    boxes: Boxes
    evaluate: Evaluate

    @property
    def networks(self) -> dict[str, Original | Model | Control]:
        """All declared networks by name, originals first."""
        return self.originals | self.models | self.controls

    def network(self, name: str) -> Original | Model | Control:
        """The declaration of a network by its name.

        Raises:
            UserError: there is none.
        """
        if name not in self.networks:
            near = near_matches(name, self.networks)
            raise UserError(f"params.yaml declares no network {name!r}{near}")
        return self.networks[name]

    def origin_of(self, name: str) -> str:
        """The name of the original that a network is, was cut from or goes on from."""
        declared = self.network(name)
        if isinstance(declared, Original):
            return name
        return declared.backbone if isinstance(declared, Model) else declared.original

    def original_of(self, name: str) -> Original:
        """The declaration of that original."""
        return self.originals.get(self.origin_of(name), Original())

    def has_cam(self, name: str) -> bool:
        """Whether a network ends in global pooling, by surgery or by itself."""
        return name in self.models or self.original_of(name).gap is not None

    def loading_of(self, name: str) -> Loading:
        """What a network sees of pictures: the section `loading`, with its own size."""
        own = self.original_of(name).size
        return self.loading if own is None else self.loading.model_copy(update={"size": own})

    def seed_of(self, name: str) -> int:
        """A network's own seed, or the study's."""
        own = self.network(name).seed
        return self.seed if own is None else own

    def training_of(self, name: str) -> Training:
        """How a network is trained: its section, with the declaration's own overrides."""
        section = self.training if name in self.originals else self.finetune
        return section.model_copy(update=self.network(name).training.model_dump())


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: the file is missing or not YAML, a key is unknown, missing or of the wrong
            type, or one key contradicts another; the message names each such key.
    """
    if not path.exists():
        raise UserError(f"{path} is missing; `git checkout {path.name}` brings it back")
    tree = read_tree(read_text(path), str(path))
    try:
        params = Params.model_validate(tree)
        problems = list(itertools.islice(_contradictions(params), PROBLEMS + 1))
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()[: PROBLEMS + 1]]
    if problems[PROBLEMS:]:
        problems[PROBLEMS:] = ["and more"]
    if problems:
        raise UserError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return params


def _contradictions(params: Params) -> Iterator[str]:
    networks = params.networks
    if not re.fullmatch(STUDY_NAME, params.study):
        rule = "use letters and digits, behind the first also spaces, - and ., 100 at most"
        yield f"study: {shown(params.study)} names no study: {rule}"
    sizes = {f"originals.{name}": one.size or 0 for name, one in params.originals.items()}
    for key, size in ({"loading": params.loading.size} | sizes).items():
        if params.loading.resize < size:
            yield f"loading.resize: must be at least {key}.size, which is cropped from it"
    origins = {f"models.{name}": ("backbone", m.backbone) for name, m in params.models.items()}
    origins |= {f"controls.{n}": ("original", c.original) for n, c in params.controls.items()}
    for where, (key, original) in origins.items():
        group, _, name = where.partition(".")
        if name in params.originals or (group == "controls" and name in params.models):
            yield f"{where}: another network has this name already"
        if original not in params.originals:
            near = near_matches(original, params.originals)
            yield f"{where}.{key}: no original named {original!r}{near}"
    yield from _contradictions_of_weights(params)
    stand_ins: dict[str, str] = {}
    for name, declared in (params.originals | params.models).items():
        if paper := declared.stands_for:
            other = stand_ins.setdefault(paper, name)
            if other != name:
                yield f"{name}.stands_for: {other} stands for {paper} already; leave one out"
    for name in networks:
        if not re.fullmatch(NETWORK_NAME, name):
            rule = "use letters, digits, - and _, 100 at most"
            yield f"{shown(name)} names no network: {rule}"
        elif is_reserved(name):
            taken = f"{', '.join(BASELINES)}, heuristics-… and backprop-… or another method's"
            yield f"{shown(name)} is a row of its own; {taken} are taken, choose another name"
    if params.data.source == "ilsvrc" and params.evaluate.split == "test":
        yield "evaluate.split: ILSVRC's test split has no labels; use val"
    if not _has_train(params.data):
        trained = [name for name in params.networks if params.training_of(name).epochs]
        if trained:
            none = "data has no train split, and it has epochs of training; let it have 0"
            yield f"{trained[0]}: {none}"
    splits = getattr(params.data, "splits", None)
    if splits is not None and params.evaluate.split not in splits:
        yield f"evaluate.split: data.splits has no {params.evaluate.split}; name its folder"
    if params.data.source == "shapes" and params.cams.top != "all":
        yield "cams.top: the labels of shapes' test split are withheld, so its maps must be of all"
    yield from _contradictions_of_cams(params)
    for name in networks:
        if params.training_of(name).freeze == "body" and not params.has_cam(name):
            yield (
                f"{name}: freeze: body keeps what comes before a network's pooling, which it "
                "does not end in globally; train it whole, with freeze: nothing"
            )
    if params.boxes.crops == 10:
        for name in networks:
            if params.has_cam(name) and name not in params.cams.ten_crop:
                yield f"boxes.crops: 10 needs the ten crops of {name}; add it to cams.ten_crop"


def _contradictions_of_weights(params: Params) -> Iterator[str]:
    for name, original in params.originals.items():
        weights = original.weights
        if weights.source == "path" and weights.path is None:
            yield f"originals.{name}.weights.path: source path needs the path of a weights file"
        wanted = weights.preprocessing.model_dump()
        if wanted.get("scale") == 255 and not {"mean", "std"} <= wanted.keys():
            key = f"originals.{name}.weights.preprocessing"
            yield f"{key}: values from 0 to 255 want a mean and a std of that scale; give both"
        for key, sources in (("path", ["path"]), ("folder", ["torchvision", "timm"])):
            if weights.source not in sources and getattr(weights, key) is not None:
                belongs = f"belongs to source {' or '.join(sources)}, not {weights.source}"
                yield f"originals.{name}.weights.{key}: {belongs}; leave it out"


def _contradictions_of_cams(params: Params) -> Iterator[str]:
    networks = params.networks
    of_maps = ("faithfulness", "effects", "sanity")
    for key in ("saliency", "ten_crop", "bf16", *of_maps):
        for name in getattr(params.cams, key):
            if name not in networks:
                yield f"cams.{key}: no network named {name!r}{near_matches(name, networks)}"
            elif key in of_maps and not (params.has_cam(name) or params.cams.methods_of(name)):
                yield f"cams.{key}: {name} has no maps; name methods for it in cams.methods"
            elif key in ("ten_crop", "bf16") and not params.has_cam(name):
                yield f"cams.{key}: {name} has no CAM; name networks that end in global pooling"
    if params.cams.effects and not getattr(params.data, "altered", 0):
        yield "cams.effects: the data has no altered pictures; shapes has with data.altered"
    for name, methods in params.cams.methods.items():
        key = f"cams.methods.{name}"
        if name not in networks:
            yield f"{key}: no network named {name!r}{near_matches(name, networks)}"
            continue
        for method in methods:
            if why := refusal(method):
                yield f"{key}: {why}"
            elif method in OF_LAYERS and not params.has_cam(name):
                yield (
                    f"{key}: {method} needs a layer, such as {method}@features.11: {name} pools no "
                    "maps by itself"
                )


def _has_train(data: Data) -> bool:
    """Whether a section `data` leaves open that there are images to train on."""
    if isinstance(data, Folder):
        return data.splits is None or "train" in data.splits
    return data.train if isinstance(data, ILSVRC) else True


def _explain(problem: dict) -> str:
    *parents, key = problem["loc"] or ("",)
    tags = parents[1:2] if parents[:1] == ["data"] else []  # pydantic names the source there
    where = ".".join(_name(part) for part in problem["loc"] if part not in tags)
    if problem["type"] == "extra_forbidden" and key in _MOVED:
        return f"{where}: {_MOVED[key]}"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key{near_matches(str(key), _fields_at(parents))}"
    if problem["type"] == "missing":
        return f"{where}: this key is missing"
    if problem["type"].startswith("union_tag"):
        return f"{where}: {problem['msg']}"
    return f"{where}: {problem['msg']}, not {shown(problem['input'])}"


def _name(key: object) -> str:
    """A key for a message, as it stands in the file where that is short and can be printed."""
    text = str(key)
    return text if len(text) <= 60 and text.isprintable() else shown(text)


def _fields_at(path: list) -> list[str]:
    """Names of the keys that are known at a path of the tree, for near matches."""
    current: Any = Params
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
