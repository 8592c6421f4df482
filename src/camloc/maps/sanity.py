"""Do maps depend on what a network has learned? The cascading randomization of Adebayo et al. 2018,
*Sanity Checks for Saliency Maps*."""

import math
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

from camloc.core.rows import OWN
from camloc.maps.cam import class_activation_maps
from camloc.maps.methods import method_maps
from camloc.networks.surgery import CamNetwork

SANITY = ["method", "layers", "of", "image", "correlation"]
STEPS = 8  # depths to which the layers are randomized, after the top layer alone
PICTURES = 16  # that are looked at


def sanity_check(
    network: nn.Module,
    cam_network: CamNetwork | None,
    x: Tensor,
    images: Sequence[str],
    methods: Sequence[str],
    cell: int,
) -> pd.DataFrame:
    """The rank correlation of maps of the likeliest class with those of the same network, whose
    layers have lost their weights from the top down to some depth.

    The weights of a layer that convolves or is linear are drawn anew from a normal distribution of
    their mean and deviation, so that values stay about as large; biases, norms and the projections
    of torchvision's attention stay.

    Args:
        network, cam_network, cell: as `method_maps` takes them.
        x: standardised pictures (B, 3, H, W).
        images: their names.
        methods: beside CAM, which counts where the network has some.

    Returns:
        `SANITY`: by method, depth and image how many layers `of` all are random, and Spearman's
        correlation, NaN where a map is empty.
    """
    seen, cams = deepcopy((network, cam_network))  # which go on to share their layers
    with torch.no_grad():
        classes = seen(x).argmax(1, keepdim=True)
    methods = [*([OWN] if cams else []), *methods]
    layers = [layer for layer in seen.modules() if getattr(layer, "weight", None) is not None]
    layers = [layer for layer in layers if layer.weight.ndim > 1][::-1]  # from the top
    ends = sorted({1, *(math.ceil(len(layers) * step / STEPS) for step in range(1, STEPS + 1))})
    before = {method: _maps(method, seen, cams, x, classes, cell) for method in methods}
    rows, done = [], 0
    for end in ends:
        for i in range(done, end):
            _forget(layers[i], seed=i)
        done = end
        for method in methods:
            after = _maps(method, seen, cams, x, classes, cell)
            alike = map(rank_correlation, before[method], after)
            told = zip(images, alike, strict=True)
            rows += [(method, end, len(layers), *each) for each in told]
    return pd.DataFrame(rows, columns=SANITY)


def rank_correlation(first: NDArray, second: NDArray) -> float:
    """Spearman's correlation of two maps (h, w), NaN where one is the same everywhere, as a map is
    in which nothing speaks for the class."""
    ranks = [rankdata(each, axis=None) for each in (first, second)]
    if any(own.min() == own.max() for own in ranks):
        return math.nan
    return float(np.corrcoef(*ranks)[0, 1])


@torch.no_grad()
def _forget(layer: nn.Module, seed: int) -> None:
    drawn = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(seed))
    mean, deviation = layer.weight.mean(), layer.weight.std()
    layer.weight.copy_(mean + deviation * drawn.to(layer.weight))


def _maps(
    method: str, network: nn.Module, cams: CamNetwork | None, x: Tensor, classes: Tensor, cell: int
) -> NDArray[np.float32]:
    """Maps (B, h, w) of one class each, of what speaks for it, as all methods but CAM have it."""
    if method == OWN:
        with torch.no_grad():
            found = class_activation_maps(cams.features(x), cams.classifier.weight, classes)
        found = found.clamp_min(0)
    else:
        found = method_maps(method, network, cams, x, classes, cell)
    return found[:, 0].float().cpu().numpy()
