"""What was deleted and is in DVC's cache comes back, in the place of being made again."""

from __future__ import annotations

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
    gone = [path for path in _outputs(root / "dvc.lock") if not (root / path).exists()]
    if not gone:
        return []
    from dvc.repo import Repo  # takes a second, and is seldom needed

    with Repo(str(root)) as repo:
        cached = [path for path in gone if _is_cached(repo, path)]
        if cached:
            repo.checkout(targets=cached, force=True)
    return cached


def _outputs(lock: Path) -> list[str]:
    """The paths of what finished stages left, by dvc.lock."""
    if not lock.is_file():
        return []
    stages = (YAML(typ="safe").load(lock) or {}).get("stages", {})
    return [out["path"] for stage in stages.values() for out in stage.get("outs", [])]


def _is_cached(repo: Repo, path: str) -> bool:
    [output] = repo.find_outs_by_path(str(Path(repo.root_dir) / path), strict=True)
    try:
        return output.use_cache and not output.changed_cache()
    except Exception:  # a damaged list of a folder's files, which DVC would keep as it is
        Path(output.cache_path).unlink(missing_ok=True)
        return False
