"""Training rates of every network of the paper's study, and what they make of the device.

Run with `make bench`. On CUDA the networks are as in params/ilsvrc.yaml: full width, 224 pixels; on
CPUs thin and at 112 pixels, in three minutes on 2 cores. Rates depend on the machine; the ratios
of bf16 to float32, and of a network's arithmetic to that of a large matrix product, less so.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from camloc.core import params
from camloc.core.params import Params
from camloc.maps.cam import class_activation_maps
from camloc.networks import backbones, surgery
from camloc.pipeline.cost import training_step
from camloc.training.precision import PRECISIONS, autocast, choose_device

STUDIES = Path(__file__).parents[1] / "params"


def build(study: Params, name: str, num_classes: int, width: float | None = None) -> nn.Module:
    """A network of a study with random weights, at its own width or another."""
    if name in study.originals:
        original = study.originals[name]
        width = width or original.width
        backbone = original.backbone or name
        return backbones.whole(backbone, num_classes, width=width, dropout=original.dropout)
    model, original = study.models[name], study.original_of(name)
    fields = model.model_dump(exclude={"training", "seed", "stands_for", "weights"})
    fields |= {"backbone": original.backbone or model.backbone}
    return surgery.build(**fields, num_classes=num_classes, width=width or original.width)


def calls_per_second(
    call: Callable[[], object],
    device: torch.device,
    warm: int = 2,
    seconds: float = 5.0,
    least: int = 1,
) -> float:
    """How often a function runs a second, in some seconds and so many runs at least, after some
    runs to warm up."""
    for _ in range(warm):
        call()
    _wait(device)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or count < least:
        for _ in range(10 if device.type == "cuda" else 1):  # without waiting after each
            call()
            count += 1
        _wait(device)
    return count / (time.perf_counter() - start)


def bf16_deviation(network: nn.Module, side: int, device: torch.device) -> float:
    """How far class activation maps in bf16 are from those in float32, as a share of their norm."""
    x = torch.randn(8, 3, side, side, device=device)
    classes, maps = torch.zeros(8, 1, dtype=torch.long, device=device), []
    for precision in (torch.float32, torch.bfloat16):
        with torch.no_grad():
            with autocast(device, precision):
                features = network.to(device).eval().features(x)
            weight = network.classifier.weight
            maps.append(class_activation_maps(features.float(), weight, classes))
    return float((maps[1] - maps[0]).norm() / maps[0].norm())


def matrix_rate(precision: torch.dtype, device: torch.device) -> float:
    """Operations a second of a large matrix product: what the device gives at best."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device, dtype=precision) for _ in range(2))
    return 2 * side**3 * calls_per_second(lambda: a @ b, device)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    device = choose_device("auto")
    full = device.type == "cuda"
    width, side, batch = (1.0, 224, 256) if full else (0.25, 112, 32)
    study = params.load(STUDIES / "ilsvrc.yaml")
    best = {name: matrix_rate(PRECISIONS[name], device) for name in ("float32", "bf16")}
    pictures = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, device=device)
    rows = {}
    for name in (*study.originals, *study.models):
        row = {}
        for precision in best:
            recipe = study.training_of(name).model_copy(update={"precision": precision})
            network = build(study, name, 1000, width)
            step = partial(training_step(network, recipe, pictures, device), batch)
            with FlopCounterMode(display=False) as counted:
                step()
            steps = calls_per_second(step, device)
            row[f"{precision} images/s"] = batch * steps
            row[f"{precision} of matrix rate"] = counted.get_total_flops() * steps / best[precision]
        row["bf16 / float32"] = row["bf16 images/s"] / row["float32 images/s"]
        if name in study.models:
            network = build(study, name, 1000, width)
            row["maps differ by"] = bf16_deviation(network, side, device)
        rows[name] = row
    told = ", ".join(f"{name} {rate / 1e12:.2f}" for name, rate in best.items())
    print(f"training on {device}, {side} px, width {width}, batch {batch}")
    print(f"matrix products, 10^12 operations a second: {told}")
    print(pd.DataFrame.from_dict(rows, orient="index").round(3).to_string())


if __name__ == "__main__":
    main()
