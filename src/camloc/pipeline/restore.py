"""What was deleted and is in DVC's cache comes back, in the place of being made again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

if TYPE_CHECKING:
    from dvc.repo import Repo


def restore(root: Path) -> list[str]:
    """Bring back the outputs of finished stages that are gone, where DVC's cache has all of them.

    DVC does so itself for other stages: it keeps no record of runs whose outputs persist, and
    would train again.

    Returns:
        The paths that are there again.
    """
    gone = [path for path in outputs(root) if not (root / path).exists()]
    if not gone:
        return []
    from dvc.repo import Repo  # takes a second, and is seldom needed

    with Repo(str(root)) as repo:
        cached = [path for path in gone if _is_cached(repo, path)]
        if cached:
            repo.checkout(targets=[str(root / path) for path in cached], force=True)
    return cached


def _is_cached(repo: Repo, path: str) -> bool:
    from dvc.exceptions import OutputNotFoundError

    try:
        [output] = repo.find_outs_by_path(str(Path(repo.root_dir) / path), strict=True)
    except OutputNotFoundError:  # of a network that the study has no longer
        return False
    return output.use_cache and not output.changed_cache()


def forget_damaged(root: Path, cache: Path) -> None:
    """Remove from DVC's cache each list of a folder's files that is not what its name says: DVC
    would keep it, and stop at it in every later run."""
    for digest in outputs(root).values():
        if digest.endswith(".dir"):
            listed = cache / "files" / "md5" / digest[:2] / digest[2:]
            if listed.is_file() and _md5(listed) != digest.removesuffix(".dir"):
                listed.unlink()


def _md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def finished(root: Path) -> dict[str, dict]:
    """The stages that have run, by name, as dvc.lock has them."""
    lock = root / "dvc.lock"
    return (YAML(typ="safe").load(lock) or {}).get("stages", {}) if lock.is_file() else {}


def outputs(root: Path) -> dict[str, str]:
    """The paths of what finished stages left and their hashes, by dvc.lock."""
    found = [out for stage in finished(root).values() for out in stage.get("outs", [])]
    return {out["path"]: out.get("md5", "") for out in found}
