"""What each stage is given: one typed class a stage, from which all else follows.

`of` takes it from params.yaml. Papermill injects it into the stage's notebook as `given`, the
stage's function `run` takes it, and the stage's fingerprint holds it, so that DVC runs the stage
again when a value changes (see `camloc.pipeline.fingerprints`).
"""

import os
from typing import Literal, Self

from camloc.core.params import (
    Batch,
    Boxes,
    Cams,
    Data,
    Evaluate,
    Loading,
    Machine,
    Model,
    Original,
    Overrides,
    Params,
    Section,
    Seed,
    Side,
    Surgery,
    Training,
)


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

    def deciding(self) -> dict:
        """What the stage's result depends on, as JSON has it."""
        return self.model_dump(mode="json", exclude={"machine"})


class DataParameters(StageParameters):
    seed: Seed
    data: Data


class CopiesParameters(StageParameters):
    loading: Loading


class SurgeryParameters(StageParameters):
    network: str
    seed: Seed
    declaration: Surgery

    @classmethod
    def _of_network(cls, params: Params, network: str) -> dict:
        model = params.network(network)
        fields = model.model_dump(include=set(Surgery.model_fields))
        return {"network": network, "seed": params.seed_of(network), "declaration": fields}


class TrainParameters(StageParameters):
    """`original` is None for a network that surgery made."""

    network: str
    seed: Seed
    threads: int | Literal["auto"]
    original: Original | None
    training: Training
    loading: Loading
    machine: Machine

    @classmethod
    def _of_network(cls, params: Params, network: str) -> dict:
        declared = params.network(network)
        original = None
        if not isinstance(declared, Model):  # what is left out stands in the fields beside
            original = declared.model_copy(update={"seed": None, "training": Overrides()})
        recipe = {"training": params.training_of(network), "seed": params.seed_of(network)}
        return {"network": network, "original": original} | recipe


class MapsParameters(StageParameters):
    """`saliency_cell` is None where no saliency is taken; sides in pixels."""

    network: str
    threads: int | Literal["auto"]
    top: int | Literal["all"]
    batch: Batch
    saliency_cell: Side | None
    ten_crop: bool
    loading: Loading
    machine: Machine

    @classmethod
    def _of_network(cls, params: Params, network: str) -> dict:
        cams: Cams = params.cams
        return {
            "network": network,
            "top": cams.top,
            "batch": cams.batch,
            "saliency_cell": cams.saliency_cell if network in cams.saliency else None,
            "ten_crop": network in cams.ten_crop,
        }


class EvaluateParameters(StageParameters):
    network: str
    seed: Seed
    boxes: Boxes
    evaluate: Evaluate


class ReportParameters(StageParameters):
    study: str
    seed: Seed
    originals: dict[str, Original]
    models: dict[str, Model]
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
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
