"""Several processes at one training or at the maps of one network, started by torchrun.

By hand, on each machine of a shared folder (see docs/devices.md for Slurm):

    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
        -m camloc.pipeline.launch train --network vgg16-gap

The pipeline does the same by `run` where params.yaml asks for more than one device.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import distributed as dist

from camloc.core import params
from camloc.core.errors import Stopped, UserError
from camloc.core.paths import FOLDER, Study, repository_root
from camloc.core.signals import end_with, on_signals
from camloc.pipeline.parameters import (
    MapsParameters,
    StageParameters,
    TrainParameters,
    threads_of,
)

RENDEZVOUS = "CAMLOC_RENDEZVOUS"  # host:port of the first of several machines
STARTER = "CAMLOC_STARTER"  # the process that started torchrun, where that is on this machine


def devices_here(device: str, devices: int | str) -> int:
    """How many devices of this machine work, each with a process of its own.

    Args:
        device: as in params.yaml.
        devices: their number on each machine; `auto` is all CUDA devices, or one otherwise.

    Raises:
        UserError: more devices are asked for than there are.
    """
    cuda = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if devices == "auto":
        return max(1, cuda)
    if cuda and devices > cuda:
        raise UserError(
            f"params.yaml: machine.devices: {devices}, but this machine has {cuda}; use auto"
        )
    apple = device == "mps" or (device == "auto" and torch.backends.mps.is_available())
    if devices > 1 and apple and not cuda:
        raise UserError(f"params.yaml: machine.devices: {devices}, but mps is one device; use 1")
    return devices


def run(
    work: Callable[[Study, StageParameters], None], study: Study, given: StageParameters
) -> None:
    """Do `work(study, given)` on as many devices as asked for, each with a process of its own.

    Args:
        work: of a module in `camloc.pipeline.stages`; does its part (see `processes.share`). With
            one device it runs in this process.
        given: `given.machine` says on what it runs.

    Raises:
        UserError: what a process refused, or that one of them died.
        Stopped: SIGTERM came.
    """
    machine = given.machine
    here = devices_here(machine.device, machine.devices)
    if here * machine.nodes == 1:
        work(study, given)
    else:
        threads = max(1, torch.get_num_threads() // here)  # more would crowd each other
        stage = work.__module__.rpartition(".")[2]
        task = given.model_dump(mode="json")
        _launch(stage, study, task, torchrun(here, machine.nodes), threads)


def _launch(stage: str, study: Study, task: dict, torchrun: list[str], threads: int) -> None:
    """Start the processes, print what they print, wait for their end, and raise what they recorded
    in torch's error files.

    In a Slurm job those of all machines are started; elsewhere those of this one, and the others
    take part by torchrun by hand.
    """
    asked = threading.Event()
    with TemporaryDirectory(prefix=".torchrun-", dir=study.folder) as folder:  # all machines see it
        command = [*torchrun, f"--log-dir={folder}", "-m", __spec__.name, stage]
        command += ["--folder", str(study.folder), "--task", json.dumps(task)]
        code = _run(command, Path(folder) / "stderr", asked, threads)
        recorded = sorted(map(_recorded, Path(folder).rglob("error.json")))
        last = (Path(folder) / "stderr").read_text("utf-8", "replace").splitlines()[-12:]
    for kind in (UserError, Stopped):  # others may only have lost the one that refused
        for _, message, _ in (error for error in recorded if error[1].startswith(kind.__name__)):
            raise kind(message.partition(": ")[2])
    if code and asked.is_set():
        raise Stopped(f"{stage} was stopped by SIGTERM")
    if recorded:
        raise RuntimeError(f"a process of {stage} failed:\n{recorded[0][2]}")
    if code:
        raise UserError(
            f"a process of {stage} died (torchrun ended with {code}); run again to go on from the "
            "last checkpoint. Its last lines:\n" + "\n".join(last)
        )


def _recorded(path: Path) -> tuple[int, str, str]:
    """When an exception came, its type and message, and its traceback."""
    told = json.loads(path.read_text(encoding="utf-8"))["message"]
    return int(told["extraInfo"]["timestamp"]), told["message"], told["extraInfo"]["py_callstack"]


def torchrun(devices: int, nodes: int) -> list[str]:
    """The command that starts `devices` processes on each of `nodes` machines.

    Raises:
        UserError: there are several machines and nothing says where they meet.
    """
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={devices}"]
    if nodes == 1:
        return [*command, "--standalone"]
    if RENDEZVOUS not in os.environ:
        raise UserError(
            f"params.yaml: machine.nodes: {nodes} needs the variable {RENDEZVOUS}=host:port of "
            "a machine that all reach; see docs/devices.md"
        )
    job = os.environ.get("SLURM_JOB_ID")
    meeting = [
        f"--nnodes={nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={os.environ[RENDEZVOUS]}",
        f"--rdzv-id={job or 'camloc'}",
    ]
    return [*(_srun(nodes) if job else []), *command, *meeting]


def _srun(nodes: int) -> list[str]:
    """One task on each machine of a Slurm job, with all the cores that the job has there."""
    command = ["srun", f"--nodes={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    cores = os.environ.get("SLURM_CPUS_PER_TASK")  # which srun itself no longer heeds
    return [*command, f"--cpus-per-task={cores}"] if cores else command


def _run(command: list[str], errors: Path, asked: threading.Event, threads: int) -> int:
    """Print what a command prints, and pass SIGTERM on to it, which sets `asked`."""
    # Seconds that torchrun leaves to its processes; saving a large network may take more than 30.
    environment = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "120"} | os.environ
    environment["OMP_NUM_THREADS"] = str(threads)
    if command[0] != "srun":
        environment[STARTER] = str(os.getpid())
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment
        ) as process,
        on_signals(lambda: (asked.set(), process.terminate())),
    ):
        for line in process.stdout:
            print(line, end="", flush=True)
    return process.returncode


def main() -> None:
    """One process of a stage, as torchrun starts it."""
    parser = argparse.ArgumentParser(prog="camloc.pipeline.launch", description=__doc__)
    parser.add_argument("stage", choices=("train", "maps"))
    parser.add_argument("--folder", type=Path, help="the study's; data where it is left out")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--network", help="a name among the originals or models of params.yaml")
    what.add_argument("--task", type=json.loads, help="what `run` was given, as JSON")
    options = parser.parse_args()
    if STARTER in os.environ:
        end_with(int(os.environ[STARTER]))
    # Not imported above, since every stage imports this module.
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    work = importlib.import_module(f"camloc.pipeline.stages.{options.stage}").work
    kind = {"train": TrainParameters, "maps": MapsParameters}[options.stage]
    try:
        given = kind(**options.task) if options.task else _declared(kind, options.network)
        join(given.machine.device)
        work(Study(options.folder or repository_root() / FOLDER), given)
    except Exception as error:
        get_error_handler().record_exception(error)
        expected = isinstance(error, UserError)
        message = str(error) if expected else traceback.format_exc()
        print(f"camloc: {message}", file=sys.stderr, flush=True)
        # At once: the others may be waiting for this process, and leaving them waits for them.
        os._exit(error.exit_code if expected else 1)
    dist.destroy_process_group()


def _declared(kind: type[StageParameters], network: str) -> StageParameters:
    """A stage's parameters as params.yaml has them."""
    declared = params.load(repository_root() / "params.yaml")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    torch.set_num_threads(max(1, threads_of(declared) // processes))
    return kind.of(declared, network)


def join(device: str) -> None:
    """Meet the other processes of torchrun; each takes the device of its own number there."""
    if device != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl")
    else:
        dist.init_process_group("gloo")


if __name__ == "__main__":
    main()
