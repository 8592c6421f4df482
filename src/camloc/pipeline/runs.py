"""The training runs of a network: each stage does its work for every run, and no run's twice."""

import hashlib
import io
import json
import multiprocessing
import os
import shutil
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from camloc.core.errors import Stopped, UserError
from camloc.core.files import locked, remove_abandoned, sha256_of, write_text
from camloc.core.params import Params
from camloc.core.paths import Study, repository_root
from camloc.core.signals import end_with, on_signals
from camloc.core.threads import cores
from camloc.pipeline import fingerprints
from camloc.pipeline.parameters import StageParameters

MADE_BY = "made_by.json"  # in the folder that a run leaves, when it is whole

Work = Callable[[Study, StageParameters], object]
Task = tuple[Study, StageParameters]  # what a run's work is given


def each(
    work: Work,
    study: Study,
    given: StageParameters,
    left: Callable[[Study], Path],
    goes_on_from: Callable[[Study], Sequence[Path]],
    reads: Sequence[Path] = (),
) -> list[Study]:
    """Do `work(study, given)` of each of `given.seeds` training runs of a network.

    A run is not done again where what it left was made by the same code, parameters and files; of
    runs that are no longer asked for nothing stays. One that fails is told, and the others count.

    Args:
        work: of a module in `camloc.pipeline.stages`; does one run.
        left: the folder that a run leaves.
        goes_on_from: what the same run of the stages before left. A run that lacks it is left out:
            they told why.
        reads: files and folders that all runs are made from.

    Returns:
        The study of each run that is there.

    Raises:
        UserError: what the first run met, where none came to an end.
        Stopped: SIGTERM came.
    """
    stage = work.__module__.rpartition(".")[2]
    with locked(study.folder / "locks" / f"{stage}-{given.network}"):
        wanted = [study.of_run(run) for run in range(1, given.seeds + 1)]
        sources = {one.run: goes_on_from(one) for one in wanted}
        ready = [one for one in wanted if all(path.exists() for path in sources[one.run])]
        ready = ready or wanted[:1]  # whose work says what is missing
        folders = {one.run: left(one) for one in ready}
        _forget_others(left(study).parent, [*folders.values()])
        tasks, keys = {}, {}
        for one in ready:
            own = given.of_run(one.run)
            keys[one.run] = key_of(work, own, [*sources[one.run], *reads])
            if not _is_made(folders[one.run], keys[one.run]):
                (folders[one.run] / MADE_BY).unlink(missing_ok=True)
                tasks[one.run] = one, own
        done = partial(_note, folders, keys)
        failed = _do(work, tasks, done, runs_at_once(given, len(tasks)))
        if len(failed) == len(ready):
            raise failed[min(failed)]
        for run, error in failed.items():
            print(f"run {run} of {given.seeds} failed, the others count: {error}", flush=True)
            shutil.rmtree(folders[run], ignore_errors=True)
        return [one for one in ready if one.run not in failed]


def _note(folders: dict[int, Path], keys: dict[int, str], run: int) -> None:
    """Write into a run's folder what made it, and what it holds."""
    made = {"key": keys[run], "files": files_of(folders[run])}
    write_text(folders[run] / MADE_BY, json.dumps(made, indent=1))


def _do(work: Work, tasks: dict[int, Task], done: Callable[[int], None], at_once: int) -> dict:
    """Work on the tasks, in this process where one is done at a time; the errors of those that
    failed, by run."""
    if at_once > 1:
        return _in_processes(work, tasks, done, at_once)
    failed = {}
    for run, task in tasks.items():
        try:
            work(*task)
            done(run)
        except Stopped:
            raise
        except UserError as error:
            failed[run] = error
    return failed


