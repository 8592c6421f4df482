"""Read damaged files and tell what came of each: for tests and benchmarks.

A damaged file is read or it is refused by a `UserError` that names it. All else is a failure: any
other exception, a hang, a death of the process, much memory, files left behind. Each file follows
from its format and its seed.
"""

import contextlib
import multiprocessing
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, NamedTuple

import psutil
import torch

from camloc.core.errors import UserError, reason

SECONDS = 10.0  # a reader that takes longer hangs
# Bytes more than before that reading a file may take: some, and so many times its own.
MEMORY, TIMES = 256 << 20, 64
BACKSTOP = 8 << 30  # bytes of address space more, so that a failure harms nothing else
OUT = "out"  # the folder that archives are unpacked into

Damage = Callable[[Random, bytes, bytes], bytes]  # of a whole file, with another for parts of it


class Format(NamedTuple):
    """What one format is tried with.

    `make` gives whole files by their names; each of them gets damaged while the others, and those
    of `beside`, stay whole. `read` takes the path of the damaged one. It may take so much `memory`
    and `TIMES` the file's size. Of a `tree` of files a refusal may name another than the damaged
    one: the picture that a line leads to, or the tree.
    """

    make: Callable[[], dict[str, bytes]]
    read: Callable[[Path], object]
    damages: tuple[Damage, ...]
    beside: Mapping[str, bytes] = MappingProxyType({})
    memory: int = MEMORY
    tree: bool = False


class Failure(NamedTuple):
    """`kind` says what went wrong and where, `words` what the error said."""

    seed: int
    damage: str
    file: str
    kind: str
    words: str = ""

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.damage} {self.file}: {self.kind} {self.words}".rstrip()


class Outcome(NamedTuple):
    """What came of the files of a format; `memory` is the most that one took, in bytes."""

    read: int
    refused: int
    failures: list[Failure]
    slowest: float
    memory: int


def damaged(form: Format, files: dict[str, bytes], seed: int) -> tuple[str, str, bytes]:
    """The damage of a seed, the name of a file and what it holds then; damages come in turns."""
    rng, damage = Random(seed), form.damages[seed % len(form.damages)]
    name, other = (rng.choice(sorted(files)) for _ in range(2))
    return damage.__name__, name, damage(rng, files[name], files[other])


def battery(form: Format, seeds: Sequence[int], seconds: float = SECONDS) -> Outcome:
    """What comes of the files of these seeds.

    Raises:
        RuntimeError: the whole files cannot be read.
    """
    cases: list[Case] = []
    while len(cases) < len(seeds):  # a process ends at a file that hangs, kills or fills it
        cases += _in_a_process(form, seeds[len(cases) :], seconds)
    return Outcome(
        read=sum(not case.refused and case.failure is None for case in cases),
        refused=sum(case.refused for case in cases),
        failures=[case.failure for case in cases if case.failure],
        slowest=max(case.seconds for case in cases),
        memory=max(case.memory for case in cases),
    )


