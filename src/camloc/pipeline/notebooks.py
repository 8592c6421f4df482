"""The notebooks as stages of the pipeline: copies without outputs, run by papermill."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import papermill
import psutil
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from camloc.core.errors import Stopped, UserError, near_matches
from camloc.core.params import Params
from camloc.core.paths import EXECUTED, FOLDER, repository_root
from camloc.core.signals import on_signals
from camloc.pipeline.provenance import children_cost, provenance

STRIPPED = Path(FOLDER) / "notebooks"


def strip_notebooks() -> None:
    """Copy the notebooks to data/notebooks with nothing but what a person wrote in them.

    Outputs, counts, times, widgets and the version of Python go: saving a notebook in JupyterLab
    then changes no copy, and sends no training around again.
    """
    root = repository_root()
    (root / STRIPPED).mkdir(parents=True, exist_ok=True)
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        notebook.metadata = {"kernelspec": notebook.metadata.get("kernelspec", {})}
        for cell in notebook.cells:
            tags = cell.metadata.get("tags")
            cell.metadata = {"tags": tags} if tags else {}
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, root / STRIPPED / path.name)


def arguments(names: set[str], params: Params, network: str | None) -> dict:
    """The values of a notebook's parameters: sections of params.yaml, by name.

    Three names mean more than a section: `network` is the network's own name, `declaration` its
    entry among the models or originals, and `training` the recipe that applies to it.
    """
    tree = params.model_dump(mode="json")
    values = tree | {"folder": FOLDER, "reports": "reports"}
    if network is not None:
        values |= {
            "network": network,
            "declaration": params.network(network).model_dump(mode="json"),
            "training": params.training_of(network).model_dump(mode="json"),
        }
    if missing := {"network", "declaration"} & names - set(values):
        raise UserError(f"this notebook needs a {min(missing)}; give --network")
    return {name: values[name] for name in names}


def run_notebook(notebook: str, params: Params, network: str | None) -> Path:
    """Execute a notebook's stripped copy and keep the executed one under reports/notebooks.

    Returns:
        The executed notebook. It takes its place only when every cell has run; what a failed run
        leaves is kept beside it as `*.failed.ipynb`.

    Raises:
        UserError: an unknown notebook or network, or whatever the notebook refused.
    """
    root = repository_root()
    source = root / STRIPPED / f"{notebook}.ipynb"
    if not source.is_file():
        known = [path.stem for path in (root / "notebooks").glob("*.ipynb")]
        raise UserError(f"no notebook {source}{near_matches(notebook, known)}")
    names = set(papermill.inspect_notebook(str(source)))
    target = root / EXECUTED / f"{notebook}{f'-{network}' if network else ''}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    _execute(source, target, arguments(names, params, network), root, threads_of(params))
    return target


def _execute(source: Path, target: Path, values: dict, root: Path, threads: int) -> None:
    partial = target.with_suffix(".failed.ipynb")
    about = provenance(root) | {"threads": threads}
    asked = threading.Event()
    try:
        with (
            _own_settings(threads),
            on_signals(lambda: (asked.set(), _stop_kernels()), signal.SIGINT),
        ):
            notebook = papermill.execute_notebook(
                str(source),
                str(partial),
                parameters=values,
                kernel_name="python3",
                cwd=str(root),
                progress_bar=False,
                stdout_file=sys.stdout,  # a line an epoch
                # Its log has nothing for people: that it uses TCP, that it was asked to end.
                extra_arguments=["--log-level=CRITICAL"],
            )
    except PapermillExecutionError as error:
        refusals = {kind.__name__: kind for kind in (UserError, Stopped)}
        if error.ename in refusals:
            partial.unlink()
            raise refusals[error.ename](error.evalue) from None
        raise
    except DeadKernelError:
        partial.unlink(missing_ok=True)
        if asked.is_set():
            raise Stopped(f"{source.stem} was stopped; it had nothing to keep") from None
        raise UserError(
            f"the process of {source.stem} died (killed, often for want of memory: smaller batches "
            "and fewer loading.workers in params.yaml need less); run again to go on"
        ) from None
    seconds, memory = children_cost()
    cost = {"processor_seconds": round(seconds, 1), "peak_memory_mib": round(memory)}
    notebook.metadata["camloc"] = about | cost
    nbformat.write(notebook, partial)
    partial.replace(target)


def threads_of(params: Params) -> int:
    """How many threads a stage computes with, on which the last bits of its sums depend.

    `auto` is what OMP_NUM_THREADS says, else a thread for each core that this process may use.
    """
    if params.threads != "auto":
        return params.threads
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _own_settings(threads: int) -> Iterator[None]:
    """The environment of a kernel: the study's threads, and nothing that a user set up for their
    own notebooks (kernels, IPython's profile and start-up files)."""
    for variable in ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONSTARTUP"):
        os.environ.pop(variable, None)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ["TQDM_DISABLE"] = "1"  # bars are for people; the log has a line an epoch
    with TemporaryDirectory(prefix="camloc-") as folder:
        os.environ["IPYTHONDIR"] = folder
        yield


def _stop_kernels() -> None:
    """Pass SIGTERM on: kernels are in sessions of their own, which a terminal does not reach."""
    for child in psutil.Process().children():
        child.terminate()
