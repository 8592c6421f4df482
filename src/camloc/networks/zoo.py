"""torchvision's networks and its feature extraction, loaded without torch's compiler.

torchvision's operators for detection ask at their import whether the compiler could compile them.
Loading it for that answer takes longer than loading torch, and no network here has such operators.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch  # noqa: F401, so that it is whole before its compiler is hidden


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
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

__all__ = ["create_feature_extractor", "get_graph_node_names", "models"]
