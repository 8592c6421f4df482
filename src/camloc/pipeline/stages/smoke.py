"""The smoke study: what a notebook opened on its own works on.

`params/smoke.yaml` declares it; the notebooks' default parameters are its values.
"""

import shutil
from pathlib import Path

from camloc.core import params
from camloc.core.paths import Study, repository_root

FOLDER = "data/smoke"


def prepare(study: Study, before: str) -> None:
    """Make what the notebooks earlier than `before` would have left, where it is missing.

    Does nothing for a study in another folder: there the pipeline ran the earlier stages.
    """
    if study.folder != repository_root() / FOLDER:
        return
    # Imported here, since a notebook of the pipeline needs only its own stage.
    from camloc.pipeline.stages import data, evaluate, maps, surgery, train

    declared = repository_root() / "params" / "smoke.yaml"
    smoke = params.load(declared)
    _forget_another_study(study.folder, declared)
    loading, where = smoke.loading.model_dump(), (smoke.device, smoke.devices, smoke.nodes)
    if before > "00_data" and not study.manifest.exists():
        data.run(study, smoke.data.model_dump(), smoke.seed)
    for name in (*smoke.originals, *smoke.models):
        declaration = smoke.network(name).model_dump()
        if before > "01_surgery" and name in smoke.models and not study.surgery(name).exists():
            surgery.run(study, name, declaration, smoke.seed)
        needed = before > "02_finetune" or (before == "01_surgery" and name in smoke.originals)
        if needed and not study.weights(name).exists():
            training = smoke.training_of(name).model_dump()
            train.run(study, name, declaration, training, loading, *where, smoke.seed)
        if before > "03_cams" and not study.predictions(name).exists():
            maps.run(study, name, smoke.cams.model_dump(), loading, *where)
        if before > "04_evaluate" and not study.evaluation(name).exists():
            evaluate.run(study, name, smoke.boxes.model_dump(), smoke.evaluate.model_dump())


def _forget_another_study(folder: Path, declared: Path) -> None:
    """Empty the folder if it holds the files of a smoke study declared otherwise."""
    made_from = folder / "smoke.yaml"
    if not made_from.is_file() or made_from.read_bytes() != declared.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(declared, made_from)
