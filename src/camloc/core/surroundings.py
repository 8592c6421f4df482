"""What DVC needs of git and of its own configuration: said in one line, with the cure."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from dvc.config import Config
from dvc.dirs import global_config_dir, system_config_dir
from dvc.lock import make_lock
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK

from camloc.core.errors import UserError, reason, refusing

# By words of what DVC and its git libraries raise.
_CURES = {
    "not a git repository": "run `git init` there; without git, `dvc config --local core.no_scm "
    "true` lets DVC run, but compares no revisions",
    "not owned by current user": "if you trust its owner, run `git config --global --add "
    "safe.directory {root}`",
    "config file error": "mend it in {files}",
}


def check(root: Path) -> Path:
    """Refuse to start a run that DVC could not begin or could not keep.

    Returns:
        The folder of DVC's cache.

    Raises:
        UserError: no git repository, a configuration of DVC that cannot be read, or folders that
            cannot be written.
    """
    with (
        refusing(f"DVC cannot work in {root}", "see `dvc doctor`"),
        told(root),
        Repo(str(root)) as repo,
    ):
        cache = Path(repo.cache.local_cache_dir)
        another = "name another folder: `dvc config --local cache.dir FOLDER`"
        with refusing(f"DVC cannot keep results in {cache}", another):
            cache.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=cache).close()
        _mend_lock(Path(repo.tmp_dir))
        return cache


def _mend_lock(folder: Path) -> None:
    """Remove DVC's list of files in use where a kill left it cut: DVC writes it in place, and one
    that it cannot read stops every later run."""
    path = folder / RWLOCK_FILE
    with make_lock(str(folder / RWLOCK_LOCK), tmp_dir=str(folder)), suppress(FileNotFoundError):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            path.unlink()


def check_remote(root: Path) -> None:
    """Refuse a remote that DVC's configuration names and that is not there.

    A run needs none, but DVC reads no revision without it.

    Raises:
        UserError: says which command puts it right.
    """
    levels = Config(str(root / ".dvc"))
    name = levels["core"].get("remote")
    if not name or name in levels["remote"]:
        return
    named = (level for level in Config.LEVELS if levels.load_one(level)["core"].get("remote"))
    *_, level = named  # the last overrules those before
    option = "project" if level == "repo" else level
    raise UserError(
        f"DVC's configuration names the remote {name!r}, which is not there; run `dvc remote add "
        f"--local {name} URL`, or `dvc config --{option} --unset core.remote`"
    )


@contextmanager
def told(root: Path) -> Iterator[None]:
    """Give what DVC raises about its surroundings as one message with the cure."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = reason(error)
        for words, cure in _CURES.items():
            if words in said:
                cure = cure.format(
                    root=shlex.quote(str(root)), files=" or ".join(_configurations(root))
                )
                raise UserError(f"DVC cannot work in {root} ({said}); {cure}") from None
        raise


def _configurations(root: Path) -> list[str]:
    """The files of DVC's configuration that there are."""
    own = (root / ".dvc" / "config", root / ".dvc" / "config.local")
    users = (Path(folder) / "config" for folder in (global_config_dir(), system_config_dir()))
    return [str(file) for file in (*own, *users) if file.is_file()]
