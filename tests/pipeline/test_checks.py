"""`camloc check` on networks, their sizes and the weights files that they start from."""

import hashlib

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from camloc.core import params
from camloc.core.errors import UserError
from camloc.networks import backbones
from camloc.pipeline.checks import check
from clone import ROOT

SMOKE = ROOT / "params" / "smoke.yaml"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository, torch's empty cache, and no way to download; checked from a folder below."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", never)
    return tmp_path


def never(*args, **options):
    raise AssertionError


def study(originals, models=None, **loading):
    """The smoke study with other networks."""
    tree = params.load(SMOKE).model_dump()
    tree["originals"] = originals
    tree |= {"models": models or {}, "controls": {}}
    tree["loading"] |= loading
    return params.Params.model_validate(tree)


def refusal(*arguments, **loading):
    """The lines of the message."""
    with pytest.raises(UserError) as error:
        check(study(*arguments, **loading))
    return str(error.value).splitlines()


ALEXNET = {"alexnet": {"width": 0.02}}
CUT = {"backbone": "alexnet", "cut": "features.11", "convs": [8]}


def test_original_may_be_declared_several_times_under_names_of_their_own(repository):
    """Each is cut as the backbone that it is, also where its name is another."""
    originals = {name: {"backbone": "alexnet", "width": 0.02} for name in ("first", "second")}
    check(study(originals, {"cut": CUT | {"backbone": "second"}}))
    [line] = refusal({"first": {"backbone": "alexnt"}})
    assert "originals.first" in line and "did you mean alexnet" in line


@pytest.mark.parametrize(
    ("declared", "refused"),
    [
        ({"pool": "log-sum-exp"}, "models.cut.pool: pool log-sum-exp needs sharpness"),
        ({"top_k": 4}, "models.cut.pool: top_k belongs to pool top-k-mean, not gap; leave it out"),
        (
            {"pool": "top-k-mean", "top_k": 10},
            "loading.size: top_k: maps of 3×3 have no 10 positions; give fewer",
        ),
        ({"kernel": 2}, "models.cut.cut: kernel 2 is even and would move the maps"),
    ],
)
def test_pooling_and_kernel_that_cannot_be_are_refused_by_key(repository, declared, refused):
    [line] = refusal(ALEXNET, {"cut": CUT | declared}, size=63, resize=63)
    assert line.startswith(f"params.yaml: {refused}")


def test_layer_of_a_map_method_must_be_there_and_give_maps(repository):
    def refused(**methods):
        wrong = study(ALEXNET, {"cut": CUT}, size=63, resize=63)
        cams = wrong.cams.model_copy(update={"methods": methods})
        with pytest.raises(UserError) as error:
            check(wrong.model_copy(update={"cams": cams}))
        return str(error.value)

    assert refused(alexnet=["grad-cam@feature.11"]) == (
        "params.yaml: cams.methods.alexnet: there is no layer 'feature.11'; did you mean "
        "features.11 or features.1 or features.12?"
    )
    given = "params.yaml: cams.methods.alexnet: layer-cam@classifier.6: its layer gives no maps"
    assert refused(alexnet=["layer-cam@classifier.6"]).startswith(given)
    assert "cams.methods.cut: there is no layer 'features.12'" in refused(
        cut=["grad-cam@features.11", "grad-cam@features.12"]
    )


def test_networks_pass_at_the_smallest_size_that_they_take(repository):
    """AlexNet's layers leave 15, 7, 7, 3, 3 and 1 pixels of 63, and the cut's 3. Of 62 they leave
    14, 6, 6, 2 and 2, too few for the last pooling, which the cut has not."""
    models = {"cut": CUT}
    check(study(ALEXNET, models, size=63, resize=63))
    [line] = refusal(ALEXNET, models, size=62, resize=62)
    assert line.startswith("params.yaml: loading.size: alexnet takes no pictures of 62×62 pixels (")


def test_too_small_a_size_is_refused_for_each_network(repository):
    alexnet, cut = refusal(ALEXNET, {"cut": CUT}, size=16, resize=16)
    assert alexnet.startswith(
        "params.yaml: loading.size: alexnet takes no pictures of 16×16 pixels ("
    )
    assert "Output size is too small" in alexnet
    assert alexnet.endswith("); give a size that fits its layers")
    assert cut.startswith("params.yaml: loading.size: cut takes no pictures of 16×16 pixels (")


