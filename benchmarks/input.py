"""What feeds a training: decoding, loading and memory, as ratios within one run.

Run with `make bench`, with `PHOTOS=folder` on photographs of your own; without, on made ones of
500×375 pixels. Takes about four minutes on 2 CPU cores.
"""

import argparse
import itertools
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import psutil
import torch
from PIL import Image, ImageFilter

from camloc.core.params import Loading, Machine, Training
from camloc.core.threads import cores
from camloc.data.loading import decode, training_batches
from camloc.data.manifest import Manifest
from camloc.networks import backbones
from camloc.training.loop import Step
from camloc.training.precision import choose_device

SIDE, SIZE, BATCH, SECONDS = 256, 224, 64, 8.0
ROUNDS = 3  # of what is compared, in turns, since a machine's speed drifts


def made_photographs(folder: Path, count: int = 48) -> None:
    """Blurred noise of 500×375 pixels, whose JPEG files are about as large as ImageNet's."""
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.2))
        image.save(folder / f"{i}.JPEG", quality=92)


def manifest_of(folder: Path, rows: int) -> Manifest:
    """The folder's files over and over, as a train split of two classes."""
    files = sorted(path.name for path in folder.glob("*.JPEG"))
    names = list(itertools.islice(itertools.cycle(files), rows))
    images = pd.DataFrame({"image": [f"{i:07}" for i in range(rows)], "path": names})
    images = images.assign(split="train", wnid="n1", width=500, height=375, mask=None)
    return Manifest("bench", folder, {"n1": "a", "n2": "b"}, images, pd.DataFrame())


def bare_rate(folder: Path) -> float:
    """Images a second that as many processes as cores decode, with nothing around it."""
    paths = sorted(folder.glob("*.JPEG"))
    with ProcessPoolExecutor(cores(), multiprocessing.get_context("fork")) as pool:
        return sum(pool.map(_decode_for_a_while, [paths] * cores()))


def _decode_for_a_while(paths: list[Path]) -> float:
    torch.set_num_threads(1)
    start = time.perf_counter()
    for count, path in enumerate(itertools.cycle(paths), start=1):
        decode(path, SIDE)
        if (elapsed := time.perf_counter() - start) > SECONDS:
            return count / elapsed


def batches_of(folder: Path, rows: int, memory_gb: float = 0.0, workers: int = cores()):
    loading = Loading(resize=SIDE, size=SIZE)
    machine = Machine(workers=workers, memory_gb=memory_gb)
    return training_batches(manifest_of(folder, rows), loading, BATCH, seed=1, machine=machine)


def rate(steps, each=lambda parts: None) -> float:
    """Images a second of steps of BATCH, once they have begun to come."""
    for parts in itertools.islice(steps, 3):
        each(parts)
    start, count = time.perf_counter(), 0
    for parts in steps:
        each(parts)
        count += BATCH
        if time.perf_counter() - start > SECONDS:
            break
    return count / (time.perf_counter() - start)


def training_rates(folder: Path, backbone: str, device: torch.device) -> tuple[float, float]:
    """Images a second of training on files, and on tensors already in memory."""
    recipe = Training(
        epochs=1, batch=BATCH, optimizer="sgd", schedule="step", lr=1e-4, weight_decay=0.0
    )
    step = Step.of(backbones.whole(backbone, 2), recipe, device, steps_per_epoch=1_000_000)
    in_memory = batches_of(folder, 4 * BATCH, memory_gb=1.0, workers=0)
    tensors = itertools.chain.from_iterable(in_memory.steps(epoch) for epoch in itertools.count(1))
    return rate(batches_of(folder, 100_000).steps(1), step), rate(tensors, step)


def memory_mib(folder: Path, rows: int) -> tuple[float, float]:
    """Memory of loading 60 batches of a manifest of so many rows, and of that manifest.

    In a process of its own. Pages that processes share count once (PSS).
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_memory_mib, folder, rows).result()


def _memory_mib(folder: Path, rows: int) -> tuple[float, float]:
    batches = batches_of(folder, rows)
    for _ in itertools.islice(batches.steps(1), 60):
        pass
    me = psutil.Process()
    total = sum(process.memory_full_info().pss for process in [me, *me.children(recursive=True)])
    tables = manifest_of(folder, rows).images.memory_usage(deep=True).sum()
    return total / 2**20, tables / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="folder of *.JPEG")
    options = parser.parse_args()
    device = choose_device("auto")
    with TemporaryDirectory() as folder:
        photos = options.photos or Path(folder)
        if options.photos is None:
            made_photographs(photos)
        pairs = [
            (bare_rate(photos), rate(batches_of(photos, 100_000).steps(1))) for _ in range(ROUNDS)
        ]
        bare, loaded = np.mean(pairs, axis=0)
        print(f"decoding to {SIDE} px on {cores()} cores: bare {bare:.0f} images/s")
        print(f"input pipeline against bare decoding: {loaded / bare:.2f}")
        for backbone in ("alexnet", "googlenet"):
            rounds = [training_rates(photos, backbone, device) for _ in range(ROUNDS)]
            files, tensors = np.mean(rounds, axis=0)
            limit = "decoding" if loaded < tensors else "training"
            print(
                f"{backbone} at {SIZE} px on {device}: {files:.1f} images/s from files, "
                f"{tensors:.1f} from memory: {files / tensors:.2f}; the limit is {limit}"
            )
            if device.type == "cpu":  # where both want the same cores
                best = 1 / (1 / tensors + 1 / bare)
                print(f"  of what is left where the same cores decode: {files / best:.2f}")
        (few, its_few), (many, its_many) = (memory_mib(photos, n) for n in (10_000, 100_000))
        growth = (many - its_many) / (few - its_few) - 1
        print(
            f"memory at 10,000 and 100,000 rows: {few:.0f} and {many:.0f} MiB, of which the "
            f"manifest {its_few:.0f} and {its_many:.0f}; the rest grows by {100 * growth:.1f} %"
        )


if __name__ == "__main__":
    main()
