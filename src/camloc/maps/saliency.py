"""Gradient saliency (Simonyan, Vedaldi, Zisserman 2014, section 3), the paper's Backprop rows."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def saliency_maps(network: nn.Module, x: Tensor, classes: Tensor, cell: int = 1) -> Tensor:
    """The largest over colour channels of |∂S_c/∂pixel|, for the classes asked for.

    Args:
        network: in evaluation mode; gives logits (B, K).
        x: standardised pictures (B, 3, H, W).
        classes: indices of the classes wanted of each picture, (B, k).
        cell: side in pixels of the square cells over which the map is averaged.

    Returns:
        Maps (B, k, H / cell, W / cell), each divided by its maximum: only ratios within a map
        mean something, and raw gradients would underflow in half precision.
    """
    x = x.detach().requires_grad_(True)
    maps = []
    with torch.enable_grad():
        logits = network(x)
        for chosen in classes.T:  # (B,): images do not mix, so one backward pass serves the batch
            score = logits.gather(1, chosen[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, x, retain_graph=True)
            maps.append(gradient.abs().amax(1))  # (B, H, W)
    return in_cells(torch.stack(maps, 1), cell)


def in_cells(maps: Tensor, cell: int) -> Tensor:
    """Maps (B, k, H, W) averaged over square cells, (B, k, H / cell, W / cell), and `relative`."""
    return relative(functional.avg_pool2d(maps.float(), cell))


def relative(maps: Tensor) -> Tensor:
    """Maps (B, k, h, w) that are nowhere negative, each divided by its maximum."""
    return maps / maps.amax((2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
