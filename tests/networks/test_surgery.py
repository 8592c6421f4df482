"""Surgery: what is kept, what is new, and that the logits are the mean of the maps."""

import json
import random
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import camloc.networks.surgery
from camloc.core.errors import UserError
from camloc.maps.cam import class_activation_maps
from camloc.networks import backbones, files, surgery
from camloc.networks.pooling import Pool
from camloc.networks.pretrained import digest


@pytest.mark.parametrize(
    ("backbone", "cut", "convs", "pool", "side"),
    [
        ("alexnet", "features.11", [1024], "gap", 13),
        ("alexnet", "features.11", [1024, 1024], "gap", 13),
        ("vgg16", "features.29", [1024], "gap", 14),
        ("googlenet", "inception4e", [1024], "gap", 14),
        ("googlenet", "inception4e", [1024], "gmp", 14),
    ],
)
def test_maps_have_the_resolution_of_the_paper(backbone, cut, convs, pool, side):
    with torch.device("meta"):
        network = surgery.build(backbone, cut, convs, pool)
        assert surgery.map_resolution(network, 224) == (side, side)
        assert network.features(torch.zeros(1, 3, 224, 224)).shape[1] == 1024
    assert network.classifier.weight.shape == (1000, 1024)


@pytest.mark.parametrize(
    ("backbone", "node", "side"), [("googlenet", "inception5b", 7), ("nin", "features", 6)]
)
def test_uncut_networks_have_coarser_maps(backbone, node, side):
    network = surgery.uncut(backbones.whole(backbone, 10, width=0.0625), node)
    assert surgery.map_resolution(network, 224) == (side, side)


def build(pool="gap", **options):
    """AlexNet at an eighth of its width on five classes, with weights that are not small."""
    torch.manual_seed(0)
    network = surgery.build(
        "alexnet", "features.11", [64], pool, num_classes=5, width=0.125, **options
    )
    nn.init.normal_(network.classifier.weight)
    nn.init.normal_(network.classifier.bias)
    return network.eval()


def all_maps(network, x):
    classes = torch.arange(network.classifier.out_features).expand(len(x), -1)
    return class_activation_maps(network.features(x), network.classifier.weight, classes)


def test_call_of_the_contract():
    network = camloc.networks.surgery.build(
        backbone="alexnet", cut="features.11", convs=[16], pool="gap", num_classes=3, width=0.125
    )
    x = torch.randn(2, 3, 96, 96)
    assert isinstance(network.classifier, nn.Linear)
    assert network.features(x).shape == (2, 2, 5, 5)
    assert network(x).shape == (2, 3)


def test_logits_are_the_spatial_mean_of_the_maps_and_the_bias():
    network, x = build(), torch.randn(3, 3, 96, 96)
    with torch.no_grad():
        expected = all_maps(network, x).mean((2, 3)) + network.classifier.bias
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)
        assert network(x).std() > 0.1


def test_logits_of_max_pooling_are_the_classifier_of_the_channels_maxima():
    network, x = build("gmp"), torch.randn(3, 3, 96, 96)
    with torch.no_grad():
        features = network.features(x)
        maxima = torch.stack([channel.max() for channel in features.flatten(0, 1)]).view(3, -1)
        expected = maxima @ network.classifier.weight.T + network.classifier.bias
        torch.testing.assert_close(network(x), expected)
        mean = all_maps(network, x).mean((2, 3)) + network.classifier.bias
        assert not torch.allclose(network(x), mean, atol=0.01)


@pytest.mark.parametrize(("backbone", "node"), [("googlenet", "inception5b"), ("nin", "features")])
def test_uncut_network_gives_the_logits_of_the_whole(backbone, node):
    torch.manual_seed(0)
    whole = backbones.whole(backbone, 4, width=0.0625).eval()
    nn.init.normal_(backbones.last_layer(whole).weight)
    network = surgery.uncut(whole, node).eval()
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(network(x), whole(x))
        mean = all_maps(network, x).mean((2, 3)) + network.classifier.bias
        torch.testing.assert_close(mean, whole(x), rtol=1e-4, atol=1e-5)
    assert network.classifier is backbones.last_layer(whole)
    shared = {parameter.data_ptr() for parameter in whole.parameters()}
    assert all(parameter.data_ptr() in shared for parameter in network.parameters())


