"""Surgery: a backbone cut at a node, new convolutions, global pooling and one linear layer.

Zhou et al. (2016), section 3: remove the fully connected layers, add a 3×3 convolution of 1024
units, stride 1, padding 1, followed by global average pooling and a softmax layer.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from camloc import networks
from camloc.errors import UserError, reason, refusing
from camloc.files import replacing_file
from camloc.pretrained import digest, read_safetensors

POOLS = ("gap", "gmp")
_ORIGINAL = ("backbone", "width", "dropout", "gap")  # what is declared of a whole network
_AGAIN = "delete it and run the stages again"


class CamNetwork(nn.Module):
    """A network that ends in global pooling and one linear layer, so that it has CAMs.

    `features(x)` gives the last maps (B, C, h, w), `classifier` is the linear layer on the C
    pooled values, and `forward(x)` gives the logits (B, num_classes).
    """

    def __init__(
        self, body: nn.Module, convs: nn.Module, pool: str, classifier: nn.Linear, dropout: float
    ) -> None:
        super().__init__()
        self.body = body
        self.convs = convs
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier

    def features(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) to the maps that are pooled, (B, C, h, w)."""
        return self.convs(self.body(x)["maps"])

    def logits(self, features: Tensor) -> Tensor:
        """Maps (B, C, h, w) to logits (B, num_classes)."""
        pooled = features.mean((2, 3)) if self.pool == "gap" else features.amax((2, 3))  # (B, C)
        return self.classifier(self.dropout(pooled))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.features(x))


def build(
    backbone: str,
    cut: str,
    convs: Sequence[int] = (1024,),
    pool: str = "gap",
    num_classes: int = 1000,
    width: float = 1.0,
    groups: int = 1,
    dropout: float = 0.0,
    weights: nn.Module | None = None,
) -> CamNetwork:
    """A backbone kept up to a node, then convolutions, global pooling and a linear layer.

    Args:
        cut: the last node (or module) kept, as torchvision's feature extraction names it.
        convs: units of each 3×3 convolution (stride 1, padding 1, with ReLU) after the cut.
        pool: `gap`, the mean over positions, or `gmp`, the maximum (Oquab et al. 2015).
        width: factor on the units of all layers, the new convolutions' too.
        groups: of the new convolutions; the authors' code has 2, their text does not say.
        dropout: probability after pooling; the authors' VGG has 0.5.
        weights: the whole original network of this backbone and width whose weights are kept up
            to the cut; random where None.

    Raises:
        UserError: an unknown backbone, cut or pool, a cut that gives no maps, groups that do not
            divide the channels.
    """
    networks.check_cut(backbone, cut)
    if pool not in POOLS:
        raise UserError(f"unknown pool {pool!r}; known: {', '.join(POOLS)}")
    original = weights or networks.whole(backbone, num_classes, width=width)
    body = create_feature_extractor(original, {cut: "maps"})
    channels = _channels(body)
    layers: list[nn.Module] = []
    for units in convs:
        scaled = networks.scaled(units, width)
        if channels % groups or scaled % groups:
            raise UserError(f"groups {groups} must divide {channels} and {scaled} channels")
        layers += [nn.Conv2d(channels, scaled, 3, padding=1, groups=groups), nn.ReLU()]
        channels = scaled
    added = nn.Sequential(*layers)
    classifier = nn.Linear(channels, num_classes)
    networks.initialise(added)
    networks.initialise_classifier(classifier)
    return CamNetwork(body, added, pool, classifier, dropout)


def uncut(network: nn.Module, node: str) -> CamNetwork:
    """A whole network that already ends in global average pooling, seen as a `CamNetwork`.

    Weights are shared, nothing is retrained: GoogLeNet at `inception5b` and NIN at `features`
    have CAMs without surgery.

    Args:
        node: the node whose maps are averaged.

    Raises:
        UserError: the logits are not the last layer applied to that node's spatial mean.
    """
    body = create_feature_extractor(network, {node: "maps"})
    classifier = networks.last_linear(network)
    seen = CamNetwork(body, nn.Sequential(), "gap", classifier, dropout=0.0)
    if _channels(body) != classifier.in_features or not _same_logits(network, seen):
        raise UserError(f"the network does not end in global average pooling of {node}")
    return seen


