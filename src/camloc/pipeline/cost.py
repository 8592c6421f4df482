"""How long the stages of a study take on this machine, and what they keep on disk, from a few calls
of its networks.

A call takes the longer the more pictures it has: along a line, which two calls show. On processors
its time is what one thread spends, so that other work beside does not count, and more threads share
it. Pictures are in memory: where decoding is the limit (see benchmarks/input.py) it takes longer.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from camloc.core.errors import UserError
from camloc.core.params import Params, Preprocessing, Training
from camloc.core.paths import repository_root
from camloc.core.rows import IN_CELLS
from camloc.data.loading import IMAGENET, standardise
from camloc.data.manifest import SPLITS
from camloc.data.sources import shapes
from camloc.data.sources.reading import ENDINGS
from camloc.maps import faithfulness, sanity
from camloc.maps.methods import SAMPLES, STEPS
from camloc.networks.surgery import CamNetwork, head_of, parameter_count
from camloc.pipeline import launch
from camloc.pipeline.parameters import MapsParameters, threads_of
from camloc.pipeline.runs import runs_at_once
from camloc.training.loop import Step
from camloc.training.precision import autocast, choose_device

# Classes, training images (with those that the val split is taken from) and the other split's, as
# the data sets' own pages have them.
PUBLISHED = {
    "ilsvrc": (1000, 1_281_167, 50_000),
    "tiny-imagenet": (200, 100_000, 10_000),
    "cub": (200, 5_994, 5_794),
}
# Seconds of the published runs: what each stage takes to start a kernel and to be looked after by
# DVC, and for each picture to draw or to list, and map to evaluate.
START, DRAWN, LISTED, EVALUATED = 4.5, 0.005, 0.0005, 0.0025
ALTERATIONS = 12  # pictures that are altered of one, about: three of each of its parts
COLD, SLOW = 0.2, 0.05  # seconds of a call that needs no warming up, and of one that is no line
SHARED = 0.8  # so many threads are as quick as their number to this power
COMPUTE = ("train", "maps")  # what stages do with networks
_KINDS = {"originals": "train", "finetune": "train", "controls": "train", "cams": "maps"}


class Images(NamedTuple):
    """How many a study has, of how many classes; each training run learns from `train`."""

    classes: int
    train: int
    val: int
    test: int


class Line(NamedTuple):
    """Seconds of a call, and for each of its pictures."""

    fixed: float
    each: float

    def of(self, images: int, batch: int) -> float:
        """What so many images take in batches."""
        return self.each * images + self.fixed * math.ceil(images / batch)

    def times(self, factor: float) -> "Line":
        return Line(factor * self.fixed, factor * self.each)


class Pace(NamedTuple):
    """Of a network: a step of training (of its head where its body stays as it is), classifying,
    and that in bfloat16; its parameters, its body's values of a picture, how many maps it pools,
    and a map's cells."""

    step: Line | None
    classify: Line
    bf16: Line | None
    parameters: int
    body: int
    maps: int
    cells: int


