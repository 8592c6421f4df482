"""A published weights file: in an offline folder, in torch's cache, or downloaded into it."""

import hashlib
import os
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import torch

from camloc.errors import UserError


def weights_file(url: str, folder: Path | None = None) -> Path:
    """The file of `url`, whose name ends in the first digits of its SHA-256.

    It is looked for in `folder`, then in torch's cache (`checkpoints` in `torch.hub.get_dir()`),
    and else downloaded into the cache. There it takes its name when it is whole and its hash is
    right; until then each process has a temporary name of its own.

    Raises:
        UserError: a file that was found is not the one its name says, or none was found and the
            download failed; the message says where to get it and where to put it.
    """
    name = PurePosixPath(urlsplit(url).path).name
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    places = [cache] if folder is None else [folder, cache]
    for place in places:
        if (place / name).is_file():
            _check_hash(place / name, url)
            return place / name
    try:
        cache.mkdir(parents=True, exist_ok=True)
        bar = not os.environ.get("TQDM_DISABLE")
        torch.hub.download_url_to_file(url, str(cache / name), hash_prefix(name), progress=bar)
    except (OSError, HTTPException, RuntimeError) as error:  # the last: a wrong hash
        searched = " or ".join(map(str, places))
        own = "any folder that `weights: {source: torchvision, folder: …}` names"
        raise UserError(
            f"weights file {name} is not in {searched}, and {url} could not be downloaded "
            f"({error}); run `curl -fLO {url}` where there is a network, and put the file into "
            f"{searched}{'' if folder else f' or {own}'}"
        ) from None
    return cache / name


def hash_prefix(name: str) -> str:
    """What a file's name says of its SHA-256: `397923af` of `vgg16-397923af.pth`."""
    return Path(name).stem.rpartition("-")[2]


def _check_hash(path: Path, url: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    wanted = hash_prefix(path.name)
    if not found.startswith(wanted):
        raise UserError(
            f"weights file {path} has the SHA-256 {found[: len(wanted)]}…, not {wanted}… as its "
            f"name says: it is incomplete or another file; delete it, or put that of {url} in its "
            "place"
        )
