"""Whether another draw of the same study says the opposite: verdicts of many small demos.

Each is a fifth of the demo's size with three trainings of each network, drawn and trained from a
seed of its own. Prints the verdicts of all, keeps them as verdicts.csv, and says which claims one
draw says hold and another that they do not. Twenty took 50 minutes on 2 CPU cores: `python
benchmarks/redraws.py 20 data/redraws`; what a folder has already is not done again.
"""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd

from camloc.core import params
from camloc.core.params import Params
from camloc.core.paths import Study
from camloc.pipeline.fingerprints import STAGES
from camloc.pipeline.notebooks import PORTABLE
from camloc.pipeline.stages import data, evaluate, maps, surgery, train
from camloc.report.claims import FAILS, HOLDS
from camloc.report.results import Results, collect

DEMO = Path(__file__).parents[1] / "params" / "demo.yaml"
WORK = {"surgery": surgery, "train": train, "maps": maps, "evaluate": evaluate}


def small(seed: int) -> Params:
    """The demo at a fifth of its size, with three trainings, one at a time."""
    demo = params.load(DEMO)
    fifth = {key: getattr(demo.data, key) // 5 for key in ("train", "val", "test")}
    changes = {
        "seed": seed,
        "seeds": 3,
        "data": demo.data.model_copy(update=fifth),
        "machine": demo.machine.model_copy(update={"at_once": 1}),
    }
    return demo.model_copy(update=changes)


def run(study: Study, declared: Params) -> Results:
    """All stages of a study, one after the other."""
    data.run(study, STAGES["data"].given.of(declared))

    def do(stage: str, network: str) -> None:
        WORK[stage].run(study, STAGES[stage].given.of(declared, network))

    for network in declared.networks:
        if network in declared.models:
            do("surgery", network)
        for stage in ("train", "maps", "evaluate"):
            do(stage, network)
    return collect(study, declared.networks, declared.evaluate, declared.seeds)


def verdicts(seed: int, folder: Path) -> dict[int, str]:
    """The words of one draw's verdicts, by claim."""
    import torch

    torch.set_num_threads(1)
    found = run(Study(folder / str(seed)), small(seed)).verdicts
    return {verdict.claim.number: verdict.word for verdict in found}


def main() -> None:
    seeds, folder = range(1_001, 1_001 + int(sys.argv[1])), Path(sys.argv[2])
    os.environ |= PORTABLE  # before the processes load torch
    words, context = {}, multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        done = pool.map(partial(verdicts, folder=folder), seeds)
        for seed, of_draw in zip(seeds, done, strict=True):
            words[seed] = of_draw
            print(seed, *of_draw.values(), sep="; ", flush=True)
    table = pd.DataFrame(words).rename_axis("claim")
    table.T.rename_axis("seed").to_csv(folder / "verdicts.csv")
    print(table.apply(lambda row: row.value_counts(), axis=1).fillna(0).astype(int).to_string())
    torn = table[(table == HOLDS).any(axis=1) & (table == FAILS).any(axis=1)]
    told = ", ".join(map(str, torn.index)) or "none"
    print(f"Claims that one draw says hold and another that they do not: {told}")


if __name__ == "__main__":
    main()
