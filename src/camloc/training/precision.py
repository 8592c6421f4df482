"""On what device and with what numbers a network is trained."""

import torch
from torch import Tensor, nn

from camloc.core.errors import UserError, reason
from camloc.core.processes import agree, say

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "float32": torch.float32}


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA, then MPS, then the CPU; CUDA is held to cuDNN's repeatable algorithms.

    Raises:
        UserError: the named device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((device for device, found in there.items() if found), "cpu")
    if not there.get(name, True):
        raise UserError(f"params.yaml: device: no {name} on this machine; use auto or cpu")
    torch.backends.cudnn.deterministic = True
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 where the processor multiplies it in hardware; else fp16 on CUDA, with the
    loss scaled, and float32 elsewhere."""
    if name == "auto":
        fast = {
            "cuda": torch.cuda.is_available() and not any(agree(_emulates_bf16())),
            "cpu": torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported(),
        }
        slow = "fp16" if device.type == "cuda" else "float32"
        name = "bf16" if fast.get(device.type, False) else slow
    return PRECISIONS[name]


def _emulates_bf16() -> bool:
    return not torch.cuda.is_bf16_supported(including_emulation=False)


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Mixed precision where `precision` is bf16 or fp16, a no-op where it is float32."""
    low = precision if precision != torch.float32 else torch.bfloat16
    return torch.autocast(device.type, dtype=low, enabled=precision != torch.float32)


def compiled(network: nn.Module) -> nn.Module:
    """torch.compile's version of a network, or the network itself where that fails.

    Compiling starts with the first batch, so that is when it is told.
    """
    fast = torch.compile(network)
    compiling = fast.forward

    def first(x: Tensor) -> Tensor:
        try:
            logits = compiling(x)
            fast.forward = compiling
        except Exception as error:  # whatever a compiler may raise
            say(f"torch.compile failed ({reason(error)}); training goes on without it")
            fast.forward = network.forward
            logits = network(x)
        return logits

    fast.forward = first
    return fast
