"""00_data: bring the images of a source and write the manifest and the withheld truth."""

from camloc.core.paths import Study, repository_root
from camloc.data.manifest import Manifest, save_truth
from camloc.data.sources import cub, ilsvrc, ilsvrc_official, shapes, tiny_imagenet

DOWNLOADED = {"tiny-imagenet": tiny_imagenet, "cub": cub}


def run(study: Study, data: dict, seed: int) -> Manifest:
    """Make the manifest of the source that `data` names.

    Returns:
        The manifest without withheld labels.
    """
    manifest, hidden = _read_source(study, data, seed)
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


def _read_source(study: Study, data: dict, seed: int) -> tuple[Manifest, str | None]:
    """A source's manifest, and the split whose labels stay unseen until scoring."""
    options = dict(data)
    source = options.pop("source")
    if source == "shapes":
        return shapes.generate(study.pictures, **options, seed=seed), "test"
    study.pictures.mkdir(parents=True, exist_ok=True)
    folder = options.pop("folder", None)
    if reader := DOWNLOADED.get(source):
        folder = repository_root() / folder if folder else reader.download(study.downloads)
        return reader.read(folder, **options, seed=seed), None
    folder = repository_root() / folder
    if ilsvrc_official.found(folder):
        target = options.get("unpack_to") or folder / "unpacked"
        folder = ilsvrc_official.unpack(folder, repository_root() / target)
    return ilsvrc.read(folder), None
