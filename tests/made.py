"""What several tests make: the files that a network's maps stage would have left."""

import numpy as np

from camloc import predictions
from camloc.manifest import Manifest
from camloc.study import EVALUATED, Study


def store_random_maps(study: Study, name: str, side: int, seed: int = 0) -> None:
    """Random predictions of every class of the evaluated splits, with random CAMs (side, side) and
    random saliency at the same resolution, and the same of ten crops."""
    manifest, rng = Manifest.load(study.manifest), np.random.default_rng(seed)
    for split in EVALUATED:
        images = manifest.split(split)["image"]
        shape = (len(images), len(manifest.classes))
        classes = rng.permuted(np.tile(np.arange(shape[1]), (shape[0], 1)), axis=1)
        ranks = np.tile(np.arange(1, shape[1] + 1), (shape[0], 1))
        scores = np.sort(rng.dirichlet(np.ones(shape[1]), shape[0]), axis=1)[:, ::-1]
        folder = study.predictions(name) / split
        ten_crop = folder.with_name(f"{split}-ten-crop")
        low, crops = (rng.standard_normal((*shape, *of, side, side)) for of in ((), (10,)))
        for target, maps in ((folder, {"cam": low, "backprop": -low}), (ten_crop, {"cam": crops})):
            writer = predictions.MapWriter(target, images, manifest.wnids)
            writer.write(classes, ranks, scores, maps)
            writer.close()
        predictions.write_crops(ten_crop, 128, 112)