def _same_logits(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks agree on a random picture; networks without values are not compared."""
    a, b, x = a.eval(), b.eval(), torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        return x.is_meta or torch.allclose(a(x), b(x), rtol=1e-3, atol=1e-4)


def save(network: nn.Module, path: Path, about: dict) -> None:
    """Write weights together with the declaration that rebuilds their network, and their SHA-256.

    Args:
        about: `original` (backbone, width, dropout and gap), `surgery` (the arguments of `build`
            that declare it, None for a whole network) and `wnids`, the classes in the order of
            the logits.

    Raises:
        UserError: the file cannot be written; an earlier one stays.
    """
    # channels-last weights are not contiguous, which the format wants
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    told = about | {"sha256": digest(state, json.dumps(about))}
    try:
        with replacing_file(path) as new:
            # One entry: the format writes several in any order, and equal networks are equal files.
            save_file(state, new, metadata={"camloc": json.dumps(told)})
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} cannot be written ({reason(error)}); make room and run again"
        ) from None


def load(path: Path) -> tuple[nn.Module, dict]:
    """The network of a file written by `save`, in evaluation mode, and what it says of itself.

    Raises:
        UserError: the file is missing, damaged or was not written by `save`.
    """
    if not path.is_file():
        raise UserError(f"network file {path} is missing; run the stages before this one first")
    with refusing(f"network file {path} is broken", _AGAIN):
        state, metadata = read_safetensors(path)
    if "camloc" not in metadata:
        raise UserError(f"network file {path} was not written by camloc; {_AGAIN}")
    with refusing(f"network file {path} is broken", _AGAIN):
        about = json.loads(metadata["camloc"])
        whole = about.pop("sha256", None) == digest(state, json.dumps(about))
    if not whole:
        raise UserError(
            f"network file {path} is damaged, or an earlier version of camloc wrote it: its "
            f"SHA-256 is not that of its tensors and declaration; {_AGAIN}"
        )
    return _rebuilt(path, state, about), about


def _rebuilt(path: Path, state: dict[str, Tensor], about: dict) -> nn.Module:
    try:
        original = {key: about["original"][key] for key in _ORIGINAL}
        network = from_declaration(original, about["surgery"], len(about["wnids"]))
        networks.load_state(network, state)
    except Exception as error:  # a missing key, or a UserError, which names no file
        raise UserError(
            f"network file {path} holds another network than it declares ({reason(error)}); "
            f"{_AGAIN}"
        ) from None
    return network.eval()


def from_declaration(original: dict, surgery: dict | None, num_classes: int) -> nn.Module:
    """A network as params.yaml declares it, with random weights."""
    backbone, width = original["backbone"], original["width"]
    if surgery is None:
        return networks.whole(backbone, num_classes, width=width, dropout=original["dropout"])
    return build(backbone, **surgery, width=width, num_classes=num_classes)


def with_cams(network: nn.Module, about: dict) -> CamNetwork | None:
    """The network as one that has CAMs; None for one that does not end in global pooling."""
    if isinstance(network, CamNetwork):
        return network
    node = about["original"]["gap"]
    return uncut(network, node).eval() if node else None


def parameter_count(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in network.parameters())


def map_resolution(network: CamNetwork, size: int) -> tuple[int, int]:
    """Height and width of the maps for a square input of `size` pixels."""
    training = network.training
    network.eval()
    with torch.no_grad():
        h, w = network.features(torch.zeros(1, 3, size, size)).shape[2:]
    network.train(training)
    return h, w


def _channels(body: nn.Module) -> int:
    training = body.training
    body.eval()
    with torch.no_grad():
        maps = body(torch.zeros(1, 3, 224, 224))["maps"]
    body.train(training)
    if maps.ndim != 4:
        raise UserError(
            f"the cut gives a tensor of shape {tuple(maps.shape)}, not maps (B, C, h, w)"
        )
    return maps.shape[1]