def images(params: Params) -> Images:
    """Those of the study's data; of a folder of one's own, files are counted.

    Raises:
        UserError: it holds none.
    """
    data = params.data
    if data.source == "shapes":
        return Images(len(shapes.CLASSES), data.train, data.val, data.test)
    if data.source == "folder":
        root = repository_root() / data.folder
        own = data.splits or {name: name for name in SPLITS if (root / name).is_dir()}
        counts = {
            split: sum(path.suffix.lower() in ENDINGS for path in (root / place).rglob("*"))
            for split, place in (own or {"val": "."}).items()
        }
        if not sum(counts.values()):
            raise UserError(f"{root} holds no images")
        return Images(1000, *(counts.get(split, 0) for split in SPLITS))
    classes, train, other = PUBLISHED[data.source]
    if data.source == "ilsvrc":
        return Images(classes, train * data.train, other, 0)
    taken = len(data.classes or range(classes))
    val = taken * data.val_per_class
    return Images(taken, train * taken // classes - val, val, other * taken // classes)


def training_step(
    network: nn.Module,
    recipe: Training,
    pictures: Tensor,
    device: torch.device,
    wanted: Preprocessing | None = IMAGENET,
) -> Callable[[int], object]:
    """A step of training on the first so many pictures, or maps where `wanted` is None."""
    still = recipe.model_copy(update={"lr": 1e-12})  # or the one batch would be learnt by heart
    step = Step.of(network.train(), still, device, steps_per_epoch=1_000_000, wanted=wanted)
    labels = torch.zeros(len(pictures), dtype=torch.long, device=device)
    return lambda count: step([(pictures[:count], labels[:count])])


def line(call: Callable[[int], object], most: int, device: torch.device, few: int = 2) -> Line:
    """What a call takes: by one on few pictures and one on eight, or `most` on a GPU; where few
    take long, by them alone. Training wants two, for its batch norms."""

    def seconds(count: int) -> float:
        clock = time.process_time if device.type == "cpu" else time.perf_counter
        start = clock()
        call(count)
        if device.type != "cpu":
            getattr(torch, device.type).synchronize()
        return clock() - start

    def timed(count: int) -> float:
        first = seconds(count)
        return first if first > COLD else seconds(count)

    few, many = min(few, most), most if device.type != "cpu" else min(8, most)
    short = timed(few)
    if short > SLOW * few or few == many:
        return Line(0.0, short / few)
    long = timed(many)
    each = max((long - short) / (many - few), long / many / 4)  # which noise may make less
    return Line(max(0.0, long - many * each), each)


def pace(network: nn.Module, recipe: Training, size: int, bf16: bool, device: torch.device) -> Pace:
    """The pace of a network without values, at pictures of a size."""
    network, sizes = _filled(network.eval().to_empty(device=device)), []
    pictures = torch.zeros(recipe.batch, 3, size, size, dtype=torch.uint8)
    measured = partial(line, most=recipe.batch, device=device)

    def classify(count: int) -> None:
        with torch.inference_mode():
            network(standardise(pictures[:count], device))

    if isinstance(network, CamNetwork):
        network.convs.register_forward_hook(lambda _, x, y: sizes.append((x[0].shape, y.shape)))
    classified, low, step = measured(classify, few=1), None, None
    if bf16:
        with autocast(device, torch.bfloat16):
            low = measured(classify, few=1)
    body, maps = (shape[1:] for shape in sizes[0]) if sizes else [torch.Size([0, 0, 0])] * 2
    if recipe.epochs and recipe.freeze == "body":
        given = torch.ones(recipe.batch, *body)
        step = measured(training_step(head_of(network), recipe, given, device, None))
    elif classified.each > SLOW / 4:
        step = classified.times(3)  # a pass forward, and one back that takes two
    elif recipe.epochs:
        step = measured(training_step(network, recipe, pictures, device))
    cells = maps[1:].numel()
    return Pace(step, classified, low, parameter_count(network), body.numel(), maps[0], cells)


@torch.no_grad()
def _filled(network: nn.Module) -> nn.Module:
    """With weights by which sums stay as large as what they are of: random ones take long to draw,
    and zeros lead to numbers so small that processors are slow with them."""
    for value in (*network.parameters(), *network.buffers()):
        value.fill_(1 / value[0].numel() if value.ndim and value.is_floating_point() else 0)
    return network.to(memory_format=torch.channels_last)


def probe(params: Params, networks: dict[str, nn.Module]) -> dict[str, Pace]:
    """The paces of networks without values, by their names; a control's is mostly its original's,
    which it shares the network with."""
    device, measured, keys = choose_device(params.machine.device), {}, {}
    torch.set_num_threads(1)  # whose time is told
    for name, network in networks.items():
        recipe, bf16 = params.training_of(name), name in params.cams.bf16
        keys[name] = id(network), recipe.batch, recipe.freeze, recipe.epochs > 0, bf16
        if keys[name] not in measured:
            size = params.loading_of(name).size
            measured[keys[name]] = pace(network, recipe, size, bf16, device)
    torch.set_num_threads(threads_of(params))  # as in stages: `runs_at_once` goes by it
    return {name: measured[key] for name, key in keys.items()}


def kind_of(stage: str) -> str:
    """What a stage does, as its fingerprint is called: `originals@nin` does `train`."""
    group = stage.partition("@")[0].rpartition("-")[2]
    return _KINDS.get(group, group)


def seconds_of(params: Params, stage: str, images: Images, pace: Pace | None) -> float:
    """How long a stage takes; `pace` is of its network, None where it computes with none."""
    kind, name, seen = kind_of(stage), stage.partition("@")[2], images.val + images.test
    if kind == "train":
        return START + _training(params, params.training_of(name), images, pace)
    if kind == "maps":
        given, batch = MapsParameters.of(params, name), params.cams.batch
        passes = 1 + 10 * given.ten_crop
        kept = _kept(params, images)
        passes += sum(_passes(method, kept, pace.maps) for method in given.methods)
        more = pace.classify.of(_tested(params, given, images, pace.maps), batch)
        low = pace.bf16.of(seen, batch) if given.bf16 else 0.0
        once = passes * pace.classify.of(seen, batch) + more + low
        return START + _turns(params, params.seeds) * once
    if kind == "evaluate":
        return START + EVALUATED * params.seeds * seen * (1 + len(params.cams.methods_of(name)))
    if kind == "data":
        drawn = params.data.source == "shapes"
        count = images.train + seen + ALTERATIONS * sum(_altered(params, images))
        return START + (DRAWN if drawn else LISTED) * count
    return START


def _tested(params: Params, given: MapsParameters, images: Images, maps: int) -> int:
    """Pictures that a network is shown to tell how far its maps can be trusted."""
    splits = [count for count in (images.val, images.test) if count]
    most = max(splits, default=0) if given.faithfulness == "all" else given.faithfulness
    rows = 1 + len(given.methods)
    shown = faithfulness.PASSES * rows * sum(min(count, most) for count in splits)
    shown += (1 + ALTERATIONS) * sum(_altered(params, images)) * given.effects
    of_maps = 1 + sum(_passes(method, 1, maps) for method in given.methods)
    looks = sum(min(count, sanity.PICTURES) for count in splits)
    return shown + (2 + sanity.STEPS) * looks * of_maps * given.sanity


def _altered(params: Params, images: Images) -> list[int]:
    """How many images of each evaluated split are also altered."""
    asked = getattr(params.data, "altered", 0)
    return [min(asked, count) for count in (images.val, images.test)]


def _passes(method: str, classes: int, maps: int) -> int:
    """Passes of a network that a picture's maps of so many classes take, forward or back."""
    several = {"smooth-grad": SAMPLES, "integrated-gradients": STEPS}
    if method in several:
        return 2 * several[method] * classes
    if method.startswith("score-cam"):
        return maps
    return 1 + classes if method == "backprop" or "@" in method else 0


def _training(params: Params, recipe: Training, images: Images, pace: Pace) -> float:
    if not recipe.epochs:
        return 0.0
    frozen, once, classify = recipe.freeze == "body", 0.0, pace.classify
    if frozen:  # the body sees each training picture and its mirror image once
        once = classify.of(2 * images.train + images.val, recipe.batch)
        classify = pace.step.times(1 / 3)
    epoch = pace.step.of(images.train, recipe.batch) + classify.of(images.val, recipe.batch)
    return once * _turns(params, 1) + recipe.epochs * epoch * _turns(params, params.seeds)


def _turns(params: Params, runs: int) -> float:
    """How long so many training runs of a network take, of what one takes on one thread or GPU."""
    at_once, machine = runs_at_once(params, runs), params.machine
    speed = 1 if at_once > 1 else launch.devices_here(machine.device, machine.devices)
    if choose_device(machine.device).type == "cpu":
        speed = threads_of(params) ** SHARED
    return math.ceil(runs / at_once) / speed


def _kept(params: Params, images: Images) -> int:
    """Classes whose maps are kept of each image."""
    top = images.classes if params.cams.top == "all" else params.cams.top + 1
    return min(top, images.classes)


def bytes_of(params: Params, stage: str, images: Images, pace: Pace) -> float:
    """What a stage that computes with a network keeps, about."""
    name, seen = stage.partition("@")[2], images.val + images.test
    if kind_of(stage) == "maps":
        given = MapsParameters.of(params, name)
        cells = pace.cells * (1 + 10 * given.ten_crop + given.bf16)
        in_cells = (given.loading.size / given.cell) ** 2 if given.cell else 0
        cells += sum(in_cells if name in IN_CELLS else pace.cells for name in given.methods)
        return 2 * params.seeds * seen * _kept(params, images) * cells
    frozen = params.training_of(name).freeze == "body"
    body = 2 * (2 * images.train + images.val) * pace.body * frozen
    return 8 * params.seeds * pace.parameters + body  # and what surgery left