def whole_files(form: Format, folder: Path) -> dict[str, bytes]:
    """Write the whole files of a format and those beside them into a new folder."""
    folder.mkdir()
    files = form.make()
    for name, content in {**form.beside, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return files


class Case(NamedTuple):
    """What came of one file."""

    failure: Failure | None = None
    refused: bool = False
    seconds: float = 0.0
    memory: int = 0


def _in_a_process(form: Format, seeds: Sequence[int], seconds: float) -> Iterator[Case]:
    context = multiprocessing.get_context("fork")  # torch is imported once
    receiver, sender = context.Pipe(duplex=False)
    with TemporaryDirectory() as folder:
        child = context.Process(target=_read_all, args=(form, seeds, Path(folder), sender))
        child.start()
        sender.close()
        try:
            for _ in seeds:
                about = _received(receiver)
                if about is None:
                    raise RuntimeError("a file that is whole was not read")
                if not receiver.poll(seconds):
                    yield Case(Failure(*about, f"took more than {seconds:g} s"), seconds=seconds)
                    return
                if (case := _received(receiver)) is None:
                    yield Case(Failure(*about, "the process died"))
                    return
                yield case
        finally:
            child.kill()
            child.join()


def _received(receiver: Connection) -> Any:
    with contextlib.suppress(EOFError):
        return receiver.recv()


def _read_all(form: Format, seeds: Sequence[int], folder: Path, sender: Connection) -> None:
    torch.set_num_threads(1)
    files = whole_files(form, folder / "files")
    for name in files:
        with _quiet():
            form.read(folder / "files" / name)
        shutil.rmtree(folder / "files" / OUT, ignore_errors=True)
    _bound_memory()
    for seed in seeds:
        damage, name, content = damaged(form, files, seed)
        path = folder / "files" / name
        path.write_bytes(content)
        sender.send((seed, damage, name))
        most, before = form.memory + TIMES * len(content), _peak(anew=True)
        began = time.perf_counter()
        refused, *wrong = _attempt(form, path, folder)
        seconds = time.perf_counter() - began
        memory = _peak() - before
        if memory > most and not wrong:
            refused, wrong = False, [f"took more than {most >> 20} MiB"]
        failure = Failure(seed, damage, name, *wrong) if wrong else None
        sender.send(Case(failure, refused, seconds, memory))
        path.write_bytes(files[name])


def _bound_memory() -> None:
    if sys.platform == "linux":
        bound = psutil.Process().memory_info().vms + BACKSTOP
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on the terminal, also from C."""
    kept = [os.dup(1), os.dup(2)]
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            os.dup2(null, stream)
        yield
    finally:
        for stream, own in enumerate(kept, start=1):
            os.dup2(own, stream)
        for stream in (null, *kept):
            os.close(stream)


def _peak(anew: bool = False) -> int:
    """Bytes that this process has held at most; on Linux since this was called `anew`, so that a
    file that takes much hides none after it."""
    if anew and sys.platform == "linux":
        with contextlib.suppress(OSError):  # some kernels have no such file
            Path("/proc/self/clear_refs").write_text("5")
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _attempt(form: Format, path: Path, folder: Path) -> tuple:
    """Whether a file is refused and, where it is a failure, its kind and the error's words."""
    before, refused = set(folder.rglob("*")), False
    try:
        with _quiet():
            form.read(path)
    except UserError as error:
        if not (_names(path, str(error)) or (form.tree and _leads(folder, str(error)))):
            return False, "refused without the file's name", reason(error)
        refused = True
    except BaseException as error:  # some libraries panic
        return False, f"{type(error).__name__} at {_place(error)}", reason(error)
    finally:
        left = _removed(set(folder.rglob("*")) - before)
    out = folder / "files" / OUT
    left = [new for new in left if refused or out not in (new, *new.parents)]
    return (False, "left files", ", ".join(new.name for new in left)) if left else (refused,)


def _removed(paths: set[Path]) -> list[Path]:
    """The paths, deepest first, which are gone now."""
    deepest_first = sorted(paths, reverse=True)
    for path in deepest_first:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    return deepest_first


def _names(path: Path, message: str) -> bool:
    """Whether a message names a file, or its folder and the image that it is of."""
    of_folder = message.startswith(f"{path.parent} ") and path.stem in message
    return path.name in message or of_folder


def _leads(folder: Path, message: str) -> bool:
    """Whether a message names a file below a folder, or a picture by the path that a line gives."""
    return f"{folder}{os.sep}" in message or message.startswith(("image ", "mask "))


def _place(error: BaseException) -> str:
    """The last line of camloc, or of ours, in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    inner = [frame for frame in own if "camloc" in Path(frame.filename).parts] or own
    return f"{Path(inner[-1].filename).name}:{inner[-1].lineno} {inner[-1].name}"
