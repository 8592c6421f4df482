"""Where the files of a study lie."""

from dataclasses import dataclass
from pathlib import Path

from camloc.core.errors import UserError

FOLDER = "data"  # of the study that the pipeline runs
EXECUTED = Path("reports") / "notebooks"
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
    """The files that the stages of one study leave for each other, all under one folder."""

    folder: Path

    @classmethod
    def at(cls, folder: str) -> "Study":
        """The study in a folder, relative to the repository."""
        return cls(repository_root() / folder)

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
        return self.folder / "networks" / name / "surgery.safetensors"

    def weights(self, name: str) -> Path:
        """A trained network."""
        return self.folder / "networks" / name / "weights.safetensors"

    def history(self, name: str) -> Path:
        return self.folder / "networks" / name / "history.csv"

    def checkpoint(self, name: str) -> Path:
        """Where a training that is not over is kept."""
        return self.folder / "networks" / name / "checkpoint.pt"

    def predictions(self, name: str) -> Path:
        """Folder of a network's predicted classes and maps."""
        return self.folder / "predictions" / name

    def evaluation(self, name: str) -> Path:
        """Folder of a network's errors."""
        return self.folder / "evaluation" / name
