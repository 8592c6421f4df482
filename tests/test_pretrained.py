"""torchvision's weights from a folder, torch's cache or a server of the test's own on 127.0.0.1."""

import functools
import hashlib
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
import torchvision
from torch import nn

from camloc import networks
from camloc.errors import UserError
from camloc.pretrained import hash_prefix, weights_file
from made import serving

CONTENT = b"weights"
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
SMALL = "shufflenet_v2_x0_5"  # 0.3 million weights before the last layer, which is called fc


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.together.wait(10)
        super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves the files of `folder`; `asked` is what for, and an answer waits until as many
    requests as `together` counts have come."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    handler = functools.partial(Handler, directory=folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.folder, server.asked, server.together = folder, [], threading.Barrier(1)
    server.url = f"http://127.0.0.1:{server.server_port}/{NAME}"
    with serving(server):
        yield server


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """torch's cache, empty: its folder is not there yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def put(folder, content=CONTENT):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_bytes(content)
    return folder


def test_file_is_downloaded_into_the_cache_once(server, cache):
    for _ in range(2):
        assert weights_file(server.url) == cache / NAME
    assert (cache / NAME).read_bytes() == CONTENT
    assert [path.name for path in cache.iterdir()] == [NAME]
    assert server.asked == [f"/{NAME}"]


def test_folder_is_looked_into_before_the_cache(server, cache, tmp_path):
    put(cache)
    folder = put(tmp_path / "offline")
    assert weights_file(server.url, folder) == folder / NAME
    assert weights_file(server.url, tmp_path) == cache / NAME
    assert server.asked == []


@pytest.mark.parametrize("place", ["folder", "cache"])
def test_file_that_is_not_what_its_name_says_is_refused_and_left_alone(
    server, cache, tmp_path, place
):
    places = {"folder": tmp_path / "offline", "cache": cache}
    put(places[place], b"half")
    with pytest.raises(UserError) as error:
        weights_file(server.url, places["folder"])
    found = hashlib.sha256(b"half").hexdigest()[:8]
    assert str(error.value) == (
        f"weights file {places[place] / NAME} has the SHA-256 {found}…, not {hash_prefix(NAME)}… "
        "as its name says: it is incomplete or another file; delete it, or put that of "
        f"{server.url} in its place"
    )
    assert (places[place] / NAME).read_bytes() == b"half"
    assert server.asked == []


def test_failed_download_says_where_was_looked_and_how_to_get_the_file(server, cache, tmp_path):
    url = server.url.replace(NAME, "other-0123abcd.pth")
    with pytest.raises(UserError) as error:
        weights_file(url, tmp_path)
    assert str(error.value) == (
        f"weights file other-0123abcd.pth is not in {tmp_path} or {cache}, and {url} could not be "
        f"downloaded (HTTP Error 404: File not found); run `curl -fLO {url}` where there is a "
        f"network, and put the file into {tmp_path} or {cache}"
    )


def test_failed_download_without_a_folder_names_the_key_of_one(server, cache):
    with pytest.raises(UserError) as error:
        weights_file(server.url.replace(NAME, "other-0123abcd.pth"))
    assert str(error.value).endswith(
        f"put the file into {cache} or any folder that `weights: {{source: torchvision, "
        "folder: …}` names"
    )


def test_download_of_the_wrong_content_leaves_no_file(server, cache):
    put(server.folder, b"<html>log in</html>")
    with pytest.raises(UserError, match=f"invalid hash value .*{hash_prefix(NAME)}.*curl"):
        weights_file(server.url)
    assert list(cache.iterdir()) == []


def test_cache_that_cannot_be_written_is_named(server, cache, tmp_path):
    (tmp_path / "torch").write_text("a file")
    with pytest.raises(UserError, match=f"could not be downloaded .*{tmp_path / 'torch'}"):
        weights_file(server.url)


def test_two_downloads_at_once_do_not_break_each_other(server, cache):
    server.together = threading.Barrier(2)
    threads = [threading.Thread(target=weights_file, args=(server.url,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.asked == [f"/{NAME}"] * 2
    assert (cache / NAME).read_bytes() == CONTENT
    assert [path.name for path in cache.iterdir()] == [NAME]


def test_every_file_of_torchvision_has_its_hash_in_its_name():
    for backbone in networks.names()[1:]:
        known = torchvision.models.get_model_weights(backbone).__members__
        if networks.PRETRAINED in known:
            digits = hash_prefix(known[networks.PRETRAINED].url)
            assert len(digits) >= 8 and int(digits, 16), backbone


def publish(server, monkeypatch, backbone):
    """Serve a random state of the whole network as torchvision's weights of it."""
    torch.manual_seed(0)
    arguments = {"init_weights": False} if "ception" in backbone or backbone == "googlenet" else {}
    if backbone == "googlenet":
        arguments["aux_logits"] = True  # as in the published file
    network = torchvision.models.get_model(backbone, **arguments)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 1.5)
    state = network.state_dict()
    if backbone == "densenet121":  # whose published file has the names of 2017
        state = {
            re.sub(r"(norm|conv)([12])\.", r"\1.\2.", key): value
            for key, value in state.items()
            if not key.endswith("num_batches_tracked")
        }
    path = server.folder / "state.pth"
    torch.save(state, path)
    name = f"{backbone}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path.rename(server.folder / name)
    weights = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"].value
    monkeypatch.setattr(weights, "url", server.url.replace(NAME, name))
    return name


@pytest.mark.parametrize(
    "backbone", [SMALL, "googlenet", "inception_v3", "densenet121", "mnasnet0_5"]
)
def test_network_with_torchvisions_weights_is_torchvisions(server, cache, monkeypatch, backbone):
    name = publish(server, monkeypatch, backbone)
    x = torch.rand(2, 3, 96, 96)
    ours = networks.whole(backbone, 1000, weights="torchvision", folder=server.folder).eval()
    assert server.asked == []
    theirs = torchvision.models.get_model(backbone, weights="IMAGENET1K_V1").eval()
    assert server.asked == [f"/{name}"]
    with torch.no_grad():
        logits = theirs(x)
        assert torch.equal(ours(x), logits)
    assert not torch.equal(logits[0], logits[1])


def test_torchvisions_weights_are_downloaded_and_get_a_new_last_layer_for_other_classes(
    server, cache, monkeypatch
):
    name = publish(server, monkeypatch, SMALL)
    network = networks.whole(SMALL, 10, weights="torchvision")
    state = torch.load(cache / name, weights_only=True)
    found = network.state_dict()
    assert all(torch.equal(found[key], state[key]) for key in state if not key.startswith("fc."))
    assert network.fc.weight.shape == (10, 1024)
    assert float(network.fc.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