def test_maps_of_classes_that_a_network_averages_are_its_cams():
    """SqueezeNet makes a map of each class by a convolution, with a ReLU behind it."""
    torch.manual_seed(0)
    whole = backbones.whole("squeezenet1_1", 4).eval()
    nn.init.normal_(backbones.last_layer(whole).weight, std=0.1)
    network, x = surgery.uncut(whole, "classifier.2").eval(), torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        features = network.features(x)
        torch.testing.assert_close(all_maps(network, x), features)
        torch.testing.assert_close(features.mean((2, 3)), whole(x))
    with pytest.raises(UserError, match="does not end in global average pooling of features"):
        surgery.uncut(whole, "features.12")


@pytest.mark.parametrize(
    ("backbone", "node", "width"),
    [("googlenet", "inception5b", 0.0625), ("squeezenet1_1", "classifier.2", 1.0)],
)
def test_node_that_a_network_averages_is_found(backbone, node, width):
    torch.manual_seed(0)
    whole = backbones.whole(backbone, 4, width=width).eval()
    nn.init.normal_(backbones.last_layer(whole).weight, std=0.1)
    found, x = surgery.with_its_own_cams(whole).eval(), torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(found.features(x), surgery.uncut(whole, node).eval().features(x))


class OfPatches(nn.Module):
    """Patches of 32 pixels as tokens behind a class token, or as maps with channels last, of which
    the mean is classified, with a hidden layer before the last one or without."""

    def __init__(self, tokens, hidden=False):
        super().__init__()
        self.patches, self.is_of_tokens = nn.Conv2d(3, 6, 32, 32), tokens
        self.mix = nn.Linear(6, 6)
        self.hidden = nn.Sequential(nn.Linear(6, 6), nn.ReLU()) if hidden else nn.Identity()
        self.head = nn.Linear(6, 4, bias=tokens)

    def forward(self, x):
        given = self.patches(x)  # (B, 6, 7, 7)
        if not self.is_of_tokens:
            return self.head(self.hidden(self.mix(given.permute(0, 2, 3, 1)).mean((1, 2))))
        tokens = given.flatten(2).transpose(1, 2)
        tokens = self.mix(torch.cat([tokens.sum(1, keepdim=True), tokens], 1))  # (B, 50, 6)
        return self.head(self.hidden(tokens[:, 1:].mean(1)))


@pytest.mark.parametrize("tokens", [True, False])
def test_tokens_and_maps_with_channels_last_are_maps_of_their_places(tokens):
    """A bias that a last layer lacks is 0, and trains as little as there is one."""
    torch.manual_seed(0)
    network, x = OfPatches(tokens).eval(), torch.randn(2, 3, 224, 224)
    seen = surgery.with_its_own_cams(network).eval()
    with torch.no_grad():
        features = seen.features(x)
        expected = network.mix(network.patches(x).movedim(1, -1)).movedim(-1, 1)
        torch.testing.assert_close(features, expected)
        mean = all_maps(seen, x).mean((2, 3)) + seen.classifier.bias
        torch.testing.assert_close(mean, network(x))
    assert seen.classifier.weight is network.head.weight
    assert tokens or not (seen.classifier.bias.any() or seen.classifier.bias.requires_grad)


def test_tokens_behind_which_more_than_a_linear_layer_follows_are_where_to_cut():
    torch.manual_seed(0)
    network = OfPatches(tokens=True, hidden=True).eval()
    assert surgery.averaged_node(network) is None
    node = surgery.last_node_with_maps(network)
    body = camloc.networks.zoo.extractor(network, {node: "maps"})
    maps = surgery.as_maps(body(torch.zeros(1, 3, 224, 224))["maps"])
    assert maps.shape == (1, 6, 7, 7)


