"""Backbones by name: torchvision's networks, timm's and NIN, whole, at any width.

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
from camloc.networks import zoo
from camloc.networks.pretrained import FLOATS, read_state

# No side branches: the auxiliary classifiers of the Inception family serve full-length training
# from scratch only. And the change of input scale that torchvision's weights of that family want,
# always: it is no part of a state file, so one network with it and one without could be confused.
_INCEPTION = {"aux_logits": False, "init_weights": False, "transform_input": True}
_EXTRA_ARGUMENTS = {"googlenet": _INCEPTION, "inception_v3": _INCEPTION}
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
# EfficientNets as efficientnet_pytorch names them have timm's tensors in timm's order.
_BY_ORDER = "_conv_stem.weight"
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


def of_torchvision() -> list[str]:
    """torchvision's classification networks."""
    return zoo.models.list_models(module=zoo.models)


def is_of_timm(backbone: str) -> bool:
    """Whether a name is one of timm's networks; what both have is torchvision's."""
    own = backbone in ("nin", *of_torchvision())
    return not own and backbone in zoo.timm_models().list_models()


def check_name(backbone: str) -> None:
    """Refuse an unknown backbone with the near matches.

    Raises:
        UserError: neither torchvision nor timm has such a classification network.
    """
    if backbone not in ("nin", *of_torchvision()) and not is_of_timm(backbone):
        known = {"nin", *of_torchvision(), *zoo.timm_models().list_models()}
        raise UserError(f"unknown backbone {backbone!r}{near_matches(backbone, known)}")


def whole(
    backbone: str,
    num_classes: int,
    *,
    width: float = 1.0,
    dropout: float | None = None,
    weights: Path | None = None,
    new_head: bool = False,
) -> nn.Module:
    """A whole classification network.

    Args:
        width: factor on the units of every layer but the last; below 1 gives a thin network for
            small machines.
        dropout: probability for all dropout layers; None keeps the network's own.
        weights: a safetensors or torch state file, such as `camloc.networks.published` gives;
            random where None.
        new_head: whether a file of another number of classes gets a new last layer.

    Raises:
        UserError: an unknown backbone, a width that it does not have, a weights file that is
            missing, damaged, of other classes or made for another network.
    """
    check_name(backbone)
    network = _random(backbone, num_classes, width)
    if weights is not None:
        _load_file(network, weights, new_head)
    if dropout is not None:
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
    return network


def load_whole(network: nn.Module, path: Path) -> None:
    """Give a network the weights of a file of all of it, in which layers may be called otherwise:
    where names differ, tensors of the same shapes in the same order are taken for the same.

    Raises:
        UserError: the file is missing, damaged or of another network.
    """
    if not path.is_file():
        raise UserError(f"weights file {path} is missing; give a file that is there")
    state, wanted = read_state(path), network.state_dict()
    shapes = [[value.shape for value in tensors.values()] for tensors in (state, wanted)]
    if state.keys() != wanted.keys() and shapes[0] == shapes[1]:
        state = dict(zip(wanted, state.values(), strict=True))
    with refusing(
        f"weights file {path} does not fit the network",
        "give one of this backbone, cut, convolutions and classes",
    ):
        load_state(network, state)


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


def last_layer(network: nn.Module) -> nn.Linear | nn.Conv2d:
    """The layer that gives the logits: a linear one or, where there is none, a convolution of one
    pixel that makes a map of each class.

    Raises:
        UserError: the network has neither.
    """
    return network.get_submodule(_last_layer_name(network))


def replace_last_layer(network: nn.Module, num_classes: int) -> None:
    """Put a new, randomly initialised last layer of `num_classes` outputs in place."""
    path = _last_layer_name(network)
    old = network.get_submodule(path)
    if isinstance(old, nn.Linear):
        layer = nn.Linear(old.in_features, num_classes)
    else:
        layer = nn.Conv2d(old.in_channels, num_classes, 1)
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


def initialise_classifier(layer: nn.Linear | nn.Conv2d) -> None:
    """Small weights for the layer that gives the logits: training starts from a loss of ln K."""
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:  # torchvision's MaxViT has none
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
        return tuple(zoo.node_names(_without_values(backbone, 1000)))
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
    if is_of_timm(backbone):
        return zoo.timm_models().create_model(backbone, num_classes=num_classes)
    extra = _EXTRA_ARGUMENTS.get(backbone, {})
    return zoo.models.get_model(backbone, weights=None, num_classes=num_classes, **extra)


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
    elif is_of_timm(backbone):  # whose layers do more than torch's that would replace them
        raise UserError(f"{backbone} is timm's, which has no thin version; use width 1")
    else:
        network = _without_values(backbone, num_classes)  # every layer is replaced
        _scale_width(network, width)
    initialise(network)
    initialise_classifier(last_layer(network))
    return network


def _load_file(network: nn.Module, path: Path, new_head: bool) -> None:
    if not path.is_file():
        raise UserError(f"weights file {path} is missing; give a file that is there, or scratch")
    state = read_state(path)
    head, name = last_layer(network).weight, f"{_last_layer_name(network)}.weight"
    own = dict(zip(state, network.state_dict(), strict=False)) if _BY_ORDER in state else {}
    for key in list(state):  # in place: torch notes in it versions of modules, as MNASNet's
        value, called = state.pop(key), own.get(key, _DENSENET_KEY.sub(r"\1\2", key))
        if not key.startswith(_AUXILIARY):
            state[called] = value.to(head.device)  # on meta no values
    given = state.get(name, head)
    replaced = given.shape[1:] == head.shape[1:] and len(given) != len(head)
    if replaced and not new_head:
        background = " (1,000 and a background class before them)" if len(given) == 1001 else ""
        raise UserError(
            f"weights file {path} is of {len(given)} classes{background}, the data of {len(head)}; "
            "`head: new` in its weights starts with a new last layer"
        )
    if replaced:
        replace_last_layer(network, len(given))
    with refusing(
        f"weights file {path} does not fit the network", "give one of this backbone and width"
    ):
        load_state(network, state)
    if replaced:
        replace_last_layer(network, len(head))


def _last_layer_name(network: nn.Module) -> str:
    modules = dict(network.named_modules())
    linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
    if linear:
        return linear[-1]
    convolutions = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
    if not convolutions or modules[convolutions[-1]].kernel_size != (1, 1):
        raise UserError("the network has no linear layer, and no 1×1 convolution, to give logits")
    return convolutions[-1]


def _scale_width(network: nn.Module, width: float) -> None:
    """Replace every layer by one with fewer (or more) units, in place.

    Inputs follow from what the layers before give, so they are inferred by torch's lazy modules
    in one forward pass; any network of convolutions, batch norms and linear layers can be scaled.
    """
    last = _last_layer_name(network)
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
