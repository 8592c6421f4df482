"""The smoke study: what a notebook opened on its own works on, as `params/smoke.yaml` says."""

import importlib
import shutil
from pathlib import Path

from camloc.core import params
from camloc.core.paths import Study, repository_root
from camloc.pipeline.fingerprints import STAGES, Stage
from camloc.pipeline.parameters import StageParameters

FOLDER = "data/smoke"


def parameters(
    name: str, given: dict | None, study: Study, network: str | None = None
) -> StageParameters:
    """A stage's parameters: those that the pipeline gave, or else those of the study in the folder.

    Of the smoke study, what the stages before this one leave is made where it is missing; a study
    in any other folder is that of params.yaml.

    Args:
        name: of the stage, such as `train`.
    """
    stage, root = STAGES[name], repository_root()
    if given is not None:
        return stage.given.model_validate(given)
    if study.folder != root / FOLDER:
        return stage.given.of(params.load(root / "params.yaml"), network)
    declared = root / "params" / "smoke.yaml"
    smoke = params.load(declared)
    _forget_another_study(study.folder, declared)
    _prepare(study, smoke, before=stage)
    return stage.given.of(smoke, network)


def _prepare(study: Study, smoke: params.Params, before: Stage) -> None:
    left_by = {
        "surgery": study.surgery,
        "train": study.weights,
        "maps": study.predictions,
        "evaluate": study.evaluation,
    }
    if before.notebook > "00_data" and not study.manifest.exists():
        _run("data", study, smoke)
    for network in smoke.networks:
        for name, left in left_by.items():
            if (name == "surgery" and network not in smoke.models) or left(network).exists():
                continue
            # Surgery itself needs the original that it cuts.
            original = before.notebook == "01_surgery" and network in smoke.originals
            if before.notebook > STAGES[name].notebook or (original and name == "train"):
                _run(name, study, smoke, network)


def _run(name: str, study: Study, smoke: params.Params, network: str | None = None) -> None:
    stage = STAGES[name]
    module = importlib.import_module(f"camloc.{stage.module}")
    module.run(study, stage.given.of(smoke, network))


def _forget_another_study(folder: Path, declared: Path) -> None:
    """Empty the folder if it holds the files of a smoke study declared otherwise."""
    made_from = folder / "smoke.yaml"
    if not made_from.is_file() or made_from.read_bytes() != declared.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(declared, made_from)
