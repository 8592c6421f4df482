"""A clone of the repository in which the smoke study has run, for tests of the whole pipeline."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
from filelock import FileLock
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
OFFLINE = Path(__file__).parent / "offline"  # keeps Python from reaching other machines
CONNECTIONS = ".dvc/tmp/connections"  # in a clone: which of them it tried to reach
DECIDING = ("manifest", "surgery", "networks", "predictions", "evaluation")  # below data
OF_BOXES = {  # the smoke study's stages that an edit of its section `boxes` runs again
    "prepare",
    "originals-evaluate@googlenet",
    "evaluate@googlenet-gap",
    "evaluate@googlenet-gmp",
    "controls-evaluate@googlenet-control",
    "report",
    "render",
}
OF_GAP = {  # those that an edit of the line of its model googlenet-gap runs again
    "prepare",
    "surgery@googlenet-gap",
    "finetune@googlenet-gap",
    "cams@googlenet-gap",
    "evaluate@googlenet-gap",
    "report",
    "render",
}
SHARED = ROOT.parent / "shared"  # real pictures and cases, where a machine has them


class Clone:
    """A copy of the working tree with a Git and DVC repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of_working_tree(cls, folder: Path) -> "Clone":
        """The working tree as it is, declared as the smoke study."""
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\n")
        for name in filter(None, listed):
            if (ROOT / name).is_file() and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        shutil.copy(folder / "params" / "smoke.yaml", folder / "params.yaml")
        return cls(folder)

    def environment(self, program: str) -> dict[str, str]:
        """What a program runs in: the clone's own code, and no other machine in reach.

        Of DVC's stages no coverage is measured: their kernels are ended before they could write
        any, and would take half as long again.
        """
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        modules = f"{self.folder / 'src'}{os.pathsep}{OFFLINE}"
        own = {"PATH": path, "PYTHONPATH": modules}
        own["CAMLOC_CONNECTIONS"] = str(self.folder / CONNECTIONS)
        inherited = dict(os.environ)
        if program == "dvc":
            inherited.pop("COVERAGE_PROCESS_CONFIG", None)
        return inherited | own

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess:
        """Run a command with these variables in its environment, too."""
        environment = self.environment(command[0]) | variables
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )

    def start(self, *command: str, log: Path) -> psutil.Popen:
        """Begin a command, in a process group of its own; what it prints goes into a file."""
        environment = self.environment(command[0])
        options = {"cwd": self.folder, "env": environment, "start_new_session": True}
        with log.open("w") as file:
            return psutil.Popen(command, stdout=file, stderr=subprocess.STDOUT, **options)

    def repro(self) -> list[str]:
        """Run `dvc repro`; the names of the stages that ran."""
        done = self.run("dvc", "repro")
        self.said = done.stdout + done.stderr
        assert done.returncode == 0, self.said
        lines = done.stdout.splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage '")]

    def commit(self) -> None:
        author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        for command in (("add", "--all"), ("commit", "--quiet", "-m", "a run")):
            assert self.run("git", *author, *command).returncode == 0

    def edit(self, *path: str, value: object) -> None:
        yaml = YAML()
        tree = yaml.load(self.folder / "params.yaml")
        section = tree
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = value
        yaml.dump(tree, self.folder / "params.yaml")

    def hashes(self) -> dict[str, str]:
        """By DVC, the hash of what each finished stage left that decides the study's results."""
        outs = [out for stage in self.lock().values() for out in stage.get("outs", [])]
        return {out["path"]: out["md5"] for out in outs if out["path"].split("/")[1] in DECIDING}

    def lock(self) -> dict:
        """The finished stages, by their names, as dvc.lock has them."""
        path = self.folder / "dvc.lock"
        return YAML(typ="safe").load(path)["stages"] if path.is_file() else {}

    def metrics(self) -> dict:
        return json.loads((self.folder / "reports" / "metrics.json").read_text())


def finished_clone(shared: Path, own: Path) -> Clone:
    """A clone of one's own of the finished study, which is made once in a shared folder."""
    made = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if not made.is_dir():
            unfinished = Clone.of_working_tree(shared / "unfinished")
            unfinished.repro()
            unfinished.folder.rename(made)
    shutil.copytree(made, own, symlinks=True)
    return Clone(own)
