"""Weights, network files and checkpoints: whole ones, their damage and their readers."""

import copy
import functools
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import torch
from safetensors.torch import save
from torch import Tensor, nn

from battery import Format
from camloc.networks import backbones, surgery, zoo
from camloc.networks import files as network_files_of
from camloc.training.checkpoint import Checkpoint, State
from damage.anyhow import ANY, changed, overwritten

WIDTH = 0.02  # of NIN: 15 kB


def tensor_header(rng: Random, content: bytes, other: bytes) -> bytes:
    """The header of safetensors, whole, with something else about one tensor or the file."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    name = rng.choice(sorted(header))
    about = header[name]
    numbers = (0, 1, -1, 7, 1 << 31, 1 << 47, 1 << 62, 1 << 64, 1.5, None, "4")
    if "dtype" in about:
        new = {
            "dtype": rng.choice(["F64", "F16", "BF16", "I64", "BOOL", "U8", "F8_E4M3", "C64", "X"]),
            "shape": rng.choices(numbers, k=rng.randrange(5)),
            "data_offsets": rng.choices(numbers, k=2),
        }
        about = about | {key: new[key] for key in rng.sample(sorted(new), rng.choice((1, 1, 2)))}
    else:
        about = about | {rng.choice([*about, "x"]): rng.choice(["", "[" * 3000, 7, None])}
    changes = [{name: about}, {name: about}, {name: None}, {"x" * rng.choice((1, 9999)): about}]
    header |= rng.choice(changes)
    text = rng.choice([json.dumps(header)] * 9 + ["{" * 5000, "[" * 5000, "{}", "null"]).encode()
    return struct.pack("<Q", len(text)) + text + content[end:]


def changed_tensors(rng: Random, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of which one is missing or is another tensor."""
    name, new = rng.choice(sorted(state)), state.copy()
    one = new.pop(name)
    others = [torch.ones(3), torch.ones(()), one.double(), one.to(torch.complex64), one > 0]
    others += [one.to(torch.int8), one[:0], one[None], one * torch.nan, one.repeat(2, 1, 1, 1)]
    return new | rng.choice([{name: rng.choice(others)}] * 9 + [{}, {name + "x": one}])


def torch_object(rng: Random, content: bytes, other: bytes) -> bytes:
    """A whole torch file of something else."""
    state = dict(torch.load(io.BytesIO(content), weights_only=True))
    kinds = [
        torch.eye(3).to_sparse(),
        torch.empty(3, device="meta"),
        torch.zeros(1).expand(1 << 40),
    ]
    more = {rng.choice([*state, 7, "more"]): rng.choice([*kinds, nn.Parameter(torch.ones(2))])}
    stream = io.BytesIO()
    torch.save(rng.choice([changed(rng, state), changed_tensors(rng, state), state | more]), stream)
    return stream.getvalue()


def torch_record(rng: Random, content: bytes, other: bytes) -> bytes:
    """A file in torch's zip damaged, dropped or renamed, mostly the pickle, in a whole zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:  # torch's older form: pickles and numbers one after the other
        return overwritten(rng, content, other)
    name = rng.choice(sorted(files) + [name for name in files if name.endswith("data.pkl")] * 9)
    record = files.pop(name)
    new = rng.choice(ANY)(rng, record or b"x", other)
    files |= rng.choice([{name: new}] * 8 + [{}, {name + "x": record}, {name: b""}])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, record in files.items():
            archive.writestr(zipfile.ZipInfo(name), record)
    return stream.getvalue()


def nin() -> nn.Module:
    torch.manual_seed(0)
    return backbones.whole("nin", 3, width=WIDTH)


def _named(found: re.Match) -> bytes:
    """A pickled number in words as one word."""
    return b"X\1\0\0\0k" if len(found[2]) == found[1][0] else found[0]


def states() -> dict[str, bytes]:
    """Whole networks in torch's two forms, the older one with all tensors in one storage."""
    new, old, state = io.BytesIO(), io.BytesIO(), nin().state_dict()
    torch.save(state, new)
    sizes = [value.numel() for value in state.values()]
    parts = torch.cat([value.flatten() for value in state.values()]).split(sizes)
    state = {name: part.view_as(state[name]) for name, part in zip(state, parts, strict=True)}
    torch.save(state, old, _use_new_zipfile_serialization=False)
    # It names the storage after its address, which differs each time, as does how long that is.
    named = re.sub(rb"(?s)X(.)\0\0\0(\d{5,20})", _named, old.getvalue())
    return {"new.pth": new.getvalue(), "old.pth": named}


