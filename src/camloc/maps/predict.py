"""Predictions and maps of a whole split, batch by batch."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from camloc.core.params import Preprocessing
from camloc.core.progress import progress
from camloc.core.rows import OWN
from camloc.data.loading import IMAGENET, UNLABELLED, standardise
from camloc.maps.cam import class_activation_maps
from camloc.maps.cost import Meter
from camloc.maps.faithfulness import faithfulness
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
    faithful: Collection[str] = (),
) -> dict[str, dict[str, float]]:
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
        faithful: images of which `camloc.maps.faithfulness` of each method's map of the likeliest
            class is measured, too.

    Returns:
        What classification with CAMs and each method cost, where there are methods (see
        `camloc.maps.cost`).
    """
    writer, meter, done = MapWriter(folder, images, wnids), Meter(device), 0
    for pictures, labels in progress(batches, unit="batch"):
        crops = pictures.shape[1] if pictures.ndim == 5 else 1
        x = standardise(pictures.flatten(0, 1) if crops > 1 else pictures, device, wanted)
        with meter.of(OWN, len(labels)) if methods else nullcontext():
            classes, ranks, scores, cams = _seen(network, cam_network, x, labels, top, crops)
        maps = {} if cams is None else {OWN: cams}
        for method in methods:
            with meter.of(method, len(labels)):
                maps[method] = method_maps(method, network, cam_network, x, classes, cell)
        own = [image in faithful for image in images[done : done + len(labels)]]
        done += len(labels)
        measured = _faithfulness(network, x, maps, classes, torch.tensor(own)) if faithful else {}
        writer.write(
            *(part.cpu().numpy() for part in (classes, ranks, scores)),
            {method: low.float().cpu().numpy() for method, low in maps.items()},
            measured,
        )
    writer.close()
    write_geometry(folder, geometry)
    return meter.told()


def _faithfulness(
    network: nn.Module, x: Tensor, maps: dict[str, Tensor], classes: Tensor, own: Tensor
) -> dict[str, NDArray[np.float32]]:
    """`faithfulness` of each method, (B, 3), NaN of pictures that are not among its `own`."""
    own = own.to(x.device)
    of_own = {method: low[own, 0] for method, low in maps.items()}
    found = faithfulness(network, x[own], of_own, classes[own, 0]) if own.any() else {}
    measured = {}
    for method in maps:
        measured[method] = np.full((len(x), 3), np.nan, np.float32)
        if method in found:
            measured[method][own.cpu().numpy()] = found[method].cpu().numpy()
    return measured


@torch.no_grad()
def _seen(
    network: nn.Module,
    cam_network: CamNetwork | None,
    x: Tensor,
    labels: Tensor,
    top: int,
    crops: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The stored classes of each picture, their ranks and scores, (B, k) each, and their CAMs,
    (B, k, h, w) or of ten crops (B, k, 10, h, w), where the network has some."""
    features = cam_network.features(x) if cam_network else None
    logits = network(x) if features is None else cam_network.logits(features)
    logits = _mean_over_crops(logits.float(), crops)  # (B, K) of (B·crops, K)
    classes, ranks = stored_classes(logits, labels.to(logits.device), top)
    scores = logits.softmax(1).gather(1, classes)
    if features is None:
        return classes, ranks, scores, None
    of_crops = classes.repeat_interleave(crops, 0)
    cams = class_activation_maps(features, cam_network.classifier.weight, of_crops)
    if crops > 1:
        cams = cams.unflatten(0, (-1, crops)).transpose(1, 2)
    return classes, ranks, scores, cams


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