def test_channels_in_the_place_of_tokens_are_no_maps_but_the_maps_before_them_are():
    """Of (B, 320, 49) the 320 channels cover no square."""

    class OfChannels(nn.Module):
        def __init__(self):
            super().__init__()
            self.maps, self.head = nn.Conv2d(3, 320, 32, 32), nn.Linear(320, 4)
            self.hidden = nn.Linear(320, 320)

        def forward(self, x):
            return self.head(self.hidden(self.maps(x).flatten(2).mean(2)).relu())

    network = OfChannels().eval()
    assert surgery.last_node_with_maps(network) == "maps"
    with pytest.raises(UserError, match="320 tokens, or channels, which cover no square"):
        surgery.as_maps(torch.zeros(1, 320, 49))


def test_scores_of_every_place_by_a_second_classifier_are_no_maps_to_cut_at():
    class Twofold(OfPatches):
        def forward(self, x):
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            return self.head(self.hidden(tokens.mean(1))) + self.mix(tokens).amax(1)

    network = Twofold(tokens=True, hidden=True).eval()
    network.mix = nn.Linear(6, 4)
    assert surgery.last_node_with_maps(network) == "transpose"


def test_network_that_runs_otherwise_than_it_is_traced_is_refused():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 6, 32, 32), nn.Linear(6, 4)

        def forward(self, x, mask=None):
            if mask is not None:  # traced, a mask is something
                x = x * mask.view(1, 1, 1, 1)
            return self.head(self.conv(x).mean((2, 3)))

    with pytest.raises(UserError, match="Masked cannot be cut into nodes, since its code cannot"):
        surgery.averaged_node(Masked())


def test_classifier_without_maps_has_no_node_to_cut_at():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 224**2, 8), nn.Linear(8, 4))
    assert surgery.averaged_node(network) is None
    assert surgery.last_node_with_maps(network) is None


def test_places_of_tokens_are_laid_out_row_by_row_without_those_that_stand_for_none():
    tokens = torch.arange(2 * 11 * 5).view(2, 11, 5)  # 2 of no place, 9 of 3×3
    maps = surgery.as_maps(tokens)
    assert maps.shape == (2, 5, 3, 3)
    assert torch.equal(maps[1, :, 0, 2], tokens[1, 2 + 2])
    assert torch.equal(maps[1, :, 2, 0], tokens[1, 2 + 6])
    last = torch.arange(2 * 3 * 3 * 5).view(2, 3, 3, 5)
    assert torch.equal(surgery.as_maps(last)[0, :, 1, 2], last[0, 1, 2])
    wide = torch.zeros(2, 3, 5, 7)
    assert surgery.as_maps(wide) is wide


def test_network_that_averages_nothing_has_no_cams_of_its_own():
    torch.manual_seed(0)
    alexnet = backbones.whole("alexnet", 4, width=0.0625)
    nn.init.normal_(backbones.last_layer(alexnet).weight)
    with pytest.raises(UserError, match="the network does not end in global average pooling"):
        surgery.with_its_own_cams(alexnet)


def test_head_is_the_rest_of_the_network_and_shares_its_layers():
    network, x = build(dropout=0.25), torch.randn(2, 3, 96, 96)
    head = surgery.head_of(network).eval()
    with torch.no_grad():
        assert torch.equal(head(network.body(x)["maps"]), network(x))
    assert head.convs is network.convs and head.classifier is network.classifier
    assert (head.dropout.p, head.pool) == (0.25, Pool("gap"))


@pytest.mark.parametrize("change", [0.01, 1.0])
def test_logits_that_differ_are_not_those_of_global_average_pooling(change):
    """A bias behind the linear layer, as small as a hundredth of the logits, is not left out."""
    torch.manual_seed(0)
    whole = backbones.whole("googlenet", 4, width=0.0625).eval()
    whole.register_forward_hook(lambda network, inputs, logits: logits + change)
    surgery.uncut(backbones.whole("googlenet", 4, width=0.0625), "inception5b")
    with pytest.raises(UserError, match="does not end in global average pooling of inception5b"):
        surgery.uncut(whole, "inception5b")


