"""Where the files of a study lie."""

from dataclasses import dataclass, replace
from pathlib import Path

from camloc.core.errors import UserError

FOLDER = "data"  # of the study that the pipeline runs
EXECUTED = Path("reports") / "notebooks"
ABOUT = "about.json"  # in `reports`: what made a run's results
FINGERPRINTS = Path(FOLDER) / "fingerprints"
EVALUATED = ("val", "test")  # the splits that get predictions, maps and errors


def repository_root() -> Path:
    """The folder of dvc.yaml, in or above the working directory.

    Notebooks run in their own folder under JupyterLab and nbval, in the repository's under the
    pipeline, so nothing relies on the working directory.

    Raises:
        UserError: there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise UserError(f"no dvc.yaml in {here} or above it; work inside a clone of the repository")


@dataclass(frozen=True)
class Study:
    """The files that the stages of one study leave for each other, all under one folder.

    What belongs to a network is of its training run `run`, counted from 1.
    """

    folder: Path
    run: int = 1

    @classmethod
    def at(cls, folder: str) -> "Study":
        """The study in a folder, relative to the repository."""
        return cls(repository_root() / folder)

    def evaluated(self, name: str) -> list["Study"]:
        """The study of each run of a network that has an evaluation."""
        found = self.evaluation(name).parent.glob("run-[0-9]*")
        runs = sorted(int(path.name[4:]) for path in found if path.name[4:].isdecimal())
        return [self.of_run(run) for run in runs]

    def of_run(self, run: int) -> "Study":
        """The same study, and of its networks another training run."""
        return replace(self, run=run)

    @property
    def pictures(self) -> Path:
        """Pictures made on the spot; empty for a data set that people bring."""
        return self.folder / "pictures"

    @property
    def downloads(self) -> Path:
        return self.folder / "downloads"

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest"

    @property
    def copies(self) -> Path:
        """How many small copies of the pictures there are (see `camloc.data.copies`)."""
        return self.folder / "copies.json"

    @property
    def truth(self) -> Path:
        """Withheld labels and boxes: only scoring reads them."""
        return self.folder / "truth"

    def surgery(self, name: str) -> Path:
        """A network as surgery left it, before fine-tuning."""
        return self._of_run("surgery", name) / "network.safetensors"

    def weights(self, name: str) -> Path:
        """A trained network."""
        return self._of_run("networks", name) / "weights.safetensors"

    def history(self, name: str) -> Path:
        return self._of_run("networks", name) / "history.csv"

    def histories(self, name: str) -> Path:
        """The histories of all runs of a network."""
        return self.folder / "histories" / f"{name}.csv"

    def checkpoint(self, name: str) -> Path:
        """Where a training that is not over is kept."""
        return self._of_run("checkpoints", name).with_suffix(".pt")

    def body_maps(self, key: str) -> Path:
        """Folder of what a body that stays as it is gives of the pictures; `key` tells of which."""
        return self.folder / "body-maps" / key

    def predictions(self, name: str) -> Path:
        """Folder of a network's predicted classes and maps."""
        return self._of_run("predictions", name)

    def costs(self, name: str) -> Path:
        """What the maps of each method of a network cost: no result, since it changes with the
        machine. The executed notebook keeps it."""
        return self._of_run("costs", name).with_suffix(".json")

    def evaluation(self, name: str) -> Path:
        """Folder of a network's errors."""
        return self._of_run("evaluation", name)

    def _of_run(self, kind: str, name: str) -> Path:
        return self.folder / kind / name / f"run-{self.run}"
