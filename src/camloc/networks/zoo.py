"""torchvision's and timm's networks, and how they are cut, loaded without torch's compiler.

torchvision's operators for detection ask at their import whether the compiler could compile them.
Loading it for that answer takes longer than loading torch, and no network here has such operators.
timm, which takes as long, is loaded where one of its networks is named.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch  # so that it is whole before its compiler is hidden
from torch import Tensor, nn

from camloc.core.errors import UserError, reason


@contextmanager
def _compiler_hidden() -> Iterator[None]:
    if "torch._dynamo" in sys.modules:
        yield
        return
    asked = ModuleType("torch._dynamo.utils")
    asked.is_compile_supported = lambda device_type: False
    hidden = {"torch._dynamo": ModuleType("torch._dynamo"), asked.__name__: asked}
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _compiler_hidden():
    from torchvision import models
    from torchvision.models import feature_extraction

__all__ = ["extractor", "given_at", "models", "node_names", "timm_models"]


def timm_models() -> ModuleType:
    """timm's networks, with their names, settings and feature extraction."""
    import timm.models  # here, since it takes as long as torch does

    return timm.models


def node_names(network: nn.Module) -> list[str]:
    """Names of a network's nodes in evaluation, in the order of computation.

    Raises:
        UserError: the network's code cannot be traced.
    """
    with _traceable(network):
        return _extraction(network).get_graph_node_names(network)[1]


def given_at(network: nn.Module, nodes: Sequence[str], x: Tensor) -> dict[str, Any]:
    """What a network in evaluation mode computes at nodes.

    Raises:
        UserError: the network's code cannot be traced.
    """
    cut = extractor(network, {node: node for node in nodes}).eval()
    with _traceable(network), torch.no_grad():
        return cut(x)


@contextmanager
def _traceable(network: nn.Module) -> Iterator[None]:
    """Refuse a network whose code takes another way where it is followed than where it runs."""
    try:
        yield
    except Exception as error:  # whatever its code meets there
        raise UserError(
            f"{type(network).__name__} cannot be cut into nodes, since its code cannot be traced "
            f"({type(error).__name__}: {reason(error)}); take another network"
        ) from None


def extractor(network: nn.Module, nodes: dict[str, str]) -> nn.Module:
    """The network as one that gives what it computes at nodes, each by the name that is given.

    Raises:
        UserError: the network's code cannot be traced.
    """
    with _traceable(network):
        return _extraction(network).create_feature_extractor(network, nodes)


def _extraction(network: nn.Module) -> ModuleType:
    """timm's for its networks, which knows which of its layers cannot be traced."""
    of_timm = type(network).__module__.startswith("timm.")
    return timm_models() if of_timm else feature_extraction
