"""Surgery: a backbone cut at a node, new convolutions, global pooling and one linear layer.

Zhou et al. (2016), section 3: remove the fully connected layers, add a 3×3 convolution of 1024
units, stride 1, padding 1, followed by global average pooling and a softmax layer.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from camloc.core.errors import UserError
from camloc.networks import backbones, zoo
from camloc.networks.pooling import Pool

LAST_NODES = 12  # of a network, among which is the one that it averages
NO_PLACES = 8  # tokens at most that stand for no place: of a class, of distillation, registers


class CamNetwork(nn.Module):
    """A network that ends in global pooling and one linear layer, so that it has CAMs.

    `features(x)` gives the last maps (B, C, h, w), `classifier` is the linear layer on the C
    pooled values, and `forward(x)` gives the logits (B, num_classes).
    """

    def __init__(
        self, body: nn.Module, convs: nn.Module, pool: Pool, classifier: nn.Linear, dropout: float
    ) -> None:
        super().__init__()
        self.body = body
        self.convs = convs
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier

    def features(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) to the maps that are pooled, (B, C, h, w)."""
        return self.convs(as_maps(self.body(x)["maps"]))

    def logits(self, features: Tensor) -> Tensor:
        """Maps (B, C, h, w) to logits (B, num_classes)."""
        return self.classifier(self.dropout(self.pool(features)))

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
    kernel: int = 3,
    sharpness: float | None = None,
    top_k: int | None = None,
    weights: nn.Module | None = None,
) -> CamNetwork:
    """A backbone kept up to a node, then convolutions, global pooling and a linear layer.

    Args:
        cut: the last node (or module) kept, as torchvision's feature extraction names it.
        convs: units of each convolution (stride 1, with ReLU) after the cut.
        pool: `gap`, `gmp`, `log-sum-exp` or `top-k-mean` (see `camloc.networks.pooling`), the
            latter two with their `sharpness` and `top_k`.
        width: factor on the units of all layers, the new convolutions' too.
        groups: of the new convolutions; the authors' code has 2, their text does not say.
        dropout: probability after pooling; the authors' VGG has 0.5.
        kernel: side of the convolutions' windows, odd, padded so that maps keep their size.
        weights: the whole original network of this backbone and width whose weights are kept up
            to the cut; random where None.

    Raises:
        UserError: an unknown backbone, cut or pool, a cut that gives no maps, groups that do not
            divide the channels, an even kernel.
    """
    backbones.check_cut(backbone, cut)
    pooling = Pool(pool, sharpness, top_k)
    if not kernel % 2:
        raise UserError(f"kernel {kernel} is even and would move the maps; give an odd one")
    original = weights or backbones.whole(backbone, num_classes, width=width)
    body = zoo.extractor(original, {cut: "maps"})
    channels = _channels(body, side_of(original))
    layers: list[nn.Module] = []
    for units in convs:
        scaled = backbones.scaled(units, width)
        if channels % groups or scaled % groups:
            raise UserError(f"groups {groups} must divide {channels} and {scaled} channels")
        convolution = nn.Conv2d(channels, scaled, kernel, padding=kernel // 2, groups=groups)
        layers += [convolution, nn.ReLU()]
        channels = scaled
    added = nn.Sequential(*layers)
    classifier = nn.Linear(channels, num_classes)
    backbones.initialise(added)
    backbones.initialise_classifier(classifier)
    return CamNetwork(body, added, pooling, classifier, dropout)


def uncut(network: nn.Module, node: str) -> CamNetwork:
    """A whole network that already ends in global average pooling, seen as a `CamNetwork`.

    Weights are shared, nothing is retrained: GoogLeNet at `inception5b` and NIN at `features`
    have CAMs without surgery. Of a network that averages a map of each class, such as SqueezeNet at
    `classifier.2`, those are the CAMs, and the linear layer after them leaves them as they are.

    Args:
        node: the node whose maps are averaged.

    Raises:
        UserError: the logits are not the last layer applied to that node's spatial mean.
    """
    body = zoo.extractor(network, {node: "maps"})
    channels, classifier = _channels(body, side_of(network)), _linear(backbones.last_layer(network))
    seen = CamNetwork(body, nn.Sequential(), Pool("gap"), classifier, dropout=0.0)
    if channels != classifier.in_features or not _same_logits(network, seen):
        raise UserError(f"the network does not end in global average pooling of {node}")
    return seen


class _AsGiven(nn.Module):
    """In the place of a body, where its maps are given."""

    def forward(self, maps: Tensor) -> dict[str, Tensor]:
        return {"maps": maps}


def head_of(network: CamNetwork) -> CamNetwork:
    """What comes after a network's body, as a network of the body's maps (B, C, h, w); its layers
    are those of the network."""
    dropout = network.dropout.p
    return CamNetwork(_AsGiven(), network.convs, network.pool, network.classifier, dropout)


def with_its_own_cams(network: nn.Module) -> CamNetwork:
    """`uncut` at the node that a network averages.

    Raises:
        UserError: the network does not end in global average pooling.
    """
    node = averaged_node(network)
    if node is None:
        raise UserError("the network does not end in global average pooling")
    return uncut(network, node)


def averaged_node(network: nn.Module) -> str | None:
    """The node whose maps a network averages before its linear layer, looked for among its last;
    None where there is none.

    Raises:
        UserError: the network has no last layer.
    """
    classifier = _linear(backbones.last_layer(network))
    last, x = zoo.node_names(network)[-LAST_NODES:], _a_picture(network)
    with torch.no_grad():
        logits, outputs = network.eval()(x), zoo.given_at(network, last, x)
        for node in reversed(last):
            if gives_maps(outputs[node]):
                maps = as_maps(outputs[node])
                alike = maps.shape[1] == classifier.in_features
                if alike and torch.allclose(classifier(maps.mean((2, 3))), logits, atol=1e-4):
                    return node
    return None


def last_node_with_maps(network: nn.Module) -> str | None:
    """The last node of a network that gives maps of several places, at which it can be cut; one
    that gives each place's scores of the classes, as a second classifier, is none."""
    linear = {name for name, each in network.named_modules() if isinstance(each, nn.Linear)}
    classes = backbones.last_layer(network).weight.shape[0]
    names, x = zoo.node_names(network)[1:], _a_picture(network)  # the first is the picture
    for end in range(len(names), 0, -LAST_NODES):
        some = names[max(0, end - LAST_NODES) : end]
        outputs = zoo.given_at(network, some, x)
        for node in reversed(some):
            given = outputs[node]
            if gives_maps(given) and not (node in linear and given.shape[-1] == classes):
                return node
    return None


def gives_maps(given: object) -> bool:
    """Whether a node gives maps, or tokens, of several places."""
    if not isinstance(given, Tensor) or given.ndim not in (3, 4):
        return False
    if given.ndim == 3 and _square(given.shape[1]) is None:
        return False
    return as_maps(given).shape[-1] > 1


def _a_picture(network: nn.Module) -> Tensor:
    return torch.rand(1, 3, *[side_of(network)] * 2)


def side_of(network: nn.Module) -> int:
    """Of the pictures that a network takes, where it takes no others or none as small, else 224
    pixels."""
    told = getattr(network, "pretrained_cfg", {})
    if told.get("fixed_input_size"):
        return told["input_size"][-1]
    return max(224, (told.get("min_input_size") or (0,))[-1])


def _linear(last: nn.Linear | nn.Conv2d) -> nn.Linear:
    """A network's last layer, with a bias of 0 where it has none; one that gives what it gets, a
    value of each class, where the network averages a map of each."""
    if isinstance(last, nn.Linear) and last.bias is not None:
        return last
    classes, units = last.weight.shape[:2]
    maps = isinstance(last, nn.Conv2d)
    weight = torch.eye(classes, device=last.weight.device) if maps else last.weight
    linear = nn.Linear(classes if maps else units, classes, device=last.weight.device)
    linear.weight = nn.Parameter(weight.detach()) if maps else weight
    linear.bias = nn.Parameter(torch.zeros_like(linear.bias), requires_grad=False)
    return linear


def _same_logits(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks agree on a random picture; networks without values are not compared."""
    a, b, x = a.eval(), b.eval(), _a_picture(a)
    with torch.no_grad():
        return x.is_meta or torch.allclose(a(x), b(x), rtol=1e-3, atol=1e-4)


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


def _channels(body: nn.Module, side: int) -> int:
    training = body.training
    body.eval()
    with torch.no_grad():
        given = body(torch.zeros(1, 3, side, side))["maps"]
    body.train(training)
    if given.ndim not in (3, 4):
        raise UserError(
            f"the cut gives a tensor of shape {tuple(given.shape)}, not maps (B, C, h, w)"
        )
    maps = as_maps(given)
    if maps[0, 0].numel() == 1:
        raise UserError(
            f"the cut gives maps of one place for a picture of {side}×{side} pixels, which say "
            "nothing of where; cut earlier"
        )
    return maps.shape[1]


def as_maps(given: Tensor) -> Tensor:
    """What a node gives as maps (B, C, h, w): with channels last they are turned, and tokens
    (B, N, C) are laid out as the square that they cover, without those at first that stand for no
    place, such as a class token.

    Raises:
        UserError: tokens that cover no square.
    """
    if given.ndim == 3:
        count = given.shape[1]
        side = _square(count)
        if side is None:
            raise UserError(f"the cut gives {count} tokens, or channels, which cover no square")
        return given[:, count - side**2 :].transpose(1, 2).unflatten(2, (side, side))
    channels_last = given.shape[1] == given.shape[2] != given.shape[3]
    return given.permute(0, 3, 1, 2) if channels_last else given


def _square(tokens: int) -> int | None:
    """The side of the square that so many tokens cover, None where there is none: channels, which
    stand in the place of tokens in (B, C, N), are seldom so close to a square number."""
    side = math.isqrt(tokens)
    return side if tokens - side**2 <= NO_PLACES else None