def runs_at_once(given: StageParameters | Params, tasks: int) -> int:
    """How many runs go on at the same time."""
    machine = getattr(given, "machine", None)
    if machine is None or machine.nodes > 1 or tasks < 2:
        return 1
    if machine.at_once != "auto":
        return min(machine.at_once, tasks)
    import torch  # stages without a section `machine` do not need it

    devices = torch.cuda.device_count() if machine.device in ("auto", "cuda") else 0
    return min(max(1, devices or cores() // torch.get_num_threads()), tasks)


def _in_processes(
    work: Work, tasks: dict[int, Task], done: Callable[[int], None], at_once: int
) -> dict[int, UserError]:
    """Each task in a process of its own, on a device of its own where there are several."""
    import torch

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    threads, devices = torch.get_num_threads(), max(1, torch.cuda.device_count())
    waiting, working, failed, stop = list(tasks), {}, {}, threading.Event()

    def end() -> None:
        stop.set()
        for _, process, _ in working.values():
            process.terminate()

    with on_signals(end):
        while working or (waiting and not stop.is_set()):
            while waiting and len(working) < at_once and not stop.is_set():
                run = waiting.pop(0)
                busy = {device for _, _, device in working.values()}
                device = min(set(range(devices)) - busy, default=run % devices)
                told, tell = context.Pipe(duplex=False)
                process = context.Process(
                    target=_alone, args=(work, *tasks[run], threads, device, tell)
                )
                process.start()
                tell.close()  # so that its end is noticed here
                working[told] = run, process, device
            for told in wait(list(working)):
                run, process, _ = working[told]
                if not _has_ended(told, run, process, failed):
                    continue
                del working[told]
                if run not in failed:
                    done(run)
                elif isinstance(failed[run], Stopped):
                    end()
    if stop.is_set():
        stopped = (error for error in failed.values() if isinstance(error, Stopped))
        raise next(stopped, Stopped("stopped by SIGTERM; runs that are over are kept"))
    return failed


def _has_ended(
    told: Connection, run: int, process: BaseProcess, failed: dict[int, UserError]
) -> bool:
    """Whether a run's process has ended, by the next that it tells: a line that it printed, or how
    it ended, of which an error is noted.

    Raises:
        RuntimeError: a mistake of ours; has the process's traceback.
    """
    try:
        kind, text = told.recv()
    except EOFError:
        process.join()
        kind, text = "UserError", f"its process died (exit code {process.exitcode})"
    if kind == "line":
        print(f"run {run}: {text}", flush=True)
        return False
    process.join()
    if kind == "error":
        raise RuntimeError(f"run {run} failed:\n{text}")
    if kind != "done":
        failed[run] = {"Stopped": Stopped}.get(kind, UserError)(text)
    return True


class _Lines(io.TextIOBase):
    """A standard output whose lines are sent."""

    def __init__(self, tell: Connection) -> None:
        self.tell, self.begun = tell, ""

    def write(self, text: str) -> int:
        *lines, self.begun = f"{self.begun}{text}".split("\n")
        for line in lines:
            self.tell.send(("line", line))
        return len(text)


def _alone(
    work: Work, study: Study, given: StageParameters, threads: int, device: int, tell: Connection
) -> None:
    """One run in this process, on the CUDA device of that number; tells how it ended."""
    import torch

    end_with(os.getppid())
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(device)
    alone = given.machine.model_copy(update={"devices": 1})
    try:
        with redirect_stdout(_Lines(tell)):
            work(study, given.model_copy(update={"machine": alone}))
        tell.send(("done", ""))
    except UserError as error:
        tell.send((type(error).__name__, str(error)))
    except Exception:
        tell.send(("error", traceback.format_exc()))


def _forget_others(folder: Path, kept: list[Path]) -> None:
    """Remove what runs left that are not asked for, and what killed ones were writing."""
    remove_abandoned(folder, *kept)
    for path in set(folder.glob("run-*")) - set(kept):
        shutil.rmtree(path)


def _is_made(folder: Path, key: str) -> bool:
    """Whether a folder says that it was made by this, and holds what it held then."""
    try:
        made = json.loads((folder / MADE_BY).read_text(encoding="utf-8"))
        return made["key"] == key and made["files"] == files_of(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def files_of(folder: Path) -> dict[str, str]:
    """A digest of each file in a folder, by its name there."""
    every = (path for path in folder.rglob("*") if path.is_file() and path.name != MADE_BY)
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(every)}


def key_of(work: Work, given: StageParameters, reads: Sequence[Path]) -> str:
    """A digest of all that a run's result depends on, its stage's code among it."""
    stage = fingerprints.STAGES[work.__module__.rpartition(".")[2]]
    root, file = repository_root(), given.weights_file()
    code = fingerprints.of_code(stage, root)
    return digest([code, given.deciding()], [*reads, *([root / file] if file else [])])


def digest(told: object, reads: Sequence[Path]) -> str:
    """A SHA-256 of a value that JSON can hold and of the contents of files and folders."""
    hashed = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for path in reads:
        files = [path] if path.is_file() else sorted(filter(Path.is_file, path.rglob("*")))
        for file in files:
            hashed.update(bytes.fromhex(sha256_of(file)))
    return hashed.hexdigest()
