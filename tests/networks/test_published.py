"""Published weights: what sources have, where their files lie, and what they want of pictures."""

from importlib.util import find_spec

import pytest
import timm
import torch
from safetensors.torch import save_file

from camloc.core.errors import UserError
from camloc.core.params import Preprocessing
from camloc.networks import backbones, published, surgery

LITE = "tf_efficientnet_lite0"
THIN = "mobilenetv2_050"  # of timm


@pytest.mark.parametrize(
    ("backbone", "source", "width", "message"),
    [
        ("nin", "torchvision", 1.0, "torchvision has no weights of nin; take another network"),
        (THIN, "torchvision", 1.0, f"torchvision has no weights of {THIN}; take"),
        ("alexnet", "torchvision", 0.25, "weights of alexnet need width 1.0, not 0.25"),
        ("alexnet", "timm", 1.0, "timm has no weights of alexnet; take"),
        ("resnet18", "package", 1.0, f"package has no weights of resnet18, only of {LITE}, tf_eff"),
    ],
)
def test_weights_that_a_source_lacks_are_refused(backbone, source, width, message):
    with pytest.raises(UserError) as error:
        published.check(backbone, source, width)
    assert message in str(error.value)


def test_package_that_is_not_installed_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(published.PACKAGES, LITE, "no_such_package")
    with pytest.raises(UserError, match="no_such_package is not installed; `uv sync --group eff"):
        published.check(LITE, "package", 1.0)


def test_timms_file_is_found_in_a_folder_by_the_name_of_its_network(tmp_path):
    torch.manual_seed(0)
    theirs = timm.create_model(THIN).eval()
    save_file(theirs.state_dict(), tmp_path / f"{THIN}.safetensors")
    published.check(THIN, "timm", 1.0)
    file = published.file(THIN, "timm", tmp_path)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbones.whole(THIN, 1000, weights=file).eval()(x), theirs(x))


def test_timms_file_that_cannot_be_downloaded_is_told_with_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as error:
        published.file(THIN, "timm")
    name = timm.get_pretrained_cfg(THIN).hf_hub_id
    assert str(error.value).startswith(f"model.safetensors of {name} could not be downloaded (")
    assert f"put it as {THIN}.safetensors into any folder" in str(error.value)


def test_each_source_says_what_its_weights_want_of_pictures():
    assert published.preprocessing("vgg16", "torchvision") == Preprocessing()
    lite = published.preprocessing(LITE, "package")
    assert [round(value, 3) for value in (*lite.mean[:1], *lite.std[:1])] == [0.498, 0.502]
    inception = published.preprocessing("inception_v4", "timm")
    assert (inception.mean, inception.std) == ([0.5] * 3, [0.5] * 3)
    assert inception.interpolation == "bicubic"


@pytest.mark.skipif(not find_spec(published.PACKAGES[LITE]), reason="the package is not installed")
def test_weights_of_a_package_are_those_of_timms_network_and_give_its_cams():
    network = backbones.whole(LITE, 1000, weights=published.file(LITE, "package")).eval()
    assert float(network.bn2.running_var.mean()) > 0 and network.bn2.running_var.std() > 0
    seen = surgery.uncut(network, "bn2").eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(seen(x), network(x), rtol=1e-4, atol=1e-4)
