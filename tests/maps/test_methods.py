"""Map methods beside CAM: what each comes to where that can be worked out, and what is refused."""

import pytest
import torch
from torch import nn

from camloc.core.errors import UserError
from camloc.core.rows import METHODS
from camloc.maps import methods
from camloc.maps.cam import class_activation_maps
from camloc.maps.methods import method_maps
from camloc.maps.saliency import relative
from camloc.networks import surgery

CLASSES = torch.tensor([[0, 3], [2, 1]])


@pytest.fixture(scope="module")
def network():
    """AlexNet at an eighth of its width, with weights and biases that are not small."""
    torch.manual_seed(0)
    network = surgery.build("alexnet", "features.11", [64], num_classes=5, width=0.125)
    nn.init.normal_(network.classifier.weight)
    nn.init.normal_(network.classifier.bias)
    return network.eval()


@pytest.fixture(scope="module")
def x():
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def features(network, x):
    with torch.no_grad():
        return network.features(x)  # (2, 8, 5, 5)


def maps(method, network, x, classes=CLASSES):
    return method_maps(method, network, network, x, classes, cell=4)


def weights(network):
    """Those of the classes asked for, (B, k, C, 1, 1)."""
    return network.classifier.weight.detach()[CLASSES][..., None, None]


def positive(maps):
    return relative(maps.clamp_min(0))


def test_grad_cam_is_the_cam_without_what_speaks_against_the_class(network, x, features):
    cams = class_activation_maps(features, network.classifier.weight.detach(), CLASSES)
    assert (cams < 0).any()
    torch.testing.assert_close(maps("grad-cam", network, x), positive(cams))


def test_layer_cam_takes_the_positive_gradients_alone(network, x, features):
    expected = (weights(network).clamp_min(0) * features[:, None]).sum(2)
    torch.testing.assert_close(maps("layer-cam", network, x), positive(expected))


def test_grad_cam_plus_plus_weighs_by_its_equation_19(network, x, features):
    """Of a mean over 25 places the gradient is w/25 at each, so that all α of a channel are one."""
    g, sums = weights(network) / 25, features[:, None].sum((3, 4), keepdim=True)
    alpha = g**2 / (2 * g**2 + sums * g**3 + 1e-6)
    expected = (25 * alpha * g.clamp_min(0) * features[:, None]).sum(2)
    torch.testing.assert_close(maps("grad-cam++", network, x), positive(expected))


def test_ablation_cam_weighs_a_channel_by_what_the_score_loses_without_it(network, x, features):
    losses = weights(network) * features[:, None].mean((3, 4), keepdim=True)
    scores = network(x).gather(1, CLASSES)
    assert (scores < 0).any()  # of which the share that is lost has the other sign
    expected = (losses * features[:, None]).sum(2)
    torch.testing.assert_close(maps("ablation-cam", network, x), positive(expected))


def test_ablation_of_averaged_maps_is_what_the_library_finds_channel_by_channel(network, x):
    head = surgery.head_of(network).eval()
    with torch.no_grad():
        pooled = network.body(x)["maps"]
    found = methods._of_layer("ablation-cam", head, head.convs, pooled, CLASSES)
    torch.testing.assert_close(
        maps("ablation-cam", network, x), positive(torch.from_numpy(found)), rtol=1e-3, atol=1e-4
    )


def test_score_cam_weighs_a_channel_by_the_score_of_the_picture_under_it(network, x, features):
    expected = []
    for picture, channels, chosen in zip(x, features, CLASSES, strict=True):
        up = nn.functional.interpolate(
            channels[None], size=96, mode="bilinear", align_corners=True
        )[0]
        low, high = up.amin((1, 2), keepdim=True), up.amax((1, 2), keepdim=True)
        masks = (up - low) / (high - low + 1e-8)
        with torch.no_grad():
            scores = network(picture * masks[:, None])[:, chosen]  # (8, k)
        expected.append(torch.einsum("ck,chw->khw", scores.softmax(0), channels))
    torch.testing.assert_close(maps("score-cam", network, x), positive(torch.stack(expected)))


def test_eigen_cam_is_the_first_principal_component_and_of_no_class(network, x, features):
    found = maps("eigen-cam", network, x)
    assert torch.equal(found[:, 0], found[:, 1])
    for channels, own in zip(features, found[:, 0], strict=True):
        places = channels.flatten(1).T.double()  # (25, 8)
        _, vectors = torch.linalg.eigh(torch.cov(places.T))
        component = ((places - places.mean(0)) @ vectors[:, -1]).view(1, 1, 5, 5)
        if component.amin().abs() > component.amax():
            component = -component
        torch.testing.assert_close(own[None, None].double(), positive(component))


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "ablation-cam", "score-cam"])
def test_layer_that_is_named_lights_at_its_own_resolution(network, x, method):
    """At the layer that the last convolution sees, as if the network had been cut there."""
    found = maps(f"{method}@features.8", network, x)
    assert found.shape == (2, 2, 5, 5) and found.amax() == 1
    assert maps(f"{method}@features.3", network, x).shape == (2, 2, 11, 11)
    assert not torch.allclose(found, maps(method, network, x), atol=0.1)


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 3, 8, 8, generator=torch.Generator()))

    def forward(self, x):
        return torch.einsum("bchw,kchw->bk", x, self.weight)


