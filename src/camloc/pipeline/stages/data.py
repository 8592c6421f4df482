"""00_data: bring the images of a source and write the manifest and the withheld ground truth."""

from pathlib import Path

from camloc.core.params import ILSVRC, Data
from camloc.core.paths import Study, repository_root
from camloc.data.manifest import Manifest, save_truth
from camloc.data.sources import cub, folder, ilsvrc, ilsvrc_official, shapes, tiny_imagenet
from camloc.pipeline.parameters import DataParameters


def run(study: Study, given: DataParameters) -> Manifest:
    """Make the manifest of the source that params.yaml names.

    Returns:
        The manifest without withheld labels.
    """
    manifest, hidden = _read_source(study, given.data, given.seed, given.draws)
    manifest = manifest.validate()
    labels, boxes, masks = manifest.images.iloc[:0], manifest.boxes.iloc[:0], None
    if hidden:
        manifest, labels, boxes = manifest.withhold(hidden)
        masks = study.pictures / "masks" / hidden
        names = labels["mask"].str.split("/").str[-1]
        labels = labels.assign(mask="../" + study.truth.name + "/masks/" + names)
    save_truth(study.truth, labels, boxes, masks)
    manifest.save(study.manifest)
    return manifest


def _read_source(study: Study, data: Data, seed: int, draws: int) -> tuple[Manifest, str | None]:
    """A source's manifest, and the split whose labels stay unseen until scoring."""
    if data.source == "shapes":
        counts = {"train": draws * data.train, "val": data.val, "test": data.test}
        return shapes.generate(study.pictures, **counts, seed=seed, altered=data.altered), "test"
    study.pictures.mkdir(parents=True, exist_ok=True)
    if data.source == "ilsvrc":
        return ilsvrc.read(_unpacked(data), data.train), None
    if data.source == "folder":
        root = repository_root() / data.folder
        return folder.read(root, splits=data.splits, classes=_inside(root, data.classes)), None
    reader = {"tiny-imagenet": tiny_imagenet, "cub": cub}[data.source]
    there = data.folder and repository_root() / data.folder
    options = data.model_dump(exclude={"source", "folder"})
    return reader.read(there or reader.download(study.downloads), **options, seed=seed), None


def _inside(root: Path, path: Path | None) -> Path | None:
    return None if path is None else root / path


def _unpacked(data: ILSVRC) -> Path:
    """The folder of ILSVRC's images, which the official files are unpacked into first."""
    place = repository_root() / data.folder
    if not ilsvrc_official.found(place):
        return place
    target = repository_root() / (data.unpack_to or place / "unpacked")
    return ilsvrc_official.unpack(place, target, data.train)
