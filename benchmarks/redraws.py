"""Whether another draw of the same study says the opposite: verdicts of many small demos.

Each is a fifth of the demo's size with three trainings of each network, drawn and trained from a
seed of its own. Prints the verdicts of all, and the claims that one says hold and another that they
do not. Twenty take one to two hours on 2 CPU cores: `python benchmarks/redraws.py 20 data/redraws`;
what a folder has already is not done again.
"""

import sys
from pathlib import Path

import pandas as pd
import torch

from camloc.core import params
from camloc.core.params import Params
from camloc.core.paths import Study
from camloc.pipeline.fingerprints import STAGES
from camloc.pipeline.stages import data, evaluate, maps, surgery, train
from camloc.report.claims import FAILS, HOLDS
from camloc.report.results import Results, collect

DEMO = Path(__file__).parents[1] / "params" / "demo.yaml"
WORK = {"surgery": surgery, "train": train, "maps": maps, "evaluate": evaluate}


def small(seed: int) -> Params:
    """The demo at a fifth of its size, with three trainings."""
    demo = params.load(DEMO)
    fifth = {key: getattr(demo.data, key) // 5 for key in ("train", "val", "test")}
    changes = {"seed": seed, "seeds": 3, "data": demo.data.model_copy(update=fifth)}
    return demo.model_copy(update=changes)


def run(study: Study, declared: Params) -> Results:
    """All stages of a study, one after the other."""
    given = STAGES["data"].given.of(declared)
    data.run(study, given)

    def do(stage: str, network: str) -> None:
        WORK[stage].run(study, STAGES[stage].given.of(declared, network))

    for network in declared.networks:
        if network in declared.models:
            do("surgery", network)
        for stage in ("train", "maps", "evaluate"):
            do(stage, network)
    return collect(study, declared.networks, declared.evaluate, declared.seeds)


def main() -> None:
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    words = {}
    for seed in range(1_001, 1_001 + count):
        found = run(Study(folder / str(seed)), small(seed)).verdicts
        words[seed] = {verdict.claim.number: verdict.word for verdict in found}
        print(seed, *words[seed].values(), sep="; ", flush=True)
    table = pd.DataFrame(words)
    print(table.apply(lambda row: row.value_counts(), axis=1).fillna(0).astype(int).to_string())
    torn = table[(table == HOLDS).any(axis=1) & (table == FAILS).any(axis=1)]
    print("Claims that one draw says hold and another that they do not:", *(torn.index or ["none"]))


if __name__ == "__main__":
    main()
