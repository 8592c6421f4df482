"""01_surgery: cut a trained original and re-head it as declared, run by run."""

import torch

from camloc.core.paths import Study, repository_root
from camloc.networks import backbones, files, surgery
from camloc.pipeline import runs
from camloc.pipeline.parameters import SurgeryParameters


def run(study: Study, given: SurgeryParameters) -> surgery.CamNetwork:
    """Write the network that is declared, its backbone's weights kept up to the cut.

    Returns:
        That of the first run.
    """
    first, *_ = runs.each(
        work,
        study,
        given,
        left=lambda one: one.surgery(given.network).parent,
        goes_on_from=lambda one: [one.weights(given.declaration.backbone)],
    )
    network, _ = files.load(first.surgery(given.network))
    return network


def work(study: Study, given: SurgeryParameters) -> None:
    """The surgery of one run."""
    original, about = files.load(study.weights(given.declaration.backbone))
    torch.manual_seed(given.seed)
    fields = given.declaration.model_dump(exclude={"backbone"}, exclude_none=True)
    network = surgery.build(
        about["original"]["backbone"],
        **fields,
        width=about["original"]["width"],
        num_classes=len(about["wnids"]),
        weights=original,
    )
    if given.weights is not None:
        backbones.load_whole(network, repository_root() / given.weights)
    files.save(network, study.surgery(given.network), about | {"surgery": fields})
