"""Backbones by name: widths, initial values and weights."""

import math

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from camloc.core.errors import UserError
from camloc.networks import backbones

SMALL = "shufflenet_v2_x0_5"  # 0.3 million weights before the last layer, which is called fc


def equal(state, other, but=()):
    return all(torch.equal(state[k], other[k]) for k in state if not k.startswith(but))


def test_nin_ends_in_the_mean_of_its_maps():
    network = backbones.whole("nin", 5, width=0.0625).eval()
    x = torch.randn(2, 3, 224, 224)
    features = network.features(x)
    assert features.shape == (2, 64, 6, 6)  # the release's pool4 averages 6×6
    expected = network.classifier(features.mean((2, 3)))
    torch.testing.assert_close(network(x), expected)


def test_nin_has_the_layers_of_its_release():
    with torch.device("meta"):
        network = backbones.NIN()
    convs = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convs] == [96] * 3 + [256] * 3 + [384] * 3 + [1024] * 2
    assert [layer.kernel_size[0] for layer in convs] == [11, 1, 1, 5, 1, 1, 3, 1, 1, 3, 1]
    assert network.classifier.weight.shape == (1000, 1024)


@pytest.mark.parametrize(("backbone", "near"), [("vgg61", "vgg16"), ("googelnet", "googlenet")])
def test_unknown_backbone_is_refused_with_near_matches(backbone, near):
    with pytest.raises(UserError, match=f"unknown backbone '{backbone}'; did you mean.*{near}"):
        backbones.whole(backbone, 10)


def test_segmentation_networks_are_no_backbones():
    assert {"alexnet", "vgg16", "googlenet"} <= set(backbones.of_torchvision())
    assert not any("segmentation" in name or "fcn" in name for name in backbones.of_torchvision())


def test_thin_width_scales_all_layers_but_the_last():
    network = backbones.whole("alexnet", 12, width=0.25)
    convs = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    linear = [m.out_features for m in network.modules() if isinstance(m, nn.Linear)]
    assert convs == [16, 48, 96, 64, 64]  # of 64, 192, 384, 256, 256
    assert linear == [1024, 1024, 12]  # of 4096, 4096
    assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 12)


def test_thin_googlenet_scales_its_batch_norms():
    network = backbones.whole("googlenet", 12, width=0.25)
    assert network.conv1.conv.out_channels == network.conv1.bn.num_features == 16
    assert network.conv1.bn.eps == 0.001  # GoogLeNet's own
    assert network.fc.weight.shape == (12, 256)
    assert network.training


@pytest.mark.parametrize(
    ("units", "width", "expected"),
    [(64, 1.0, 64), (64, 0.25, 16), (10, 0.25, 3), (3, 0.01, 1), (10, 0.1, 1), (64, 2.0, 128)],
)
def test_units_are_rounded_up_and_never_none(units, width, expected):
    assert backbones.scaled(units, width) == expected


def test_grouped_convolutions_have_no_thin_version():
    with pytest.raises(UserError, match=r"no thin version; use width 1"):
        backbones.whole(SMALL, 10, width=0.5)


def test_network_whose_layers_expect_units_of_others_has_no_thin_version():
    """The token of the class keeps its 768 values, and the patches beside it get 384."""
    with pytest.raises(UserError, match=r"no version of width 0\.5 \("):
        backbones.whole("vit_b_16", 10, width=0.5)


def test_network_that_cannot_be_traced_cannot_be_cut(monkeypatch):
    def untraceable(network):
        raise TypeError("control flow")

    monkeypatch.setattr(backbones.zoo, "node_names", untraceable)
    backbones.node_names.cache_clear()
    with pytest.raises(UserError, match=r"alexnet cannot be cut: torch\.fx cannot trace it"):
        backbones.check_cut("alexnet", "features.11")


def test_dropout_is_set_everywhere_or_left_alone():
    def dropouts(dropout):
        network = backbones.whole("alexnet", 2, width=0.0625, dropout=dropout)
        return [m.p for m in network.modules() if isinstance(m, nn.Dropout)]

    assert dropouts(None) == [0.5, 0.5]
    assert dropouts(0.0) == [0.0, 0.0]
    assert dropouts(0.3) == [0.3, 0.3]


