"""What a study costs on this machine, from the measured rates of its networks.

Run with `make cost STUDY=ilsvrc`.

Training and maps on tensors in memory; where decoding is the limit (see benchmarks/input.py) it
takes longer. Several devices divide the hours.
"""

import argparse

import pandas as pd
import torch

from camloc.core import params
from camloc.core.params import Params
from camloc.data.loading import standardise
from camloc.training.precision import choose_device, choose_precision
from throughput import STUDIES, build, calls_per_second, training_step

# Images of the train split (with those that the val split is taken from) and those with maps, as
# the data sets' own pages have them.
IMAGES = {"ilsvrc": (1_281_167, 50_000), "tiny-imagenet": (100_000, 20_000), "cub": (5_994, 5_794)}
CLASSES = {"ilsvrc": 1000, "tiny-imagenet": 200, "cub": 200, "shapes": 12}


def images(study: Params) -> tuple[int, int]:
    """Training images, and images that get maps."""
    data = study.data
    if data.source == "shapes":
        return data.train, data.val + data.test
    if data.source == "folder":
        raise SystemExit("the images of a folder of yours are not counted; take another study")
    train, seen = IMAGES[data.source]
    share = len(data.classes) / CLASSES[data.source] if getattr(data, "classes", None) else 1
    return int(train * share), int(seen * share)


def hours(study: Params, name: str, device: torch.device) -> dict[str, float]:
    """Images a second and hours of a network's training and of its maps."""
    recipe, (train, seen) = study.training_of(name), images(study)
    size, num_classes = study.loading_of(name).size, CLASSES[study.data.source]
    batch = recipe.batch if device.type == "cuda" else min(recipe.batch, 16)
    built = study.controls[name].original if name in study.controls else name
    network = build(study, built, num_classes)
    step = training_step(network, recipe, size, batch, device)
    trained = batch * calls_per_second(step, device, warm=1)
    pictures = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    network.eval()

    def classify() -> None:
        with torch.inference_mode():
            network(standardise(pictures, device))

    classified = batch * calls_per_second(classify, device, warm=1)
    return {
        "training images/s": trained,
        "training hours": train * recipe.epochs / trained / 3600,
        "maps images/s": classified,
        "maps hours": seen / classified / 3600,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=[path.stem for path in STUDIES.glob("*.yaml")])
    study = params.load(STUDIES / f"{parser.parse_args().study}.yaml")
    device = choose_device("auto")
    rows = {name: hours(study, name, device) for name in study.networks}
    table = pd.DataFrame.from_dict(rows, orient="index")
    precision = choose_precision(study.finetune.precision, device)
    print(f"{study.study} on {device}, {precision}, {study.loading.size} px")
    print(table.round(2).to_string())
    whole = study.seeds * table.filter(like="hours").sum().sum()
    print(f"in all, {study.seeds} times: {whole:.1f} hours")


if __name__ == "__main__":
    main()
