"""What processes lose by training together: their rate against the same processes alone.

Run with `make bench`: two processes on CPUs, one a device on CUDA. What is lost goes to the sums of
gradients and of batch norms' statistics over the processes.
"""

import os
import sys
from functools import partial

import pandas as pd
import torch
from torch import distributed as dist

from camloc.core import params, processes
from camloc.pipeline import launch
from camloc.pipeline.cost import training_step
from camloc.training.precision import choose_device
from throughput import STUDIES, build, calls_per_second

NETWORKS = ("alexnet-gap", "vgg16-gap", "googlenet-gap")


def rates(device: torch.device) -> dict[str, float]:
    """Images a second of this process, which trains with the others where it has joined them."""
    full = device.type == "cuda"
    width, side, batch = (1.0, 224, 128) if full else (0.25, 112, 32)
    study = params.load(STUDIES / "ilsvrc.yaml")
    pictures = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, device=device)
    found = {}
    for name in NETWORKS:
        network = build(study, name, 1000, width)
        step = training_step(network, study.training_of(name), pictures, device)
        # So many steps for all: processes that train together take each step together.
        found[name] = batch * calls_per_second(partial(step, batch), device, seconds=0.0, least=30)
    return found


def main() -> None:
    if "RANK" not in os.environ:
        count = max(2, torch.cuda.device_count())
        os.execv(sys.executable, [*launch.torchrun(count, 1), __file__])
    device = choose_device("auto")
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    alone = rates(device)
    launch.join(device.type)
    together = rates(device)
    every = processes.gather((alone, together))
    if processes.share().rank == 0:
        table = {
            name: {
                "alone images/s": sum(of_one[name] for of_one, _ in every),
                "together images/s": sum(of_all[name] for _, of_all in every),
            }
            for name in NETWORKS
        }
        table = pd.DataFrame.from_dict(table, orient="index")
        table["together / alone"] = table["together images/s"] / table["alone images/s"]
        print(f"{len(every)} processes on {device}")
        print(table.round(2).to_string())
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