def test_of_a_linear_network_smooth_grad_is_its_weight_and_integrated_gradients_its_terms():
    network, x = Linear(), torch.randn(2, 3, 8, 8)
    weight = network.weight.detach()[CLASSES]  # (B, k, 3, 8, 8)
    for method, of_pixels in (
        ("smooth-grad", weight),
        ("integrated-gradients", weight * x[:, None]),
    ):
        found = method_maps(method, network, None, x, CLASSES, cell=2)
        mean = nn.functional.avg_pool2d(of_pixels.abs().amax(2), 2)
        torch.testing.assert_close(found, relative(mean))


def test_random_maps_follow_from_the_picture_and_the_centred_one_from_nothing(network, x):
    random, centred = (maps(name, network, x) for name in ("random", "centre-gaussian"))
    assert random.shape == centred.shape == (2, 2, 24, 24)
    assert torch.equal(random[:, 0], random[:, 1]) and not torch.equal(random[0], random[1])
    assert abs(random.mean() - 0.5) < 0.02
    assert torch.equal(centred[0], centred[1])
    row = centred[0, 0, 11]  # half a cell above the centre
    expected = torch.exp(-(((torch.arange(24) + 0.5) / 24 - 0.5) ** 2) / (2 * 0.25**2))
    torch.testing.assert_close(row, expected / expected.max())


@pytest.mark.parametrize("method", [*METHODS, "layer-cam@features.6", "ablation-cam@features.6"])
def test_maps_are_from_0_to_1_and_the_same_again_alone_and_in_another_order(network, x, method):
    found = maps(method, network, x)
    assert found.shape[:2] == (2, 2) and found.amin() >= 0
    peaks = found.amax((2, 3))  # 0 where nothing speaks for a class
    assert 1 in peaks and all(peak in (0, 1) for peak in peaks.flatten().tolist())
    torch.testing.assert_close(maps(method, network, x), found)
    turned = maps(method, network, x, CLASSES.flip(1)).flip(1)
    torch.testing.assert_close(turned, found)
    if method != "smooth-grad":  # whose noise is as wide as the range of the batch
        alone = maps(method, network, x[1:], CLASSES[1:])
        torch.testing.assert_close(alone, found[1:], rtol=1e-3, atol=1e-4)


def test_score_cam_takes_fewer_pictures_at_once_where_memory_ends(network, x, monkeypatch, capsys):
    expected, forward = maps("score-cam", network, x), surgery.CamNetwork.forward

    def small(self, pictures):
        if len(pictures) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, pictures)

    monkeypatch.setattr(surgery.CamNetwork, "forward", small)
    torch.testing.assert_close(maps("score-cam", network, x), expected)
    told = capsys.readouterr().out.splitlines()  # once, not for each picture
    assert told == [
        f"score-cam: out of memory, now with {n} masked pictures at once" for n in (8, 4, 2)
    ]


def test_score_cam_without_memory_for_one_picture_is_refused(network, x, monkeypatch):
    calls = []

    def none_left(self, pictures):
        calls.append(len(pictures))
        if len(calls) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return torch.zeros(len(pictures), 5, requires_grad=True) + self.features(pictures).sum()

    monkeypatch.setattr(surgery.CamNetwork, "forward", none_left)
    with pytest.raises(UserError, match=r"score-cam has not the memory .*leave it out"):
        maps("score-cam", network, x)


def test_other_errors_of_a_network_are_not_taken_for_full_memory(network, x, monkeypatch):
    passes = []

    def broken(self, pictures):
        passes.append(1)
        if len(passes) > 1:
            raise RuntimeError("shapes do not fit")
        return self.logits(self.features(pictures))

    monkeypatch.setattr(surgery.CamNetwork, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        maps("score-cam", network, x)


@pytest.mark.parametrize(
    ("method", "refused"),
    [
        ("grad-cam@features.99", "there is no layer 'features.99'; did you mean features.9"),
        ("grad-cam@classifier", "there is no layer 'classifier'"),
    ],
)
def test_layer_that_is_not_there_is_refused_with_near_matches(network, method, refused):
    with pytest.raises(UserError, match=refused):
        methods.check(method, network, 96)


class Stopping(nn.Module):
    """Its scores follow from what no gradient passes."""

    def __init__(self):
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        return self.linear(self.convolution(x).mean((2, 3))).detach().round()


def test_layer_without_maps_or_gradients_is_refused():
    with pytest.raises(UserError, match=r"grad-cam@linear: its layer gives no maps \(B, C, h, w\)"):
        methods.check("grad-cam@linear", Stopping(), 16)
    with pytest.raises(UserError, match="no gradient of the scores comes to its layer"):
        methods.check("grad-cam@convolution", Stopping(), 16)


@pytest.mark.parametrize("method", ["backprop", "smooth-grad", "integrated-gradients"])
def test_method_of_pixels_is_refused_where_no_gradient_comes_to_them(network, method):
    behind = nn.Sequential(Stopping(), nn.Linear(5, 2))  # whose own weights have one
    for stopping in (Stopping(), behind):
        with pytest.raises(UserError, match=f"{method}: no gradient .* to the picture; leave it"):
            methods.check(method, stopping, 16)
    methods.check(method, network, 96)
