"""03_cams: classify the evaluated splits and store the maps."""

from functools import partial

import torch

from camloc import predictions, surgery
from camloc.loading import evaluation_batches, ten_crop_batches
from camloc.manifest import Manifest, replacing
from camloc.maps import write_predictions
from camloc.params import Cams, Loading
from camloc.study import EVALUATED, Study
from camloc.training import choose_device


def run(study: Study, name: str, cams: dict, loading: dict, device: str) -> None:
    """Write the predictions and maps of the network `name` on each evaluated split."""
    options, loading_options = Cams(**cams), Loading(**loading)
    manifest = Manifest.load(study.manifest)
    where = choose_device(device)
    network, about = surgery.load(study.weights(name))
    cam_network = surgery.with_cams(network, about)  # before both move to the device
    for module in filter(None, (network, cam_network)):
        module.to(where, memory_format=torch.channels_last)
    write = partial(
        write_predictions,
        network=network,
        cam_network=cam_network,
        wnids=about["wnids"],
        top=len(about["wnids"]) if options.top == "all" else options.top,
        device=where,
    )
    cell = options.saliency_cell if name in options.saliency else None
    with replacing(study.predictions(name)) as folder:
        for split in EVALUATED:
            images = manifest.split(split)["image"]
            if images.empty:
                continue
            batches = evaluation_batches(manifest, split, loading_options, options.batch)
            write(folder / split, batches=batches, images=images, saliency_cell=cell)
            if name in options.ten_crop:
                crops = ten_crop_batches(manifest, split, loading_options, options.batch)
                ten = folder / f"{split}-ten-crop"
                write(ten, batches=crops, images=images, saliency_cell=None)
                predictions.write_crops(ten, loading_options.resize, loading_options.size)
