"""The notebooks as stages of the pipeline, run by papermill."""

import json
import os
import pprint
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import papermill
import psutil
from papermill.exceptions import PapermillExecutionError
from papermill.translators import PythonTranslator, papermill_translators
from traitlets.config import Config

from camloc.core.errors import Stopped, UserError, near_matches, reason
from camloc.core.params import Params
from camloc.core.paths import EXECUTED, FOLDER, Study, repository_root
from camloc.core.signals import on_signals
from camloc.pipeline.fingerprints import STAGES, of_notebook
from camloc.pipeline.parameters import PORTABLE, ReportParameters, threads_of
from camloc.pipeline.provenance import children_cost, provenance

# glibc would give the memory of a network's maps back to the system after each layer, which costs
# pretrained networks half of their speed on a processor; so it is kept for the next layer.
KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**30)}


class Readable(PythonTranslator):
    """Parameters as people read them: a key a line, where papermill would write one long line."""

    @classmethod
    def translate(cls, value: object) -> str:
        return pprint.pformat(value, indent=1, width=88, sort_dicts=False)


papermill_translators.register("python", Readable)


def injected(notebook: str, params: Params, network: str | None) -> dict:
    """What papermill injects into a notebook: where its study lies, and its stage's parameters."""
    given = of_notebook(notebook).given
    if "network" in given.model_fields and network is None:
        raise UserError(f"{notebook} runs for one network at a time; give --network")
    values = {"folder": FOLDER, "given": given.of(params, network).model_dump(mode="json")}
    more = {"reports": "reports"} if given is ReportParameters else {"network": network}
    return values | {name: value for name, value in more.items() if value is not None}


def run_notebook(notebook: str, params: Params, network: str | None) -> Path:
    """Execute a notebook and keep the executed copy under reports/notebooks.

    Returns:
        The executed notebook. It takes its place only when every cell has run; what a failed run
        leaves is kept beside it as `*.failed.ipynb`.

    Raises:
        UserError: an unknown notebook or network, or whatever the notebook refused.
    """
    root = repository_root()
    source = root / "notebooks" / f"{notebook}.ipynb"
    known = {stage.notebook for stage in STAGES.values() if stage.notebook}
    if notebook not in known or not source.is_file():
        raise UserError(f"no notebook {source}{near_matches(notebook, known)}")
    values = injected(notebook, params, network)
    target = root / EXECUTED / f"{notebook}{f'-{network}' if network else ''}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    costs = Study(root / FOLDER).costs(network) if notebook == "03_cams" else None
    _execute(source, target, values, root, params, costs)
    return target


def _execute(
    source: Path, target: Path, values: dict, root: Path, params: Params, costs: Path | None
) -> None:
    """`costs` is a file that tells of the costs of methods."""
    partial = target.with_suffix(".failed.ipynb")
    about = provenance(root) | {"threads": threads_of(params), "portable": params.portable}
    try:
        with (
            _own_settings(threads_of(params), params.portable) as folder,
            _stopping_kernels() as asked,
        ):
            notebook = papermill.execute_notebook(
                str(source),
                str(partial),
                parameters=values,
                kernel_name="python3",
                cwd=str(root),
                progress_bar=False,
                shutdown_kernel="immediate",  # what it made is written when its last cell ends
                stdout_file=sys.stdout,  # a line an epoch
                # Its log has nothing for people: that it uses TCP, that it was asked to end.
                extra_arguments=["--log-level=CRITICAL"],
                config=_connection(folder),
            )
    except PapermillExecutionError as error:
        refusals = {kind.__name__: kind for kind in (UserError, Stopped)}
        if error.ename in refusals:
            partial.unlink()
            raise refusals[error.ename](error.evalue) from None
        if error.ename == "OSError" and (found := re.match(r"\[Errno (\d+)\]", error.evalue)):
            raise OSError(int(found[1]), error.evalue) from error
        raise
    except RuntimeError as error:  # what a kernel's death is told by, also at its start
        partial.unlink(missing_ok=True)
        if asked.is_set():
            raise Stopped(f"{source.stem} was stopped; it had nothing to keep") from None
        raise UserError(
            f"the process of {source.stem} died ({reason(error)}), often for want of memory: "
            "smaller batches and fewer machine.workers in params.yaml need less; run again to go on"
        ) from None
    seconds, memory = children_cost()
    cost = {"processor_seconds": round(seconds, 1), "peak_memory_mib": round(memory)}
    if costs and costs.is_file():
        cost["methods"] = json.loads(costs.read_text(encoding="utf-8"))
    notebook.metadata["camloc"] = about | cost
    nbformat.write(notebook, partial)
    partial.replace(target)


def _connection(folder: str) -> Config:
    """Kernels are reached by sockets that are files: a TCP port is chosen before it is taken, and
    two kernels that start together may choose the same one."""
    longest = 80  # of a folder, since a system allows a socket's path about 100 characters
    if os.name != "posix" or len(folder) > longest:
        return Config()
    file = str(Path(folder) / "kernel.json")  # the sockets lie beside it
    return Config(KernelManager={"transport": "ipc", "connection_file": file})


@contextmanager
def _own_settings(threads: int, portable: bool) -> Iterator[str]:
    """The environment of a kernel: the study's threads and instructions, and nothing that a user
    set up for their own notebooks (kernels, IPython's profile and start-up files); gives a folder
    of its own."""
    for variable in ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONSTARTUP"):
        os.environ.pop(variable, None)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if portable:
        os.environ |= PORTABLE
    for variable, value in KEPT_MEMORY.items():
        os.environ.setdefault(variable, value)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ["TQDM_DISABLE"] = "1"  # bars are for people; the log has a line an epoch
    with TemporaryDirectory(prefix="camloc-") as folder:
        os.environ["IPYTHONDIR"] = folder
        yield folder


@contextmanager
def _stopping_kernels() -> Iterator[threading.Event]:
    """Pass SIGTERM and Ctrl-C on as SIGTERM, also to a kernel that starts only later: kernels are
    in sessions of their own, which a terminal does not reach. The event tells that one came."""
    asked, over = threading.Event(), threading.Event()

    def stop() -> None:
        stopped = set()
        while not over.wait(0.1):
            for child in set(psutil.Process().children()) - stopped:
                stopped.add(child)
                with suppress(psutil.NoSuchProcess):
                    child.terminate()

    def ask() -> None:
        if not asked.is_set():
            asked.set()
            threading.Thread(target=stop, daemon=True).start()

    with on_signals(ask, signal.SIGINT):
        try:
            yield asked
        finally:
            over.set()
