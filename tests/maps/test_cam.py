"""Class activation maps against loops, gradient saliency against gradients by hand."""

import torch
from torch import nn

from camloc.maps.cam import class_activation_maps
from camloc.maps.saliency import saliency_maps


def test_maps_are_the_weighted_sum_of_the_features():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 5, 2, 4, generator=generator)
    weight = torch.randn(6, 5, generator=generator)
    classes = torch.tensor([[0, 5], [2, 2], [4, 1]])
    maps = class_activation_maps(features, weight, classes)
    assert maps.shape == (3, 2, 2, 4)
    for b in range(3):
        for place, c in enumerate(classes[b].tolist()):
            for y in range(2):
                for x in range(4):
                    expected = sum(weight[c, k] * features[b, k, y, x] for k in range(5))
                    torch.testing.assert_close(maps[b, place, y, x], expected)


class Linear(nn.Module):
    """Logits that are linear in the pixels: the gradient of class c is weight[c]."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight  # (K, 3, H, W)

    def forward(self, x):
        return torch.einsum("bchw,kchw->bk", x, self.weight)


def test_saliency_of_a_linear_network_is_its_largest_absolute_weight():
    weight = torch.zeros(2, 3, 2, 2)
    weight[0, :, 0, 0] = torch.tensor([1.0, -4.0, 2.0])
    weight[0, :, 1, 1] = torch.tensor([1.0, 0.5, -0.5])
    weight[1, 2, 0, 1] = -3.0
    maps = saliency_maps(Linear(weight), torch.randn(1, 3, 2, 2), torch.tensor([[0, 1]]))
    assert maps.tolist() == [[[[1.0, 0.0], [0.0, 0.25]], [[0.0, 1.0], [0.0, 0.0]]]]


def test_saliency_follows_the_relu_of_a_convolution():
    """One 1×1 convolution, ReLU and a sum: the gradient is the weight where the ReLU is open."""
    conv = nn.Conv2d(3, 1, 1, bias=False)
    conv.weight.data = torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1)
    network = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(4, 1, bias=False))
    network[3].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    x = torch.zeros(1, 3, 2, 2)
    x[0, 0] = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])  # the third pixel's ReLU is closed
    maps = saliency_maps(network, x, torch.tensor([[0]]))
    torch.testing.assert_close(maps[0, 0], torch.tensor([[0.25, 0.5], [0.0, 1.0]]))


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 64, 5)
    ).eval()


def test_saliency_of_a_picture_is_the_same_alone_and_in_a_batch():
    network, x = small_network(), torch.randn(4, 3, 8, 8)
    classes = torch.tensor([[0, 1], [2, 3], [4, 0], [1, 1]])
    together = saliency_maps(network, x, classes)
    for i in range(4):
        alone = saliency_maps(network, x[i : i + 1], classes[i : i + 1])
        torch.testing.assert_close(alone[0], together[i])


def test_cells_are_averaged_before_the_division_by_the_maximum():
    weight = torch.zeros(1, 3, 4, 4)
    weight[0, 0] = torch.tensor(
        [[4.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 2.0, 2.0], [0.0, 2.0, 2.0, 2.0]]
    )
    maps = saliency_maps(Linear(weight), torch.zeros(1, 3, 4, 4), torch.tensor([[0]]), cell=2)
    assert maps.tolist() == [[[[0.5, 0.5], [0.25, 1.0]]]]


def test_maximum_of_each_map_is_one_however_small_the_gradient():
    network, x = small_network(), torch.randn(2, 3, 8, 8)
    network[3].weight.data *= 1e-20
    maps = saliency_maps(network, x, torch.tensor([[0, 1, 2], [3, 4, 0]]), cell=2)
    assert maps.shape == (2, 3, 4, 4)
    assert (maps >= 0).all()
    torch.testing.assert_close(maps.amax((2, 3)), torch.ones(2, 3))


def test_no_gradient_at_all_gives_zeros():
    maps = saliency_maps(
        Linear(torch.zeros(1, 3, 2, 2)), torch.zeros(1, 3, 2, 2), torch.zeros(1, 1).long()
    )
    assert maps.tolist() == [[[[0.0, 0.0], [0.0, 0.0]]]]


def test_saliency_leaves_the_network_and_its_input_alone():
    network, x = small_network(), torch.randn(1, 3, 8, 8)
    saliency_maps(network, x, torch.tensor([[0]]))
    assert not x.requires_grad
    assert all(p.grad is None for p in network.parameters())
