"""What each stage is given: one typed class a stage, from which all else follows.

`of` takes it from params.yaml. Papermill injects it into the stage's notebook as `given`, the
stage's function `run` takes it, and the stage's fingerprint holds it, so that DVC runs the stage
again when a value changes (see `camloc.pipeline.fingerprints`).
"""

import os
from pathlib import Path
from typing import Literal, Self

import numpy as np

from camloc.core.params import (
    Batch,
    Boxes,
    Cams,
    Control,
    Data,
    Evaluate,
    Loading,
    Machine,
    Model,
    Original,
    Overrides,
    Params,
    Place,
    Section,
    Seed,
    Side,
    Surgery,
    Training,
)
from camloc.core.rows import IN_CELLS
from camloc.core.threads import cores

# The environment of a `portable` stage: torch's own kernels, oneDNN's and MKL's, with the
# instructions of every x86 processor since 2013. Wider ones add in another order, so that another
# processor would train other networks.
PORTABLE = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"}


class StageParameters(Section):
    """The base of all. A field `machine` decides no result."""

    @classmethod
    def of(cls, params: Params, network: str | None = None) -> Self:
        """Fields that are called as sections of params.yaml are those."""
        names = cls.model_fields.keys() & Params.model_fields.keys()
        own = {} if network is None else cls._of_network(params, network)
        return cls(**{name: getattr(params, name) for name in names} | own)

    @classmethod
    def _of_network(cls, params: Params, network: str) -> dict:
        return {"network": network}

    def of_run(self, run: int) -> Self:
        """What one training run is given; a field `seed` that trainings start from is its own."""
        return self.model_copy(update={"seeds": 1})

    def weights_file(self) -> Path | None:
        """The file from outside of the study that a network's weights come from, if any."""
        return None

    def deciding(self) -> dict:
        """What the stage's result depends on, as JSON has it."""
        return self.model_dump(mode="json", exclude={"machine"})


def seed_of_run(seed: int, run: int) -> int:
    """Of the first run the study's own seed, so that one run is the study without `seeds`."""
    return seed if run == 1 else int(np.random.SeedSequence([seed, run]).generate_state(1)[0])


class DataParameters(StageParameters):
    """`draws` is of how many runs the training pictures are drawn."""

    seed: Seed
    data: Data
    draws: int = 1

    @classmethod
    def of(cls, params: Params, network: str | None = None) -> Self:
        return cls(seed=params.seed, data=params.data, draws=_draws(params) or 1)


def _draws(params: Params) -> int | None:
    """How many runs learn from training pictures of their own, None where all learn from all."""
    return params.seeds if getattr(params.data, "seeds", False) else None


class CopiesParameters(StageParameters):
    loading: Loading


class SurgeryParameters(StageParameters):
    """`size` is the side in pixels of the pictures that the network is for."""

    network: str
    seed: Seed
    seeds: int = 1
    weights: Place | None = None
    size: int
    declaration: Surgery

    def of_run(self, run: int) -> Self:
        return self.model_copy(update={"seeds": 1, "seed": seed_of_run(self.seed, run)})

    def weights_file(self) -> Path | None:
        return self.weights

    @classmethod
    def _of_network(cls, params: Params, network: str) -> dict:
        model = params.network(network)
        fields = model.model_dump(include=set(Surgery.model_fields))
        own = {"network": network, "seed": params.seed_of(network), "weights": model.weights}
        return own | {"size": params.loading_of(network).size, "declaration": fields}


class TrainParameters(StageParameters):
    """`original` is None for a network that surgery made and for a control, which goes on from the
    network that `after` names. `pictures` are those of the train split that one run learns from, a
    part of its own, None for all."""

    network: str
    seed: Seed
    seeds: int = 1
    threads: int | Literal["auto"]
    portable: bool = False
    original: Original | None
    after: str | None = None
    pictures: int | None = None
    training: Training
    loading: Loading
    machine: Machine

    @classmethod
    def _of_network(cls, params: Params, network: str) -> dict:
        declared, original = params.network(network), None
        if isinstance(declared, Original):  # what is left out stands in the fields beside
            own = {"backbone": declared.backbone or network}
            own |= {"seed": None, "size": None, "stands_for": None, "training": Overrides()}
            original = declared.model_copy(update=own)
        return {
            "network": network,
            "original": original,
            "after": declared.original if isinstance(declared, Control) else None,
            "training": params.training_of(network),
            "seed": params.seed_of(network),
            "pictures": params.data.train if _draws(params) else None,
            "loading": params.loading_of(network),
        }

    def of_run(self, run: int) -> Self:
        return self.model_copy(update={"seeds": 1, "seed": seed_of_run(self.seed, run)})

    def weights_file(self) -> Path | None:
        return self.original and self.original.weights.path


class MapsParameters(StageParameters):
    """`methods` are those beside CAM; `cell` is the side in pixels of the cells of those whose maps
    are of pixels, None where there is none. `faithfulness` is of how many images of a split it is
    measured."""

    network: str
    seeds: int = 1
    threads: int | Literal["auto"]
    portable: bool = False
    top: int | Literal["all"]
    batch: Batch
    methods: list[str]
    cell: Side | None
    ten_crop: bool
    bf16: bool = False
    faithfulness: int | Literal["all"] = 0
    effects: bool = False
    sanity: bool = False
    loading: Loading
    machine: Machine

    @classmethod
    def _of_network(cls, params: Params, network: str) -> dict:
        cams: Cams = params.cams
        methods = cams.methods_of(network)
        in_cells = any(method in IN_CELLS for method in methods)
        return {
            "network": network,
            "top": cams.top,
            "batch": cams.batch,
            "methods": methods,
            "cell": cams.saliency_cell if in_cells else None,
            "ten_crop": network in cams.ten_crop,
            "bf16": network in cams.bf16,
            "faithfulness": cams.faithfulness_images if network in cams.faithfulness else 0,
            "effects": network in cams.effects,
            "sanity": network in cams.sanity,
            "loading": params.loading_of(network),
        }


class EvaluateParameters(StageParameters):
    network: str
    seed: Seed
    seeds: int = 1
    boxes: Boxes
    evaluate: Evaluate


class ReportParameters(StageParameters):
    study: str
    seed: Seed
    seeds: int = 1
    originals: dict[str, Original]
    models: dict[str, Model]
    controls: dict[str, Control]
    boxes: Boxes
    evaluate: Evaluate


def threads_of(params: Params) -> int:
    """How many threads a stage computes with, on which the last bits of its sums depend.

    `auto` is what OMP_NUM_THREADS says, else a thread for each core that this process may use.
    """
    if params.threads != "auto":
        return params.threads
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said):
        return int(said)
    return cores()