def test_seeing_a_network_as_one_with_cams_leaves_its_statistics_and_drops_nothing():
    network = backbones.whole("googlenet", 3, width=0.125).train()
    before = {name: value.clone() for name, value in network.named_buffers()}
    seen = surgery.uncut(network, "inception5b")
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    assert seen.dropout.p == 0


@pytest.mark.parametrize(("factor", "same"), [(1.0005, True), (1.01, False), (2.0, False)])
def test_logits_are_the_same_up_to_a_thousandth(factor, same):
    class Means(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def forward(self, x):
            return self.factor * x.mean((2, 3))

    assert surgery._same_logits(Means(1.0), Means(factor)) == same


def test_network_that_does_not_end_in_gap_has_no_uncut_maps():
    with pytest.raises(UserError, match=r"does not end in global average pooling of"):
        surgery.uncut(backbones.whole("alexnet", 4, width=0.0625), "features.11")


def test_new_convolutions_are_3x3_with_relu():
    network = surgery.build("alexnet", "features.11", [64, 32], width=0.125, num_classes=2)
    first, relu, second, _ = network.convs
    assert [(c.in_channels, c.out_channels) for c in (first, second)] == [(32, 8), (8, 4)]
    assert (first.kernel_size, first.stride, first.padding) == ((3, 3), (1, 1), (1, 1))
    assert isinstance(relu, nn.ReLU)
    assert network.classifier.in_features == 4


def test_no_convolution_may_be_added():
    network = surgery.build("alexnet", "features.11", [], width=0.125, num_classes=2)
    assert network.classifier.in_features == 32


def test_new_convolutions_may_have_groups():
    network = surgery.build("alexnet", "features.11", [64], width=0.125, groups=2, num_classes=2)
    assert network.convs[0].weight.shape == (8, 16, 3, 3)


def test_paper_adds_one_convolution_of_1024_units_and_averages():
    with torch.device("meta"):
        network = surgery.build("alexnet", "features.11")
    (convolution, _), classifier = network.convs, network.classifier
    assert (convolution.in_channels, convolution.out_channels, convolution.groups) == (256, 1024, 1)
    assert (classifier.in_features, classifier.out_features) == (1024, 1000)
    assert (network.pool, network.dropout.p) == (Pool("gap"), 0.0)


@pytest.mark.parametrize(("units", "channels"), [([24], "32 and 3"), ([64, 24], "8 and 3")])
def test_groups_that_do_not_divide_the_channels_are_refused(units, channels):
    """At an eighth of the width: 256 channels are 32, 64 are 8 and 24 are 3."""
    with pytest.raises(UserError, match=f"groups 2 must divide {channels} channels"):
        surgery.build("alexnet", "features.11", units, width=0.125, groups=2, num_classes=2)


def test_new_layers_start_from_weights_that_suit_their_size():
    """Convolutions by He et al. (2015), √(2 / (9 · channels)); a classifier whose logits are small,
    so that training starts from a loss of ln K; no biases."""
    torch.manual_seed(0)
    network = surgery.build("alexnet", "features.11", [1024], num_classes=50, width=0.25)
    convolution, classifier = network.convs[0], network.classifier
    assert convolution.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not convolution.bias.any() and not classifier.bias.any()


def test_dropout_acts_after_pooling_in_training_only():
    network, x = build(dropout=0.5), torch.randn(1, 3, 96, 96)
    assert network.dropout.p == 0.5
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))


def test_weights_up_to_the_cut_are_those_of_the_original():
    original = backbones.whole("alexnet", 9, width=0.125)
    network = surgery.build(
        "alexnet", "features.11", [64], num_classes=5, width=0.125, weights=original
    )
    kept, state = network.body.state_dict(), original.state_dict()
    assert set(kept) == {name for name in state if name.startswith("features.")}
    assert all(torch.equal(kept[name], state[name]) for name in kept)
    assert network.classifier.out_features == 5


