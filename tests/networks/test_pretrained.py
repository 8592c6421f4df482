"""torchvision's weights from a folder, torch's cache or a server of the test's own on 127.0.0.1,
and what any weights file may hold."""

import functools
import hashlib
import re
import struct
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
import torchvision
from torch import nn

from camloc.core.errors import UserError
from camloc.networks import backbones, pretrained, published
from camloc.networks.pretrained import digest, find, hash_prefix, read_state, weights_file
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
        f"{url} could not be downloaded (HTTP Error 404: File not found); run again, or fetch it "
        f"where there is a network connection (`curl -fLO {url}`) and put it at "
        f"{cache / 'other-0123abcd.pth'}, or into {tmp_path}"
    )


def test_failed_download_without_a_folder_names_the_key_of_one(server, cache):
    with pytest.raises(UserError) as error:
        weights_file(server.url.replace(NAME, "other-0123abcd.pth"))
    assert str(error.value).endswith(
        f"put it at {cache / 'other-0123abcd.pth'}, or into any folder that `weights: {{source: "
        "torchvision, folder: …}` names"
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
    for backbone in backbones.of_torchvision():
        known = torchvision.models.get_model_weights(backbone).__members__
        if published.TORCHVISION in known:
            digits = hash_prefix(known[published.TORCHVISION].url)
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
    file = published.file(backbone, "torchvision", server.folder)
    ours = backbones.whole(backbone, 1000, weights=file).eval()
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
    file = published.file(SMALL, "torchvision")
    network = backbones.whole(SMALL, 10, weights=file, new_head=True)
    state = torch.load(cache / name, weights_only=True)
    found = network.state_dict()
    assert all(torch.equal(found[key], state[key]) for key in state if not key.startswith("fc."))
    assert network.fc.weight.shape == (10, 1024)
    assert float(network.fc.weight.detach().std()) == pytest.approx(0.01, rel=0.05)


def test_file_that_is_not_there_is_found_nowhere_and_not_downloaded(server, cache, tmp_path):
    assert find(server.url, tmp_path) is None
    put(cache)
    assert find(server.url, tmp_path) == cache / NAME
    assert server.asked == []


STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.steps": torch.tensor(3)}


@pytest.fixture(params=[True, False], ids=["zip", "before torch 1.6"])
def written(request, tmp_path):
    """Writes an object as a torch file, in each of its two formats."""

    def write(content):
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=request.param)
        return tmp_path / "a.pth"

    return write


def refusal(path):
    """What the message says between the file's name and the advice."""
    with pytest.raises(UserError) as error:
        read_state(path)
    start, end = f"weights file {path} holds no weights (", "); give a whole safetensors file or "
    assert str(error.value).startswith(start)
    assert str(error.value).endswith(end + "torch file of a state dict")
    return str(error.value).removeprefix(start).partition(end)[0]


def test_state_of_a_torch_file_is_read(written):
    state = read_state(written(STATE))
    assert list(state) == list(STATE)
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize(
    "wrapped",
    [
        {"epoch": 3, "state_dict": STATE, "best": 0.7},
        {"model": STATE, "optimizer": {"param_groups": [{"lr": 0.1}]}},
        {f"module.{name}": value for name, value in STATE.items()},
        {"state_dict": {f"module._orig_mod.{name}": value for name, value in STATE.items()}},
        {"model": {f"_orig_mod.module.{name}": value for name, value in STATE.items()}},
    ],
    ids=["state_dict", "model", "DataParallel", "both", "compiled"],
)
def test_state_of_a_checkpoint_is_read_as_the_network_names_it(written, wrapped):
    state = read_state(written(wrapped))
    assert list(state) == list(STATE)
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


def test_prefix_that_some_names_lack_is_a_module_of_the_network(written):
    state = {"module.a": torch.ones(2), "b": torch.ones(2)}
    assert list(read_state(written(state))) == list(state)


def test_notes_on_versions_stay_with_a_state_whose_prefix_is_dropped(written):
    network = nn.ModuleDict({"module": nn.Sequential(nn.BatchNorm2d(2))})
    state = read_state(written({"state_dict": network.state_dict()}))
    assert state._metadata["0"]["version"] == 2


