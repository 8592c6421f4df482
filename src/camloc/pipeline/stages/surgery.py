"""01_surgery: cut a trained original and re-head it as declared."""

import torch

from camloc.core.paths import Study
from camloc.networks import files, surgery
from camloc.pipeline.parameters import SurgeryParameters


def run(study: Study, given: SurgeryParameters) -> surgery.CamNetwork:
    """Write the network that is declared, its backbone's weights kept up to the cut."""
    backbone = given.declaration.backbone
    original, about = files.load(study.weights(backbone))
    torch.manual_seed(given.seed)
    fields = given.declaration.model_dump(exclude={"backbone"})
    network = surgery.build(
        backbone,
        **fields,
        width=about["original"]["width"],
        num_classes=len(about["wnids"]),
        weights=original,
    )
    files.save(network, study.surgery(given.network), about | {"surgery": fields})
    return network.eval()