def test_size_of_which_maps_of_one_place_are_left_is_refused(repository):
    """GoogLeNet halves a picture five times, its cut four times."""
    own = {"googlenet": {"width": 0.05, "gap": "inception5b"}}
    cut = {"cut": {"backbone": "googlenet", "cut": "inception4e", "convs": [8]}}
    check(study(own, cut, size=64, resize=64))
    [line] = refusal(own, cut, size=32, resize=32)
    assert line == (
        "params.yaml: loading.size: of pictures of 32×32 pixels googlenet has maps of one place, "
        "which say nothing of where; give a larger size, or cut earlier"
    )


def test_a_networks_own_size_is_what_counts(repository):
    check(study({"vit_b_16": {"size": 224}}, size=112, resize=224))
    [line] = refusal({"alexnet": {"width": 0.02, "size": 16}})
    assert line.startswith(
        "params.yaml: originals.alexnet.size: alexnet takes no pictures of 16×16"
    )


def test_network_of_one_size_is_refused_at_another(repository):
    [line] = refusal({"vit_b_16": {}}, size=112, resize=128)
    assert line == (
        "params.yaml: loading.size: vit_b_16 takes no pictures of 112×112 pixels (Wrong image "
        "height! Expected 224 but got 112!); give a size that fits its layers"
    )


def test_network_that_torchvision_fails_to_build_is_refused(repository, monkeypatch):
    def broken(*args, **options):
        raise TypeError("no such argument")

    monkeypatch.setattr(torchvision.models, "get_model", broken)
    [line] = refusal(ALEXNET, {"cut": CUT})
    assert line == (
        "params.yaml: originals.alexnet: alexnet cannot be built (no such argument); name another "
        "network or width"
    )


@pytest.mark.parametrize("width", [0.02, 0.04])
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_weights_of_another_width_are_refused(repository, name, width):
    """A file of five classes fits a study of any: it gets a new head."""
    state = backbones.whole("alexnet", 5, width=width).state_dict()
    (save_file if name.endswith("safetensors") else torch.save)(state, repository / name)
    original = {"width": 0.02, "weights": {"source": "path", "path": name}}
    if width == 0.02:
        check(study({"alexnet": original}))
        return
    [line] = refusal({"alexnet": original})
    assert line.startswith(
        "params.yaml: originals.alexnet.weights.path: weights file "
        f"{repository / name} does not fit the network (size mismatch for features.0.weight"
    )


def test_name_that_is_too_long_for_any_file_is_refused(repository):
    original = {"width": 0.02, "weights": {"source": "path", "path": "x" * 300}}
    [line] = refusal({"alexnet": original})
    assert line.startswith("params.yaml: originals.alexnet.weights.path: there is no file xxx")


def test_broken_weights_file_is_refused_once(repository):
    (repository / "weights.pth").write_bytes(b"<html>")
    original = {"width": 0.02, "weights": {"source": "path", "path": "weights.pth"}}
    [line] = refusal({"alexnet": original}, {"cut": CUT})
    assert line.startswith(
        "params.yaml: originals.alexnet.weights.path: weights file "
        f"{repository / 'weights.pth'} holds no weights ("
    )


def test_file_of_a_cut_network_has_to_be_there(repository):
    models = {"cut": CUT | {"weights": "theirs.pth"}}
    [line] = refusal(ALEXNET, models)
    assert line.startswith("params.yaml: models.cut.weights: there is no file theirs.pth; give")
    (repository / "theirs.pth").touch()  # what it holds is read when it is needed
    check(study(ALEXNET, models))


@pytest.mark.parametrize("place", ["folder", "cache"])
def test_published_file_that_is_there_is_checked(repository, monkeypatch, place):
    folder = repository / {"folder": "offline", "cache": "torch/hub/checkpoints"}[place]
    folder.mkdir(parents=True)
    published = torchvision.models.get_model_weights("alexnet")["IMAGENET1K_V1"].value
    name = f"alexnet-{hashlib.sha256(b'whole').hexdigest()[:8]}.pth"
    monkeypatch.setattr(published, "url", f"http://127.0.0.1:9/{name}")
    weights = {"source": "torchvision"} | ({"folder": "offline"} if place == "folder" else {})
    declared = {"alexnet": {"weights": weights}}
    check(study(declared))  # there is none, and it can be downloaded later
    (folder / name).write_bytes(b"whole")
    check(study(declared))
    (folder / name).write_bytes(b"half")
    [line] = refusal(declared)
    key = "weights.folder" if place == "folder" else "weights"
    assert line.startswith(
        f"params.yaml: originals.alexnet.{key}: weights file {folder / name} has the SHA-256 "
    )
