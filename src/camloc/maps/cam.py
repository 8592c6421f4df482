"""Class activation maps (Zhou et al. 2016, equation 2)."""

import torch
from torch import Tensor


def class_activation_maps(features: Tensor, weight: Tensor, classes: Tensor) -> Tensor:
    """M_c(x, y) = Σ_k w_k^c f_k(x, y), without bias, for the classes asked for.

    With global average pooling the spatial mean of M_c is the logit of c without its bias.

    Args:
        features: the maps that are pooled, (B, C, h, w).
        weight: of the linear layer after the pooling, (K, C).
        classes: indices of the classes wanted of each image, (B, k).

    Returns:
        Maps (B, k, h, w).
    """
    return torch.einsum("bchw,bkc->bkhw", features, weight[classes])
