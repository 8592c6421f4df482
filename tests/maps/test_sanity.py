"""The check with layers that lose their weights."""

import numpy as np
import pytest
import torch

from camloc.maps import sanity
from camloc.maps.sanity import rank_correlation, sanity_check
from camloc.networks import backbones, surgery

IMAGES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = surgery.build("alexnet", "features.11", [64], num_classes=5, width=0.125)
    torch.nn.init.normal_(network.classifier.weight)
    return network.eval()


@pytest.fixture(scope="module")
def checked(network):
    x = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    methods = ["grad-cam", "backprop", "centre-gaussian"]
    found = sanity_check(network, network, x, IMAGES, methods, cell=4)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])  # what is checked stays as it was
    return found


def test_every_method_is_checked_at_every_depth_from_the_top_layer_to_all(checked):
    assert set(checked["method"]) == {"cam", "grad-cam", "backprop", "centre-gaussian"}
    layers = 5 + 1 + 1  # AlexNet's convolutions, the added one and the linear layer
    assert set(checked["of"]) == {layers}
    assert sorted(checked["layers"].unique()) == [1, 2, 3, 4, 5, 6, 7]
    assert checked.groupby(["method", "layers"])["image"].apply(list).map(IMAGES.__eq__).all()


def test_map_that_knows_nothing_of_the_network_stays_and_a_cam_does_not(checked):
    means = checked.groupby(["method", "layers"])["correlation"].mean()
    assert means["centre-gaussian"].tolist() == pytest.approx([1] * 7)
    assert abs(means["cam", 1]) < 0.9 and abs(means["cam", 7]) < 0.9


def test_cam_and_grad_cam_of_averaged_maps_are_as_sensitive_as_each_other(checked):
    """They are the same up to scale, so one may not keep what speaks against the class."""
    by_method = checked.set_index(["layers", "image", "method"])["correlation"].unstack()
    assert by_method["cam"].notna().any()
    np.testing.assert_allclose(by_method["cam"], by_method["grad-cam"], atol=1e-6)


def test_layers_of_a_network_that_needs_no_surgery_go_by_its_own_names():
    torch.manual_seed(0)
    whole = backbones.whole("googlenet", 4, width=0.05).eval()
    torch.nn.init.normal_(whole.fc.weight)
    cams, x = surgery.uncut(whole, "inception5b"), torch.randn(2, 3, 64, 64)
    found = sanity_check(whole, cams, x, ["a", "b"], ["layer-cam@inception4e"], cell=4)
    means = found.groupby(["method", "layers"])["correlation"].mean()
    assert means["cam", 1] < 0.99  # the linear layer is one of both
    assert set(found["method"]) == {"cam", "layer-cam@inception4e"}


def test_network_of_few_layers_loses_them_one_by_one():
    class Small(torch.nn.Sequential):
        pass

    small = Small(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 3))
    found = sanity_check(small.eval(), None, torch.randn(1, 3, 8, 8), ["a"], ["backprop"], cell=2)
    assert found["layers"].tolist() == [1, 2] and set(found["of"]) == {2}


def test_randomized_layer_keeps_the_mean_and_deviation_of_its_weights():
    layer = torch.nn.Linear(400, 300).requires_grad_(False)
    mean, deviation, before = layer.weight.mean(), layer.weight.std(), layer.weight.clone()
    sanity._forget(layer, seed=3)
    assert float(layer.weight.mean()) == pytest.approx(float(mean), abs=1e-3)
    assert float(layer.weight.std()) == pytest.approx(float(deviation), rel=0.02)
    both = torch.stack([before.flatten(), layer.weight.flatten()])
    assert abs(float(torch.corrcoef(both)[0, 1])) < 0.02


def test_rank_correlation_is_of_the_order_of_pixels_and_unknown_of_a_flat_map():
    map_ = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert rank_correlation(map_, map_**3) == pytest.approx(1)
    assert rank_correlation(map_, -map_) == pytest.approx(-1)
    assert rank_correlation(map_, np.array([[1.0, 2.0], [4.0, 3.0]])) == pytest.approx(0.8)
    assert np.isnan(rank_correlation(map_, np.zeros((2, 2))))
