"""04_evaluate: boxes from the maps, errors from the boxes."""

from pathlib import Path

from camloc.boxes.predictions import Split
from camloc.boxes.rule import Rule
from camloc.core.errors import UserError
from camloc.core.files import replacing
from camloc.core.paths import EVALUATED, Study, repository_root
from camloc.core.rows import OWN
from camloc.data.manifest import Manifest
from camloc.evaluation.errors import ERRORS
from camloc.evaluation.rows import evaluate
from camloc.evaluation.store import Evaluation
from camloc.exchange.submit import submit
from camloc.maps import store
from camloc.pipeline import fingerprints, runs
from camloc.pipeline.parameters import EvaluateParameters


def run(study: Study, given: EvaluateParameters) -> Evaluation:
    """Write what became of each image in each row of a network, run by run (see
    `camloc.evaluation.store`).

    Returns:
        That of the first run.
    """
    first, *_ = runs.each(
        work,
        study,
        given,
        left=lambda one: one.evaluation(given.network),
        goes_on_from=lambda one: [one.predictions(given.network)],
        reads=[study.manifest, study.truth],
    )
    return Evaluation.load(first.evaluation(given.network))


def work(study: Study, given: EvaluateParameters) -> None:
    """The evaluation of one run.

    A split whose labels are withheld also gets what a server that holds them would be sent:
    `<split>-submission.txt` and `.csv` (see `camloc.exchange.formats`), `<split>-images.txt` and
    `classes.txt`.
    """
    name, rule, iou = given.network, Rule.of(given.boxes), given.evaluate.iou
    seen = Manifest.load(study.manifest)
    manifest = seen.with_truth(study.truth)
    there = [split for split in EVALUATED if len(manifest.split(split))]
    if given.evaluate.split not in there:
        raise UserError(
            f"params.yaml: evaluate.split: the data has no images of {given.evaluate.split}, but "
            f"of {' and '.join(there) or 'neither val nor test'}; name one of those"
        )
    splits = [Split(study.predictions(name), manifest, split) for split in there]
    labelled = [split for split in splits if len(split.labels)]
    found = evaluate(
        labelled, name, rule, iou, _earlier(study.evaluation(name)), _curves_key(study, given)
    )
    errors = found.percentages()
    with replacing(study.evaluation(name)) as folder:
        for split in splits:
            withheld = seen.split(split.name)["wnid"].isna().all()
            if withheld and OWN in store.methods_of(split.stored()):
                figures = errors.get(split.name, {}).get(name) if iou == 0.5 else None
                submit(split, rule, folder, figures)
        found.save(folder)


def finding(evaluation: Evaluation, split: str) -> str:
    """The first figure of each row of a split in words, one line per row."""
    rows = evaluation.percentages()
    if split not in rows:
        return f"{split} has no labels to be scored by"
    firsts = ("loc_err_top1", "loc_err_top5", "cls_err_top1")
    lines = []
    for row, errors in rows[split].items():
        known = [name for name in firsts if name in errors]
        told = f"{errors[known[0]]:.1f} % {ERRORS[known[0]]}" if known else "not scored"
        lines.append(f"{row}: {told} on {split}")
    return "\n".join(lines)


def _earlier(folder: Path) -> Evaluation | None:
    """The evaluation before this one, where it is there and whole."""
    try:
        return Evaluation.load(folder)
    except (OSError, ValueError, KeyError):
        return None


def _curves_key(study: Study, given: EvaluateParameters) -> str:
    """A digest of all that the curves over thresholds are made from: code, maps, ground truth, and
    how maps are read."""
    options = given.boxes.model_dump(include={"cells", "crops", "merge", "normalise"})
    code = fingerprints.of_code(fingerprints.STAGES["evaluate"], repository_root())
    reads = [study.manifest, study.truth, study.predictions(given.network)]
    return runs.digest([options, given.evaluate.iou, code], reads)
