"""Where a result comes from: the machine, the versions and the commit that made it, and its cost.

Each executed notebook carries this in its metadata, so that a result that was taken from a cache
still tells where it was computed.
"""

import os
import platform
import resource
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from camloc.core.threads import cores

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "opencv-python-headless", "papermill", "dvc")


def provenance(root: Path) -> dict:
    """`machine`, `versions` and `commit`, texts to be read by people."""
    return {"machine": machine(), "versions": versions(), "commit": commit(root)}


def machine() -> str:
    """Processor, cores, memory and accelerators in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [_processor(), f"{cores()} cores", f"{memory:.0f} GiB memory", platform.system()]
    return ", ".join([*parts, *_accelerators()])


def versions() -> dict[str, str]:
    """Python's version and those of the packages that results depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def commit(root: Path) -> str:
    """The commit of the working tree, with a `+` where tracked files differ from it.

    It does not depend on the user's configuration of git, on a hook's environment or on who owns
    the files. Where there is none, the reason stands in brackets; a `?` where git cannot tell
    whether files differ.
    """
    root = root.absolute()
    around = (folder for folder in (root, *root.parents) if (folder / ".git").exists())
    repository = next(around, None)
    if repository is None:
        return "no commit (not a git repository)"
    if not shutil.which("git"):
        return "unknown commit (git is not installed)"
    head = _git(repository, root, "rev-parse", "--short=10", "HEAD")
    if not head:
        return "no commit (git finds none there)"
    if _git(repository, root, "cat-file", "-e", "HEAD:./dvc.yaml") is None:
        return "no commit (the git repository around holds other files)"
    written = (":(exclude)reports", ":(exclude)dvc.lock")  # by the pipeline: not what made it
    status = ("status", "--porcelain", "--untracked-files=no", "--", ".", *written)
    changed = _git(repository, root, *status)
    return head + ("?" if changed is None else "+" if changed else "")


def _git(repository: Path, folder: Path, *command: str) -> str | None:
    """What git prints in a folder of a repository; None where it fails.

    Told where the repository is, git asks neither who owns it nor the environment.
    """
    at = (f"--git-dir={repository / '.git'}", f"--work-tree={repository}", "-C", str(folder))
    settings = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.fileMode=false")
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return _output("git", *at, *settings, *command, environment=own)


def children_cost() -> tuple[float, float]:
    """Processor seconds of the child processes that have ended, and the peak memory (MiB) of the
    largest of them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 2**20 if platform.system() == "Darwin" else 2**10  # bytes there, KiB elsewhere
    return used.ru_utime + used.ru_stime, used.ru_maxrss / unit


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _accelerators() -> list[str]:
    if not shutil.which("nvidia-smi"):
        return []
    return (_output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or "").splitlines()


def _output(*command: str, environment: dict[str, str] | None = None) -> str | None:
    """What a command prints; None where it fails or is missing."""
    options = {"capture_output": True, "text": True, "timeout": 20, "env": environment}
    try:
        done = subprocess.run(command, **options)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
