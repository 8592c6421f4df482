"""Throughput of training and decoding, as ratios within one run (rates depend on the machine).

Run with `make bench`; takes about two minutes on 2 CPU cores.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from torch.nn import functional

from camloc import loading, networks
from camloc.datasets import shapes
from camloc.training import autocast, choose_device

CLASSES, SIDE, BATCH, WIDTH = 12, 112, 32, 0.25


def training_rate(backbone: str, precision: torch.dtype, device: torch.device) -> float:
    """Images a second of forward and backward passes on pictures in memory."""
    network = networks.whole(backbone, CLASSES, width=WIDTH)
    network.to(device, memory_format=torch.channels_last).train()
    pictures = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (BATCH,), device=device)

    def step() -> None:
        with autocast(device, precision):
            logits = network(loading.normalise(pictures, device))
        functional.cross_entropy(logits.float(), labels).backward()

    return BATCH * calls_per_second(step)


def calls_per_second(call, warm: int = 3, seconds: float = 4.0) -> float:
    """How often a function runs a second, after some runs to warm up."""
    for _ in range(warm):
        call()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        call()
        count += 1
    return count / (time.perf_counter() - start)


def decoding_rates(folder: Path) -> tuple[float, float]:
    """Images a second decoded bare, one after another, and through the loader."""
    manifest = shapes.generate(folder / "pictures", train=256, val=0, test=0, seed=1)
    images = manifest.split("train")
    pictures = loading.Pictures(manifest.root, images, manifest.wnids, SIDE)
    batches = torch.utils.data.DataLoader(pictures, BATCH)
    bare = calls_per_second(lambda: [loading.decode(path, SIDE) for path in pictures.paths])
    loaded = calls_per_second(lambda: list(batches))
    return len(images) * bare, len(images) * loaded


def main() -> None:
    device = choose_device("auto")
    rows = {}
    for backbone in ("alexnet", "vgg16", "googlenet", "nin"):
        full = training_rate(backbone, torch.float32, device)
        half = training_rate(backbone, torch.bfloat16, device)
        rows[backbone] = {"float32 images/s": full, "bf16 images/s": half, "ratio": half / full}
    print(f"training on {device}, {SIDE} px, width {WIDTH}, batch {BATCH}")
    print(pd.DataFrame.from_dict(rows, orient="index").round(2).to_string())
    with TemporaryDirectory() as folder:
        bare, loaded = decoding_rates(Path(folder))
    print(f"loader against bare decoding: {loaded:.0f} / {bare:.0f} = {loaded / bare:.2f}")


if __name__ == "__main__":
    main()