NO_TENSORS = "it is no torch file of tensors alone"
NO_VALUES = "a.weight has no values, or some that are not finite"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "it is no mapping of names to tensors"),
        (torch.ones(2), "it is no mapping of names to tensors"),
        ({"epoch": 3, "weights": STATE}, "its entry 'epoch' is no tensor with a name"),
        ({"model": [STATE]}, "its entry 'model' is no tensor with a name"),
        ({1: torch.ones(2)}, "its entry 1 is no tensor with a name"),
        (nn.Linear(2, 2), NO_TENSORS),
        ({"a.weight": torch.tensor([1.0, torch.nan])}, NO_VALUES),
        ({"a.weight": torch.tensor([1.0, -torch.inf], dtype=torch.float16)}, NO_VALUES),
        (STATE | {"a.weight": torch.empty(2, device="meta")}, NO_VALUES),
        # a stored value that stands for 10⁹ of 4 bytes
        ({"a": torch.ones(1).expand(10**9)}, "a of 4000000000 bytes is larger than the file"),
        (
            {"model": STATE, "optimizer": {"state": [{"m": torch.ones(1).expand(10**9)}]}},
            "m of 4000000000 bytes is larger than the file",
        ),
    ],
)
def test_torch_file_of_something_else_is_refused(written, content, message):
    assert refusal(written(content)) == message


@pytest.mark.filterwarnings("ignore")
def test_sparse_and_quantized_tensors_are_refused(written):
    refusal(written({"a": torch.eye(3).to_sparse()}))
    refusal(written({"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}))


class Code:
    """Its pickle calls a function."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


def test_code_in_a_torch_file_is_not_run(written, tmp_path):
    assert refusal(written({"a": Code(tmp_path / "ran")})) == NO_TENSORS
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", b"<html></html>"]
)
def test_pointer_or_page_in_the_place_of_weights_is_refused(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    assert refusal(tmp_path / "a.pth") == NO_TENSORS


def test_more_than_a_file_holds_is_not_taken_into_memory(tmp_path):
    """The storage of 300 numbers claims 2³¹ − 1, which are 17 GB."""
    path = tmp_path / "a.pth"
    torch.save({"a": torch.zeros(300).double()}, path, _use_new_zipfile_serialization=False)
    claim, more = b"M" + struct.pack("<H", 300), b"J" + struct.pack("<i", 2**31 - 1)
    content = path.read_bytes()
    assert content.count(claim) == 2  # of the storage, then of the tensor
    path.write_bytes(content.replace(claim, more, 1))
    assert refusal(path) == "a of 17179869176 bytes is larger than the file"


def test_compressed_records_are_refused(tmp_path):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "whole.pth")
    with (
        zipfile.ZipFile(tmp_path / "whole.pth") as whole,
        zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    assert (tmp_path / "a.pth").stat().st_size < 10**5
    assert refusal(tmp_path / "a.pth") == "its records are compressed"


def test_changed_value_of_a_torch_file_is_noticed(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"a": torch.full((9,), 1.5)}, path)
    changed = path.read_bytes().replace(struct.pack("<f", 1.5), struct.pack("<f", 1.25), 1)
    path.write_bytes(changed)
    assert refusal(path) == "its record a/data/0 is damaged"


def test_panic_of_a_parser_is_a_message(tmp_path, monkeypatch):
    """The errors that Rust code does not expect come as no `Exception`."""
    panic = type("PanicException", (BaseException,), {})

    def safe_open(path, framework):
        raise panic("index out of bounds")

    monkeypatch.setattr(pretrained, "safe_open", safe_open)
    assert refusal(tmp_path / "a.safetensors") == "index out of bounds"


def test_digest_tells_tensors_apart():
    """By values, names, dtypes, shapes and the text; not by order or layout in memory."""
    value = torch.arange(24.0).view(1, 2, 3, 4)
    tensors = {"a": value, "b": torch.tensor(3), "c": torch.zeros(0)}
    known = digest(tensors, "text")
    layout = {"c": tensors["c"], "b": tensors["b"]}
    assert digest(layout | {"a": value.to(memory_format=torch.channels_last)}, "text") == known
    others = [
        digest(tensors, "Text"),
        digest(tensors | {"a": value.view(1, 2, 4, 3)}, "text"),
        digest(tensors | {"a": value.view(torch.int32)}, "text"),
        digest(tensors | {"a": value + 1e-5}, "text"),
        digest(tensors | {"b": torch.tensor(4)}, "text"),
        digest({"A" if key == "a" else key: tensors[key] for key in tensors}, "text"),
        digest(tensors | {"d": torch.zeros(0)}, "text"),
    ]
    assert len({known, *others}) == 8