def test_layers_behind_the_cut_are_gone():
    network = surgery.build("googlenet", "inception4e", [16], width=0.0625, num_classes=5)
    assert not any("inception5" in name or "fc" in name for name in network.state_dict())


def test_any_torchvision_network_can_be_cut():
    with torch.device("meta"):
        network = surgery.build("resnet18", "layer3", [32], num_classes=5)
        assert surgery.map_resolution(network, 224) == (14, 14)
        assert network.features(torch.zeros(1, 3, 224, 224)).shape == (1, 32, 14, 14)


@pytest.mark.parametrize(("kernel", "groups", "shape"), [(1, 1, (8, 32)), (5, 2, (8, 16))])
def test_kernel_and_groups_are_those_of_the_new_convolutions_and_maps_keep_their_size(
    kernel, groups, shape
):
    network = build(kernel=kernel, groups=groups)
    assert network.convs[0].weight.shape == (*shape, kernel, kernel)
    assert network.features(torch.zeros(1, 3, 96, 96)).shape == (1, 8, 5, 5)
    with pytest.raises(UserError, match="kernel 4 is even and would move the maps"):
        build(kernel=4)


def test_unknown_names_are_refused_with_near_matches():
    with pytest.raises(UserError, match=r"unknown backbone 'vgg_16'; did you mean.*vgg16"):
        surgery.build("vgg_16", "features.29")
    with pytest.raises(UserError, match=r"alexnet has no node 'feature\.11'.*features\.11"):
        surgery.build("alexnet", "feature.11")
    with pytest.raises(UserError, match="unknown pool 'max'; known: gap, gmp, log-sum-exp"):
        surgery.build("alexnet", "features.11", pool="max")


def test_cut_behind_the_maps_is_refused():
    with pytest.raises(UserError, match=r"shape \(1, 256\), not maps \(B, C, h, w\)"):
        surgery.build("alexnet", "classifier.1", width=0.0625)


def test_cut_that_leaves_one_place_is_refused():
    with pytest.raises(UserError, match=r"maps of one place for a picture of 224×224 pixels.*cut"):
        surgery.build("googlenet", "avgpool", width=0.0625)
    with pytest.raises(UserError, match="maps of one place"):
        surgery.uncut(backbones.whole("googlenet", 4, width=0.0625).eval(), "avgpool")


def test_signal_does_not_fade_on_the_way_to_thin_maps():
    torch.manual_seed(0)
    network = surgery.build("vgg16", "features.29", [1024], num_classes=2, width=0.0625)
    with torch.no_grad():
        assert 0.05 < float(network.features(torch.randn(4, 3, 64, 64)).std()) < 50


def test_measuring_the_resolution_leaves_the_mode_and_the_statistics():
    network = surgery.build("googlenet", "inception4e", [16], width=0.0625, num_classes=2)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    for training in (True, False):
        network.train(training)
        surgery.map_resolution(network, 64)
        assert {module.training for module in network.modules()} == {training}
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_parameters_are_counted():
    """Three 3×3 filters of three channels and their biases, then 2×3 weights and 2 biases."""
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(3, 2))
    assert surgery.parameter_count(network) == 3 * 3 * 9 + 3 + 2 * 3 + 2


CUT = {"cut": "inception4e", "convs": [64], "pool": "gmp", "groups": 2, "dropout": 0.5}


def about(surgery_keys, gap=None):
    original = {"backbone": "googlenet", "width": 0.125, "dropout": 0.4, "gap": gap}
    return {"original": original, "surgery": surgery_keys, "wnids": ["n1", "n2", "n3"]}


@pytest.mark.parametrize("declared", [CUT, None], ids=["cut", "whole"])
def test_saved_network_loads_with_equal_logits(tmp_path, declared):
    saved = about(declared, gap="inception5b")
    network = files.from_declaration(saved["original"], declared, 3)
    network(torch.randn(4, 3, 64, 64))  # moves the running statistics
    network = network.to(memory_format=torch.channels_last).eval()
    files.save(network, tmp_path / "deep" / "weights.safetensors", saved)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["weights.safetensors"]
    loaded, told = files.load(tmp_path / "deep" / "weights.safetensors")
    x = torch.randn(2, 3, 64, 64)
    assert told == saved
    assert not loaded.training
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), network(x))


