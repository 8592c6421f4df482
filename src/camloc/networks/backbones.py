"""Backbones by name: torchvision's networks and NIN, whole, at any width.

torchvision's AlexNet is the one-column variant without local response normalisation, and its
GoogLeNet has batch normalisation; both differ from the Caffe networks of the paper.
"""

import functools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from camloc.core.errors import UserError, near_matches, refusing
from camloc.networks.pretrained import FLOATS, read_state, weights_file
from camloc.networks.zoo import get_graph_node_names, models

# No side branches: the auxiliary classifiers of the Inception family serve full-length training
# from scratch only. And the change of input scale that torchvision's weights of that family want,
# always: it is no part of a state file, so one network with it and one without could be confused.
_INCEPTION = {"aux_logits": False, "init_weights": False, "transform_input": True}
_EXTRA_ARGUMENTS = {"googlenet": _INCEPTION, "inception_v3": _INCEPTION}
PRETRAINED = "IMAGENET1K_V1"  # of torchvision's sets of weights, the one of a plain recipe
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
# DenseNet's published files have `norm.1` where its layers are now called `norm1`.
_DENSENET_KEY = re.compile(r"(\.denselayer\d+\.\w+)\.([12]\.)")


class NIN(nn.Module):
    """Network in Network (Lin, Chen, Yan 2013), the ImageNet network of its Caffe release.

    Four convolutions, each followed by two 1×1 convolutions ("mlpconv"), then global average
    pooling of one map per class. The last 1×1 convolution, which makes the class maps, commutes
    with the mean, so it is written as a linear layer after the pooling: the class maps are then
    the class activation maps. The ReLU that the release puts on the class maps is left out, since
    it would make negative logits impossible.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_mlpconv(3, 96, kernel=11, stride=4, padding=0),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_mlpconv(96, 256, kernel=5, padding=2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_mlpconv(256, 384, kernel=3, padding=1),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Dropout(dropout),
            *_mlpconv(384, 1024, kernel=3, padding=1)[:4],
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (B, 1024, h, w)
        return self.classifier(torch.flatten(self.avgpool(x), 1))


def _mlpconv(
    channels: int, units: int, kernel: int, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, units, kernel, stride, padding),
        nn.ReLU(inplace=True),
        nn.Conv2d(units, units, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(units, units, 1),
        nn.ReLU(inplace=True),
    ]


def names() -> list[str]:
    """Every backbone that can be named: NIN and torchvision's classification networks."""
    return ["nin", *models.list_models(module=models)]


def check_name(backbone: str) -> None:
    """Refuse an unknown backbone with the near matches.

    Raises:
        UserError: torchvision has no such classification network.
    """
    if backbone not in names():
        raise UserError(f"unknown backbone {backbone!r}{near_matches(backbone, names())}")


def check_pretrained(backbone: str, width: float) -> None:
    """Refuse pretrained weights that torchvision does not have.

    Raises:
        UserError: it has none of this network, or none of this width.
    """
    if backbone == "nin" or PRETRAINED not in models.get_model_weights(backbone).__members__:
        raise UserError(
            f"torchvision has no weights of {backbone}; write `weights: scratch`, or "
            "`{source: path, path: …}` for a file"
        )
    if width != 1.0:
        raise UserError(f"torchvision's weights of {backbone} need width 1.0, not {width}")


def pretrained_url(backbone: str) -> str:
    """Where torchvision publishes its weights of a backbone that `check_pretrained` lets pass."""
    return models.get_model_weights(backbone)[PRETRAINED].url


def whole(
    backbone: str,
    num_classes: int,
    *,
    width: float = 1.0,
    dropout: float | None = None,
    weights: str | Path = "scratch",
    folder: Path | None = None,
) -> nn.Module:
    """A whole classification network.

    Args:
        width: factor on the units of every layer but the last; below 1 gives a thin network for
            small machines.
        dropout: probability for all dropout layers; None keeps the network's own.
        weights: `scratch` (random), `torchvision` (pretrained on ImageNet, downloaded once into
            torch's cache) or the path of a safetensors or torch state file. Where the file's last
            layer has another number of classes, the network gets a new one.
        folder: looked into for torchvision's file before torch's cache.

    Raises:
        UserError: an unknown backbone, a width other than 1 with pretrained weights, a weights
            file that is missing, damaged or made for another network, a failed download.
    """
    check_name(backbone)
    if weights == "torchvision":
        check_pretrained(backbone, width)
        weights = weights_file(pretrained_url(backbone), folder)
    network = _random(backbone, num_classes, width)
    if weights != "scratch":
        _load_file(network, Path(weights))
    if dropout is not None:
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
    return network


def load_state(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Give a network the tensors of a file.

    Raises:
        ValueError: they do not fit; names the first that differ.
    """
    for name, value in network.state_dict().items():
        dtype = state[name].dtype if name in state else value.dtype
        if value.is_floating_point() and dtype not in FLOATS:
            raise ValueError(f"{name} is of {dtype}, not of floating-point numbers")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:  # a headline, then a line for each difference
        lines = str(error).splitlines()[1:4]
        raise ValueError(" ".join(line.strip()[:200] for line in lines)) from None


def last_linear(network: nn.Module) -> nn.Linear:
    """The linear layer that gives the logits.

    Raises:
        UserError: the network has none.
    """
    return network.get_submodule(_last_linear_name(network))


def replace_last_linear(network: nn.Module, num_classes: int) -> None:
    """Put a new, randomly initialised last layer of `num_classes` outputs in place."""
    path = _last_linear_name(network)
    layer = nn.Linear(network.get_submodule(path).in_features, num_classes)
    initialise_classifier(layer)
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, layer)


def initialise(module: nn.Module) -> None:
    """He et al. (2015) normal initialisation of every convolution and linear layer.

    torchvision's fixed standard deviations (0.01) fit full width only: in a thin network without
    batch normalisation the signal fades and training stays at chance.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


def initialise_classifier(layer: nn.Linear) -> None:
    """Small weights for the layer that gives the logits: training starts from a loss of ln K."""
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)


