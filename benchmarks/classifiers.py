"""Which classifiers of torchvision and timm have CAMs, own or by surgery: docs/classifiers.md.

Run with `python benchmarks/classifiers.py`, which takes nine minutes on 2 CPU cores and
writes that page's table; with names, it prints what it finds of these. Weights are random, so that
nothing is downloaded. Of each architecture of timm the smallest network is built and tried, of the
others only shapes are computed.
"""

import argparse
import os
import signal
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from camloc.core.errors import UserError, reason
from camloc.maps.cam import class_activation_maps
from camloc.networks import backbones, surgery, zoo

PAGE = Path(__file__).parents[1] / "docs" / "classifiers.md"
CLASSES = 10
CLOSE = 1e-4  # of the largest score
LONGEST = 300  # seconds that one network may take
HEAD = """\
| network | CAMs | node | maps | score from the mean of the map and the bias |
| --- | --- | --- | --- | --- |"""


class Found(NamedTuple):
    """Of a classifier: `own` or `surgery`, the node whose maps are pooled, their side, and by how
    much the score misses the mean of the map and the bias, of the largest score; or the `cause`
    why it has no CAMs."""

    name: str
    cams: str = "none"
    node: str = ""
    side: int = 0
    apart: float = 0.0
    cause: str = ""


class Shape(NamedTuple):
    """Of a network without values: its parameters, and the side of its last maps of several
    places, 0 where it has none."""

    name: str
    parameters: int
    side: int


def tried(name: str) -> Found:
    """A classifier with random weights, its last layer's not small, on one picture of noise."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LONGEST)
    try:
        torch.manual_seed(0)
        network = backbones.whole(name, CLASSES).eval()
        nn.init.normal_(backbones.last_layer(network).weight, std=0.1)
        node, kind = surgery.averaged_node(network), "own"
        if node is not None:
            seen = surgery.uncut(network, node)
        else:
            node, kind = surgery.last_node_with_maps(network), "surgery"
            if node is None:
                return Found(name, cause="no node gives maps or tokens of several places")
            seen = surgery.build(name, node, [], num_classes=CLASSES, weights=network)
        side = surgery.side_of(network)
        return Found(name, kind, node, *_compared(network if kind == "own" else seen, seen, side))
    except UserError as error:
        return Found(name, cause=str(error))
    except Exception as error:  # each is a cause
        return Found(name, cause=f"{type(error).__name__}: {reason(error)}"[:160])
    finally:
        signal.alarm(0)


def _too_long(*_: object) -> None:
    raise UserError(f"took more than {LONGEST} s")


@torch.no_grad()
def _compared(network: nn.Module, seen: surgery.CamNetwork, side: int) -> tuple[int, float]:
    """The side of the maps, and how far scores are from the maps' means and biases, of pictures
    of `side` pixels."""
    x = torch.rand(2, 3, side, side)
    features, logits = seen.eval().features(x), network.eval()(x)
    classes = torch.arange(CLASSES).expand(2, -1)
    maps = class_activation_maps(features, seen.classifier.weight, classes)
    scores = maps.mean((2, 3)) + seen.classifier.bias
    return maps.shape[-1], ((scores - logits).abs().max() / logits.abs().max()).item()


def shape_of(name: str) -> Shape:
    """A network of timm, by what its modules give without values."""
    sides = []

    def seen(module: nn.Module, given: object, output: object) -> None:
        if surgery.gives_maps(output):
            sides.append(surgery.as_maps(output).shape[-1])

    try:
        with torch.device("meta"), torch.no_grad():
            network = zoo.timm_models().create_model(name, num_classes=CLASSES).eval()
            for module in network.modules():
                module.register_forward_hook(seen)
            network(torch.zeros(1, *network.pretrained_cfg["input_size"]))
    except Exception:  # what needs values; it is tried where it is the smallest of its kind
        return Shape(name, sys.maxsize, 0)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Shape(name, parameters, sides[-1] if sides else 0)


def row(found: Found) -> str:
    if found.cause:
        return f"| {found.name} | none | {found.cause.replace('|', '/')} | | |"
    apart = f"{found.apart:.0e}"
    return f"| {found.name} | {found.cams} | `{found.node}` | {found.side}×{found.side} | {apart} |"


def told(found: list[Found]) -> str:
    counts = Counter(one.cams for one in found)
    wide = max((one.apart for one in found if not one.cause), default=0.0)
    return (
        f"{len(found)} tried: {counts['own']} have CAMs of their own, {counts['surgery']} by "
        f"surgery, {counts['none']} none; scores and means of maps differ by {wide:.0e} at most."
    )


def of_timm(pool: ProcessPoolExecutor) -> tuple[list[str], str]:
    """The smallest network of each of timm's architectures, and of the others what shapes tell."""
    models = zoo.timm_models()
    kinds = {kind: models.list_models(module=kind) for kind in models.list_modules()}
    shapes = pool.map(shape_of, sorted({name for names in kinds.values() for name in names}))
    known = {shape.name: shape for shape in shapes}
    smallest, lines = [], ["| architecture | others | with maps of several places | sides |"]
    lines.append("| --- | --- | --- | --- |")
    for kind, names in kinds.items():
        if not names:
            continue
        first, *others = sorted((known[name] for name in names), key=lambda s: s.parameters)
        smallest.append(first.name)
        sides = sorted({shape.side for shape in others if shape.side})
        span = f"{sides[0]} to {sides[-1]}" if len(sides) > 1 else "".join(map(str, sides))
        if others:
            some = sum(shape.side > 0 for shape in others)
            lines.append(f"| {kind} | {len(others)} | {some} | {span} |")
    return smallest, "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks to try in the place of all")
    names = parser.parse_args().names
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if names:
        print(HEAD, *(row(tried(name)) for name in names), sep="\n")
        return 0
    began = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        smallest, others = of_timm(pool)
        tables, wide = {}, []
        for title, every in (("torchvision", backbones.of_torchvision()), ("timm", smallest)):
            found = []
            for one in pool.map(tried, every):
                print(row(one), flush=True)
                found.append(one)
            wide += [one.name for one in found if one.apart > CLOSE]
            tables[title] = "\n".join([told(found), "", HEAD, *map(row, found)])
    minutes = (time.perf_counter() - began) / 60
    prose = PAGE.read_text(encoding="utf-8").partition("\n## torchvision")[0]
    parts = [prose, f"## torchvision\n\n{tables['torchvision']}"]
    parts += [f"## One of each of timm's architectures\n\n{tables['timm']}"]
    parts += [f"## The rest of timm, by shapes alone\n\n{others}"]
    PAGE.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    print(f"{minutes:.1f} minutes; scores further than {CLOSE:g} from their maps: {wide or 'none'}")
    return 1 if wide else 0


if __name__ == "__main__":
    sys.exit(main())
