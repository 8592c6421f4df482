"""Predictions and maps of a whole split, batch by batch."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from camloc.core.params import Preprocessing
from camloc.core.progress import progress
from camloc.data.loading import IMAGENET, UNLABELLED, standardise
from camloc.maps.cam import class_activation_maps
from camloc.maps.methods import method_maps
from camloc.maps.store import Geometry, MapWriter, write_geometry
from camloc.networks.surgery import CamNetwork


def write_predictions(
    folder: Path,
    geometry: Geometry,
    network: nn.Module,
    cam_network: CamNetwork | None,
    batches: Iterable,
    images: Sequence[str],
    wnids: Sequence[str],
    *,
    top: int,
    device: torch.device,
    wanted: Preprocessing = IMAGENET,
    methods: Sequence[str] = (),
    cell: int = 1,
) -> None:
    """Classify the pictures of a split and store the maps of their leading classes.

    Stored of each image are the `top` predicted classes and, where its label is known, the true
    class in the place of one class more.

    Args:
        geometry: where the CAMs lie on the pictures.
        network: gives logits (B, K), in evaluation mode.
        cam_network: the same network as one with CAMs, or None.
        batches: uint8 pictures (B, 3, h, w), or ten crops of each (B, 10, 3, h, w), and labels in
            the order of `images`.
        top: number of predicted classes; K or more stores all.
        wanted: what the network wants of pictures.
        methods: map methods beside CAM (see `camloc.maps.methods`).
        cell: side in pixels of the cells of methods whose maps are of pixels.
    """
    writer = MapWriter(folder, images, wnids)
    for pictures, labels in progress(batches, unit="batch"):
        crops = pictures.shape[1] if pictures.ndim == 5 else 1
        x = standardise(pictures.flatten(0, 1) if crops > 1 else pictures, device, wanted)
        maps = {}
        with torch.no_grad():
            features = cam_network.features(x) if cam_network else None
            logits = (
                network(x) if features is None else cam_network.logits(features)
            ).float()  # (B·crops, K)
            logits = _mean_over_crops(logits, crops)  # (B, K)
            classes, ranks = stored_classes(logits, labels.to(device), top)
            scores = logits.softmax(1).gather(1, classes)
            if features is not None:
                weight = cam_network.classifier.weight
                of_crops = classes.repeat_interleave(crops, 0)
                low = class_activation_maps(features, weight, of_crops)  # (B·crops, k, h, w)
                maps["cam"] = low
                if crops > 1:
                    maps["cam"] = low.unflatten(0, (-1, crops)).transpose(1, 2)
        for method in methods:
            maps[method] = method_maps(method, network, cam_network, x, classes, cell)
        writer.write(
            *(part.cpu().numpy() for part in (classes, ranks, scores)),
            {method: low.float().cpu().numpy() for method, low in maps.items()},
        )
    writer.close()
    write_geometry(folder, geometry)


def _mean_over_crops(logits: Tensor, crops: int) -> Tensor:
    """Logits (B, K) whose softmax is the mean over each picture's crops."""
    if crops == 1:
        return logits
    return logits.softmax(1).unflatten(0, (-1, crops)).mean(1).clamp_min(1e-30).log()


def stored_classes(logits: Tensor, labels: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The classes whose maps are kept, and their ranks from 1.

    Args:
        logits: (B, K). labels: true classes (B,), UNLABELLED where withheld. top: predicted
        classes kept; where it is under K, one more place goes to the true class, or to the next
        prediction if the true class is among the first already or not known.

    Returns:
        Classes and ranks, (B, min(top + 1, K)) each.
    """
    order = logits.argsort(dim=1, descending=True, stable=True)
    ranks = torch.arange(1, logits.shape[1] + 1, device=logits.device).expand_as(order)
    if top >= logits.shape[1]:
        return order, ranks
    classes, ranks = order[:, : top + 1].clone(), ranks[:, : top + 1].clone()
    place = (order == labels[:, None]).float().argmax(1)  # 0 where unlabelled, too
    late = (labels != UNLABELLED) & (place >= top)
    classes[late, top] = labels[late]
    ranks[late, top] = place[late] + 1
    return classes, ranks