def weights() -> dict[str, bytes]:
    return {"nin.safetensors": save(nin().state_dict(), {"format": "pt"})}


def read_weights(path: Path) -> None:
    backbones.whole("nin", 3, width=WIDTH, weights=path)


@functools.cache
def kept_networks() -> dict[str, tuple[nn.Module, dict]]:
    """A whole network and one that is cut, with what their files say."""
    original = {"backbone": "nin", "width": WIDTH, "dropout": None, "gap": "features"}
    cut = {"cut": "features.13", "convs": [8], "pool": "gap"}
    about = {"original": original, "wnids": ["n1", "n2", "n3"]}
    built = surgery.build("nin", **cut, width=WIDTH, num_classes=3, weights=nin())
    return {
        "whole.safetensors": (nin(), about | {"surgery": None}),
        "cut.safetensors": (built, about | {"surgery": cut}),
    }


def written(write: Callable[[Path, str], None], *names: str) -> dict[str, bytes]:
    """What files hold that a function writes under these names."""
    with TemporaryDirectory() as folder:
        for name in names:
            write(Path(folder) / name, name)
        return {name: (Path(folder) / name).read_bytes() for name in names}


def network_files() -> dict[str, bytes]:
    zoo.timm_models()  # among which an unknown network is looked for: loading takes its time
    kept = kept_networks()
    return written(
        lambda path, name: network_files_of.save(kept[name][0], path, kept[name][1]), *kept
    )


def read_network(path: Path) -> None:
    network, about = network_files_of.load(path)
    kept, kept_about = kept_networks()[path.name]
    assert same(network.state_dict(), kept.state_dict()), "other weights"
    assert about == kept_about, "another declaration"


def network_again(rng: Random, content: bytes, other: bytes) -> bytes:
    """What is declared or held is something else, under a right digest."""
    network, about = rng.choice(list(kept_networks().values()))
    state, key = network.state_dict(), rng.choice(sorted(about))
    if rng.random() < 0.3:
        state = changed_tensors(rng, state)
    else:
        about = about | {key: changed(rng, about[key])}
    network = SimpleNamespace(state_dict=lambda: state)
    return written(lambda path, _: network_files_of.save(network, path, about), "again")["again"]


def same(a: dict, b: dict) -> bool:
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


def training() -> State:
    return copy.deepcopy(_training())


@functools.cache
def _training() -> State:
    """After its first step."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))
    optimizer = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    network(torch.rand(2, 3, 6, 6)).sum().backward()
    optimizer.step()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return State(network, optimizer, schedule, scaler, step=1, history=[[1.0, 50.0]])


def checkpoint_files() -> dict[str, bytes]:
    return written(lambda path, _: Checkpoint(path, {"seed": 1}).save(training()), "a.pt", "b.pt")


def resume(path: Path) -> State:
    state = training()
    with torch.no_grad():
        state.network[0].weight.zero_()
    assert Checkpoint(path, {"seed": 1}).resume(state)
    return state


def read_checkpoint(path: Path) -> None:
    state, saved = resume(path), training()
    assert same(state.network.state_dict(), saved.network.state_dict()), "other weights"
    assert (state.epoch, state.step, state.history) == (1, 1, saved.history), "another place"


def checkpoint_again(rng: Random, content: bytes, other: bytes) -> bytes:
    """A state that is something else, under a right digest."""
    tree = changed(rng, training().to_dict())
    state = SimpleNamespace(to_dict=lambda: tree)
    return written(lambda path, _: Checkpoint(path, {"seed": 1}).save(state), "again")["again"]


FORMATS = {
    "safetensors": Format(weights, read_weights, (*ANY, tensor_header, tensor_header)),
    "network": Format(network_files, read_network, (*ANY, tensor_header)),
    "network again": Format(network_files, network_files_of.load, (network_again,)),
    "pth": Format(states, read_weights, (*ANY, torch_record, torch_record, torch_object)),
    "checkpoint": Format(checkpoint_files, read_checkpoint, ANY),
    "checkpoint again": Format(checkpoint_files, resume, (checkpoint_again,)),
}
