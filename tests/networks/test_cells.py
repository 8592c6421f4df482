"""Where the cells of maps lie: by hand, and against the pixels that move them."""

import pytest
import torch
from torch import nn

from camloc.networks import backbones
from camloc.networks.cells import Axis, cells_of
from camloc.networks.surgery import build, uncut


def along(features, size=224):
    """The cells along the height, where those along the width are the same."""
    height, width = cells_of(features, size)
    assert height == width
    return height


@pytest.mark.parametrize(
    ("backbone", "cut", "first", "step"),
    [
        ("alexnet", "features.11", 15, 16),  # 3, then two pools that add 4 and 8
        ("vgg16", "features.29", 7.5, 16),  # four pools of 2: half of 1, 2, 4 and 8
        ("googlenet", "inception4e", 14, 16),  # pools of 3 that add 2, 4 and 8
    ],
)
def test_cells_of_the_papers_networks_by_hand(backbone, cut, first, step):
    network = build(backbone, cut, num_classes=2, width=0.125).eval()
    assert along(network.features) == Axis(first, step)


def test_cells_of_uncut_googlenet_lie_beyond_those_of_its_earlier_maps():
    network = backbones.whole("googlenet", 2, width=0.125).eval()
    # A pool of 2 by 2 over cells 16 pixels apart.
    assert along(uncut(network, "inception5b").eval().features) == Axis(14 + 8, 32)


class Branches(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def middle_of_what_moves(network, size, cell):
    """The middle of the pixels on which a cell depends, along the height and the width."""
    image = torch.rand(1, 3, size, size, requires_grad=True)
    network(image)[0, :, cell, cell].sum().backward()
    moved = image.grad[0].abs().sum(0) > 0
    return [
        (found[0] + found[-1]).item() / 2
        for found in (torch.nonzero(moved.any(axis)).flatten() for axis in (1, 0))
    ]


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(True), nn.AvgPool2d(3, 2, ceil_mode=True)),
        nn.Sequential(nn.Conv2d(3, 3, 3, padding="same", dilation=2, groups=3), nn.AvgPool2d(2)),
        nn.Sequential(nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(3, 2, (3, 5), (2, 3), padding="valid")),
        Branches(nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 5, padding=2), nn.AvgPool2d(3, 1, 1)),
    ],
)
def test_cells_lie_in_the_middle_of_the_pixels_that_move_them(network):
    for weight in network.parameters():
        nn.init.constant_(weight, 1.0)
    found = cells_of(network.eval(), 40)
    assert [axis.first + 4 * axis.step for axis in found] == middle_of_what_moves(network, 40, 4)


def test_cells_are_unknown_where_branches_disagree_or_an_operation_is_not_known():
    shifted = nn.Sequential(nn.ZeroPad2d((2, 0, 0, 0)), nn.Conv2d(3, 2, (1, 3)))
    assert cells_of(Branches(nn.Conv2d(3, 2, 1), shifted).eval(), 16) is None
    assert cells_of(nn.Upsample(scale_factor=2), 16) is None


def test_a_gate_of_one_value_a_channel_leaves_the_cells_in_place():
    convolution = nn.Conv2d(3, 3, 3, 2, 1)

    def gated(x):
        x = convolution(x)
        return x * x.mean((2, 3), keepdim=True).sigmoid()

    assert along(gated, 32) == Axis(0, 2)