def scaled(units: int, width: float) -> int:
    """Units of a layer at a width factor: rounded up, at least one."""
    return max(1, math.ceil(units * width - 1e-9))


@functools.cache
def node_names(backbone: str) -> tuple[str, ...]:
    """Names of a network's nodes, in the order of computation: where it can be cut.

    Raises:
        UserError: an unknown backbone, or one that torch.fx cannot trace.
    """
    check_name(backbone)
    try:
        return tuple(get_graph_node_names(_without_values(backbone, 1000))[1])
    except Exception as error:
        raise UserError(f"backbone {backbone} cannot be cut: torch.fx cannot trace it") from error


def check_cut(backbone: str, cut: str) -> None:
    """Refuse a cut that the backbone does not have, with the near matches.

    A module's name stands for its last node, as in torchvision's feature extraction.

    Raises:
        UserError: no node and no module of that name.
    """
    known = node_names(backbone)
    if not any(node == cut or node.startswith(cut + ".") for node in known):
        modules = {node.rsplit(".", level)[0] for node in known for level in range(3)}
        raise UserError(f"{backbone} has no node {cut!r} to cut at{near_matches(cut, modules)}")


def _construct(backbone: str, num_classes: int) -> nn.Module:
    if backbone == "nin":
        return NIN(num_classes)
    extra = _EXTRA_ARGUMENTS.get(backbone, {})
    return models.get_model(backbone, weights=None, num_classes=num_classes, **extra)


class _NothingDrawn(TorchFunctionMode):
    """Leaves initial values out: to draw them on tensors without values loads torch's compiler."""

    def __torch_function__(
        self, function: Callable, types: Sequence, args: Sequence = (), kwargs: dict | None = None
    ) -> Any:
        if function is Tensor.normal_ or getattr(function, "__module__", "") == nn.init.__name__:
            return None
        return function(*args, **(kwargs or {}))


def _without_values(backbone: str, num_classes: int) -> nn.Module:
    with torch.device("meta"), _NothingDrawn():
        return _construct(backbone, num_classes)


def _random(backbone: str, num_classes: int, width: float) -> nn.Module:
    if width == 1.0:
        network = _construct(backbone, num_classes)
    else:
        network = _without_values(backbone, num_classes)  # every layer is replaced
        _scale_width(network, width)
    initialise(network)
    initialise_classifier(last_linear(network))
    return network


def _load_file(network: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise UserError(f"weights file {path} is missing; give a file, scratch or torchvision")
    state = read_state(path)
    head, name = last_linear(network).weight, f"{_last_linear_name(network)}.weight"
    for key in list(state):  # in place: torch notes in it versions of modules, as MNASNet's
        value = state.pop(key)
        if not key.startswith(_AUXILIARY):
            state[_DENSENET_KEY.sub(r"\1\2", key)] = value.to(head.device)  # on meta no values
    given = state.get(name, head)
    replaced = given.shape[1:] == head.shape[1:] and len(given) != len(head)
    if replaced:
        replace_last_linear(network, len(given))
    with refusing(
        f"weights file {path} does not fit the network", "give one of this backbone and width"
    ):
        load_state(network, state)
    if replaced:
        replace_last_linear(network, len(head))


def _last_linear_name(network: nn.Module) -> str:
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError("the network has no linear layer to give logits")
    return linear[-1]


def _scale_width(network: nn.Module, width: float) -> None:
    """Replace every layer by one with fewer (or more) units, in place.

    Inputs follow from what the layers before give, so they are inferred by torch's lazy modules
    in one forward pass; any network of convolutions, batch norms and linear layers can be scaled.
    """
    last = _last_linear_name(network)
    for name, module in list(network.named_modules()):
        lazy = _lazy_layer(module, width if name != last else 1.0)
        if lazy is not None:
            parent, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(parent), attribute, lazy)
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, 224, 224))
    except RuntimeError as error:
        raise UserError(f"this network has no version of width {width} ({error})") from None
    network.train()


def _lazy_layer(module: nn.Module, width: float) -> nn.Module | None:
    if isinstance(module, nn.Conv2d):
        if module.groups > 1:
            raise UserError("networks with grouped convolutions have no thin version; use width 1")
        return nn.LazyConv2d(
            scaled(module.out_channels, width),
            module.kernel_size,
            module.stride,
            module.padding,
            module.dilation,
            bias=module.bias is not None,
        )
    if isinstance(module, nn.BatchNorm2d):
        return nn.LazyBatchNorm2d(eps=module.eps, momentum=module.momentum)
    if isinstance(module, nn.Linear):
        return nn.LazyLinear(scaled(module.out_features, width), bias=module.bias is not None)
    return None