def test_initial_values_are_he_normal_and_the_classifier_is_small():
    """fc6 of AlexNet at width 0.125 reads 6·6·32 = 1152 values: deviation √(2/1152)."""
    torch.manual_seed(0)
    network = backbones.whole("alexnet", 10, width=0.125)
    fc6, fc8 = network.classifier[1], network.classifier[6]
    assert float(fc6.weight.detach().std()) == pytest.approx(math.sqrt(2 / 1152), rel=0.02)
    assert float(fc8.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
    assert not fc6.bias.any() and not fc8.bias.any()


@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
def test_signal_does_not_fade_in_a_thin_network(backbone):
    torch.manual_seed(0)
    network = backbones.whole(backbone, 10, width=0.0625).eval()
    inputs = []
    backbones.last_layer(network).register_forward_hook(lambda m, x, y: inputs.append(x[0]))
    with torch.no_grad():
        network(torch.randn(4, 3, 64, 64))
    assert 0.05 < float(inputs[0].std()) < 50


def colours(count, side):
    """Two classes of pictures in one colour each, with a little noise."""
    labels = torch.arange(count) % 2
    colour = torch.tensor([[1.0, 0.0, -1.0], [-1.0, 0.0, 1.0]])[labels]
    return colour[:, :, None, None] + 0.1 * torch.randn(count, 3, side, side), labels


def test_thin_vgg_trains():
    """Chance is ln 2 = 0.69; with torchvision's initial values a thin VGG stays there."""
    torch.manual_seed(0)
    network = backbones.whole("vgg16", 2, width=0.0625, dropout=0.0).train()
    x, labels = colours(16, 32)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(network(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(math.log(2), abs=0.1)
    assert losses[-1] < 0.2


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(1)
    return torchvision.models.get_model(SMALL, num_classes=7)


def write(path, state):
    if path.suffix == ".safetensors":
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_weights_come_from_a_file(trained, tmp_path, name):
    path = write(tmp_path / name, trained.state_dict())
    network = backbones.whole(SMALL, 7, weights=path)
    assert equal(trained.state_dict(), network.state_dict())


def test_weights_of_a_thin_network_come_from_a_file(tmp_path):
    thin = backbones.whole("alexnet", 3, width=0.0625)
    path = write(tmp_path / "thin.safetensors", thin.state_dict())
    network = backbones.whole("alexnet", 3, width=0.0625, weights=path)
    assert equal(thin.state_dict(), network.state_dict())


@pytest.mark.parametrize(("classes", "told"), [(7, "7"), (1001, "1001 classes (1,000 and a backg")])
def test_file_of_other_classes_is_refused_with_both_numbers(tmp_path, classes, told):
    path = write(tmp_path / "a.pth", backbones.whole(SMALL, classes).state_dict())
    with pytest.raises(UserError) as error:
        backbones.whole(SMALL, 4, weights=path)
    assert str(error.value).startswith(f"weights file {path} is of {told}")
    assert str(error.value).endswith(
        "the data of 4; `head: new` in its weights starts with a new last layer"
    )


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_file_of_other_classes_gets_a_new_last_layer_if_asked_for(trained, tmp_path, name):
    path = write(tmp_path / name, trained.state_dict())
    network = backbones.whole(SMALL, 4, weights=path, new_head=True)
    assert equal(trained.state_dict(), network.state_dict(), but="fc.")
    assert network.fc.weight.shape == (4, 1024)
    assert not network.fc.bias.any()


def test_file_of_another_network_is_refused(trained, tmp_path):
    path = write(tmp_path / "weights.pth", trained.state_dict())
    with pytest.raises(UserError, match=r"weights\.pth does not fit the network"):
        backbones.whole("nin", 7, width=0.0625, weights=path)
    with pytest.raises(UserError, match=r"weights\.pth does not fit the network"):
        backbones.whole("shufflenet_v2_x1_0", 7, weights=path)


def test_misfit_names_what_differs_in_one_line(trained, tmp_path):
    path = write(tmp_path / "weights.pth", trained.state_dict() | {"fc.weight": torch.ones(7, 9)})
    with pytest.raises(UserError) as error:
        backbones.whole(SMALL, 7, weights=path)
    assert str(error.value) == (
        f"weights file {path} does not fit the network (size mismatch for fc.weight: copying a "
        "param with shape torch.Size([7, 9]) from checkpoint, the shape in current model is "
        "torch.Size([7, 1024]).); give one of this backbone and width"
    )


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_of_no_floating_point_numbers_are_refused(trained, tmp_path, dtype):
    changed = trained.state_dict()
    changed["conv1.0.weight"] = changed["conv1.0.weight"].to(dtype)
    path = write(tmp_path / "weights.pth", changed)
    with pytest.raises(UserError, match=rf"conv1\.0\.weight is of {dtype}, not of floating-point"):
        backbones.whole(SMALL, 7, weights=path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_taken(trained, tmp_path, dtype):
    state = {key: value.to(dtype) for key, value in trained.state_dict().items()}
    network = backbones.whole(SMALL, 7, weights=write(tmp_path / "weights.pth", state))
    assert network.fc.weight.dtype == torch.float32
    assert torch.equal(network.fc.weight, trained.fc.weight.to(dtype).float())


@pytest.mark.parametrize("shape", [(), (10**6, 1), (7, 1024, 1)])
def test_head_of_another_shape_is_refused(trained, tmp_path, shape):
    path = write(tmp_path / "weights.pth", trained.state_dict() | {"fc.weight": torch.ones(shape)})
    with pytest.raises(
        UserError, match=r"weights\.pth does not fit .*size mismatch for fc\.weight"
    ):
        backbones.whole(SMALL, 7, weights=path)


def test_missing_weights_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.pth is missing; give a file that is there"):
        backbones.whole(SMALL, 7, weights=tmp_path / "none.pth")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_file_that_holds_no_weights_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        backbones.whole(SMALL, 7, weights=tmp_path / name)


def test_torchvision_file_with_auxiliary_classifiers_is_accepted(tmp_path):
    """googlenet-1378be20.pth holds the auxiliary classifiers of its training."""
    state = backbones.whole("googlenet", 3, width=0.0625).state_dict()
    auxiliary = {"aux1.fc2.weight": torch.zeros(3, 64), "aux1.fc2.bias": torch.zeros(3)}
    path = write(tmp_path / "weights.pth", state | auxiliary)
    network = backbones.whole("googlenet", 3, width=0.0625, weights=path)
    assert equal(network.state_dict(), state)


def test_last_layer_is_replaced_whatever_its_place():
    nested = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 5)))
    backbones.replace_last_layer(nested, 2)
    assert backbones.last_layer(nested) is nested[1][1]
    assert nested[1][1].weight.shape == (2, 8)
    with pytest.raises(UserError, match="no linear layer"):
        backbones.last_layer(nn.Conv2d(3, 4, 3))


def test_convolution_of_one_pixel_gives_logits_where_no_layer_is_linear():
    network = backbones.whole("squeezenet1_1", 7)
    assert backbones.last_layer(network) is network.classifier[1]
    backbones.replace_last_layer(network, 3)
    assert network.classifier[1].weight.shape == (3, 512, 1, 1)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_networks_of_timm_are_backbones_and_torchvisions_where_both_have_one():
    assert backbones.is_of_timm("mobilenetv2_100")
    assert not backbones.is_of_timm("resnet18")
    network = backbones.whole("mobilenetv2_050", 5)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    with pytest.raises(UserError, match="mobilenetv2_050 is timm's, which has no thin version"):
        backbones.whole("mobilenetv2_050", 5, width=0.5)
    with pytest.raises(UserError, match=r"unknown backbone 'mobilnetv2_100'; did you .*v2_100"):
        backbones.whole("mobilnetv2_100", 5)


@pytest.mark.parametrize("cut", ["features.11", "features"])
def test_cut_is_a_node_or_a_module(cut):
    backbones.check_cut("alexnet", cut)


def test_unknown_cut_is_refused_with_near_matches():
    with pytest.raises(UserError, match=r"googlenet has no node 'inception4f'.*inception4e"):
        backbones.check_cut("googlenet", "inception4f")
    with pytest.raises(UserError, match="unknown backbone"):
        backbones.check_cut("alexnett", "features.11")