def test_network_of_pretrained_googlenet_loads_with_equal_logits(tmp_path):
    """torchvision's pretrained GoogLeNet normalises its input anew (`transform_input`)."""
    torch.manual_seed(0)
    pretrained = backbones.whole("googlenet", 3)
    pretrained.transform_input = True
    network = surgery.build("googlenet", "inception4e", [8], num_classes=3, weights=pretrained)
    nn.init.normal_(network.classifier.weight)
    saved = about(CUT | {"convs": [8], "pool": "gap", "groups": 1})
    saved["original"]["width"] = 1.0
    files.save(network, tmp_path / "weights.safetensors", saved)
    loaded, _ = files.load(tmp_path / "weights.safetensors")
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), network.eval()(x))


def test_network_file_that_cannot_be_written_leaves_the_earlier_one(tmp_path, monkeypatch):
    def full(state, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"earlier")
    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(
        UserError, match=r"weights\.safetensors cannot be written \(.*No space left"
    ):
        files.save(nn.Linear(2, 2), path, about(None))
    assert [found.read_bytes() for found in tmp_path.iterdir()] == [b"earlier"]


def test_missing_network_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.safetensors is missing; run the stages before"):
        files.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("metadata", [None, {"other": json.dumps({"a": 1})}])
def test_network_file_of_others_is_refused(tmp_path, metadata):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(UserError, match=r"other\.safetensors was not written by camloc"):
        files.load(path)


def test_broken_network_file_is_refused(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"broken")
    with pytest.raises(UserError, match=r"broken\.safetensors"):
        files.load(path)


SMALL = {"backbone": "alexnet", "width": 0.02, "dropout": None, "gap": None}


def small(path, told=None, **changes):
    """Write a thin AlexNet under a right digest, with something else in what it says of itself."""
    torch.manual_seed(0)
    state = backbones.whole("alexnet", 3, width=0.02).state_dict()
    told = told or {"original": SMALL, "surgery": None, "wnids": ["n1", "n2", "n3"]} | changes
    sha256 = digest(state, json.dumps(told))
    save_file(state, path, metadata={"camloc": json.dumps(told | {"sha256": sha256})})
    return state


def test_every_flipped_bit_of_a_network_file_is_noticed(tmp_path):
    path, rng = tmp_path / "weights.safetensors", random.Random(0)
    small(path)
    files.load(path)
    content = path.read_bytes()
    for _ in range(60):
        place = rng.randrange(len(content))
        changed = bytes([content[place] ^ 1 << rng.randrange(8)])
        path.write_bytes(content[:place] + changed + content[place + 1 :])
        with pytest.raises(UserError, match=r"^network file .*weights\.safetensors .*; delete it"):
            files.load(path)


@pytest.mark.parametrize("part", ["declaration", "tensor"])
def test_change_of_declaration_or_tensors_is_noticed(tmp_path, part):
    """To a file that is as good as any to its reader."""
    path = tmp_path / "weights.safetensors"
    state = small(path)
    _, told = files.load(path)
    told["sha256"] = digest(state, json.dumps(told))
    if part == "declaration":
        told["wnids"] = ["n1", "n3", "n2"]
    else:
        state["classifier.6.bias"][1] += 1e-3
    save_file(state, path, metadata={"camloc": json.dumps(told)})
    with pytest.raises(UserError) as error:
        files.load(path)
    assert str(error.value) == (
        f"network file {path} is damaged, or an earlier version of camloc wrote it: its SHA-256 is "
        "not that of its tensors and declaration; delete it and run the stages again"
    )


