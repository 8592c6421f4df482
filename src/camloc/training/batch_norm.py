"""Batch normalisation over the batches of all processes."""

from typing import Any

import torch
from torch import Tensor, nn

from camloc.core.processes import share, sum_over_processes


class WholeBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the batch over all processes, each with as many.

    torch's SyncBatchNorm, which does the same, runs on CUDA only.
    """

    def forward(self, x: Tensor) -> Tensor:  # (b, C, h, w)
        if not self.training:
            return super().forward(x)
        x = x.to(self.running_mean.dtype)  # from half precision
        mean = self._mean(x)  # (1, C, 1, 1)
        variance = self._mean((x - mean).square())
        with torch.no_grad():
            count = share().size * x.numel() / x.shape[1]
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.flatten(), self.momentum)
            self.running_var.lerp_(variance.flatten() * count / (count - 1), self.momentum)
        weight, bias = (v.view(1, -1, 1, 1) for v in (self.weight, self.bias))
        return (x - mean) * (variance + self.eps).rsqrt() * weight + bias

    def _mean(self, x: Tensor) -> Tensor:
        return _Sum.apply(x.mean((0, 2, 3), keepdim=True)) / share().size


class _Sum(torch.autograd.Function):
    """A sum over processes that gradients flow back through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return sum_over_processes(x.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return sum_over_processes(gradient.clone())


def synchronise_batch_norms(network: nn.Module, device: torch.device) -> None:
    """Let every batch norm see the whole batch, in place, where there are several processes.

    Otherwise thin shares would give other statistics, and another network, than one process.
    """
    if share().size == 1:
        return
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = WholeBatchNorm  # which has the same parameters
