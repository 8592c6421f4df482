"""What a run of the pipeline comes to when something goes wrong in it: nothing may be lost.

Run with `python benchmarks/faults.py`; it ends with 1 where a promise of docs/reliability.md was
broken. The smoke study runs in a copy of the working tree, as `make repro` runs it. Runs are killed
at random moments, in every way, until each study has come to its end; then each other fault meets
a finished study. Full and read-only disks need Linux and root, which mounts them; they are skipped
without. Takes about an hour on 2 CPU cores; `--kills 12 --only kills` takes minutes.
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from camloc.core.signals import is_at_work
from clone import Clone

LONGEST = 30.0  # seconds from a run's start to its kill
STAGE = r"^Running stage '(.+)':"  # as DVC prints it
GRACE = 30.0  # seconds that processes have to end after it


class Broken(Exception):
    """A promise that did not hold."""


class Run:
    """`make repro`, without the set-up, in a process group of its own."""

    def __init__(self, clone: Clone) -> None:
        checked = clone.run("camloc", "check", "--keys")
        self.refused = checked.stderr if checked.returncode else ""
        self.log = clone.folder / ".dvc" / "tmp" / "faults.log"
        self.root = clone.start("dvc", "repro", log=self.log)
        self.seen = {self.root}

    def watch(self, seconds: float) -> bool:
        """Note its processes for a time; whether it goes on then."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.root.poll() is None:
            self.note()
            time.sleep(0.1)
        return self.root.poll() is None

    def note(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self.seen |= set(self.root.children(recursive=True))

    def named(self, word: str) -> list[psutil.Process]:
        """Its processes that have a word in their command line."""
        self.note()
        found = []
        for process in self.seen - {self.root}:
            with contextlib.suppress(psutil.Error):
                found += [process] if any(word in part for part in process.cmdline()) else []
        return found

    def end(self) -> str:
        """Wait until all of its processes are gone; what it printed.

        Raises:
            Broken: some go on.
        """
        end = time.monotonic() + GRACE
        while (alive := [one for one in self.seen if is_at_work(one)]) and time.monotonic() < end:
            self.note()
            time.sleep(0.2)
        for one in alive:
            one.kill()
        if alive:
            raise Broken(f"{len(alive)} processes went on after {GRACE:g} s: {alive}")
        self.root.wait()
        return self.printed

    @property
    def printed(self) -> str:
        return self.log.read_text("utf-8", "replace")


def _kill_tree(run: Run) -> None:
    run.note()
    for process in [run.root, *(run.seen - {run.root})]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _kill_one(word: str) -> Callable[[Run], None]:
    """SIGKILL for the first process with a word in its command line, as soon as there is one."""

    def kill(run: Run) -> None:
        while not (found := run.named(word)) and run.watch(0.2):
            continue
        for process in found[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        run.watch(GRACE)  # the others end it, or go on where that process was done

    return kill


def _interrupt(run: Run) -> None:
    """Ctrl-C, and once more where nothing came of it, as a person would."""
    for _ in range(2):
        if run.root.poll() is None:
            os.killpg(run.root.pid, signal.SIGINT)
            run.watch(GRACE / 2)


KILLS: dict[str, Callable[[Run], None]] = {
    "SIGKILL of all": _kill_tree,
    "SIGKILL of DVC": lambda run: run.root.kill(),
    "SIGKILL of the kernel": _kill_one("ipykernel_launcher"),
    "SIGKILL of the stage": _kill_one("camloc"),
    "SIGTERM": lambda run: run.root.terminate(),
    "Ctrl-C": _interrupt,
}


class Study:
    """Copies of the working tree with the smoke study, and what it comes to undisturbed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.copies = folder, 0
        (folder / "source").mkdir()
        self.source = Clone.of_working_tree(folder / "source")  # which may change meanwhile
        self.whole = self.new()
        self.whole.repro()
        self.metrics, self.hashes = self.whole.metrics(), self.whole.hashes()

    def new(self, finished: bool = False) -> Clone:
        """A copy with nothing run yet, or with all."""
        self.copies += 1
        own = self.folder / f"copy-{self.copies}"
        shutil.copytree((self.whole if finished else self.source).folder, own, symlinks=True)
        return Clone(own)

    def check(self, clone: Clone) -> None:
        """Raises `Broken` unless a finished study is what it would be undisturbed."""
        if clone.metrics() != self.metrics:
            raise Broken("other metrics.json")
        found = clone.hashes()
        if other := [path for path in self.hashes if found.get(path) != self.hashes[path]]:
            raise Broken(f"not the same bit by bit: {', '.join(other)}")
        parts = [
            path for kind in ("camloc-new", "camloc-old", "parts") for path in _left(clone, kind)
        ]
        parts += [path for path in _left(clone, "ipynb") if ".failed." in path.name]
        if parts:
            raise Broken(f"left behind: {', '.join(path.name for path in parts)}")


def _left(clone: Clone, kind: str) -> list[Path]:
    return [p for top in ("data", "reports") for p in (clone.folder / top).rglob(f"*.{kind}")]


def again(printed: str) -> set[str]:
    return set(re.findall(STAGE, printed, re.MULTILINE)) - {"prepare"}


def complete(study: Study, clone: Clone) -> str:
    """Run to the end, undisturbed, and check; what it printed."""
    run = Run(clone)
    if run.watch(600):
        raise Broken("the run takes more than ten minutes")
    printed = run.end()
    if run.root.returncode or run.refused:
        raise Broken(f"the next run failed: {run.refused or printed[-800:]}")
    study.check(clone)
    return printed


def killed(study: Study, kills: int, rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """Kill runs until there were so many, each going on from where the one before was killed; the
    kind of each kill, the stage that it met, and what was broken, if anything."""
    clone, done = study.new(), 0
    while done < kills:
        kind = list(KILLS)[done % len(KILLS)]
        before, stage, broken = set(clone.lock()), "", ""
        try:
            run = Run(clone)
            if run.refused:
                raise Broken(f"refused: {run.refused}")
            if run.watch(rng.uniform(0.5, LONGEST)):
                stage = ["DVC's start", *re.findall(STAGE, run.printed, re.MULTILINE)][-1]
                KILLS[kind](run)
                done += 1
            printed = run.end()
            if lost := before & again(printed):
                raise Broken(f"stages that were finished ran again: {', '.join(sorted(lost))}")
            if run.root.returncode == 0:
                study.check(clone)
                clone = study.new()
            elif "Traceback" in printed:
                raise Broken(f"a traceback: …{printed[-900:]}")
        except Broken as error:
            broken = str(error)
            clone = study.new()
        if stage or broken:
            yield kind, stage, broken
    try:
        complete(study, clone)
    except Broken as error:
        yield kind, "the end", str(error)


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[str], None]]:
    """A disk of so many bytes in a folder's place, with what the folder holds; gives a function
    that mounts it anew with other options."""
    kept = folder.with_name(folder.name + ".kept")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, kept)
    _mount("-t", "tmpfs", "-o", f"size={size}", "camloc-faults", str(folder))
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        shutil.rmtree(kept)
        yield lambda options: _mount("-o", f"remount,{options}", str(folder))
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def full_disk(study: Study, place: str) -> None:
    """Half the room that the study needs; then enough."""
    need, clone = _size(study.whole.folder / place), study.new()
    with small_disk(clone.folder / place, need // 2) as mount:
        _fails(clone)
        mount("size=4g")
        complete(study, clone)


def read_only(study: Study, place: str) -> None:
    clone = study.new(finished=True)
    clone.edit("boxes", "threshold", value=0.3)
    with small_disk(clone.folder / place, 4 << 30) as mount:
        mount("ro")
        _fails(clone)
        mount("rw")
        clone.edit("boxes", "threshold", value=0.2)
        complete(study, clone)


def _fails(clone: Clone) -> None:
    """Raises `Broken` unless a run ends with a message and without a traceback of ours."""
    run = Run(clone)
    if run.refused:
        _kill_tree(run)
        run.end()
        return
    run.watch(600)
    printed = run.end()
    if run.root.returncode == 0:
        raise Broken("the run did not notice")
    if "Traceback" in printed:
        raise Broken(f"a traceback: …{printed[-900:]}")


def two_at_once(study: Study) -> None:
    """The second waits or refuses, and the first goes on."""
    clone = study.new()
    first = Run(clone)
    first.watch(6)
    second = Run(clone)
    second.watch(600)
    first.watch(600)
    if first.root.returncode:
        raise Broken(f"the first failed: {first.printed[-500:]}")
    complete(study, clone)


def flipped_outputs(study: Study) -> None:
    """One byte in the middle of a file of every kind."""
    clone = study.new(finished=True)
    names = ["networks/googlenet/run-1/weights.safetensors", "manifest/images.parquet"]
    names += ["surgery/googlenet-gap/run-1/network.safetensors", "truth/boxes.parquet"]
    names += ["predictions/googlenet-gap/run-1/test/cam.npy", "fingerprints/data.json"]
    names += ["evaluation/googlenet-gap/run-1/images.parquet"]
    for name in names:
        if (path := clone.folder / "data" / name).is_file():
            _flip(path)
        else:
            raise Broken(f"no {path}: correct this benchmark")
    _flip(clone.folder / "reports" / "metrics.json")
    complete(study, clone)


def flipped_cache(study: Study) -> None:
    """A byte in every file of the cache, and outputs that are gone and would come from there."""
    clone = study.new(finished=True)
    for path in (clone.folder / ".dvc" / "cache").rglob("*"):
        if path.is_file() and path.stat().st_size:
            _flip(path)
    for name in ("networks/googlenet-gap", "predictions/googlenet", "manifest"):
        shutil.rmtree(clone.folder / "data" / name)
    complete(study, clone)


def _flip(path: Path) -> None:
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def clock_set_back(study: Study) -> None:
    """Everything that is there is a day younger than now."""
    clone = study.new(finished=True)
    tomorrow = time.time() + 86400
    for path in clone.folder.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (tomorrow, tomorrow))
    clone.edit("seed", value=2)
    complete_other(clone)
    clone.edit("seed", value=1)
    complete(study, clone)


def complete_other(clone: Clone) -> None:
    run = Run(clone)
    run.watch(600)
    printed = run.end()
    if run.root.returncode:
        raise Broken(f"a run failed: {printed[-500:]}")


def vanished_data(study: Study) -> None:
    """The folder `data` goes in the middle of a run, and later all that a finished one left."""
    clone = study.new()
    run = Run(clone)
    while len(clone.lock()) < 4 and run.watch(0.2):
        continue
    shutil.rmtree(clone.folder / "data", ignore_errors=True)
    run.watch(600)
    run.end()
    complete(study, clone)
    shutil.rmtree(clone.folder / "data")
    if made := again(complete(study, clone)):
        raise Broken(f"not brought back from the cache: {', '.join(sorted(made))}")


def faults() -> dict[str, Callable[[Study], None]]:
    found: dict[str, Callable[[Study], None]] = {}
    for place in ("data", ".dvc/cache", "reports"):
        found[f"full disk: {place}"] = lambda study, place=place: full_disk(study, place)
        found[f"read-only: {place}"] = lambda study, place=place: read_only(study, place)
    return found | {
        "two runs at once": two_at_once,
        "flipped bytes in outputs": flipped_outputs,
        "flipped bytes in the cache": flipped_cache,
        "clock set back": clock_set_back,
        "vanished data": vanished_data,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=102, help="how many (102)")
    parser.add_argument("--seed", type=int, default=1, help="of their moments")
    parser.add_argument("--only", help="kills, others, or the faults with this in their name")
    options = parser.parse_args()
    failed = 0
    with TemporaryDirectory(prefix="camloc-faults-") as folder:
        study = Study(Path(folder))
        if options.only in (None, "kills"):
            found = []
            for kind, stage, broken in killed(study, options.kills, random.Random(options.seed)):
                found.append((kind, stage))
                failed += bool(broken)
                outcome = f"BROKEN: {broken}" if broken else "nothing lost"
                print(f"{kind:22} in {stage:32} {outcome}", flush=True)
            for name, count in Counter(kind for kind, _ in found).items():
                print(f"{name:30} {count:4} kills", flush=True)
            for name, count in Counter(stage.partition("@")[0] for _, stage in found).items():
                print(f"  in {name:25} {count:4} kills", flush=True)
        for name, fault in faults().items():
            if options.only not in (None, "others") and options.only not in name:
                continue
            needs_root = name.startswith(("full", "read-only"))
            if needs_root and (sys.platform != "linux" or os.geteuid()):
                print(f"{name:30} skipped: needs Linux and root", flush=True)
                continue
            try:
                fault(study)
                print(f"{name:30} nothing lost", flush=True)
            except Broken as error:
                failed += 1
                print(f"{name:30} BROKEN: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
