"""01_surgery: cut a trained original and re-head it as declared."""

import torch

from camloc.core.params import Model
from camloc.core.paths import Study
from camloc.networks import files, surgery


def run(study: Study, name: str, declaration: dict, seed: int) -> surgery.CamNetwork:
    """Write the network of `declaration`, its backbone's weights kept up to the cut."""
    model = Model(**declaration)
    original, about = files.load(study.weights(model.backbone))
    torch.manual_seed(seed if model.seed is None else model.seed)
    fields = model.model_dump(exclude={"backbone", "training", "seed"})
    network = surgery.build(
        model.backbone,
        **fields,
        width=about["original"]["width"],
        num_classes=len(about["wnids"]),
        weights=original,
    )
    files.save(network, study.surgery(name), about | {"surgery": fields})
    return network.eval()
