"""What maps cost beside the classification that they explain, as ratios within one run.

Run with `python benchmarks/map_methods.py`; takes about a quarter of an hour on 2 CPU cores.
Networks are whole, at 224 pixels, with random weights: GoogLeNet-GAP and EfficientNet-Lite0. With
them what the maps stage does, which reads and writes files, beside the bare forward pass of as many
pictures.
"""

import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from camloc.boxes.paper import boxes_from_maps
from camloc.core.params import Loading, Machine
from camloc.core.rows import METHODS
from camloc.data.loading import evaluation_batches
from camloc.maps.cam import class_activation_maps
from camloc.maps.faithfulness import faithfulness
from camloc.maps.methods import method_maps
from camloc.maps.predict import write_predictions
from camloc.maps.store import Geometry
from camloc.networks import backbones, surgery
from camloc.pipeline.notebooks import KEPT_MEMORY
from input import made_photographs, manifest_of

BATCH, TOP, PICTURES = 16, 5, 96
FAITHFULNESS = "insertion, deletion and average drop of a map"
FORWARD, CAMS, LIBRARY = "forward", "CAM and boxes", "grad-cam's own Grad-CAM"
# Many passes a class, or one a channel: of one picture, in one round.
SLOW = ("score-cam", "ablation-cam", "smooth-grad", "integrated-gradients")


def networks() -> dict[str, surgery.CamNetwork]:
    torch.manual_seed(0)
    lite = backbones.whole("tf_efficientnet_lite0", 1000)
    return {
        "googlenet-gap": surgery.build("googlenet", "inception4e", [1024]).eval(),
        "tf_efficientnet_lite0": surgery.uncut(lite, "bn2").eval(),
    }


@torch.inference_mode()
def classified(network: nn.Module, x: Tensor) -> Tensor:
    return network(x).topk(TOP).indices


@torch.inference_mode()
def mapped(network: surgery.CamNetwork, x: Tensor) -> np.ndarray:
    """The boxes of the maps of the five likeliest classes, on pictures of 500×375 pixels."""
    features = network.features(x)
    classes = network.logits(features).topk(TOP).indices
    maps = class_activation_maps(features, network.classifier.weight, classes)
    low = maps.flatten(0, 1).numpy()
    return boxes_from_maps(low, np.tile([500, 375], (len(low), 1)))


def by_library(network: surgery.CamNetwork, x: Tensor, classes: Tensor) -> None:
    """Grad-CAM of the same classes as the library's own documentation has it."""
    with GradCAM(model=network, target_layers=[network.convs]) as explain:
        for chosen in classes.T.tolist():
            explain(x, targets=[ClassifierOutputTarget(one) for one in chosen])


def seconds(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each call, which take turns, since a machine's speed drifts."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn:  # the first warms up
                taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in taken.items()}


def stage_beside_forward(network: surgery.CamNetwork, rounds: int = 5) -> float:
    """The rate of photographs that are read, decoded, classified and mapped, the maps of `TOP`
    classes written, as a share of the bare forward rate."""
    x = torch.randn(BATCH, 3, 224, 224).to(memory_format=torch.channels_last)
    loading = Loading(resize=256, size=224)
    wnids = [f"n{i:08}" for i in range(1000)]
    with TemporaryDirectory() as folder:
        photos = Path(folder)
        made_photographs(photos)
        manifest = manifest_of(photos, PICTURES)
        seen = replace(manifest, images=manifest.images.assign(split="val", wnid=None))

        def stage() -> None:
            batches = evaluation_batches(seen, "val", loading, BATCH, machine=Machine(workers=0))
            images, geometry = seen.images["image"], Geometry(224, 224, None)
            options = {"top": TOP, "device": torch.device("cpu")}
            target = photos / "maps"
            write_predictions(target, geometry, network, network, batches, images, wnids, **options)
            shutil.rmtree(target)

        def forward() -> None:
            for _ in range(PICTURES // BATCH):
                classified(network, x)

        taken = seconds({"forward": forward, "stage": stage}, rounds)
    return taken["forward"] / taken["stage"]


def main() -> None:
    x, rows = torch.randn(BATCH, 3, 224, 224).to(memory_format=torch.channels_last), {}
    for name, network in networks().items():
        network = network.to(memory_format=torch.channels_last)
        classes = classified(network, x).clone()  # outside of inference mode
        forward = {FORWARD: partial(classified, network, x)}
        first = {
            CAMS: partial(mapped, network, x),
            LIBRARY: partial(by_library, network, x, classes),
        }
        methods = {
            method: partial(method_maps, method, network, network, x, classes, 4)
            for method in METHODS
            if method not in SLOW
        }
        rows[name] = {"rate of the maps stage": stage_beside_forward(network)}
        low = torch.rand(BATCH, 7, 7)
        measured = {FAITHFULNESS: partial(faithfulness, network, x, {"cam": low}, classes[:, 0])}
        for calls, rounds in ((first, 15), (methods | measured, 5)):
            taken = seconds(forward | calls, rounds)
            rows[name] |= {call: value / taken[FORWARD] for call, value in taken.items()}
        minutes = 1000 / BATCH * taken[FAITHFULNESS] / 60
        print(f"{name}: {FAITHFULNESS} of 1,000 pictures in {minutes:.1f} minutes")
        for method in SLOW:
            one = partial(method_maps, method, network, network, x[:1], classes[:1], 4)
            rows[name][method] = BATCH * seconds({method: one}, 1)[method] / taken[FORWARD]
    table = pd.DataFrame(rows)
    table.loc[f"{LIBRARY}, over {CAMS}"] = table.loc[LIBRARY] / table.loc[CAMS]
    print(f"{BATCH} pictures of 224 px, {TOP} classes of each; times the forward pass")
    print(table.round(3).to_string())


if __name__ == "__main__":
    if not KEPT_MEMORY.items() <= os.environ.items():  # as stages have it, from their start
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEPT_MEMORY)
    main()