def test_network_file_without_a_digest_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    told = {"original": SMALL, "surgery": None, "wnids": ["n1", "n2", "n3"]}
    state = backbones.whole("alexnet", 3, width=0.02).state_dict()
    save_file(state, path, metadata={"camloc": json.dumps(told)})
    with pytest.raises(UserError, match="or an earlier version of camloc wrote it: its SHA-256"):
        files.load(path)


@pytest.mark.parametrize("told", ["{", "null", "[1]", "7", "[" * 100_000])
def test_declaration_that_is_none_is_refused(tmp_path, told):
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={"camloc": told})
    with pytest.raises(UserError, match=r"^network file .*weights\.safetensors is broken \("):
        files.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"original": {"backbone": "alexnet", "width": 0.02, "dropout": None}}, "'gap'"),
        ({"original": SMALL | {"backbone": "alexnett"}}, "unknown backbone 'alexnett'; did you"),
        ({"surgery": {"cut": "features.11", "more": 1}}, "unexpected keyword argument 'more'"),
        ({"surgery": {"cut": "features.11"}}, 'Missing key(s) in state_dict: "body.features.0.'),
        ({"wnids": ["n1"]}, "size mismatch for classifier.6.weight: copying a param with shape"),
        ({"told": {"camloc": 1}}, "'original'"),
    ],
)
def test_declaration_of_another_network_is_refused(tmp_path, changes, message):
    path = tmp_path / "weights.safetensors"
    small(path, **changes)
    start = f"network file {path} holds another network than it declares ("
    with pytest.raises(UserError, match=f"^{re.escape(start)}.*{re.escape(message)}"):
        files.load(path)


def test_equal_networks_are_equal_files(tmp_path):
    """Whatever order the format gives to mappings."""
    network = files.from_declaration(SMALL, None, 3)
    for i in range(9):
        files.save(network, tmp_path / f"{i}.safetensors", {"original": SMALL, "surgery": None})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_networks_with_cams_are_those_that_end_in_global_pooling():
    cut = build()
    assert files.with_cams(cut, about(CUT)) is cut
    whole = backbones.whole("googlenet", 3, width=0.0625)
    assert files.with_cams(whole, about(None)) is None
    uncut = files.with_cams(whole, about(None, gap="inception5b"))
    assert isinstance(uncut, surgery.CamNetwork) and not uncut.training


def whole_of_others(path, names=str, classes=5):
    """A CAM network's weights in a file, its layers called as `names` says."""
    network = surgery.build("alexnet", "features.11", [16], num_classes=classes, width=0.25)
    torch.save({names(key): value for key, value in network.state_dict().items()}, path)
    return network


@pytest.mark.parametrize("names", [str, lambda key: f"net.{key.replace('classifier', 'fc')}"])
def test_whole_network_of_others_is_loaded_whatever_its_layers_are_called(tmp_path, names):
    theirs = whole_of_others(tmp_path / "a.pth", names)
    ours = surgery.build("alexnet", "features.11", [16], num_classes=5, width=0.25)
    backbones.load_whole(ours, tmp_path / "a.pth")
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_whole_network_of_other_classes_is_refused_with_the_shapes(tmp_path):
    whole_of_others(tmp_path / "a.pth", classes=6)
    ours = surgery.build("alexnet", "features.11", [16], num_classes=5, width=0.25)
    with pytest.raises(UserError, match=r"a\.pth does not fit .*classifier\.weight.*\[6, 4\]"):
        backbones.load_whole(ours, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"none\.pth is missing"):
        backbones.load_whole(ours, tmp_path / "none.pth")


def test_network_file_that_declares_more_than_memory_holds_is_refused_by_its_size(tmp_path):
    """Some 80 GB, in a file of as good as none."""
    original = {"backbone": "alexnet", "width": 0.02, "dropout": None, "gap": None}
    about = {"original": original | {"width": 16.0}, "surgery": None, "wnids": ["a"] * 10**5}
    whole = backbones.whole("alexnet", 2, width=0.02)
    files.save(whole, tmp_path / "network.safetensors", about)
    with pytest.raises(UserError, match="holds another network than it declares"):
        files.load(tmp_path / "network.safetensors")
