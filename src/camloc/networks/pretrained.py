"""Weights files: published ones, found or downloaded, and the tensors that any of them holds."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import torch
from safetensors import safe_open
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from camloc.core.download import download
from camloc.core.errors import UserError, reason, refusing
from camloc.core.files import sha256_of

WRAPPED = ("state_dict", "model", "model_state_dict")  # where checkpoints have their state
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def weights_file(url: str, folder: Path | None = None) -> Path:
    """The file of `url`, whose name ends in the first digits of its SHA-256.

    It is looked for in `folder`, then in torch's cache (`checkpoints` in `torch.hub.get_dir()`),
    and else downloaded into the cache. There it takes its name when it is whole and its hash is
    right; until then each process has a temporary name of its own.

    Raises:
        UserError: a file that was found is not the one its name says, or none was found and the
            download failed; the message says where to get it and where to put it.
    """
    if (there := find(url, folder)) is not None:
        return there
    cache = _places(folder)[-1] / _name(url)
    own = "any folder that `weights: {source: torchvision, folder: …}` names"
    download(url, cache, hash_prefix(cache.name), advice=f"{cache}, or into {folder or own}")
    return cache


def find(url: str, folder: Path | None = None) -> Path | None:
    """The file of `url` in `folder` or in torch's cache; None where neither has it.

    Raises:
        UserError: the file is not the one its name says.
    """
    for place in _places(folder):
        path = place / _name(url)
        if path.is_file():
            _check_hash(path, url)
            return path
    return None


def hash_prefix(name: str) -> str:
    """What a file's name says of its SHA-256: `397923af` of `vgg16-397923af.pth`."""
    return Path(name).stem.rpartition("-")[2]


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a torch file of a state dict, by name.

    A state dict may lie in a checkpoint, under one of `WRAPPED`, and its names may have the
    `PREFIXES` of what it was trained in. Nothing but tensors is unpickled, and no more memory is
    taken than the file has bytes. torch's own notes on the versions of modules stay with the
    mapping.

    Raises:
        UserError: the file is damaged, or holds something else than a state of finite numbers.
    """
    with refusing(
        f"weights file {path} holds no weights",
        "give a whole safetensors file or torch file of a state dict",
    ):
        state = read_safetensors(path)[0] if path.suffix == ".safetensors" else _read_torch(path)
        for prefix in PREFIXES * 2:  # in either order
            if all(name.startswith(prefix) for name in state):
                consume_prefix_in_state_dict_if_present(state, prefix)
        for name, value in state.items():
            if value.is_meta or (value.dtype in FLOATS and not value.isfinite().all()):
                raise ValueError(f"{name} has no values, or some that are not finite")
    return state


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file by name, and its metadata.

    Raises:
        Exception: whatever the library raises about a damaged file, a panic of its Rust code, too.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # which is no Exception, and has no module
            raise
        raise ValueError(reason(error)) from None


def digest(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """The SHA-256 of tensors, with their names, dtypes and shapes, and of a text."""
    hashed = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        hashed.update(repr((name, value.dtype, tuple(value.shape))).encode())
        hashed.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return hashed.hexdigest()


def _read_torch(path: Path) -> dict[str, Tensor]:
    """What a torch file holds; read only if the sizes that it claims fit into the file."""
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"  # else the format before torch 1.6
    if zipped:
        check_records(path)
    try:
        with FakeTensorMode():  # shapes without values: torch takes the memory before it reads
            claimed = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "weights_only" not in str(error):
            raise
        # torch's own advice would be to run whatever code the file holds.
        raise ValueError("it is no torch file of tensors alone") from None
    _check_sizes(claimed, path.stat().st_size)
    _check_state(_unwrapped(claimed))
    return _unwrapped(torch.load(path, map_location="cpu", weights_only=True, mmap=zipped))


def _unwrapped(content: object) -> object:
    """The state dict of a checkpoint, or what else a file holds."""
    if isinstance(content, dict):
        states = (content[key] for key in WRAPPED if isinstance(content.get(key), dict))
        return next(states, content)
    return content


def check_records(path: Path) -> None:
    """Check what a torch file holds against its checksums, at which torch does not look.

    Raises:
        Exception: whatever `zipfile` raises; a record is damaged, or not stored as it is.
    """
    with zipfile.ZipFile(path) as archive:
        if any(record.compress_type != zipfile.ZIP_STORED for record in archive.infolist()):
            raise ValueError("its records are compressed")
        if (broken := archive.testzip()) is not None:
            raise ValueError(f"its record {broken} is damaged")


def _check_sizes(content: object, size: int, name: str = "it") -> None:
    """Refuse tensors anywhere in what a file holds that do not fit into `size` bytes."""
    if isinstance(content, Tensor):
        own = content.numel() * content.element_size()
        if (claimed := max(own, content.untyped_storage().nbytes())) > size:
            raise ValueError(f"{name} of {claimed} bytes is larger than the file")
    elif isinstance(content, (dict, list, tuple)):
        parts = content.items() if isinstance(content, dict) else enumerate(content)
        for key, part in parts:
            _check_sizes(part, size, f"{key}")


def _check_state(state: object) -> None:
    """Refuse what is not a mapping from names to plain tensors."""
    if not isinstance(state, dict):
        raise ValueError("it is no mapping of names to tensors")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"its entry {name!r} is no tensor with a name")


def _name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


def _places(folder: Path | None) -> list[Path]:
    """Where a published file may lie; the last is torch's cache."""
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    return [cache] if folder is None else [folder, cache]


def _check_hash(path: Path, url: str) -> None:
    found, wanted = sha256_of(path), hash_prefix(path.name)
    if not found.startswith(wanted):
        raise UserError(
            f"weights file {path} has the SHA-256 {found[: len(wanted)]}…, not {wanted}… as its "
            f"name says: it is incomplete or another file; delete it, or put that of {url} in its "
            "place"
        )
